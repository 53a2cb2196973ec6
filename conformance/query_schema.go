package conformance

import "database/sql"

// afterChanges returns a case that uses queries before and after each of several schema
// changes, on one connection. A wrapper that caches statements, or facts about them, is likely
// to fail here.
func afterChanges(name, rule, setup string, texts []string, changes ...string) Case {
	return Case{
		Name: name,
		Rule: rule,
		Play: func(s *Session) {
			s.DB.SetMaxOpenConns(1)
			s.Exec(s.DB, "PRAGMA synchronous = 0") // for speed
			s.Exec(s.DB, setup)
			s.seeTexts(s.DB, texts)
			for _, change := range changes {
				s.SeeExec(s.DB, change)
				s.seeTexts(s.DB, texts)
			}
		},
	}
}

// seeTexts records each query twice: with Query, with and without an argument, and with Exec.
func (s *Session) seeTexts(db querier, texts []string) {
	for range 2 {
		for _, text := range texts {
			s.SeeQuery(db, text)
			s.SeeQuery(db, text+" LIMIT ?", 5)
			s.SeeExec(db, text+" LIMIT ?", 5)
		}
	}
}

const oneTable = "CREATE TABLE t(a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two')"

func queryAfterSchemaChanges() []Case {
	all := []string{"SELECT * FROM t"}
	return []Case{
		afterChanges("a column added", "A column that was added is present in the next use of the same query.",
			oneTable, []string{"SELECT * FROM t", "SELECT t.*, c FROM t", "SELECT count(*) FROM t"},
			"ALTER TABLE t ADD COLUMN c DEFAULT 3", "ALTER TABLE t ADD COLUMN d DATETIME DEFAULT '2026-01-02'"),
		afterChanges("a column renamed", "A column that was renamed has its new name in the next use of the same query, and its old name is unknown.",
			oneTable, []string{"SELECT * FROM t", "SELECT b FROM t", "SELECT c FROM t"},
			"ALTER TABLE t RENAME COLUMN b TO c", "ALTER TABLE t RENAME COLUMN c TO b", "ALTER TABLE t RENAME COLUMN b TO B"),
		afterChanges("a column dropped", "A column that was dropped is absent from the next use of the same query.",
			oneTable, []string{"SELECT * FROM t", "SELECT b FROM t"},
			"ALTER TABLE t DROP COLUMN b"),
		afterChanges("a table dropped", "A query of a table that was dropped fails in Query, not when the rows are read.",
			oneTable, all, "DROP TABLE t"),
		afterChanges("a table renamed", "A table that was renamed is known only by its new name.",
			oneTable, []string{"SELECT * FROM t", "SELECT * FROM u"}, "ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t"),
		afterChanges("a table made", "A query that failed finds a table that was created afterwards.",
			"CREATE TABLE u(a)", all, oneTable, "DROP TABLE t", oneTable),
		afterChanges("another table of the name", "A table that was dropped and created again has its new columns, in their new order.",
			oneTable, all,
			"DROP TABLE t; CREATE TABLE t(b, a); INSERT INTO t VALUES (3, 4)",
			"DROP TABLE t; CREATE TABLE t(x); INSERT INTO t VALUES (5)",
			"DROP TABLE t; CREATE TABLE t(x, y, z); INSERT INTO t VALUES (6, 7, 8)"),
		afterChanges("another type of the column", "After the declared type of a column has changed, the column is reported and read with the new type.",
			"CREATE TABLE t(a DATETIME, b BOOLEAN); INSERT INTO t VALUES (1700000000, 1)", all,
			"DROP TABLE t; CREATE TABLE t(a INTEGER, b INTEGER NOT NULL); INSERT INTO t VALUES (1700000000, 1)",
			"DROP TABLE t; CREATE TABLE t(a BOOLEAN, b DATE); INSERT INTO t VALUES (1, 1700000000)",
			"DROP TABLE t; CREATE TABLE t(a TEXT, b BLOB); INSERT INTO t VALUES (1700000000, 1)"),
		afterChanges("a view redefined", "A view that was redefined has its new columns in the next use of the same query.",
			oneTable+"; CREATE VIEW v AS SELECT a FROM t", []string{"SELECT * FROM v", "SELECT a FROM v"},
			"DROP VIEW v; CREATE VIEW v AS SELECT b, a FROM t",
			"DROP VIEW v; CREATE VIEW v AS SELECT b AS a FROM t",
			"DROP VIEW v; CREATE TABLE v(a, z)",
			"DROP TABLE v"),
		afterChanges("a database attached", "A query follows the databases that are attached and detached.",
			oneTable, []string{"SELECT * FROM t", "SELECT * FROM aux.t", "SELECT * FROM u"},
			"ATTACH ':memory:' AS aux; CREATE TABLE aux.t(x); INSERT INTO aux.t VALUES (7); CREATE TABLE aux.u(y); INSERT INTO aux.u VALUES (8)",
			"DETACH aux",
			"ATTACH ':memory:' AS aux; CREATE TABLE aux.t(p, q)",
			"DETACH aux"),
		afterChanges("a temporary table", "A temporary table hides a table of the same name until it is dropped.",
			oneTable, []string{"SELECT * FROM t", "SELECT * FROM main.t", "SELECT * FROM temp.t"},
			"CREATE TEMP TABLE t(z DATETIME); INSERT INTO temp.t VALUES (9)",
			"DROP TABLE temp.t",
			"CREATE TEMP VIEW t AS SELECT b FROM main.t",
			"DROP VIEW temp.t"),
		afterChanges("pragmas of names", "The names of columns depend on the current pragmas.",
			oneTable, []string{"SELECT * FROM t", "SELECT a, t.b, a + 1 FROM t", "SELECT a AS x FROM t"},
			"PRAGMA short_column_names = 0; PRAGMA full_column_names = 1",
			"PRAGMA short_column_names = 0; PRAGMA full_column_names = 0",
			"PRAGMA short_column_names = 1; PRAGMA full_column_names = 0"),
		afterChanges("pragmas of meaning", "The meaning of a query depends on the current pragmas.",
			oneTable, []string{"SELECT b LIKE 'ONE', count(*) FROM t", "SELECT * FROM t ORDER BY random() * 0, rowid"},
			"PRAGMA case_sensitive_like = 1", "PRAGMA case_sensitive_like = 0", "PRAGMA reverse_unordered_selects = 1", "PRAGMA query_only = 1", "PRAGMA query_only = 0"),
		afterChanges("maintenance", "Maintenance that changes a file but not the meaning of queries changes no rows.",
			oneTable+"; CREATE INDEX i ON t(b)", []string{"SELECT * FROM t WHERE b > ''", "SELECT b FROM t"},
			"ANALYZE", "REINDEX", "VACUUM", "PRAGMA optimize", "DROP INDEX i", "CREATE INDEX i ON t(b DESC)", "PRAGMA wal_checkpoint", "PRAGMA journal_mode = wal", "PRAGMA journal_mode = delete"),
		afterChanges("a change behind something", "A schema change takes effect wherever it stands in a query.",
			oneTable, all,
			"/* a comment */ ALTER TABLE t ADD COLUMN c",
			"-- a comment\n\t; ALTER TABLE t ADD COLUMN d",
			"\uFEFFALTER TABLE t ADD COLUMN e",
			"SELECT 1; ALTER TABLE t ADD COLUMN f",
			"INSERT INTO t(a) VALUES (3); ALTER TABLE t RENAME COLUMN f TO g; SELECT ';'",
			"BEGIN; ALTER TABLE t DROP COLUMN g; COMMIT",
			"WITH x AS (SELECT 1) SELECT 1; ALTER TABLE t DROP COLUMN e",
			"EXPLAIN SELECT 1; ALTER TABLE t DROP COLUMN d",
			"ROLLBACK"),
		{
			Name: "a change by other roads",
			Rule: "A schema change takes effect however it is made: by Query, by a statement, or in a transaction.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable)
				s.seeTexts(s.DB, all)
				s.SeeQuery(s.DB, "ALTER TABLE t ADD COLUMN c")
				s.seeTexts(s.DB, all)
				stmt := s.Prepare(s.DB, "ALTER TABLE t ADD COLUMN d")
				s.SeeStmtExec("statement", stmt)
				s.seeTexts(s.DB, all)
				s.See("close", stmt.Close())
				stmt = s.Prepare(s.DB, "ALTER TABLE t RENAME COLUMN d TO e")
				s.SeeStmtQuery("statement", stmt)
				s.seeTexts(s.DB, all)
				s.See("close", stmt.Close())
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "ALTER TABLE t DROP COLUMN e")
				s.seeTexts(tx, all)
				s.See("commit", tx.Commit())
				s.seeTexts(s.DB, all)
				conn := s.Conn(s.DB)
				s.SeeExec(conn, "ALTER TABLE t RENAME TO u; CREATE TABLE t(one)")
				s.seeTexts(conn, all)
				s.See("give back", conn.Close())
				s.seeTexts(s.DB, all)
			},
		},
		{
			Name: "a change rolled back",
			Rule: "A schema change that is rolled back has no effect.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable)
				s.seeTexts(s.DB, all)
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "ALTER TABLE t ADD COLUMN c")
				s.SeeExec(tx, "CREATE TABLE u(x)")
				s.seeTexts(tx, []string{"SELECT * FROM t", "SELECT * FROM u"})
				s.See("rollback", tx.Rollback())
				s.seeTexts(s.DB, []string{"SELECT * FROM t", "SELECT * FROM u"})
				for _, end := range []string{"ROLLBACK", "ROLLBACK TRANSACTION", "/* all of it */ ROLLBACK"} {
					s.SeeExec(s.DB, "BEGIN")
					s.SeeExec(s.DB, "ALTER TABLE t RENAME COLUMN a TO z")
					s.seeTexts(s.DB, all)
					s.SeeExec(s.DB, end)
					s.seeTexts(s.DB, all)
				}
			},
		},
		{
			Name: "a change rolled back in part",
			Rule: "A schema change after a savepoint has no effect once the savepoint is rolled back to.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable)
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "ALTER TABLE t ADD COLUMN c")
				for range 2 {
					s.SeeExec(tx, "SAVEPOINT s")
					s.SeeExec(tx, "ALTER TABLE t RENAME COLUMN c TO d")
					s.seeTexts(tx, all)
					s.SeeExec(tx, "ROLLBACK TO s")
					s.seeTexts(tx, all)
					s.SeeExec(tx, "RELEASE s")
				}
				s.See("commit", tx.Commit())
				s.seeTexts(s.DB, all)
			},
		},
		{
			Name: "a change undone by a failed commit",
			Rule: "A schema change whose commit fails has no effect.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable+"; CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE f(p REFERENCES p DEFERRABLE INITIALLY DEFERRED); PRAGMA foreign_keys = 1")
				s.seeTexts(s.DB, all)
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "ALTER TABLE t ADD COLUMN c")
				s.SeeExec(tx, "INSERT INTO f VALUES (?)", 7)
				s.seeTexts(tx, all)
				s.See("commit", tx.Commit())
				s.seeTexts(s.DB, all)
			},
		},
		{
			Name: "a change with rows open",
			Rule: "A query whose rows are open during a schema change sees the new schema at its next use, and later too.",
			Play: func(s *Session) {
				s.Exec(s.DB, oneTable+"; CREATE TABLE u(x)")
				conn := s.Conn(s.DB)
				for _, change := range []string{"ALTER TABLE t ADD COLUMN c", "ALTER TABLE t RENAME COLUMN c TO d", "CREATE TEMP TABLE t(z)", "DROP TABLE temp.t", "DROP TABLE u"} {
					rows := s.Query(conn, "SELECT * FROM t WHERE 1 = ?", 1)
					s.See("next", rows.Next())
					s.SeeExec(conn, change)
					s.SeeQuery(conn, "SELECT * FROM t WHERE 1 = ?", 1)
					s.SeeRows("open ones", rows, nil)
					s.SeeQuery(conn, "SELECT * FROM t WHERE 1 = ?", 1)
				}
				s.See("give back", conn.Close())
			},
		},
		{
			Name: "a change and what writes",
			Rule: "A query that writes follows the current columns, triggers, constraints and defaults.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a, b DEFAULT 'b'); CREATE TABLE log(a)")
				write := func() {
					for range 2 {
						s.SeeExec(s.DB, "INSERT INTO t VALUES (?, ?)", 1, 2)
						s.SeeExec(s.DB, "INSERT INTO t(a) VALUES (?)", 3)
						s.SeeExec(s.DB, "UPDATE t SET a = a + ?", 1)
						s.SeeQuery(s.DB, "DELETE FROM t WHERE a > ? RETURNING *", 1)
						s.SeeQuery(s.DB, "SELECT count(*) FROM log")
					}
				}
				write()
				for _, change := range []string{
					"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END",
					"DROP TRIGGER tr",
					"ALTER TABLE t ADD COLUMN c",
					"ALTER TABLE t DROP COLUMN c",
					"CREATE UNIQUE INDEX i ON t(a)",
					"DROP INDEX i",
					"DROP TABLE t; CREATE TABLE t(b CHECK (b < 2), a)",
					"DROP TABLE t; CREATE VIEW t AS SELECT 1 AS a, 2 AS b",
					"CREATE TRIGGER tr INSTEAD OF INSERT ON t BEGIN INSERT INTO log VALUES (new.a); END",
				} {
					s.SeeExec(s.DB, change)
					write()
				}
			},
		},
		{
			Name: "a change and foreign keys",
			Rule: "A query that writes enforces foreign keys if, and only if, the current pragma says so.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE f(p REFERENCES p ON DELETE CASCADE)")
				for _, on := range []string{"0", "1", "0", "1"} {
					s.SeeExec(s.DB, "PRAGMA foreign_keys = "+on)
					s.SeeExec(s.DB, "INSERT INTO p VALUES (?)", 1)
					s.SeeExec(s.DB, "INSERT INTO f VALUES (?)", 1)
					s.SeeExec(s.DB, "INSERT INTO f VALUES (?)", 2)
					s.SeeExec(s.DB, "DELETE FROM p WHERE id = ?", 1)
					s.SeeQuery(s.DB, "SELECT count(*) FROM f")
					s.SeeExec(s.DB, "DELETE FROM f")
				}
			},
		},
		{
			Name: "a change and a statement that is not concerned",
			Rule: "A program's prepared statement stays valid after an unrelated schema change.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable)
				query := s.Prepare(s.DB, "SELECT a, b FROM t WHERE a > ?")
				defer query.Close()
				insert := s.Prepare(s.DB, "INSERT INTO t(a, b) VALUES (?, 'new')")
				defer insert.Close()
				for i, change := range []string{"CREATE TABLE u(x)", "ALTER TABLE t ADD COLUMN c", "DROP TABLE u", "CREATE INDEX i ON t(a)", "VACUUM"} {
					s.SeeStmtExec("insert", insert, i)
					s.SeeStmtQuery("query", query, 1)
					s.SeeExec(s.DB, change)
				}
				s.SeeStmtExec("insert", insert, 10)
				s.SeeStmtQuery("query", query, 5)
				s.SeeExec(s.DB, "DROP TABLE t")
				s.SeeStmtExec("insert", insert, 11)
				s.SeeStmtQuery("query", query, 1)
				s.SeeExec(s.DB, oneTable)
				s.SeeStmtExec("insert", insert, 12)
				s.SeeStmtQuery("query", query, 1)
			},
		},
		{
			Name: "a change and a statement of all columns",
			Rule: "A program's prepared SELECT * returns the columns that the driver's returns.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, oneTable)
				stmt := s.Prepare(s.DB, "SELECT * FROM t")
				defer stmt.Close()
				s.SeeStmtQuery("query", stmt)
				s.SeeExec(s.DB, "ALTER TABLE t RENAME COLUMN b TO c")
				s.SeeStmtQuery("query", stmt)
				s.SeeStmtQuery("again", stmt)
			},
		},
		{
			Name: "a change by another connection",
			Rule: "A schema change by another connection takes effect when it does with the driver.",
			Play: func(s *Session) {
				s.Exec(s.DB, oneTable)
				here, there := s.Conn(s.DB), s.Conn(s.DB)
				s.seeTexts(there, all)
				s.SeeExec(here, "ALTER TABLE t RENAME COLUMN b TO c")
				s.seeTexts(there, all)
				s.See("give back", here.Close(), there.Close())
			},
		},
		{
			Name: "a change by another connection, executed",
			Rule: "After a schema change by another connection, execs and writes use the new schema immediately.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				here, there := s.Conn(s.DB), s.Conn(s.DB)
				for _, change := range []string{"ALTER TABLE t ADD COLUMN b DEFAULT 5", "CREATE TABLE u(x)", "DROP TABLE u"} {
					s.SeeExec(there, "INSERT INTO t(a) VALUES (?)", 1)
					s.SeeExec(here, change)
					s.SeeExec(there, "INSERT INTO t(a) VALUES (?)", 2)
					var n sql.NullInt64
					s.See("row", there.QueryRowContext(background, "SELECT count(a) FROM t WHERE a > ?", 0).Scan(&n), n)
				}
				s.See("give back", here.Close(), there.Close())
			},
		},
		{
			Name: "a table dropped by another connection",
			Rule: "Once a connection has noticed that a table is gone, a query of it fails in Query.",
			Play: func(s *Session) {
				s.Exec(s.DB, oneTable)
				here, there := s.Conn(s.DB), s.Conn(s.DB)
				s.SeeQuery(there, "SELECT a FROM t WHERE a > ?", 1)
				s.SeeExec(here, "DROP TABLE t")
				s.SeeExec(there, "INSERT INTO t VALUES (?, ?)", 1, 2)
				s.SeeQuery(there, "SELECT a FROM t WHERE a > ?", 1)
				s.SeeQuery(there, "SELECT a FROM t WHERE a > ?", 1)
				s.See("give back", here.Close(), there.Close())
			},
		},
	}
}
