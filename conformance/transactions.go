package conformance

import (
	"context"
	"database/sql"
)

// transactionsCases check transactions: isolation, commit, rollback, and their aftermath.
func transactionsCases() []Case {
	cases := append(isolationCases(), lockCases()...)
	cases = append(cases, readOnlyCases()...)
	return append(cases, []Case{
		{
			Name: "commit",
			Rule: "Others see the writes of a transaction when it is committed, and not before.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("within", s.Count(tx, "SELECT count(*) FROM t"))
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.See("commit", tx.Commit())
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "rollback",
			Rule: "The writes of a transaction are gone when it is rolled back.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("rollback", tx.Rollback())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "empty",
			Rule: "An empty transaction can be committed and rolled back.",
			Play: func(s *Session) {
				s.See("commit", s.Begin(s.DB).Commit())
				s.See("rollback", s.Begin(s.DB).Rollback())
			},
		},
		{
			Name: "ended twice",
			Rule: "A transaction that has ended cannot be ended again, and the engine gets no call.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.Exec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("committed", tx.Commit(), tx.Commit(), tx.Rollback())
				tx = s.Begin(s.DB)
				s.Exec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("rolled back", tx.Rollback(), tx.Rollback(), tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "used when ended",
			Rule: "A transaction that has ended cannot be used.",
			Play: func(s *Session) {
				stmt, err := s.DB.Prepare("SELECT 1")
				s.Must(err)
				defer stmt.Close()
				tx := s.Begin(s.DB)
				own, err := tx.Prepare("SELECT 2")
				s.Must(err)
				s.Must(tx.Commit())
				s.SeeExec(tx, "CREATE TABLE t(a)")
				s.SeeQuery(tx, "SELECT 1")
				_, err = tx.Prepare("SELECT 1")
				s.See("prepare", err)
				_, err = tx.Stmt(stmt).Exec()
				s.See("the database's statement", err)
				_, err = own.Exec()
				s.See("its own statement", err, own.Close())
			},
		},
		{
			Name:     "commit that fails",
			Rule:     "A deferred constraint fails at commit. Then the transaction has ended and is undone, and its connection stays usable.",
			Settings: Settings{Pragmas: []string{"foreign_keys(1)"}},
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE p(id INTEGER PRIMARY KEY)")
				s.Exec(s.DB, "CREATE TABLE f(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO f VALUES (?)", 7)
				s.See("commit", tx.Commit(), tx.Rollback())
				s.SeeExec(tx, "INSERT INTO p VALUES (?)", 7)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM f"))
				tx = s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO f VALUES (?)", 8)
				s.SeeExec(tx, "INSERT INTO p VALUES (?)", 8)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name:     "commit that is kept waiting",
			Rule:     "A commit that readers block fails, and the transaction is undone.",
			Settings: Settings{Pragmas: []string{"busy_timeout(0)"}, TxLock: "deferred"},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (?)", 1)
				reader := s.Begin(s.DB)
				s.Count(reader, "SELECT count(*) FROM t")
				writer := s.Begin(s.DB)
				s.SeeExec(writer, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", writer.Commit(), writer.Commit(), writer.Rollback())
				s.See("reader", reader.Commit())
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 3)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "statement that fails",
			Rule: "A statement that fails is undone, and the transaction continues.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "INSERT INTO t VALUES (?), (?)", 2, 1)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 3)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
		{
			Name: "statement that ends it",
			Rule: "A constraint with OR ROLLBACK ends the transaction, and the program's commit then fails.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a UNIQUE)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "INSERT OR ROLLBACK INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit(), tx.Rollback())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
				tx = s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "INSERT OR ROLLBACK INTO t VALUES (?)", 1)
				s.See("rollback", tx.Rollback())
			},
		},
		{
			Name: "ended by text",
			Rule: "A transaction that a query has committed cannot be committed again.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "COMMIT")
				s.See("commit", tx.Commit(), tx.Rollback())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "begin within",
			Rule: "A transaction within a transaction is refused, and the outer one continues.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(tx, "BEGIN")
				_, err := conn.BeginTx(background, nil)
				s.See("begin", err)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "begin by text",
			Rule: "The queries BEGIN and COMMIT make a transaction of what a connection does between them.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeExec(conn, "BEGIN")
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.SeeExec(conn, "COMMIT")
				s.See("outside", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.SeeExec(conn, "COMMIT")
				s.SeeExec(conn, "ROLLBACK")
			},
		},
		{
			Name: "one text",
			Rule: "A transaction may begin, write and end in one query.",
			Play: func(s *Session) {
				s.SeeExec(s.DB, "CREATE TABLE t(a); BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (2); ROLLBACK")
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "begin by prepared text",
			Rule: "BEGIN and ROLLBACK can be prepared, and used again.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				begin, err := conn.PrepareContext(background, "BEGIN IMMEDIATE")
				s.Must(err)
				defer begin.Close()
				rollback, err := conn.PrepareContext(background, "ROLLBACK")
				s.Must(err)
				defer rollback.Close()
				for range 2 {
					res, err := begin.Exec()
					s.SeeResult("begin", res, err)
					s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
					res, err = rollback.Exec()
					s.SeeResult("rollback", res, err)
				}
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "left open",
			Rule: "A transaction that a query began and did not end is still open for the connection's next user.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TABLE t(a)")
				s.SeeExec(conn, "BEGIN")
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				s.See("close", conn.Close())
				_, err := s.DB.BeginTx(background, nil)
				s.See("begin", err)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.SeeExec(s.DB, "ROLLBACK")
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.See("begin", s.Begin(s.DB).Commit())
			},
		},
		{
			Name: "left open and closed",
			Rule: "A transaction that was not ended is undone when its connection is closed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				other := s.Open(s.File("test.db"), Settings{})
				s.SeeExec(other, "BEGIN")
				s.SeeExec(other, "INSERT INTO t VALUES (?)", 1)
				s.See("close", other.Close())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 2)
			},
		},
		{
			Name: "never ended",
			Rule: "A transaction on a connection continues when only the connection is released.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				conn := s.Conn(s.DB)
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
				s.See("close", conn.Close(), conn.Close())
				_, err := conn.BeginTx(background, nil)
				s.See("begin", err)
			},
		},
		{
			Name: "prepared within",
			Rule: "A statement prepared in a transaction works in it, and ends with it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				stmt, err := tx.Prepare("INSERT INTO t VALUES (?)")
				s.Must(err)
				for i := range 3 {
					res, err := stmt.Exec(i)
					s.SeeResult("insert", res, err)
				}
				s.See("commit", tx.Commit())
				_, err = stmt.Exec(4)
				s.See("insert", err, stmt.Close())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "prepared before",
			Rule: "A statement of the database works in a transaction, is undone with it, and stays usable after it.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				stmt, err := s.DB.Prepare("INSERT INTO t VALUES (?)")
				s.Must(err)
				defer stmt.Close()
				tx := s.Begin(s.DB)
				within := tx.Stmt(stmt)
				res, err := within.Exec(1)
				s.SeeResult("within", res, err)
				s.See("rollback", tx.Rollback())
				res, err = stmt.Exec(2)
				s.SeeResult("after", res, err)
				_, err = within.Exec(3)
				s.See("ended", err)
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "prepared elsewhere",
			Rule: "A statement prepared on another database is refused; one prepared on another connection is prepared again.",
			Play: func(s *Session) {
				other, err := s.Open(s.File("other.db"), Settings{}).Prepare("SELECT 1")
				s.Must(err)
				defer other.Close()
				conn := s.Conn(s.DB)
				defer conn.Close()
				held, err := conn.PrepareContext(background, "SELECT 2")
				s.Must(err)
				defer held.Close()
				tx := s.Begin(s.DB)
				rows, err := tx.Stmt(other).Query()
				s.SeeRows("another database's", rows, err)
				rows, err = tx.Stmt(held).Query()
				s.SeeRows("another connection's", rows, err)
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "rows left open",
			Rule: "Rows that are open when their transaction ends are closed, and Err says so.",
			Play: func(s *Session) {
				for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
					tx := s.Begin(s.DB)
					rows, err := tx.Query("SELECT ? UNION ALL SELECT 2", 1)
					s.Must(err)
					s.See("row", rows.Next())
					s.See("end", end(tx))
					s.See("next", rows.Next(), rows.Err(), rows.Close())
				}
			},
		},
		{
			Name: "rows within",
			Rule: "A transaction can write while it reads. Whether its rows show the writes is up to SQLite.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
				tx := s.Begin(s.DB)
				rows, err := tx.Query("SELECT a FROM t WHERE a < ? ORDER BY a", 10)
				s.Must(err)
				for rows.Next() {
					s.SeeRow(rows)
					s.SeeExec(tx, "UPDATE t SET a = a + ? WHERE a < ?", 10, 10)
				}
				s.See("end", rows.Err(), rows.Close(), tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t ORDER BY a")
			},
		},
		{
			Name:     "two writers",
			Rule:     "Of two deferred transactions that have read, one can write. The other must begin again to write.",
			Settings: Settings{Pragmas: []string{"busy_timeout(0)"}, TxLock: "deferred"},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				first, second := s.Begin(s.DB), s.Begin(s.DB)
				s.See("read", s.Count(first, "SELECT count(*) FROM t"), s.Count(second, "SELECT count(*) FROM t"))
				s.SeeExec(first, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(second, "INSERT INTO t VALUES (?)", 2)
				s.See("rollback", second.Rollback())
				s.See("commit", first.Commit())
				second = s.Begin(s.DB)
				s.SeeExec(second, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", second.Commit())
			},
		},
		{
			Name:    "context ends",
			Rule:    "A transaction whose context ends is rolled back automatically, and has ended.",
			Unasked: true, // a wrapper may keep the connection
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				tx, err := s.DB.BeginTx(ctx, nil)
				s.Must(err)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				cancel()
				conn := s.Conn(s.DB) // available when the transaction has released it
				defer conn.Close()
				s.See("ended", tx.Commit(), tx.Rollback())
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 3)
			},
		},
		{
			Name:    "context ends, connection",
			Rule:    "The connection of a transaction whose context ended is discarded, unless the wrapper keeps it.",
			Unasked: true,
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TEMP TABLE mine(a)")
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				tx, err := s.DB.BeginTx(ctx, nil)
				s.Must(err)
				cancel()
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.See("ended", tx.Rollback())
				s.See("temporary tables", s.Count(conn, "SELECT count(*) FROM sqlite_temp_schema"))
			},
		},
		{
			Name: "context of a statement ends",
			Rule: "When the context of one statement ends, the transaction continues.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				ctx, cancel := context.WithCancel(background)
				_, err := s.ExecContext(ctx, tx, "INSERT INTO t VALUES (?)", 1)
				s.See("insert", err)
				cancel()
				_, err = s.ExecContext(ctx, tx, "INSERT INTO t VALUES (?)", 2)
				s.See("cancelled", err)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 3)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "context of begin",
			Rule: "After the transaction, the end of BeginTx's context does not affect the connection.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a)")
				ctx, cancel := context.WithCancel(background)
				tx, err := s.DB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.Must(err)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
				cancel()
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 2)
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
	}...)
}

// seeLock records what another connection can do with the case's database.
func seeLock(s *Session, what string) {
	db := s.Open(s.File("test.db"), Settings{Pragmas: []string{"busy_timeout(0)"}})
	defer db.Close()
	other := s.Conn(db)
	defer other.Close()
	var n int
	s.See(what+", another reads", other.QueryRowContext(background, "SELECT count(*) FROM sqlite_schema").Scan(&n))
	_, err := s.ExecContext(background, other, "BEGIN IMMEDIATE")
	s.See(what+", another writes", err)
	if err == nil {
		s.Exec(other, "ROLLBACK")
	}
}
