package ncruces

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// cases are those of this driver alone, by chapter.
func cases() []conformance.Case {
	return slices.Concat(valueCases(), timeCases(), savepointCases(), rawCases(), promotedCases(), memoryCases())
}

// raw has f use ncruces' connection behind conn, which must go well.
func raw(s *conformance.Session, conn *sql.Conn, f func(c *sqlite3.Conn) error) {
	s.Must(conn.Raw(func(dc any) error {
		c, ok := dc.(driver.Conn)
		if !ok { // no panic, in which the connection would wait for its transaction
			return fmt.Errorf("%T is no driver.Conn of ncruces'", dc)
		}
		return f(c.Raw())
	}))
}

// memoryCases are about sqlite3.WithMaxMemory.
func memoryCases() []conformance.Case {
	return []conformance.Case{{
		Chapter: "lifecycle",
		Name:    "max memory",
		Rule:    "A connection that is opened with sqlite3.WithMaxMemory has no more.",
		Play: func(s *conformance.Session) {
			conn, err := s.DB.Conn(sqlite3.WithMaxMemory(context.Background(), 4<<20))
			s.Must(err)
			defer conn.Close()
			// What is too much is a panic, after which the connection is no good.
			defer func() { s.See("recovered", recover() != nil) }()
			// The second is too much for it, but not for the 32 MiB of 32 bits.
			for _, n := range []int{256 << 10, 2 << 20} {
				_, err := s.ExecContext(context.Background(), conn, "SELECT hex(zeroblob(?))", n)
				s.See("exec", err)
			}
		},
	}}
}
