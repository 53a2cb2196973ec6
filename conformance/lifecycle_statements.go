package conformance

import (
	"context"
	"database/sql"
)

func lifecycleOfStatements() []Case {
	return []Case{
		{
			Name: "statement",
			Rule: "A statement can be executed and queried many times, each time with its own arguments.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				insert := s.Prepare(s.DB, "INSERT INTO t VALUES (?)")
				defer insert.Close()
				query := s.Prepare(s.DB, "SELECT a FROM t WHERE a >= ? ORDER BY a")
				defer query.Close()
				for i := range 3 {
					s.SeeStmtExec("insert", insert, i)
					s.SeeStmtQuery("query", query, i-1)
				}
				s.seeStats(s.DB)
			},
		},
		{
			Name: "statement closed",
			Rule: "A statement can be closed twice, and cannot be used afterwards.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, "SELECT ?")
				s.SeeStmtQuery("query", stmt, 1)
				s.See("close", stmt.Close(), stmt.Close())
				s.SeeStmtQuery("query", stmt, 1)
				s.SeeStmtExec("exec", stmt, 1)
				s.SeeQuery(s.DB, "SELECT ?", 1)
			},
		},
		{
			Name: "statement never used",
			Rule: "Preparing a statement executes nothing of it.",
			Play: func(s *Session) {
				calls := 0
				s.Function("hook", func(context.Context) any { calls++; return calls })
				for _, query := range []string{"SELECT hook()", "CREATE TABLE t(a)", "SELECT hook() WHERE ?"} {
					stmt := s.Prepare(s.DB, query)
					s.See(query, stmt.Close(), calls)
				}
				s.SeeQuery(s.DB, "SELECT count(*) FROM sqlite_schema")
			},
		},
		{
			Name: "statement never closed",
			Rule: "Closing a database closes the statements that were left open.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				insert := s.Prepare(s.DB, "INSERT INTO t VALUES (?)")
				query := s.Prepare(s.DB, "SELECT a FROM t")
				s.SeeStmtExec("insert", insert, 1)
				s.SeeStmtQuery("query", query)
				s.See("close", s.DB.Close())
			},
		},
		{
			Name: "statement of a closed database",
			Rule: "A statement of a closed database cannot be used, but can be closed.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, "SELECT ?")
				s.See("close", s.DB.Close())
				s.SeeStmtQuery("query", stmt, 1)
				s.SeeStmtExec("exec", stmt, 1)
				s.See("close", stmt.Close())
			},
		},
		{
			Name: "statement on several connections",
			Rule: "A statement is prepared on every connection that it is used on, and leaves nothing on any.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1), (2)")
				stmt := s.Prepare(s.DB, "SELECT a FROM t WHERE a >= ?")
				first := s.rowsOf(stmt, 1)
				s.See("next", first.Next())
				second := s.rowsOf(stmt, 2)
				s.See("next", second.Next())
				third := s.rowsOf(stmt, 3)
				s.seeStats(s.DB)
				s.SeeRows("first", first, nil)
				s.SeeRows("second", second, nil)
				s.SeeRows("third", third, nil)
				s.seeStats(s.DB)
				s.See("close", stmt.Close())
			},
		},
		{
			Name: "statement of a connection",
			Rule: "A statement prepared on a connection belongs to it, and ends with it.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TEMP TABLE t(a)")
				stmt := s.Prepare(conn, "INSERT INTO t VALUES (?)")
				s.SeeStmtExec("insert", stmt, 1)
				other := s.Conn(s.DB)
				s.SeeStmtExec("insert", stmt, 2)
				s.SeeQuery(conn, "SELECT a FROM t")
				s.SeeQuery(other, "SELECT a FROM t")
				s.See("give back", conn.Close(), other.Close())
				s.SeeStmtExec("insert", stmt, 3)
				s.See("close", stmt.Close())
			},
		},
		{
			Name: "statement of a transaction",
			Rule: "A statement prepared in a transaction ends with it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				stmt := s.Prepare(tx, "INSERT INTO t VALUES (?)")
				s.SeeStmtExec("insert", stmt, 1)
				s.See("commit", tx.Commit())
				s.SeeStmtExec("insert", stmt, 2)
				s.See("close", stmt.Close())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "statement in a transaction",
			Rule: "A statement of the database can be used in a transaction, and is part of it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				insert := s.Prepare(s.DB, "INSERT INTO t VALUES (?)")
				defer insert.Close()
				query := s.Prepare(s.DB, "SELECT a FROM t ORDER BY a")
				defer query.Close()
				tx := s.Begin(s.DB)
				inTx := tx.StmtContext(background, insert)
				s.SeeStmtExec("insert", inTx, 1)
				s.SeeStmtExec("insert", inTx, 2)
				s.SeeStmtQuery("in it", tx.StmtContext(background, query))
				s.See("rollback", tx.Rollback())
				s.SeeStmtQuery("after it", query)
				s.SeeStmtExec("after it", inTx, 3)
				s.SeeStmtExec("insert", insert, 4)
				s.SeeStmtQuery("at last", query)
			},
		},
		{
			Name: "statement of another connection in a transaction",
			Rule: "A statement is prepared again for a transaction whose connection has not prepared it yet.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				held := s.Conn(s.DB)
				query := s.Prepare(s.DB, "SELECT count(*) FROM t WHERE a = ?") // on a second connection
				defer query.Close()
				tx := s.Begin(held)
				s.SeeStmtQuery("in it", tx.StmtContext(background, query), 1)
				s.SeeStmtQuery("out of it", query, 1)
				s.See("commit", tx.Commit(), held.Close())
				s.SeeStmtQuery("after it", query, 1)
			},
		},
		{
			Name: "two rows of one statement",
			Rule: "A statement of a connection whose rows are open cannot be queried again. The open rows continue.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				stmt := s.Prepare(conn, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?")
				defer stmt.Close()
				first := s.rowsOf(stmt, 3)
				defer first.Close()
				s.See("next", first.Next(), first.Err())
				second, err := stmt.QueryContext(background, 4)
				s.See("second", err)
				if err == nil {
					s.See("close", second.Close())
				}
				s.SeeRow(first)
				s.See("next", first.Next(), first.Err())
				s.SeeRow(first)
				s.See("close", first.Close())
				s.SeeStmtQuery("again", stmt, 5)
			},
		},
		{
			Name: "executed with rows open",
			Rule: "A statement of a connection whose rows are open cannot be executed.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				stmt := s.Prepare(conn, "SELECT 1 UNION ALL SELECT ?")
				defer stmt.Close()
				rows := s.rowsOf(stmt, 2)
				s.See("next", rows.Next(), rows.Err())
				s.SeeStmtExec("exec", stmt, 3)
				s.See("close", rows.Close())
				s.SeeStmtExec("exec", stmt, 3)
				s.SeeStmtQuery("query", stmt, 4)
			},
		},
		{
			Name: "database's statement closed with rows open",
			Rule: "Rows of a statement of the database stay usable after the statement is closed.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?")
				rows := s.rowsOf(stmt, 3)
				s.See("next", rows.Next())
				s.See("close", stmt.Close())
				s.SeeRows("rest", rows, nil)
				s.SeeQuery(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?", 4)
			},
		},
		{
			Name: "connection's statement closed with rows open",
			Rule: "Closing a statement of a connection ends its rows, and has no effect on later calls with the same query.",
			Play: func(s *Session) {
				const query = "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?"
				conn := s.Conn(s.DB)
				defer conn.Close()
				stmt := s.Prepare(conn, query)
				rows := s.rowsOf(stmt, 3)
				s.See("next", rows.Next())
				s.See("close", stmt.Close())
				other := s.Query(conn, query, 4)
				s.See("other", other.Next())
				s.See("next", rows.Next(), rows.Err(), rows.Close())
				s.SeeRows("other", other, nil)
				s.SeeQuery(conn, query, 5)
			},
		},
		{
			Name: "one text prepared twice",
			Rule: "Two statements of the same query are independent: both can be open, and each is closed separately.",
			Play: func(s *Session) {
				const query = "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?"
				conn := s.Conn(s.DB)
				defer conn.Close()
				first, second := s.Prepare(conn, query), s.Prepare(conn, query)
				a, b := s.rowsOf(first, 3), s.rowsOf(second, 4)
				s.See("next", a.Next(), b.Next(), a.Next())
				s.SeeRow(a)
				s.SeeRow(b)
				s.See("close", a.Close(), first.Close())
				s.SeeRows("rest", b, nil)
				s.SeeStmtQuery("again", second, 5)
				s.See("close", second.Close())
				s.SeeQuery(conn, query, 6)
			},
		},
		{
			Name: "text that cannot be prepared",
			Rule: "An error of preparing is returned by Prepare immediately, and the connection is released.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				for _, query := range []string{"SELEC 1", "SELECT nope", "SELECT * FROM nowhere", "INSERT INTO nowhere VALUES (?)", "SELECT 'open", "SELECT 1; SELECT 2"} {
					_, err := s.DB.PrepareContext(background, query)
					s.See(query, err)
				}
				s.seeStats(s.DB)
			},
		},
		{
			Name: "statement with the wrong number of arguments",
			Rule: "Too few or too many arguments of a statement are refused, and it is not executed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, b)")
				stmt := s.Prepare(s.DB, "INSERT INTO t VALUES (?, ?) RETURNING a, b")
				defer stmt.Close()
				for _, args := range [][]any{{}, {1}, {1, 2, 3}, {1, 2}} {
					s.SeeStmtExec("exec", stmt, args...)
					s.SeeStmtQuery("query", stmt, args...)
				}
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "statement's bindings",
			Rule: "A statement keeps no argument of an earlier use, whether that was executed, read to the end, or abandoned.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, "SELECT :a, :b")
				defer stmt.Close()
				a, b := sql.Named("a", "kept"), sql.Named("b", "given")
				s.SeeStmtExec("exec", stmt, a, b)
				s.SeeStmtQuery("query", stmt, b)
				s.SeeStmtQuery("query", stmt, a)
				s.SeeStmtQuery("query", stmt)
				rows := s.rowsOf(stmt, a, b)
				s.See("close", rows.Close())
				s.SeeStmtQuery("query", stmt, b)
				rows = s.rowsOf(stmt, a, b)
				s.See("next", rows.Next(), rows.Close())
				s.SeeStmtQuery("query", stmt)
			},
		},
		{
			Name: "statement that fails, used again",
			Rule: "A statement whose execution failed can be used again, and its error is reported only once.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				stmt := s.Prepare(s.DB, "INSERT INTO t VALUES (abs(?))")
				defer stmt.Close()
				for _, a := range []any{1, 1, 2, int64(-1 << 63), 3, -3} {
					s.SeeStmtExec("insert", stmt, a)
				}
				query := s.Prepare(s.DB, "SELECT abs(?)")
				defer query.Close()
				for _, a := range []any{1, int64(-1 << 63), 2} {
					s.SeeStmtQuery("query", query, a)
					s.SeeStmtExec("exec", query, a)
				}
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
	}
}

// rowsOf starts a statement's query, whose rows the case must close. It ends the case on an
// error.
func (s *Session) rowsOf(stmt *sql.Stmt, args ...any) *sql.Rows {
	rows, err := stmt.QueryContext(background, args...)
	s.Must(err)
	return rows
}
