package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// commonPrograms returns the programs that every engine plays, with its own queries: one with
// two rows, one without rows, a write with one argument, and one that the engine refuses.
func commonPrograms(two, none, write, wrong, placeholder string) []program {
	write += " " + placeholder
	return []program{
		{name: "calls", play: func(r *run) {
			r.say("ping: %s", showErr(r.db.PingContext(r.ctx)))
			r.exec(r.db, write, 1)
			r.query(r.db, two)
			r.query(r.db, none)
			var n any
			r.say("row: %s %v", showErr(r.db.QueryRowContext(r.ctx, two).Scan(&n)), n)
			r.say("no row: %s", showErr(r.db.QueryRowContext(r.ctx, none).Scan(&n)))
			r.stats()
		}},
		{name: "calls without a context", play: func(r *run) {
			r.say("ping: %s", showErr(r.db.Ping()))
			r.result(r.db.Exec(write, 1))
			r.read(r.db.Query(two))
			stmt, err := r.db.Prepare(write)
			r.say("prepare: %s", showErr(err))
			r.result(stmt.Exec(1))
			r.close(stmt)
			tx, err := r.db.Begin()
			r.say("begin: %s", showErr(err))
			r.result(tx.Exec(write, 1))
			r.say("commit: %s", showErr(tx.Commit()))
		}},
		{name: "statements", play: func(r *run) {
			stmt := r.prepare(r.db, write)
			again := r.prepare(r.db, write)
			r.execStmt(stmt, 1)
			r.execStmt(stmt, 2)
			r.execStmt(stmt)
			r.execStmt(stmt, 1, 2)
			r.execStmt(again, 3)
			held := r.conn() // so that the statement is prepared on another connection
			r.execStmt(stmt, 4)
			r.close(held)
			r.close(again)
			r.execStmt(stmt, 5)
			r.close(stmt)
			r.close(stmt)
			r.execStmt(stmt, 6)
			query := r.prepare(r.db, two)
			r.queryStmt(query)
			r.queryStmt(query)
			r.queryStmt(query, "too many")
			r.close(query)
			if stmt := r.prepare(r.db, wrong); stmt != nil {
				r.execStmt(stmt) // some engines report the error only here
				r.close(stmt)
			}
			r.stats()
		}},
		{name: "transactions", play: func(r *run) {
			outer := r.prepare(r.db, write)
			tx := r.begin(nil)
			r.exec(tx, write, 1)
			r.query(tx, two)
			stmt := r.prepare(tx, write)
			r.execStmt(stmt, 2)
			r.execStmt(tx.StmtContext(r.ctx, outer), 3)
			r.say("commit: %s", showErr(tx.Commit()))
			r.exec(tx, write, 4)
			r.execStmt(stmt, 5)
			r.say("over: %s, %s", showErr(tx.Commit()), showErr(tx.Rollback()))
			tx = r.begin(&sql.TxOptions{})
			r.exec(tx, write, 6)
			r.say("rollback: %s", showErr(tx.Rollback()))
			r.close(outer)
			r.stats()
		}},
		{name: "a connection taken", play: func(r *run) {
			conn := r.conn()
			r.say("ping: %s", showErr(conn.PingContext(r.ctx)))
			r.exec(conn, write, 1)
			r.query(conn, two)
			stmt := r.prepare(conn, write)
			r.execStmt(stmt, 2)
			r.close(stmt)
			tx, err := conn.BeginTx(r.ctx, nil)
			r.say("begin: %s", showErr(err))
			r.exec(tx, write, 3)
			r.say("commit: %s", showErr(tx.Commit()))
			r.close(conn)
			r.exec(conn, write, 4)
			r.say("ping: %s", showErr(conn.PingContext(r.ctx)))
			r.stats()
		}},
		{name: "raw that fails", play: func(r *run) {
			conn := r.conn()
			r.parent(conn, func(any) error { return errProgram })
			r.exec(conn, write, 1)
			func() {
				defer func() { r.say("recovered %v", recover()) }()
				conn.Raw(func(any) error { panic("in raw") })
			}()
			r.exec(conn, write, 1)
			r.say("close: %s", showErr(conn.Close()))
			r.stats()
		}},
		{name: "rows", play: func(r *run) {
			rows, err := r.db.QueryContext(r.ctx, two)
			r.say("closed at once: %s, %s", showErr(err), showErr(rows.Close()))
			rows, err = r.db.QueryContext(r.ctx, two)
			r.say("closed after one: %s %t, %s, %s", showErr(err), rows.Next(), showErr(rows.Close()), showErr(rows.Err()))
			r.say("then: %t %t, %s", rows.Next(), rows.NextResultSet(), showErr(rows.Close()))
			_, err = rows.Columns()
			r.say("then: %s", showErr(err))
			rows, err = r.db.QueryContext(r.ctx, two)
			r.say("skipped: %s, %t, %s, %s", showErr(err), rows.NextResultSet(), showErr(rows.Err()), showErr(rows.Close()))
			rows, err = r.db.QueryContext(r.ctx, two)
			r.say("held: %s, %t", showErr(err), rows.Next())
			r.query(r.db, two)
			r.stats()
			r.say("let go: %s", showErr(rows.Close()))
			r.stats()
		}},
		{name: "wrong texts", play: func(r *run) {
			r.exec(r.db, wrong)
			r.query(r.db, wrong)
			r.exec(r.db, wrong, 1)
			r.query(r.db, wrong, 1)
			r.exec(r.db, write, "one", "too many")
			r.query(r.db, two, "too many")
			r.exec(r.db, write)
			r.exec(r.db, write, sql.Named("n", 1))
			r.exec(r.db, write, sql.Out{Dest: new(string)})
			r.exec(r.db, write, make(chan int))
			r.exec(r.db, write, failing{})
			r.exec(r.db, write, (*time.Time)(nil))
			r.exec(r.db, write, driver.Valuer(nil))
		}},
		{name: "cancelled before", play: func(r *run) {
			r.exec(r.db, write, 0)
			conn := r.conn()
			stmt := r.prepare(conn, write)
			r.end()
			r.exec(conn, write, 1)
			r.query(conn, two)
			r.execStmt(stmt, 1)
			r.queryStmt(stmt, 1)
			r.prepare(conn, write)
			r.say("ping: %s", showErr(conn.PingContext(r.ctx)))
			_, err := conn.BeginTx(r.ctx, nil)
			r.say("begin: %s", showErr(err))
			r.renew()
			r.exec(conn, write, 2)
			r.close(stmt)
			r.close(conn)
			r.end()
			r.exec(r.db, write, 3)
			r.renew()
			r.exec(r.db, write, 4)
		}},
		{name: "cancelled in a transaction", cancelsTx: true, play: func(r *run) {
			r.exec(r.db, write, 0)
			tx := r.begin(nil)
			r.exec(tx, write, 1)
			r.end()
			r.stats()
			r.exec(tx, write, 2)
			r.say("commit: %s, rollback: %s", showErr(tx.Commit()), showErr(tx.Rollback()))
			r.stats()
			r.renew()
			r.exec(r.db, write, 3)
			r.stats()
		}},
		{name: "two connections", play: func(r *run) {
			r.db.SetMaxIdleConns(1)
			a, b := r.conn(), r.conn()
			r.exec(a, write, 1)
			r.exec(b, write, 2)
			r.close(b)
			r.close(a)
			r.stats()
			r.db.SetConnMaxIdleTime(time.Minute)
			time.Sleep(3 * time.Minute)
			r.stats()
			r.exec(r.db, write, 3)
			r.db.SetMaxIdleConns(-1)
			r.stats()
		}},
		{name: "waiting for a connection", play: func(r *run) {
			r.db.SetMaxOpenConns(1)
			conn := r.conn()
			soon, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := r.db.ExecContext(soon, write, 1)
			r.say("waited in vain: %s", showErr(err))
			time.AfterFunc(time.Second, func() { conn.Close() })
			r.exec(r.db, write, 2)
		}},
		{name: "the database is closed", play: func(r *run) {
			conn := r.conn()
			r.say("close: %s", showErr(r.db.Close()))
			r.exec(r.db, write, 1)
			r.exec(conn, write, 2)
			r.close(conn)
		}},
	}
}

