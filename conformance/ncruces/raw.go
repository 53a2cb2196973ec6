package ncruces

import (
	"context"
	"database/sql"
	"slices"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// rawCases use the SQLite connection below database/sql's.
func rawCases() []conformance.Case {
	return []conformance.Case{
		{
			Chapter: "raw",
			Name:    "driver.Conn",
			Rule:    "Raw of a *sql.Conn passes ncruces' driver.Conn, whose Raw is SQLite's own connection.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				var first *sqlite3.Conn
				s.See("raw", conn.Raw(func(dc any) error {
					c, ok := dc.(driver.Conn)
					s.See("driver.Conn", ok)
					if ok {
						first = c.Raw()
						s.See("file", first.Filename("main").String() == s.File("test.db"))
						s.See("autocommit", first.GetAutocommit())
					}
					return nil
				}))
				raw(s, conn, func(c *sqlite3.Conn) error {
					s.See("the same", c == first)
					return nil
				})
			},
		},
		{
			Chapter: "raw",
			Name:    "function",
			Rule:    "A function that is created through Raw belongs to its connection and its statements.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.SeeQuery(conn, "SELECT add(?, 2)", 1)
				for _, more := range []int{0, 100} {
					raw(s, conn, func(c *sqlite3.Conn) error {
						return c.CreateFunction("add", 2, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
							ctx.ResultInt(arg[0].Int() + arg[1].Int() + more)
						})
					})
					s.SeeQuery(conn, "SELECT add(?, 2)", 1)
				}
				s.SeeQuery(s.DB, "SELECT add(?, 2)", 1)
			},
		},
		{
			Chapter: "raw",
			Name:    "collation",
			Rule:    "A collation that is created through Raw sorts what its connection reads.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				raw(s, conn, func(c *sqlite3.Conn) error {
					return c.CreateCollation("backwards", func(a, b []byte) int { return -slices.Compare(a, b) })
				})
				s.SeeQuery(conn, "SELECT ? AS a UNION ALL SELECT 'b' ORDER BY a COLLATE backwards", "a")
			},
		},
		{
			Chapter: "raw",
			Name:    "blob",
			Rule:    "A blob that is opened through Raw is read and written in place.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", sqlite3.ZeroBlob(10))
				raw(s, conn, func(c *sqlite3.Conn) error {
					blob, err := c.OpenBlob("main", "t", "a", 1, true)
					if err != nil {
						return err
					}
					n, err := blob.Write([]byte("hello"))
					s.See("written", n, err, blob.Size(), blob.Close())
					_, err = c.OpenBlob("main", "t", "a", 2, true)
					s.See("no such row", err)
					return nil
				})
				s.SeeQuery(conn, "SELECT a FROM t")
			},
		},
		{
			Chapter: "raw",
			Name:    "backup",
			Rule:    "A backup through Raw copies the database, including what its connection has just written.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(conn, "SELECT a FROM t WHERE a = ?", 1)
				raw(s, conn, func(c *sqlite3.Conn) error { return c.Backup("main", s.File("backup.db")) })
				s.SeeQuery(s.Open(s.File("backup.db"), conformance.Settings{}), "SELECT a FROM t")
			},
		},
		{
			Chapter: "raw",
			Name:    "restore",
			Rule:    "A database that is restored through Raw has new contents, also for queries that were used before.",
			Play: func(s *conformance.Session) {
				s.Exec(s.Open(s.File("other.db"), conformance.Settings{}), "CREATE TABLE t(b, c); INSERT INTO t VALUES (1, 2)")
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
				raw(s, conn, func(c *sqlite3.Conn) error { return c.Restore("main", s.File("other.db")) })
				s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
			},
		},
		{
			Chapter: "raw",
			Name:    "authorizer",
			Rule:    "An authorizer that is set through Raw also checks queries that were prepared before.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeQuery(conn, "SELECT a FROM t WHERE ?", 1)
				raw(s, conn, func(c *sqlite3.Conn) error {
					return c.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, _, _, _, _ string) sqlite3.AuthorizerReturnCode {
						if action == sqlite3.AUTH_READ {
							return sqlite3.AUTH_DENY
						}
						return sqlite3.AUTH_OK
					})
				})
				s.SeeQuery(conn, "SELECT a FROM t WHERE ?", 1)
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				raw(s, conn, func(c *sqlite3.Conn) error { return c.SetAuthorizer(nil) })
				s.SeeQuery(conn, "SELECT a FROM t WHERE ?", 1)
			},
		},
		{
			Chapter: "raw",
			Name:    "statements",
			Rule:    "The statements that a connection lists are the program's own.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				list := func() {
					raw(s, conn, func(c *sqlite3.Conn) error {
						var texts []string
						for stmt := range c.Stmts() {
							texts = append(texts, stmt.SQL())
						}
						slices.Sort(texts)
						s.See("listed", texts)
						return nil
					})
				}
				list()
				stmt, err := conn.PrepareContext(context.Background(), "SELECT ?")
				s.Must(err)
				list()
				s.See("close", stmt.Close())
				s.SeeQuery(conn, "SELECT ? + 1", 1)
				list()
			},
		},
		{
			Chapter: "raw",
			Name:    "result",
			Rule:    "SQLite's own report about the last statement agrees with its result.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				for _, query := range []string{"INSERT INTO t VALUES (?), (2)", "UPDATE t SET a = ?", "DELETE FROM t WHERE a < ?"} {
					s.SeeExec(conn, query, 5)
					raw(s, conn, func(c *sqlite3.Conn) error {
						s.See("raw", c.LastInsertRowID(), c.Changes(), c.TotalChanges())
						return nil
					})
				}
			},
		},
		{
			Chapter: "raw",
			Name:    "transaction state",
			Rule:    "A connection holds the lock with which its transaction was begun, as SQLite reports it.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				for level := range sql.LevelLinearizable + 1 {
					tx, err := conn.BeginTx(context.Background(), &sql.TxOptions{Isolation: level})
					if err != nil {
						continue
					}
					defer tx.Rollback() // in case Must ends the case
					raw(s, conn, func(c *sqlite3.Conn) error {
						s.See(level.String(), c.TxnState("main"), c.GetAutocommit())
						return nil
					})
					s.See("rollback", tx.Rollback())
				}
			},
		},
	}
}
