package pool

import (
	"database/sql/driver"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// outermost returns the connection for database/sql: s, or s with mapped errors.
func outermost(s *shell) driver.Conn {
	if s.pool.plan.errors == nil {
		return s
	}
	return &mappedShell{wrap.NewMappedConn(s, s.pool.plan.errors, s.pool.cfg.Compat.PanicMap(), s.pool.cfg.Compat.Options), unmapped{s}}
}

// A mappedShell is a shell whose errors are mapped.
type mappedShell struct {
	*wrap.MappedConn
	unmapped
}

type unmapped struct{ *shell }

var (
	_ sqlitemw.Conn          = &mappedShell{}
	_ driver.SessionResetter = &mappedShell{}
	_ driver.Validator       = &mappedShell{}
)

// shellOf returns the shell of a connection that outermost has returned.
func shellOf(conn any) *shell {
	if m, ok := conn.(*mappedShell); ok {
		return m.shell
	}
	return conn.(*shell)
}
