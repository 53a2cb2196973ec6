package player

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// endless returns rows forever. counting never returns its first row.
const (
	endless  = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
)

// soon is the time after which an endless call is canceled. It is long enough for the call to
// have started.
const soon = 50 * time.Millisecond

func contextPrograms() []Program {
	var programs []Program
	for _, p := range []struct {
		name string
		play func(*env)
	}{
		{"cancelled before", cancelledBefore},
		{"cancelled with a cause", cancelledWithCause},
		{"a deadline that has passed", deadlinePassed},
		{"cancelled between rows", betweenRows},
		{"cancelled between rows, prepared", betweenRowsPrepared},
		{"cancelled in a transaction, between rows", betweenRowsInTx},
		{"a deadline in an Exec", deadlineInExec},
		{"a deadline in a Query", deadlineInQuery},
		{"a deadline in a prepared Exec", deadlineInPrepared},
		{"a deadline in a transaction", deadlineInTx},
		{"a deadline in a write", deadlineInWrite},
		{"a deadline while a lock is awaited", deadlineInBusy},
		{"a deadline while another connection is awaited", deadlineInPool},
		{"cancelled after a Query without rows", afterEmpty},
		{"cancelled after rows are closed", afterClose},
		{"returning, with a cancelled context", returningCancelled},
		{"a value in the context", contextValue},
	} {
		programs = append(programs, Program{"contexts/" + p.name, both, p.play})
	}
	// In modernc.org/sqlite, only its end ends a Next.
	return append(programs, Program{"contexts/a deadline in Next", []Dialect{Mattn}, deadlineInNext})
}

func cancelledBefore(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	everyCall(e, db, cancelled)
}

func cancelledWithCause(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancelCause(ctx)
	cancel(errors.New("my cause"))
	everyCall(e, db, cancelled)
}

func deadlinePassed(e *env) {
	db := e.memory("")
	prepareCalls(db)
	past, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
	defer cancel()
	everyCall(e, db, past)
}

// everyCall makes calls with a context that has ended, on the database and on a connection. It
// records whether the connection is still usable.
func everyCall(e *env, db *sql.DB, done context.Context) {
	_, err := db.ExecContext(done, "INSERT INTO t VALUES (10)")
	e.err("exec", err)
	e.query("query", func() (*sql.Rows, error) { return db.QueryContext(done, "SELECT 1") })
	_, err = db.PrepareContext(done, "SELECT 1")
	e.err("prepare", err)
	e.err("ping", db.PingContext(done))
	_, err = db.Conn(done)
	e.err("connection", err)

	conn := e.conn(db)
	stmt, err := conn.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
	must(err)
	for _, text := range []string{"INSERT INTO t VALUES (11)", "INSERT INTO t VALUES (12); INSERT INTO t VALUES (13)", "no SQL", ""} {
		_, err = conn.ExecContext(done, text)
		e.err("exec on a connection "+text, err)
	}
	_, err = conn.ExecContext(done, "INSERT INTO t VALUES (?)", 14)
	e.err("exec with an argument", err)
	e.query("query on a connection", func() (*sql.Rows, error) { return conn.QueryContext(done, "SELECT a FROM t") })
	_, err = conn.PrepareContext(done, "SELECT 1")
	e.err("prepare on a connection", err)
	_, err = stmt.ExecContext(done, 15)
	e.err("exec prepared", err)
	e.query("query prepared", func() (*sql.Rows, error) { return stmt.QueryContext(done, 16) })
	e.err("ping a connection", conn.PingContext(done))
	tx, err := conn.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(done, "INSERT INTO t VALUES (17)")
	e.err("exec in a transaction", err)
	e.err("commit", tx.Commit())
	must(stmt.Close())
	e.rows("after", conn, "SELECT group_concat(a) FROM t")
	must(conn.Close())
}

func betweenRows(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancel(ctx)
	rows, err := db.QueryContext(cancelled, endless)
	must(err)
	e.record("first row", "%v", rows.Next())
	cancel()
	for rows.Next() {
	}
	e.err("end", rows.Err())
	e.record("close", "%s", ok(rows.Close()))
	e.rows("after", db, "SELECT count(*) FROM t")
}

func betweenRowsPrepared(e *env) {
	db := e.memory("")
	stmt, err := db.Prepare(endless)
	must(err)
	for range 2 {
		cancelled, cancel := context.WithCancel(ctx)
		rows, err := stmt.QueryContext(cancelled)
		must(err)
		e.record("first row", "%v", rows.Next())
		cancel()
		for rows.Next() {
		}
		e.err("end", rows.Err())
	}
	must(stmt.Close())
	e.rows("after", db, "SELECT 1")
}

func betweenRowsInTx(e *env) {
	db := e.memory("")
	prepareCalls(db)
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (10)")
	cancelled, cancel := context.WithCancel(ctx)
	rows, err := tx.QueryContext(cancelled, endless)
	must(err)
	e.record("first row", "%v", rows.Next())
	cancel()
	for rows.Next() {
	}
	e.err("end", rows.Err())
	_, err = tx.Exec("INSERT INTO t VALUES (11)")
	e.err("write", err)
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT group_concat(a) FROM t")
}

