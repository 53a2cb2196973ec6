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

// cases returns the cases for this driver only, by chapter.
func cases() []conformance.Case {
	return slices.Concat(valueCases(), timeCases(), savepointCases(), rawCases(), promotedCases(), memoryCases())
}

// raw calls f with the SQLite connection of conn. It ends the case on an error.
func raw(s *conformance.Session, conn *sql.Conn, f func(c *sqlite3.Conn) error) {
	s.Must(conn.Raw(func(dc any) error {
		c, ok := dc.(driver.Conn)
		if !ok { // no panic, because the connection would then wait for its transaction
			return fmt.Errorf("%T is not ncruces' driver.Conn", dc)
		}
		return f(c.Raw())
	}))
}

// memoryCases check sqlite3.WithMaxMemory.
func memoryCases() []conformance.Case {
	return []conformance.Case{{
		Chapter: "lifecycle",
		Name:    "max memory",
		Rule:    "A connection that is opened with sqlite3.WithMaxMemory has no more memory.",
		Play: func(s *conformance.Session) {
			conn, err := s.DB.Conn(sqlite3.WithMaxMemory(context.Background(), 4<<20))
			s.Must(err)
			defer conn.Close()
			// Exceeding the limit panics, and the connection is unusable
			// afterwards.
			defer func() { s.See("recovered", recover() != nil) }()
			// The second size exceeds its limit, but not the 32 MiB of 32-bit
			// platforms.
			for _, n := range []int{256 << 10, 2 << 20} {
				_, err := s.ExecContext(context.Background(), conn, "SELECT hex(zeroblob(?))", n)
				s.See("exec", err)
			}
		},
	}}
}
