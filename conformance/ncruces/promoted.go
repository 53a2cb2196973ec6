package ncruces

import (
	"context"
	"database/sql/driver"
	"iter"
	"slices"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// promotedCases use the methods of *sqlite3.Conn that a connection has without its Raw.
func promotedCases() []conformance.Case {
	// promoted calls f with the driver's connection itself.
	promoted := func(s *conformance.Session, f func(dc any)) {
		conn := s.Conn(s.DB)
		defer conn.Close()
		s.Must(conn.Raw(func(dc any) error {
			f(dc)
			return nil
		}))
		s.SeeQuery(conn, "PRAGMA busy_timeout")
	}
	return []conformance.Case{
		{
			Chapter: "raw",
			Name:    "found by GetAutocommit",
			Rule:    "A connection reports its state to code that asserts only this method.",
			Play: func(s *conformance.Session) {
				promoted(s, func(dc any) {
					c, ok := dc.(interface{ GetAutocommit() bool })
					s.See("has it", ok, ok && c.GetAutocommit())
				})
			},
		},
		{
			Chapter: "raw",
			Name:    "found by BusyTimeout",
			Rule:    "A connection's busy timeout can be set by code that asserts only this method.",
			Play: func(s *conformance.Session) {
				promoted(s, func(dc any) {
					c, ok := dc.(interface{ BusyTimeout(time.Duration) error })
					s.See("has it", ok)
					if ok {
						s.See("busy timeout", c.BusyTimeout(1234*time.Millisecond))
					}
				})
			},
		},
		{
			Chapter: "raw",
			Name:    "found by SetInterrupt",
			Rule:    "A connection's interrupt context can be set by code that asserts only this method. The connection has none left from earlier calls.",
			Play: func(s *conformance.Session) {
				ctx, cancel := context.WithCancel(context.Background())
				conn, err := s.DB.Conn(ctx)
				s.Must(err)
				s.See("close", conn.Close())
				cancel()
				promoted(s, func(dc any) {
					c, ok := dc.(interface {
						SetInterrupt(context.Context) context.Context
						GetInterrupt() context.Context
					})
					s.See("has it", ok)
					if ok {
						s.See("interrupt", c.GetInterrupt() == context.Background(), c.SetInterrupt(context.Background()) == context.Background())
					}
				})
			},
		},
		{
			Chapter: "raw",
			Name:    "found by Exec and Prepare",
			Rule:    "A connection's own Exec affects later queries, and its Prepare is that of driver.Conn.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				for _, text := range []string{"CREATE TABLE t(a)", "ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t", "ALTER TABLE t ADD COLUMN b"} {
					s.Must(conn.Raw(func(dc any) error {
						c, ok := dc.(interface{ Exec(string) error })
						s.See("has it", ok)
						s.See(text, c.Exec(text))
						_, ok = dc.(interface {
							Prepare(string) (driver.Stmt, error)
						})
						s.See("prepare", ok)
						return nil
					}))
					s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
				}
			},
		},
		{
			Chapter: "raw",
			Name:    "found by Stmts",
			Rule:    "A connection lists the same statements with its method and through its Raw.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.SeeQuery(conn, "SELECT ?", 1)
				s.Must(conn.Raw(func(dc any) error {
					c, ok := dc.(interface {
						Stmts() iter.Seq[*sqlite3.Stmt]
					})
					s.See("has it", ok)
					if ok {
						s.See("listed", len(slices.Collect(c.Stmts())))
					}
					return nil
				}))
			},
		},
		{
			Chapter: "raw",
			Name:    "found by Savepoint",
			Rule:    "A connection's own savepoint undoes what queries have done since, including schema changes.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				var savepoint sqlite3.Savepoint
				s.Must(conn.Raw(func(dc any) error {
					savepoint = dc.(interface{ Savepoint() sqlite3.Savepoint }).Savepoint()
					return nil
				}))
				s.SeeExec(conn, "CREATE TABLE t(a)")
				s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
				s.Must(conn.Raw(func(any) error { return savepoint.Rollback() }))
				s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
				s.SeeExec(conn, "ROLLBACK")
			},
		},
		{
			Chapter: "raw",
			Name:    "found by Limit",
			Rule:    "A limit that is set with the method also applies to queries that were prepared before.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				for _, limit := range []int{-1, 1, 500} {
					s.Must(conn.Raw(func(dc any) error {
						c := dc.(interface {
							Limit(sqlite3.LimitCategory, int) int
						})
						s.See("limit", c.Limit(sqlite3.LIMIT_COMPOUND_SELECT, limit))
						return nil
					}))
					s.SeeQuery(conn, "SELECT ? UNION ALL SELECT 2", 1)
				}
			},
		},
	}
}