func deadlineInExec(e *env) {
	db := e.memory("")
	for range 2 {
		late, cancel := context.WithTimeout(ctx, soon)
		_, err := db.ExecContext(late, counting)
		e.err("exec", err)
		cancel()
	}
	e.rows("after", db, "SELECT 1")
}

func deadlineInQuery(e *env) {
	db := e.memory("")
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	rows, err := db.QueryContext(late, counting)
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
		rows.Close()
	}
	// A driver may make the first step in Query or in Next.
	e.err("query or next", err)
	e.rows("after", db, "SELECT 1")
	late, cancel = context.WithTimeout(ctx, soon)
	defer cancel()
	e.err("QueryRow", db.QueryRowContext(late, counting).Scan(new(any)))
	e.rows("after QueryRow", db, "SELECT 1")
}

func deadlineInPrepared(e *env) {
	db := e.memory("")
	stmt, err := db.Prepare(counting)
	must(err)
	for range 2 {
		late, cancel := context.WithTimeout(ctx, soon)
		_, err := stmt.ExecContext(late)
		e.err("exec", err)
		cancel()
	}
	must(stmt.Close())
	e.rows("after", db, "SELECT 1")
}

func deadlineInNext(e *env) {
	db := e.memory("")
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	rows, err := db.QueryContext(late, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 1 UNION ALL SELECT count(*) FROM n")
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
		rows.Close()
	}
	e.err("end", err)
	e.rows("after", db, "SELECT 1")
}

func deadlineInTx(e *env) {
	db := e.memory("")
	prepareCalls(db)
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (10)")
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	_, err = tx.ExecContext(late, counting)
	e.err("exec", err)
	_, err = tx.Exec("INSERT INTO t VALUES (11)")
	e.err("write", err)
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT group_concat(a) FROM t")
}

func deadlineInWrite(e *env) {
	db := e.memory("")
	prepareCalls(db)
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	_, err := db.ExecContext(late, "INSERT INTO t "+counting)
	e.err("exec", err)
	e.rows("rows", db, "SELECT group_concat(a) FROM t")
	tx, err := db.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (10)")
	late, cancel = context.WithTimeout(ctx, soon)
	defer cancel()
	_, err = tx.ExecContext(late, "INSERT INTO t "+counting)
	e.err("exec in a transaction", err)
	// SQLite rolls back the transaction of an interrupted write.
	_, err = tx.Exec("INSERT INTO t VALUES (11)")
	e.err("write", err)
	e.err("commit", tx.Commit())
	e.rows("rows", db, "SELECT group_concat(a) FROM t")
}

func deadlineInBusy(e *env) {
	// mattn's driver waits for the lock until the busy timeout has passed.
	db := e.file("_busy_timeout=1000")
	exec(db, "CREATE TABLE t(a)")
	other, err := e.openPlain(e.dir + "/a.db")
	must(err)
	tx, err := other.Begin()
	must(err)
	exec(tx, "INSERT INTO t VALUES (1)")
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	_, err = db.ExecContext(late, "INSERT INTO t VALUES (2)")
	e.err("exec", err)
	must(tx.Commit())
	e.rows("rows", db, "SELECT * FROM t")
}

func deadlineInPool(e *env) {
	db := e.memory("")
	conn := e.conn(db)
	late, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	_, err := db.ExecContext(late, "SELECT 1")
	e.err("exec", err)
	must(conn.Close())
	e.rows("after", db, "SELECT 1")
}

func afterEmpty(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancel(ctx)
	rows, err := db.QueryContext(cancelled, "SELECT a FROM t WHERE 0")
	must(err)
	e.record("next", "%v", rows.Next())
	cancel()
	e.err("end", rows.Err())
	e.err("close", rows.Close())
	e.rows("after", db, "SELECT 1")
}

func afterClose(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancel(ctx)
	rows, err := db.QueryContext(cancelled, "SELECT a FROM t")
	must(err)
	rows.Next()
	e.err("close", rows.Close())
	cancel()
	e.err("end", rows.Err())
	e.rows("after", db, endless+" LIMIT 3")
}

func returningCancelled(e *env) {
	db := e.memory("")
	prepareCalls(db)
	cancelled, cancel := context.WithCancel(ctx)
	rows, err := db.QueryContext(cancelled, "INSERT INTO t VALUES (10), (11) RETURNING a")
	must(err)
	e.record("first row", "%v", rows.Next())
	cancel()
	for rows.Next() {
	}
	rows.Close()
	e.rows("rows", db, "SELECT group_concat(a) FROM t")
}

func contextValue(e *env) {
	type key struct{}
	db := e.memory("")
	var n int
	e.err("query", db.QueryRowContext(context.WithValue(ctx, key{}, 1), "SELECT 1").Scan(&n))
	e.record("n", "%d", n)
}
