package player

import (
	"context"
	"database/sql"
	"fmt"
)

func transactionPrograms() []Program {
	var programs []Program
	add := func(name string, play func(*env)) {
		programs = append(programs, Program{"transactions/" + name, both, play})
	}
	for level := sql.LevelDefault; level <= sql.LevelLinearizable+1; level++ {
		for _, readOnly := range []bool{false, true} {
			add(fmt.Sprintf("level/%v, read-only %v", level, readOnly), func(e *env) { isolation(e, level, readOnly) })
		}
	}
	for _, lock := range []string{"", "deferred", "immediate", "exclusive"} {
		for _, readOnly := range []bool{false, true} {
			for _, journal := range []string{"DELETE", "WAL"} {
				add(fmt.Sprintf("txlock/%s, read-only %v, %s", lock, readOnly, journal), func(e *env) { txlock(e, lock, readOnly, journal) })
			}
		}
	}
	for _, t := range []struct {
		name string
		play func(*env)
	}{
		{"commit", commit},
		{"rollback", rollback},
		{"commit fails for a deferred foreign key", commitFails},
		{"commit fails and is tried again as text", commitFailsAsText},
		{"rollback when a context ends", contextEnds},
		{"context ends while rows are open", contextEndsWithRows},
		{"begin with a cancelled context", beginCancelled},
		{"a statement fails", statementFails},
		{"a conflict rolls back", conflictRollsBack},
		{"begin as text", beginAsText},
		{"begin as text, twice", beginTwice},
		{"begin as text, left open", beginLeftOpen},
		{"savepoints", savepoints},
		{"commit as text", commitAsText},
		{"rows open at commit", rowsAtCommit},
		{"rows open at rollback", rowsAtRollback},
		{"a statement of a transaction after it", stmtAfter},
		{"a statement of the database in a transaction", stmtInTx},
		{"busy: two writers", twoWriters},
		{"busy: a reader that becomes a writer", upgrade},
		{"busy: begin immediate", beginImmediateBusy},
		{"busy: in WAL, a stale snapshot", staleSnapshot},
		{"busy: commit while others read", commitBusy},
		{"foreign keys in a transaction", foreignKeysInside},
		{"read-only, and then not", readOnlyThenWrite},
		{"DDL", ddl},
		{"DDL while rows are open", ddlWithRows},
		{"journal mode in a transaction", journalInside},
		{"vacuum in a transaction", vacuumInside},
		{"attach in a transaction", attachInside},
	} {
		add(t.name, t.play)
	}
	return programs
}

// isolation begins a transaction at a level, and reads and writes in it.
func isolation(e *env, level sql.IsolationLevel, readOnly bool) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
	e.err("begin", err)
	if err != nil {
		return
	}
	_, err = tx.Exec("INSERT INTO t VALUES (1)")
	e.err("write", err)
	e.rows("read", tx, "SELECT * FROM t")
	e.rows("query_only", tx, "PRAGMA query_only")
	e.rows("read_uncommitted", tx, "PRAGMA read_uncommitted")
	e.err("commit", tx.Commit())
	e.rows("after", db, "SELECT * FROM t")
	e.rows("query_only after", db, "PRAGMA query_only")
	_, err = db.Exec("INSERT INTO t VALUES (2)")
	e.err("write after", err)
}

// txlock records the lock that a transaction holds after it begins, reads and writes.
func txlock(e *env, lock string, readOnly bool, journal string) {
	db := e.file("_txlock=" + lock + "&_busy_timeout=0")
	exec(db, "PRAGMA journal_mode = "+journal, "CREATE TABLE t(a)")
	file := mainFile(db)
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: readOnly})
	e.err("begin", err)
	if err != nil {
		return
	}
	e.record("lock at begin", "%s", e.lock(file))
	e.rows("read", tx, "SELECT * FROM t")
	e.record("lock after a read", "%s", e.lock(file))
	_, err = tx.Exec("INSERT INTO t VALUES (1)")
	e.err("write", err)
	e.record("lock after a write", "%s", e.lock(file))
	e.err("commit", tx.Commit())
	e.record("lock after commit", "%s", e.lock(file))
}

