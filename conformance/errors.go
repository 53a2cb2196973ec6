package conformance

import (
	"context"
	"database/sql"
	"errors"
	"os"
)

// errorsCases check errors: which error, from which call, and what remains.
func errorsCases() []Case {
	return append(textErrorCases(), append(stateErrorCases(), panicCases()...)...)
}

// seeEverywhere records the result of a query for every way to execute it.
func seeEverywhere(s *Session, db querier, query string, args ...any) {
	s.SeeExec(db, query, args...)
	s.SeeQuery(db, query, args...)
	var v any
	s.See("row", db.QueryRowContext(background, query, args...).Scan(&v), v)
	stmt, err := db.PrepareContext(background, query)
	s.See("prepare", err)
	if err != nil {
		return
	}
	defer stmt.Close()
	for range 2 {
		s.SeeStmtExec("  exec", stmt, args...)
		s.SeeStmtQuery("  query", stmt, args...)
	}
}

// textErrorCases are errors that a query or its arguments cause.
func textErrorCases() []Case {
	var cases []Case
	for _, c := range []struct {
		name, rule string
		query      string
		args       []any
	}{
		{"unique", "A failed constraint is named in the error: UNIQUE.", "INSERT INTO p VALUES (?, 1, 1, 1)", []any{2}},
		{"primary key", "A failed constraint is named in the error: PRIMARY KEY.", "INSERT INTO p VALUES (?, 2, 1, 1)", []any{1}},
		{"not null", "A failed constraint is named in the error: NOT NULL.", "INSERT INTO p VALUES (2, 2, ?, 1)", []any{nil}},
		{"check", "A failed constraint is named in the error: CHECK.", "INSERT INTO p VALUES (2, 2, 1, ?)", []any{0}},
		{"foreign key", "A failed constraint is named in the error: FOREIGN KEY.", "INSERT INTO f VALUES (?)", []any{7}},
		{"foreign key of a delete", "A row that others refer to cannot be deleted.", "DELETE FROM p WHERE id = ?", []any{1}},
		{"strict", "A failed constraint is named in the error: the type of a column of a STRICT table.", "INSERT INTO s VALUES (?)", []any{"text"}},
		{"trigger", "A failed constraint is named in the error: RAISE in a trigger.", "UPDATE p SET n = ?", []any{1}},
		{"mismatch", "A row ID must be an integer.", "INSERT INTO p VALUES (?, 2, 1, 1)", []any{"text"}},
		{"syntax", "The error of invalid SQL tells its position.", "SELECT 1 FORM p", nil},
		{"syntax with arguments", "Invalid SQL fails before its arguments are examined.", "SELECT ? FORM p WHERE", []any{struct{}{}, 2}},
		{"incomplete", "A query that ends too early is incomplete.", "SELECT (1", nil},
		{"token", "A token that SQL does not have is unrecognized.", "SELECT 'open", nil},
		{"no table", "A table that does not exist cannot be used.", "SELECT * FROM nowhere WHERE a = ?", []any{1}},
		{"no column", "A column that does not exist cannot be used.", "SELECT id, nowhere FROM p WHERE id = ?", []any{1}},
		{"no function", "A function that does not exist cannot be called.", "SELECT nowhere(?)", []any{1}},
		{"function's arguments", "A function is not called with too many arguments.", "SELECT abs(?, 2)", []any{1}},
		{"overflow", "A function's own error is the statement's.", "SELECT abs(?)", []any{int64(-1 << 63)}},
		{"too big", "A value that is too big is refused.", "SELECT zeroblob(?)", []any{int64(2_000_000_000)}},
		{"two statements", "Only an exec without arguments takes more than one statement.", "SELECT ?; SELECT 2", []any{1}},
		{"too few arguments", "Every parameter needs an argument.", "SELECT ?, ?", []any{1}},
		{"no such type", "An argument of a type that SQLite does not have is refused.", "SELECT ?", []any{struct{}{}}},
		{"no collation", "A collation that does not exist cannot be used.", "SELECT ? COLLATE nowhere ORDER BY 1", []any{"a"}},
		{"no transaction", "A transaction that has not begun cannot be ended.", "ROLLBACK", nil},
	} {
		cases = append(cases, Case{
			Name:     c.name,
			Rule:     c.rule,
			Settings: Settings{Pragmas: []string{"foreign_keys(1)"}},
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, `CREATE TABLE p(id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL, c CHECK (c > 0));
					CREATE TABLE f(p REFERENCES p); CREATE TABLE s(i INTEGER) STRICT;
					CREATE TRIGGER tr BEFORE UPDATE ON p BEGIN SELECT RAISE(ABORT, 'not that'); END;
					INSERT INTO p VALUES (1, 1, 1, 1); INSERT INTO f VALUES (1)`)
				seeEverywhere(s, s.DB, c.query, c.args...)
				tx := s.Begin(s.DB)
				seeEverywhere(s, tx, c.query, c.args...)
				s.See("commit", tx.Commit())
				s.See("usable", s.Count(s.DB, "SELECT count(*) FROM p"))
			},
		})
	}
	return append(cases, []Case{
		{
			Name: "in iteration",
			Rule: "An error in a later row ends the rows; the rows before it are valid.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.SeeQuery(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT abs(?)", int64(-1<<63))
				var n int
				s.See("row", s.DB.QueryRow("SELECT 1 UNION ALL SELECT abs(?)", int64(-1<<63)).Scan(&n), n)
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "in iteration, prepared",
			Rule: "A statement can be used again after its rows have failed.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, "SELECT 1 UNION ALL SELECT abs(?)")
				defer stmt.Close()
				for _, v := range []int64{-1 << 63, -1, -1 << 63} {
					s.SeeStmtQuery("query", stmt, v)
				}
			},
		},
		{
			Name: "no row",
			Rule: "A missing row is reported by database/sql's own error.",
			Play: func(s *Session) {
				var n int
				s.See("row", s.DB.QueryRow("SELECT 1 WHERE ?", 0).Scan(&n), n)
				s.See("row", s.DB.QueryRow("SELECT NULL WHERE ?", 1).Scan(&n), n)
				s.See("row", s.DB.QueryRow("SELECT 'text' WHERE ?", 1).Scan(&n), n)
				s.See("row", s.DB.QueryRow("SELECT 1, 2 WHERE ?", 1).Scan(&n), n)
			},
		},
		{
			Name: "of several statements",
			Rule: "The statements before the failing one have been executed; those after it have not.",
			Play: func(s *Session) {
				s.SeeExec(s.DB, "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (3); INSERT INTO nowhere VALUES (1); INSERT INTO t VALUES (4)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (5); INSERT INTO t VALUES (6")
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
		{
			Name: "of a function",
			Rule: "An error that a program's function returns becomes the statement's error, with its text.",
			Play: func(s *Session) {
				s.Function("hook", func(context.Context) any { return errors.New("not today") })
				seeEverywhere(s, s.DB, "SELECT hook() + ?", 1)
			},
		},
	}...)
}

