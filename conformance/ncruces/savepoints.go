package ncruces

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// savepointCases check driver.Savepoint.
func savepointCases() []conformance.Case {
	return []conformance.Case{
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint rolled back",
			Rule:    "Writes after driver.Savepoint are undone by its Rollback, and the transaction continues.",
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				savepoint := driver.Savepoint(tx)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("rollback", savepoint.Rollback())
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 3)
				s.See("rollback", savepoint.Rollback())
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint released",
			Rule:    "Writes after driver.Savepoint remain when it is released without an error.",
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				savepoint := driver.Savepoint(tx)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				var err error
				savepoint.Release(&err)
				s.See("release", err, savepoint.Rollback() != nil)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint released with an error",
			Rule:    "Writes after driver.Savepoint are undone when it is released with an error, which is not changed.",
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				savepoint := driver.Savepoint(tx)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				err := errors.New("mine")
				savepoint.Release(&err)
				s.See("release", err)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint released in a panic",
			Rule:    "A panic passes through the release of a savepoint, which undoes the writes.",
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				func() {
					defer func() { s.See("recovered", recover()) }()
					var err error
					savepoint := driver.Savepoint(tx)
					defer savepoint.Release(&err)
					s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
					panic("boom")
				}()
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint nested",
			Rule:    "Savepoints of driver.Savepoint are nested, and have different names.",
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				outer := driver.Savepoint(tx)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				inner := driver.Savepoint(tx)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("rollback", inner.Rollback())
				s.SeeQuery(tx, "SELECT a FROM t")
				s.See("rollback", outer.Rollback(), inner.Rollback() != nil)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint and the schema",
			Rule:    "A table that was created after driver.Savepoint is gone after its Rollback, also for queries that have used it.",
			Play: func(s *conformance.Session) {
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				savepoint := driver.Savepoint(tx)
				for _, columns := range []string{"a", "b, c"} {
					s.SeeExec(tx, "CREATE TABLE t("+columns+")")
					s.SeeQuery(tx, "SELECT * FROM t WHERE ?", 1)
					s.See("rollback", savepoint.Rollback())
					s.SeeQuery(tx, "SELECT * FROM t WHERE ?", 1)
				}
				s.See("commit", tx.Commit())
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint, read-only",
			Rule:    "A read-only transaction can have savepoints.",
			Play: func(s *conformance.Session) {
				tx, err := s.DB.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
				s.Must(err)
				defer tx.Rollback()
				savepoint := driver.Savepoint(tx)
				s.See("rollback", savepoint.Rollback())
				savepoint.Release(&err)
				s.See("release", err)
				s.See("commit", tx.Commit())
			},
		},
		{
			Chapter: "savepoints",
			Name:    "driver.Savepoint's name",
			Rule:    "The name of a savepoint contains the program's function that began it.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				raw(s, conn, func(c *sqlite3.Conn) error {
					return c.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, operation, name, _, _ string) sqlite3.AuthorizerReturnCode {
						if action == sqlite3.AUTH_SAVEPOINT {
							s.See(operation, strings.TrimRight(name, "0123456789"))
						}
						return sqlite3.AUTH_OK
					})
				})
				tx := s.Begin(conn)
				defer tx.Rollback()
				savepoint := driver.Savepoint(tx)
				var err error
				savepoint.Release(&err)
				s.See("release", err, tx.Commit())
			},
		},
		{
			Chapter: "savepoints",
			Name:    "no savepoint",
			Rule:    "Only the driver's own empty query begins a savepoint. A program's empty query does nothing.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.SeeExec(conn, "")
				raw(s, conn, func(c *sqlite3.Conn) error {
					s.See("autocommit", c.GetAutocommit())
					return nil
				})
			},
		},
	}
}