func commit(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	e.err("commit", tx.Commit())
	e.err("again", tx.Commit())
	e.err("rollback", tx.Rollback())
	_, err = tx.Exec("INSERT INTO t VALUES (2)")
	e.err("write", err)
	e.rows("rows", db, "SELECT * FROM t")
}

func rollback(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	e.err("rollback", tx.Rollback())
	e.err("again", tx.Rollback())
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT * FROM t")
}

// parents creates two tables with a foreign key that is checked at commit.
func parents(db execer) {
	exec(db, "PRAGMA foreign_keys = ON", "CREATE TABLE p(id INTEGER PRIMARY KEY)",
		"CREATE TABLE c(p INTEGER REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)")
}

func commitFails(e *env) {
	db := e.memory("_foreign_keys=1")
	parents(db)
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO c VALUES (7)")
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT * FROM c")
	_, err = db.Exec("INSERT INTO p VALUES (1)")
	e.err("write after", err)
	tx, err = db.Begin()
	e.err("begin after", err)
	if err == nil {
		e.err("commit after", tx.Commit())
	}
}

func commitFailsAsText(e *env) {
	db := e.memory("_foreign_keys=1")
	parents(db)
	conn := e.conn(db)
	exec(conn, "BEGIN", "INSERT INTO c VALUES (7)")
	_, err := conn.ExecContext(ctx, "COMMIT")
	e.err("commit", err)
	e.rows("rows", conn, "SELECT * FROM c")
	_, err = conn.ExecContext(ctx, "INSERT INTO p VALUES (7)")
	e.err("insert parent", err)
	_, err = conn.ExecContext(ctx, "COMMIT")
	e.err("commit again", err)
	e.rows("rows after", conn, "SELECT * FROM c")
	must(conn.Close())
}

func contextEnds(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	cancelled, cancel := context.WithCancel(ctx)
	tx, err := db.BeginTx(cancelled, nil)
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	cancel()
	_, err = tx.ExecContext(cancelled, "INSERT INTO t VALUES (2)")
	e.record("write", "%s", ok(err))
	e.record("commit", "%s", ok(tx.Commit()))
	// The only connection is released after the transaction was rolled back.
	e.rows("rows", db, "SELECT * FROM t")
	_, err = db.Exec("INSERT INTO t VALUES (3)")
	e.err("write after", err)
	e.rows("rows after", db, "SELECT * FROM t")
}

func contextEndsWithRows(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2), (3)")
	cancelled, cancel := context.WithCancel(ctx)
	tx, err := db.BeginTx(cancelled, nil)
	must(err)
	exec(tx, "INSERT INTO t VALUES (4)")
	rows, err := tx.Query("SELECT a FROM t")
	must(err)
	e.record("first row", "%v", rows.Next())
	cancel()
	for rows.Next() {
	}
	rows.Close()
	e.record("commit", "%s", ok(tx.Commit()))
	e.rows("rows", db, "SELECT * FROM t")
}

func beginCancelled(e *env) {
	db := e.memory("")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := db.BeginTx(cancelled, nil)
	e.err("begin", err)
	e.rows("after", db, "SELECT 1")
	// If a transaction has begun, database/sql ends it in the background.
	conn := e.conn(db)
	_, err = conn.BeginTx(cancelled, nil)
	e.err("begin on a connection", err)
}

func statementFails(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a UNIQUE)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	_, err = tx.Exec("INSERT INTO t VALUES (2), (1)")
	e.err("conflict", err)
	e.rows("rows", tx, "SELECT * FROM t")
	_, err = tx.Exec("no SQL")
	e.err("syntax", err)
	e.err("commit", tx.Commit())
	e.rows("rows after", db, "SELECT * FROM t")
}

func conflictRollsBack(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a UNIQUE)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	_, err = tx.Exec("INSERT OR ROLLBACK INTO t VALUES (1)")
	e.err("conflict", err)
	_, err = tx.Exec("INSERT INTO t VALUES (2)")
	e.err("write outside", err)
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT * FROM t")
	tx, err = db.Begin()
	e.err("begin", err)
	if err == nil {
		_, err = tx.Exec("INSERT OR ROLLBACK INTO t VALUES (2)")
		e.err("conflict again", err)
		e.err("rollback", tx.Rollback())
	}
	e.rows("rows after", db, "SELECT * FROM t")
}

