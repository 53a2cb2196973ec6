package conformance

// savepointsCases check nested transactions.
func savepointsCases() []Case {
	return []Case{
		{
			Name: "release",
			Rule: "Writes after a savepoint remain when it is released, and when the transaction is committed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "RELEASE one")
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "rollback to",
			Rule: "Writes after a savepoint are undone when it is rolled back to; writes before it are not.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT a FROM t")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 3)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "rollback to, twice",
			Rule: "A savepoint remains after it is rolled back to.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "SAVEPOINT one")
				for i := range 2 {
					s.SeeExec(tx, "INSERT INTO t VALUES (?)", i)
					s.SeeExec(tx, "ROLLBACK TO one")
				}
				s.SeeExec(tx, "RELEASE one")
				s.SeeExec(tx, "ROLLBACK TO one")
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "nested",
			Rule: "Savepoints are nested: rolling back to an outer one undoes the inner ones, released or not.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "SAVEPOINT two")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.SeeExec(tx, "RELEASE two")
				s.SeeExec(tx, "SAVEPOINT three")
				s.SeeQuery(tx, "SELECT a FROM t")
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeExec(tx, "RELEASE three")
				s.SeeQuery(tx, "SELECT a FROM t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "of one name",
			Rule: "Of two savepoints with the same name, the later one is used.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				for i := range 3 {
					s.SeeExec(tx, "SAVEPOINT one")
					s.SeeExec(tx, "INSERT INTO t VALUES (?)", i)
				}
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT a FROM t")
				s.SeeExec(tx, "RELEASE one")
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT a FROM t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "unknown",
			Rule: "A savepoint that does not exist can be neither released nor rolled back to.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.SeeExec(conn, "RELEASE one")
				s.SeeExec(conn, "ROLLBACK TO one")
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.SeeExec(tx, "RELEASE one")
				s.SeeExec(tx, "ROLLBACK TO one")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "without a transaction",
			Rule: "A savepoint outside a transaction begins one, which ends when the savepoint is released.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeExec(conn, "SAVEPOINT one")
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				_, err := conn.BeginTx(background, nil)
				s.See("begin", err)
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.SeeExec(conn, "RELEASE one")
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "and rollback",
			Rule: "Rolling back a transaction removes its savepoints.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "RELEASE one")
				s.SeeExec(tx, "SAVEPOINT two")
				s.See("rollback", tx.Rollback())
				s.SeeExec(conn, "RELEASE two")
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "open at commit",
			Rule: "A transaction can be committed while it has savepoints.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "new column undone",
			Rule: "A column that was added after a savepoint is gone when it is rolled back to, for the same queries as before.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
				tx := s.Begin(s.DB)
				s.SeeQuery(tx, "SELECT * FROM t WHERE a = ?", 1)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "ALTER TABLE t ADD COLUMN b DEFAULT 2")
				s.SeeQuery(tx, "SELECT * FROM t WHERE a = ?", 1)
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT * FROM t WHERE a = ?", 1)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT * FROM t WHERE a = ?", 1)
			},
		},
		{
			Name: "renamed column undone",
			Rule: "A column that was renamed after a savepoint has its old name when it is rolled back to.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "ALTER TABLE t RENAME COLUMN a TO b")
				s.SeeQuery(tx, "SELECT * FROM t")
				s.SeeQuery(tx, "SELECT a FROM t WHERE ?", 1)
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT * FROM t")
				s.SeeQuery(tx, "SELECT a FROM t WHERE ?", 1)
				s.SeeQuery(tx, "SELECT b FROM t WHERE ?", 1)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "new table undone",
			Rule: "A table that a transaction created is gone when it is rolled back, and its queries fail as for a missing table.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "CREATE TABLE t(a)")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(tx, "SELECT a FROM t WHERE a = ?", 1)
				s.See("rollback", tx.Rollback())
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT a FROM t WHERE a = ?", 1)
				s.SeeExec(s.DB, "CREATE TABLE t(b, c)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?, ?)", 1, 2)
				s.SeeQuery(s.DB, "SELECT * FROM t")
			},
		},
		{
			Name: "dropped table undone",
			Rule: "A table that a transaction dropped exists again when it is rolled back, with its rows and index.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "DROP TABLE t")
				s.SeeQuery(tx, "SELECT a FROM t WHERE a = ?", 1)
				s.See("rollback", tx.Rollback())
				s.SeeQuery(s.DB, "SELECT a FROM t WHERE a = ?", 1)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
			},
		},
		{
			Name: "temporary table undone",
			Rule: "A temporary table stops hiding another one when it is rolled back.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES ('main')")
				tx := s.Begin(s.DB)
				s.SeeQuery(tx, "SELECT * FROM t WHERE ?", 1)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "CREATE TEMP TABLE t(b); INSERT INTO temp.t VALUES ('temp')")
				s.SeeQuery(tx, "SELECT * FROM t WHERE ?", 1)
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeQuery(tx, "SELECT * FROM t WHERE ?", 1)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "prepared text",
			Rule: "SAVEPOINT, RELEASE and ROLLBACK TO can be prepared, and used again.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				save, rollback := s.Prepare(tx, "SAVEPOINT one"), s.Prepare(tx, "ROLLBACK TO one")
				for i := range 2 {
					s.SeeStmtExec("savepoint", save)
					s.SeeExec(tx, "INSERT INTO t VALUES (?)", i)
					s.SeeStmtExec("rollback", rollback)
				}
				s.See("count", s.Count(tx, "SELECT count(*) FROM t"))
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "prepared statement",
			Rule: "A statement that was prepared before a schema change works after it, and after it is undone.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				insert := s.Prepare(tx, "INSERT INTO t(a) VALUES (?)")
				s.SeeStmtExec("insert", insert, 1)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "CREATE TRIGGER double AFTER INSERT ON t WHEN new.a < 100 BEGIN INSERT INTO t(a) VALUES (new.a + 100); END")
				s.SeeStmtExec("insert", insert, 2)
				s.SeeExec(tx, "ROLLBACK TO one")
				s.SeeStmtExec("insert", insert, 3)
				s.SeeQuery(tx, "SELECT a FROM t")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "rows open",
			Rule: "Rows that are open when a savepoint is rolled back to continue or fail as SQLite decides.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
				for _, change := range []string{"INSERT INTO t VALUES (4)", "CREATE TABLE u(a)"} {
					tx := s.Begin(s.DB)
					s.SeeExec(tx, "SAVEPOINT one")
					s.SeeExec(tx, change)
					rows := s.Query(tx, "SELECT a FROM t WHERE a < ?", 10)
					s.See("first", rows.Next())
					s.SeeExec(tx, "ROLLBACK TO one")
					s.See("next", rows.Next(), rows.Err(), rows.Close())
					s.See("rollback", tx.Rollback())
				}
			},
		},
		{
			Name: "constraint",
			Rule: "A savepoint undoes the statements before the failing one, and the transaction continues.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "SAVEPOINT one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "ROLLBACK TO one; RELEASE one")
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
	}
}
