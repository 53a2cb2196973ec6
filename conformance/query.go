package conformance

import (
	"context"
	"strings"
)

// queryCases check queries that return rows: their columns, when they run, and how often.
func queryCases() []Case {
	return append(append(queryTexts(), queryWrites()...), queryAfterSchemaChanges()...)
}

func queryTexts() []Case {
	return []Case{
		{
			Name: "names of columns",
			Rule: "A column has the name that SQLite gives it: its alias, its name, or its expression as written.",
			Play: func(s *Session) {
				s.Exec(s.DB, `CREATE TABLE t(a, "B c", "", "ä")`)
				s.Exec(s.DB, `CREATE VIEW v AS SELECT a AS x, "B c" + 1 FROM t`)
				for _, query := range []string{
					"SELECT * FROM t", "SELECT A, [b C] FROM t", "SELECT t.a, t.a AS a, 1 a FROM t", "SELECT a+1, a + 1, count( * ) FROM t",
					`SELECT 1 AS "", 'text', NULL, x'01', ?1`, "SELECT * FROM v", "SELECT * FROM t JOIN t AS u", "SELECT (SELECT a FROM t), (1)",
					"VALUES (1, 2)", "SELECT 1 AS x UNION SELECT 2 AS y", "SELECT rowid, oid, _rowid_ FROM t", "SELECT a /* comment */ + 1 -- more\n FROM t",
					"WITH w(m, n) AS (SELECT 1, 2) SELECT * FROM w",
				} {
					var args []any
					if strings.Contains(query, "?1") {
						args = []any{1}
					}
					for range 2 {
						s.SeeQuery(s.DB, query, args...)
					}
				}
			},
		},
		{
			Name: "names are the caller's",
			Rule: "If the caller changes the slice of column names, the next query is unaffected.",
			Play: func(s *Session) {
				for range 3 {
					rows := s.Query(s.DB, "SELECT 1 AS a, ? AS b", 2)
					names, err := rows.Columns()
					s.See("columns", names, err)
					names[0] = "mine"
					s.See("next", rows.Next())
					s.SeeRow(rows)
					s.See("close", rows.Close())
				}
			},
		},
		{
			Name: "no rows",
			Rule: "A query without rows still has its columns.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER, b TEXT NOT NULL)")
				s.SeeQuery(s.DB, "SELECT * FROM t")
				s.SeeQuery(s.DB, "SELECT * FROM t WHERE a = ?", 1)
				s.SeeQuery(s.DB, "SELECT 1 WHERE 0")
			},
		},
		{
			Name: "no columns",
			Rule: "A query of a statement that returns nothing has neither columns nor rows.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				for _, query := range []string{
					"CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 2", "BEGIN", "COMMIT", "SAVEPOINT s", "RELEASE s", "PRAGMA user_version = 5", "DROP TABLE t",
				} {
					s.SeeQuery(s.DB, query)
				}
				s.SeeQuery(s.DB, "SELECT count(*), (SELECT * FROM pragma_user_version) FROM sqlite_schema")
			},
		},
		{
			Name: "explain",
			Rule: "EXPLAIN QUERY PLAN is a query like any other, and does not execute the explained statement.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a PRIMARY KEY)")
				s.SeeQuery(s.DB, "EXPLAIN QUERY PLAN SELECT * FROM t WHERE a = ?", 1)
				s.SeeQuery(s.DB, "EXPLAIN QUERY PLAN DELETE FROM t")
				s.SeeQuery(s.DB, "EXPLAIN QUERY PLAN INSERT INTO t VALUES (1) RETURNING a")
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "one row of none",
			Rule: "QueryRow without a row returns sql.ErrNoRows and leaves the destination unchanged.",
			Play: func(s *Session) {
				n := 7
				s.See("row", s.DB.QueryRowContext(background, "SELECT 1 WHERE 0").Scan(&n), n)
				row := s.DB.QueryRowContext(background, "SELECT 1 WHERE ?", 0)
				s.See("before", row.Err())
				s.See("row", row.Scan(&n), n)
				s.See("again", row.Scan(&n), n)
				s.seeStats(s.DB)
			},
		},
		{
			Name: "one row of one",
			Rule: "QueryRow of one row scans it.",
			Play: func(s *Session) {
				var n int
				var text string
				s.See("row", s.DB.QueryRowContext(background, "SELECT ?, 'text'", 1).Scan(&n, &text), n, text)
				row := s.DB.QueryRowContext(background, "SELECT ?", 2)
				s.See("too many", row.Scan(&n, &text), n, text)
				s.See("err", row.Err())
				s.seeStats(s.DB)
			},
		},
		{
			Name: "one row of many",
			Rule: "QueryRow with many rows scans the first, computes no other, and leaves no lock.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				calls := 0
				s.Function("hook", func(context.Context) any { calls++; return calls })
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1), (2), (3)")
				var n, a int
				for range 2 {
					s.See("row", s.DB.QueryRowContext(background, "SELECT hook(), a FROM t WHERE a > ?", 0).Scan(&n, &a), n, a, calls)
				}
				s.SeeExec(s.DB, "DROP TABLE t")
			},
		},
		{
			Name: "one row that fails",
			Rule: "QueryRow returns an error of its query, its arguments and its first row from Scan, and none of a later row.",
			Play: func(s *Session) {
				var n any
				for _, query := range []string{"SELEC 1", "SELECT ?", "SELECT abs(-9223372036854775808)", "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)"} {
					row := s.DB.QueryRowContext(background, query)
					s.See(query, row.Err(), row.Scan(&n), n)
				}
				s.seeStats(s.DB)
			},
		},
		{
			Name: "not read",
			Rule: "A query whose rows are not read computes no row.",
			Play: func(s *Session) {
				calls := 0
				s.Function("hook", func(context.Context) any { calls++; return calls })
				for range 2 {
					rows := s.Query(s.DB, "SELECT hook(), ?", 1)
					s.See("close", rows.Close(), calls)
				}
				rows := s.Query(s.DB, "SELECT abs(-9223372036854775808), ?", 1)
				s.See("close", rows.Close(), rows.Err())
			},
		},
		{
			Name: "rows one by one",
			Rule: "A row is computed when the program asks for it, and only once.",
			Play: func(s *Session) {
				calls := 0
				s.Function("hook", func(context.Context) any { calls++; return calls })
				rows := s.Query(s.DB, "SELECT hook(), ? UNION ALL SELECT hook(), 2 UNION ALL SELECT hook(), 3", 1)
				for rows.Next() {
					s.See("calls", calls)
					s.SeeRow(rows)
					s.SeeRow(rows)
				}
				s.See("end", rows.Err(), rows.Close(), calls)
			},
		},
		{
			Name: "an error of the text",
			Rule: "An error of preparing comes from Query, an error of a row from Next.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for _, query := range []string{
					"SELEC 1", "SELECT nope FROM t", "SELECT * FROM nowhere", "SELECT nope()", "SELECT abs()", "SELECT 'open", "SELECT 1, (SELECT 1, 2)", "INSERT INTO t VALUES (1, 2) RETURNING a",
					"SELECT abs(-9223372036854775808)", "SELECT json('{')", "SELECT zeroblob(1e10)", "INSERT INTO t VALUES (abs(-9223372036854775808)) RETURNING a",
				} {
					s.SeeQuery(s.DB, query)
					s.SeeExec(s.DB, query)
				}
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
				s.seeStats(s.DB)
			},
		},
		{
			Name: "several texts",
			Rule: "A query is one statement. If it holds more, none is executed; only comments and the like may follow it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for _, query := range []string{"SELECT 1; SELECT 2", "INSERT INTO t VALUES (1); SELECT 2", "SELECT 1; nonsense", "SELECT 1;", "SELECT 1; ; ", "SELECT 1; -- comment", "SELECT 1 /* comment */;", "SELECT 1;\n\n", "SELECT ';'"} {
					s.SeeQuery(s.DB, query)
				}
				s.SeeQuery(s.DB, "SELECT ?; SELECT ?", 1, 2)
				s.SeeQuery(s.DB, "SELECT ?; -- ?", 1)
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "one text, other arguments",
			Rule: "A query that is repeated has the rows of its new arguments, and their types.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, b)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), ('1', x'31')")
				for _, a := range []any{1, 2, "1", nil, 1.0, []byte("1"), true, 3, 1} {
					s.SeeQuery(s.DB, "SELECT a, b, typeof(?1), ?1 FROM t WHERE a = ?1", a)
				}
			},
		},
		{
			Name: "one text inside itself",
			Rule: "A query can be repeated while its own rows are open, on one connection, to many levels.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1), (2), (3)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				var nest func(depth int)
				nest = func(depth int) {
					rows := s.Query(tx, "SELECT a FROM t WHERE a > ?", depth)
					for rows.Next() {
						s.See("depth", depth)
						s.SeeRow(rows)
						nest(depth + 1)
					}
					s.See("end", rows.Err(), rows.Close())
				}
				nest(0)
				nest(1)
			},
		},
		{
			Name: "one text, read in turns",
			Rule: "Open rows of the same query each have their own position, and closing one does not affect the others.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				const query = "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?"
				a, b, c := s.Query(conn, query, "a"), s.Query(conn, query, "b"), s.Query(conn, query, "c")
				s.See("next", a.Next(), b.Next(), b.Next(), c.Next(), c.Next(), c.Next())
				s.SeeRow(a)
				s.SeeRow(b)
				s.SeeRow(c)
				s.See("close", b.Close())
				d := s.Query(conn, query, "d")
				s.See("next", d.Next(), a.Next(), c.Next())
				s.SeeRow(a)
				s.SeeRow(d)
				s.See("next", a.Next(), d.Next(), d.Next())
				s.SeeRow(a)
				s.SeeRow(d)
				s.See("close", a.Close(), c.Close(), d.Close())
				s.SeeQuery(conn, query, "e")
				s.See("give back", conn.Close())
			},
		},
		{
			Name: "one text, begun and left",
			Rule: "Rows that are closed early leave nothing behind for the next use of the same query.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				const query = "SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT ?"
				for i := range 4 {
					rows := s.Query(s.DB, query, i)
					for range i {
						s.See("next", rows.Next())
						s.SeeRow(rows)
					}
					s.See("close", rows.Close())
				}
				s.SeeQuery(s.DB, query, "last")
			},
		},
		{
			Name: "one text, executed and queried",
			Rule: "A query that is alternately executed and queried behaves as if each were alone, also while its rows are open.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				const query = "INSERT INTO t VALUES (?) RETURNING rowid, a"
				rows := s.Query(tx, query, 1)
				s.See("next", rows.Next())
				s.SeeExec(tx, query, 2)
				s.SeeRow(rows)
				s.See("close", rows.Close())
				s.SeeQuery(tx, query, 3)
				s.SeeExec(tx, query, 4)
				s.SeeQuery(tx, "SELECT a FROM t")
			},
		},
		{
			Name: "much",
			Rule: "Rows and columns may be many, and values may be long.",
			Play: func(s *Session) {
				var sum, length, n int64
				rows := s.Query(s.DB, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i, printf('%.*c', i, 'x') FROM n", 1000)
				for rows.Next() {
					var i int64
					var text string
					s.Must(rows.Scan(&i, &text))
					sum, length, n = sum+i, length+int64(len(text)), n+1
				}
				s.See("sums", sum, length, n, rows.Err(), rows.Close())
				s.SeeQuery(s.DB, "SELECT 1"+strings.Repeat(", 1", 200))
				var blob []byte
				s.See("blob", s.DB.QueryRowContext(background, "SELECT zeroblob(?)", 3_000_000).Scan(&blob), len(blob))
			},
		},
	}
}