func beginAsText(e *env) {
	db := e.memory("")
	conn := e.conn(db)
	exec(conn, "CREATE TABLE t(a)", "BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (2)", "COMMIT")
	e.rows("rows", conn, "SELECT * FROM t")
	_, err := conn.ExecContext(ctx, "COMMIT")
	e.err("commit without one", err)
	_, err = conn.ExecContext(ctx, "ROLLBACK")
	e.err("rollback without one", err)
	must(conn.Close())
}

func beginTwice(e *env) {
	db := e.memory("")
	conn := e.conn(db)
	exec(conn, "CREATE TABLE t(a)", "BEGIN", "INSERT INTO t VALUES (1)")
	_, err := conn.ExecContext(ctx, "BEGIN")
	e.err("begin", err)
	_, err = conn.BeginTx(ctx, nil)
	e.err("BeginTx", err)
	e.rows("rows", conn, "SELECT * FROM t")
	_, err = conn.ExecContext(ctx, "COMMIT")
	e.err("commit", err)
	must(conn.Close())
}

func beginLeftOpen(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	conn := e.conn(db)
	exec(conn, "BEGIN", "INSERT INTO t VALUES (1)")
	must(conn.Close())
	e.rows("rows of the next", db, "SELECT * FROM t")
	_, err := db.Exec("ROLLBACK")
	e.err("rollback of the next", err)
	e.rows("rows", db, "SELECT * FROM t")
}

func savepoints(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)", "SAVEPOINT one", "INSERT INTO t VALUES (2)", "SAVEPOINT two", "INSERT INTO t VALUES (3)", "ROLLBACK TO two", "RELEASE one")
	_, err = tx.Exec("RELEASE two")
	e.err("release", err)
	e.rows("rows", tx, "SELECT * FROM t")
	e.err("commit", tx.Commit())
	conn := e.conn(db)
	exec(conn, "SAVEPOINT outer", "INSERT INTO t VALUES (4)", "ROLLBACK TO outer")
	_, err = conn.BeginTx(ctx, nil)
	e.err("begin in a savepoint", err)
	exec(conn, "RELEASE outer")
	must(conn.Close())
	e.rows("rows after", db, "SELECT * FROM t")
}

func commitAsText(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	for _, text := range []string{"COMMIT", "END", "ROLLBACK"} {
		tx, err := db.Begin()
		must(err)
		exec(tx, "INSERT INTO t VALUES (1)")
		_, err = tx.Exec(text)
		e.err(text, err)
		e.err(text+", then Commit", tx.Commit())
		tx, err = db.Begin()
		must(err)
		_, err = tx.Exec(text)
		e.err(text+" again", err)
		e.err(text+", then Rollback", tx.Rollback())
	}
	e.rows("rows", db, "SELECT * FROM t")
}

func rowsAtCommit(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2), (3)")
	tx, err := db.Begin()
	must(err)
	rows, err := tx.Query("SELECT a FROM t")
	must(err)
	e.record("first row", "%v", rows.Next())
	exec(tx, "INSERT INTO t VALUES (4)")
	e.err("commit", tx.Commit())
	e.record("second row", "%v", rows.Next())
	e.record("end", "%s", ok(rows.Err()))
	rows.Close()
	e.rows("rows", db, "SELECT a FROM t")
}

func rowsAtRollback(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2), (3)")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (4)")
	rows, err := tx.Query("SELECT a FROM t")
	must(err)
	e.record("first row", "%v", rows.Next())
	e.err("rollback", tx.Rollback())
	e.record("second row", "%v", rows.Next())
	e.record("end", "%s", ok(rows.Err()))
	rows.Close()
	e.rows("rows", db, "SELECT a FROM t")
}