// serverPrograms are the programs of engines with a server, whose connections can break.
func serverPrograms(write, drops string) []program {
	return []program{
		{name: "the server goes while connections are idle", play: func(r *run) {
			a, b := r.conn(), r.conn()
			r.exec(a, write, 1)
			r.exec(b, write, 2)
			r.close(a)
			r.close(b)
			r.exec(r.db, write, 3)
			r.site.drop()
			r.exec(r.db, write, 4)
			r.stats()
			r.site.drop()
			r.say("ping: %s", showErr(r.db.PingContext(r.ctx)))
			r.site.drop()
			if tx := r.begin(nil); tx != nil {
				r.exec(tx, write, 5)
				r.say("commit: %s", showErr(tx.Commit()))
			}
			r.stats()
		}},
		{name: "the server goes while a connection is used", play: func(r *run) {
			conn := r.conn()
			stmt := r.prepare(conn, write)
			r.exec(conn, write, 1)
			r.site.drop()
			r.exec(conn, write, 2)
			r.exec(conn, write, 3)
			r.execStmt(stmt, 4)
			r.say("ping: %s", showErr(conn.PingContext(r.ctx)))
			r.say("close: %s, %s", showErr(stmt.Close()), showErr(conn.Close()))
			r.stats()
			r.exec(r.db, write, 5)
		}},
		{name: "the server goes in a transaction", play: func(r *run) {
			tx := r.begin(nil)
			r.exec(tx, write, 1)
			r.site.drop()
			r.exec(tx, write, 2)
			r.say("commit: %s", showErr(tx.Commit()))
			r.stats()
			r.exec(r.db, write, 3)
		}},
		{name: "the server goes in place of an answer", play: func(r *run) {
			r.exec(r.db, drops)
			r.stats()
			r.query(r.db, drops)
			r.stats()
			r.exec(r.db, write, 1)
			conn := r.conn()
			r.exec(conn, drops)
			r.query(conn, drops)
			r.say("ping: %s", showErr(conn.PingContext(r.ctx)))
			r.say("close: %s", showErr(conn.Close()))
			r.stats()
		}},
	}
}

var errProgram = errors.New("the program's own")

// cancelledBetweenRows ends the context of a query whose rows are being read. The driver and
// database/sql then both end the query, in any order. Use it only where the order makes no
// difference.
func cancelledBetweenRows(query, write string, args ...any) program {
	return program{name: "cancelled between rows", play: func(r *run) {
		rows, err := r.db.QueryContext(r.ctx, query)
		r.say("query: %s, %t", showErr(err), rows.Next())
		r.end()
		r.say("next: %t, %s, %s", rows.Next(), showErr(rows.Err()), showErr(rows.Close()))
		r.renew()
		r.exec(r.db, write, args...)
	}}
}