// queryWrites check queries that write.
func queryWrites() []Case {
	return []Case{
		{
			Name: "returning, read",
			Rule: "A query with RETURNING that is read to its end has done its work, and returns rows with their types.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL, d DATETIME)")
				for range 2 {
					s.SeeQuery(s.DB, "INSERT INTO t(a, d) VALUES ('a', '2026-01-02'), (?, 5) RETURNING *", "b")
					s.SeeQuery(s.DB, "UPDATE t SET a = a || ? RETURNING id, a, a = 'a!' AS same", "!")
					s.SeeQuery(s.DB, "DELETE FROM t WHERE id > ? RETURNING a, 1", 1)
				}
			},
		},
		{
			Name: "returning, read in part",
			Rule: "All rows are written before the first is returned, whether or not the others are read.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for range 2 {
					rows := s.Query(s.DB, "INSERT INTO t VALUES (1), (2), (?) RETURNING a", 3)
					s.See("next", rows.Next())
					s.SeeRow(rows)
					s.See("close", rows.Close())
					s.SeeQuery(s.DB, "SELECT count(*) FROM t")
				}
			},
		},
		{
			Name: "returning, one row",
			Rule: "QueryRow of a query with RETURNING does all its work, and reads one row.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				var n any
				for range 2 {
					s.See("row", s.DB.QueryRowContext(background, "INSERT INTO t VALUES (?), (?) RETURNING a", 1, 2).Scan(&n), n)
				}
				s.See("none", s.DB.QueryRowContext(background, "DELETE FROM t WHERE a > ? RETURNING a", 100).Scan(&n), n)
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "returning, not read",
			Rule: "A query with RETURNING writes nothing if its rows are never read.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for range 2 {
					rows := s.Query(s.DB, "INSERT INTO t VALUES (?) RETURNING a", 1)
					s.See("close", rows.Close())
					rows = s.Query(s.DB, "INSERT INTO t VALUES (?) RETURNING a", 1)
					names, err := rows.Columns()
					s.See("columns", names, err)
					s.SeeTypes(rows)
					s.See("close", rows.Close())
				}
				s.SeeQuery(s.DB, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "returning, and an error",
			Rule: "A query with RETURNING that fails writes nothing and returns nothing, and can be tried again.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				for range 2 {
					s.SeeQuery(s.DB, "INSERT INTO t VALUES (1), (?) RETURNING a", 1)
					s.SeeQuery(s.DB, "SELECT count(*) FROM t")
				}
				s.SeeQuery(s.DB, "INSERT INTO t VALUES (1), (?) RETURNING a", 2)
			},
		},
		{
			Name: "an insert, not read",
			Rule: "An INSERT with Query is executed by the first Next, not by Query or Close.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for i := range 2 {
					rows := s.Query(s.DB, "INSERT INTO t VALUES (?)", i)
					s.See("close", rows.Close())
					s.SeeQuery(s.DB, "SELECT count(*) FROM t")
					rows = s.Query(s.DB, "INSERT INTO t VALUES (?)", i)
					s.See("next", rows.Next(), rows.Err(), rows.Close())
					s.SeeQuery(s.DB, "SELECT count(*) FROM t")
				}
			},
		},
		{
			Name: "rows and what is written under them",
			Rule: "A table cannot be dropped while rows of it are open, and can after they are closed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1), (2), (3)")
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				rows := s.Query(tx, "SELECT a FROM t WHERE a > ?", 0)
				s.See("next", rows.Next())
				s.SeeExec(tx, "DROP TABLE t")
				s.SeeExec(tx, "UPDATE t SET a = a + 10 WHERE a = ?", 1)
				s.See("next", rows.Next(), rows.Err())
				s.SeeRow(rows)
				s.See("close", rows.Close())
				s.SeeExec(tx, "DROP TABLE t")
				s.SeeQuery(tx, "SELECT a FROM t WHERE a > ?", 0)
			},
		},
		{
			Name: "rows read to their end, and written",
			Rule: "Rows that were read to their end, or failed, hold no lock, even if they are not closed.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1)")
				for _, query := range []string{"SELECT a FROM t WHERE a = ?", "SELECT abs(-9223372036854775807 - a) FROM t WHERE a = ?"} {
					rows := s.Query(s.DB, query, 1)
					for rows.Next() {
						s.SeeRow(rows)
					}
					s.See("end", rows.Err())
					s.seeStats(s.DB)
					s.SeeExec(s.DB, "BEGIN EXCLUSIVE; ALTER TABLE t ADD COLUMN b; ROLLBACK")
				}
			},
		},
	}
}