func stmtAfter(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	tx, err := db.Begin()
	must(err)
	stmt, err := tx.Prepare("INSERT INTO t VALUES (?)")
	must(err)
	_, err = stmt.Exec(1)
	e.err("exec", err)
	must(tx.Commit())
	_, err = stmt.Exec(2)
	e.err("exec after", err)
	e.err("close", stmt.Close())
	e.rows("rows", db, "SELECT * FROM t")
}

func stmtInTx(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	stmt, err := db.Prepare("INSERT INTO t VALUES (?)")
	must(err)
	tx, err := db.Begin()
	must(err)
	_, err = tx.Stmt(stmt).Exec(1)
	e.err("exec", err)
	must(tx.Rollback())
	_, err = stmt.Exec(2)
	e.err("exec after", err)
	e.err("close", stmt.Close())
	e.rows("rows", db, "SELECT * FROM t")
}

// handles opens a file twice, without a busy timeout and in a journal mode, and returns both.
// The second is opened from outside, so that a pool does not make one wait for the other.
func (e *env) handles(journal, params string) (*sql.DB, *sql.DB) {
	db := e.file("_busy_timeout=0&_timeout=0" + params)
	exec(db, "PRAGMA journal_mode = "+journal, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)")
	other, err := e.openPlain(e.dir + "/a.db")
	must(err)
	other.SetMaxOpenConns(1)
	return db, other
}

func twoWriters(e *env) {
	for _, journal := range []string{"DELETE", "WAL"} {
		db, other := e.handles(journal, "")
		tx, err := other.Begin()
		must(err)
		exec(tx, "INSERT INTO t VALUES (2)")
		_, err = db.Exec("INSERT INTO t VALUES (3)")
		e.err(journal+" exec", err)
		e.rows(journal+" read", db, "SELECT * FROM t")
		e.rows(journal+" returning", db, "INSERT INTO t VALUES (4) RETURNING a")
		stmt, err := db.Prepare("INSERT INTO t VALUES (?)")
		e.err(journal+" prepare", err)
		if err == nil {
			_, err = stmt.Exec(5)
			e.err(journal+" exec prepared", err)
			must(stmt.Close())
		}
		_, err = db.Exec("CREATE TABLE u(a)")
		e.err(journal+" DDL", err)
		must(tx.Commit())
		_, err = db.Exec("INSERT INTO t VALUES (6)")
		e.err(journal+" exec after", err)
		e.rows(journal+" rows", db, "SELECT * FROM t")
		exec(db, "DROP TABLE t")
		must(db.Close())
		must(other.Close())
	}
}

func upgrade(e *env) {
	for _, journal := range []string{"DELETE", "WAL"} {
		db, other := e.handles(journal, "&_txlock=deferred")
		tx, err := db.Begin()
		must(err)
		e.rows(journal+" read", tx, "SELECT * FROM t")
		otherTx, err := other.Begin()
		must(err)
		_, err = otherTx.Exec("INSERT INTO t VALUES (2)")
		e.record(journal+" other's write", "%s", ok(err))
		_, err = tx.Exec("INSERT INTO t VALUES (3)")
		e.err(journal+" write", err)
		e.rows(journal+" read again", tx, "SELECT * FROM t")
		e.err(journal+" rollback", tx.Rollback())
		e.record(journal+" other's commit", "%s", ok(otherTx.Commit()))
		e.rows(journal+" rows", db, "SELECT * FROM t")
		exec(db, "DROP TABLE t")
		must(db.Close())
		must(other.Close())
	}
}

func beginImmediateBusy(e *env) {
	for _, lock := range []string{"immediate", "exclusive"} {
		db, other := e.handles("DELETE", "&_txlock="+lock)
		tx, err := other.Begin()
		must(err)
		exec(tx, "INSERT INTO t VALUES (2)")
		_, err = db.Begin()
		e.err(lock+" begin", err)
		must(tx.Rollback())
		tx, err = db.Begin()
		e.err(lock+" begin after", err)
		must(tx.Rollback())
		exec(db, "DROP TABLE t")
		must(db.Close())
		must(other.Close())
	}
}