// stateErrorCases are errors that other connections or the file cause.
func stateErrorCases() []Case {
	return []Case{
		{
			Name:     "busy",
			Rule:     "Without a busy timeout, a lock that another connection holds is an error immediately.",
			Settings: Settings{Pragmas: []string{"busy_timeout(0)"}},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx, err := s.DB.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.Must(err)
				conn := s.Conn(s.DB)
				defer conn.Close()
				seeEverywhere(s, conn, "INSERT INTO t VALUES (?)", 1)
				_, err = conn.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.See("begin", err)
				s.See("rollback", tx.Rollback())
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
			},
		},
		{
			Name:     "busy snapshot",
			Rule:     "A transaction cannot write after another has changed what it has read, and the error says why.",
			Settings: Settings{Pragmas: []string{"busy_timeout(0)", "journal_mode(wal)"}, TxLock: "deferred"},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.See("read", s.Count(tx, "SELECT count(*) FROM t"))
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				seeEverywhere(s, tx, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "table in use",
			Rule: "A table cannot be dropped while its connection reads it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
				tx := s.Begin(s.DB)
				rows := s.Query(tx, "SELECT a FROM t WHERE a < ?", 3)
				s.See("next", rows.Next())
				s.SeeExec(tx, "DROP TABLE t")
				s.See("next", rows.Next(), rows.Close())
				s.SeeExec(tx, "DROP TABLE t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "read-only file",
			Rule: "A database that is opened read-only refuses writes.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				db := s.Open(s.File("test.db"), Settings{Params: []string{"mode=ro"}})
				seeEverywhere(s, db, "INSERT INTO t VALUES (?)", 1)
				s.See("count", s.Count(db, "SELECT count(*) FROM t"))
				tx, err := db.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.See("begin", err)
				if err == nil {
					s.See("commit", tx.Commit())
				}
			},
		},
		{
			Name:     "query only",
			Rule:     "A connection with query_only refuses writes.",
			Settings: Settings{Pragmas: []string{"query_only(1)"}},
			Play: func(s *Session) {
				s.Exec(s.Open(s.File("test.db"), Settings{}), "CREATE TABLE t(a)")
				seeEverywhere(s, s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name:     "full",
			Rule:     "A database that may not grow returns that it is full, and is unchanged.",
			Settings: Settings{Pragmas: []string{"max_page_count(10)"}},
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				seeEverywhere(s, s.DB, "INSERT INTO t VALUES (zeroblob(?))", 100_000)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "no database",
			Rule: "A file that is not a database cannot be used. The error comes at its first use at the latest.",
			Play: func(s *Session) {
				s.Must(os.WriteFile(s.File("not.db"), []byte("This is a text, and not a database. It is long enough for a header of one hundred bytes, I should think."), 0o600))
				db := s.Open(s.File("not.db"), Settings{})
				s.SeeQuery(db, "SELECT count(*) FROM sqlite_schema")
				s.SeeExec(db, "CREATE TABLE t(a)")
			},
		},
		{
			Name: "no directory",
			Rule: "A file in a directory that does not exist cannot be opened. The error comes at its first use.",
			Play: func(s *Session) {
				db, err := s.TryOpen(s.DSN("no/such/directory/test.db", Settings{}))
				s.See("open", err)
				s.See("ping", db.Ping())
				s.SeeExec(db, "SELECT 1")
				_, err = db.Conn(background)
				s.See("conn", err)
				s.See("open", db.Stats().OpenConnections)
			},
		},
		{
			Name: "attach",
			Rule: "If a file cannot be attached, the statement fails.",
			Play: func(s *Session) {
				seeEverywhere(s, s.DB, "ATTACH 'no/such/directory/test.db' AS other")
			},
		},
	}
}

// panicCases are panics of a program's functions. On the bare driver, a panic in a query
// without arguments keeps the connection from being closed, so all queries here have an
// argument.
func panicCases() []Case {
	type reason struct{ why string }
	panicking := func(s *Session) {
		s.Function("hook", func(context.Context) any { panic(&reason{"boom"}) })
	}
	caught := func(s *Session, what string, f func()) {
		defer func() {
			r, ok := recover().(*reason)
			s.See(what, ok, r)
		}()
		f()
		s.See("no panic")
	}
	return []Case{
		{
			Name: "panic in exec",
			Rule: "A panic of a function reaches the program unchanged, and the program can continue.",
			Play: func(s *Session) {
				panicking(s)
				caught(s, "exec", func() { s.ExecContext(background, s.DB, "SELECT hook() + ?", 1) })
				s.See("in use", s.DB.Stats().InUse)
			},
		},
		{
			Name: "panic in query",
			Rule: "A panic of a function in a row reaches the program when it asks for the row.",
			Play: func(s *Session) {
				panicking(s)
				caught(s, "query", func() { s.DB.QueryRow("SELECT hook() + ?", 1).Scan(new(int)) })
				s.See("in use", s.DB.Stats().InUse)
			},
		},
		{
			Name: "panic in a later row",
			Rule: "The rows before a panic are valid.",
			Play: func(s *Session) {
				panicking(s)
				caught(s, "query", func() {
					rows := s.Query(s.DB, "SELECT ? UNION ALL SELECT hook()", 1)
					defer rows.Close()
					s.See("first", rows.Next())
					s.SeeRow(rows)
					rows.Next()
				})
				s.See("in use", s.DB.Stats().InUse)
			},
		},
		{
			Name: "panic in a transaction",
			Rule: "A transaction stays usable after a panic from which the program recovers, also for the same query.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				const insert = "INSERT INTO t SELECT hook() + ?"
				panicking(s)
				caught(s, "exec", func() { s.ExecContext(background, tx, insert, 1) })
				s.Function("hook", func(context.Context) any { return 5 })
				s.SeeExec(tx, insert, 1)
				s.SeeQuery(tx, "SELECT a FROM t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name:    "panic, connection",
			Rule:    "A connection in which a function panicked is reused, unless the wrapper prevents it.",
			Unasked: true,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TEMP TABLE mine(a)")
				panicking(s)
				caught(s, "exec", func() { s.ExecContext(background, s.DB, "SELECT hook() + ?", 1) })
				s.See("temporary tables", s.Count(s.DB, "SELECT count(*) FROM sqlite_temp_schema"))
			},
		},
	}
}