func staleSnapshot(e *env) {
	db, other := e.handles("WAL", "&_txlock=deferred")
	tx, err := db.Begin()
	must(err)
	e.rows("read", tx, "SELECT * FROM t")
	exec(other, "INSERT INTO t VALUES (2)")
	e.rows("read again", tx, "SELECT * FROM t")
	_, err = tx.Exec("INSERT INTO t VALUES (3)")
	e.err("write", err)
	e.rows("returning", tx, "INSERT INTO t VALUES (4) RETURNING a")
	e.err("rollback", tx.Rollback())
	e.rows("rows", db, "SELECT * FROM t")
}

func commitBusy(e *env) {
	db, other := e.handles("DELETE", "&_txlock=deferred")
	reader, err := other.Begin()
	must(err)
	exec(reader, "SELECT * FROM t")
	rows, err := reader.Query("SELECT * FROM t")
	must(err)
	rows.Next()
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("INSERT INTO t VALUES (2)")
	e.err("write", err)
	e.err("commit", tx.Commit())
	must(rows.Close())
	must(reader.Rollback())
	e.rows("rows", db, "SELECT * FROM t")
	_, err = db.Exec("INSERT INTO t VALUES (3)")
	e.err("write after", err)
}

func foreignKeysInside(e *env) {
	db := e.memory("")
	db.SetMaxOpenConns(1)
	exec(db, "PRAGMA foreign_keys = ON")
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("PRAGMA foreign_keys = OFF")
	e.err("off", err)
	e.rows("inside", tx, "PRAGMA foreign_keys")
	must(tx.Commit())
	e.rows("after", db, "PRAGMA foreign_keys")
}

func readOnlyThenWrite(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)")
	for i := range 3 {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: i%2 == 0})
		e.err("begin", err)
		if err != nil {
			continue
		}
		_, err = tx.Exec("INSERT INTO t VALUES (?)", i)
		e.err("write", err)
		e.err("commit", tx.Commit())
	}
	e.rows("rows", db, "SELECT * FROM t")
}

func ddl(e *env) {
	db := e.memory("")
	tx, err := db.Begin()
	must(err)
	exec(tx, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN b DEFAULT 'x'", "CREATE INDEX i ON t(b)")
	e.rows("rows", tx, "SELECT * FROM t")
	must(tx.Rollback())
	e.rows("after", db, "SELECT * FROM t")
}

func ddlWithRows(e *env) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(a)", "INSERT INTO t VALUES (1), (2)")
	tx, err := db.Begin()
	must(err)
	rows, err := tx.Query("SELECT a FROM t")
	must(err)
	rows.Next()
	_, err = tx.Exec("DROP TABLE t")
	e.err("drop", err)
	_, err = tx.Exec("ALTER TABLE t ADD COLUMN b")
	e.err("alter", err)
	_, err = tx.Exec("CREATE TABLE u(a)")
	e.err("create", err)
	e.record("rows", "%v", e.read(rows))
	e.err("commit", tx.Commit())
}

func journalInside(e *env) {
	db := e.file("_txlock=immediate")
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("PRAGMA journal_mode = TRUNCATE")
	e.err("exec", err)
	e.rows("query", tx, "PRAGMA journal_mode = PERSIST")
	_, err = tx.Exec("PRAGMA synchronous = OFF")
	e.err("synchronous", err)
	must(tx.Rollback())
}

func vacuumInside(e *env) {
	db := e.memory("")
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("VACUUM")
	e.err("vacuum", err)
	must(tx.Rollback())
	_, err = db.Exec("VACUUM")
	e.err("vacuum outside", err)
}

func attachInside(e *env) {
	db := e.file("_txlock=deferred")
	conn := e.conn(db)
	tx, err := conn.BeginTx(ctx, nil)
	must(err)
	_, err = tx.Exec("ATTACH 'b.db' AS b")
	e.err("attach", err)
	_, err = tx.Exec("CREATE TABLE b.t(a)")
	e.err("create", err)
	must(tx.Rollback())
	_, err = conn.ExecContext(ctx, "DETACH b")
	e.err("detach", err)
	_, err = conn.ExecContext(ctx, "ATTACH ? AS c", "c.db")
	e.err("attach with an argument", err)
	e.rows("databases", conn, "SELECT name FROM pragma_database_list ORDER BY seq")
	must(conn.Close())
}
