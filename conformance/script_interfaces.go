package conformance

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// interfacesCases use connections, statements and rows of all kinds.
var interfacesCases = sync.OnceValue(func() []Case { return append(callCases(), kindsOfRowsCases()...) })

func callKinds() []kinds {
	return combine(fake.ConnKinds, fake.StmtKinds[:3], fake.RowsOf("SQLite's"))
}

func callCase(name, rule string, play func(*player)) Case {
	return Case{Name: name, Rule: rule, script: &script{kinds: callKinds, play: play}}
}

// exactly makes a case distinguish contexts from contexts derived from them.
func exactly(c Case) Case {
	c.script.exact = true
	return c
}

// callCases are calls that take no query, and calls within calls.
func callCases() []Case {
	return []Case{
		callCase("begin", "Isolation levels and read-only transactions reach drivers that support them. For other drivers they are refused.", func(p *player) {
			for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelSerializable, sql.LevelLinearizable} {
				for _, readOnly := range []bool{false, true} {
					p.step(fmt.Sprintf("begin %v %t", level, readOnly), func() {
						if tx := p.begin(&sql.TxOptions{Isolation: level, ReadOnly: readOnly}); tx != nil {
							p.say("commit: %s", showError(tx.Commit()))
						}
					})
				}
			}
			p.step("db.Begin", func() {
				tx, err := p.db.Begin()
				p.say("begin: %s", showError(err))
				p.say("rollback: %s, %s", showError(tx.Rollback()), showError(tx.Commit()))
			})
		}),
		callCase("ping", "Ping reaches drivers that have one, and returns its errors. For other drivers it opens a connection at most.", func(p *player) {
			p.step("db.Ping", func() { p.say("%s", showError(p.db.PingContext(p.ctx))) })
			p.On(fake.Fail(fake.ErrFault), "Ping")
			p.step("db.Ping that fails", func() { p.say("%s", showError(p.db.PingContext(p.ctx))) })
			p.On(fake.Fail(driver.ErrBadConn), "Ping")
			p.step("db.Ping of bad connections", func() { p.say("%s", showError(p.db.PingContext(p.ctx))) })
			p.Off()
			p.step("conn.Ping, cancelled", func() {
				conn := p.take()
				p.cancel()
				p.say("%s", showError(conn.PingContext(p.ctx)))
				p.say("%s", showError(conn.Close()))
			})
		}),
		callCase("without a context", "Calls without a context reach the driver with the background context.", func(p *player) {
			p.step("all", func() {
				p.result(p.db.Exec("q ?", 1))
				p.read(p.db.Query("q ?", 1))
				stmt, err := p.db.Prepare("q ?")
				p.say("%s", showError(err))
				p.result(stmt.Exec(1))
				p.read(stmt.Query(1))
				p.say("%s", showError(stmt.Close()))
				p.say("%s", showError(p.db.Ping()))
			})
		}),
		exactly(callCase("contexts", "The driver gets exactly the context that the program passed.", func(p *player) {
			for _, v := range verbs {
				p.step(v.name, func() { v.do(p, "q ?", 1) })
			}
			p.step("db.Ping", func() { p.say("%s", showError(p.db.PingContext(p.ctx))) })
		})),
		callCase("cancelled before", "A call whose context has ended gets no further than on the bare driver.", func(p *player) {
			for _, v := range verbs {
				p.step(v.name, func() { p.cancel(); v.do(p, "q ?", 1) })
			}
			p.step("on a connection that is held", func() {
				conn := p.take()
				stmt, err := conn.PrepareContext(p.ctx, "q ?")
				p.say("%s", showError(err))
				p.cancel()
				p.result(conn.ExecContext(p.ctx, "q ?", 1))
				_, err = conn.QueryContext(p.ctx, "q ?", 1)
				synctest.Wait()
				p.say("%s", showError(err))
				_, err = conn.PrepareContext(p.ctx, "q ?")
				p.say("%s", showError(err))
				p.result(stmt.ExecContext(p.ctx, 1))
				_, err = stmt.QueryContext(p.ctx, 1)
				synctest.Wait()
				p.say("%s", showError(err))
				p.say("%s", showError(stmt.Close()))
				p.say("%s", showError(conn.Close()))
			})
		}),
		{
			Name: "begin on a held connection, cancelled before",
			Rule: "A transaction whose context has ended does not begin.",
			script: &script{kinds: callKinds, inTx: true, cancels: true, play: func(p *player) {
				p.step("begin", func() {
					conn := p.take()
					p.cancel()
					_, err := conn.BeginTx(p.ctx, nil)
					synctest.Wait()
					p.say("%s", showError(err))
					conn.Close()
				})
			}},
		},
		callCase("two statements on two connections", "A statement is prepared again on another connection when its own is in use.", func(p *player) {
			p.step("all", func() {
				stmt, err := p.db.PrepareContext(p.ctx, "q ?")
				p.say("%s", showError(err))
				held := p.take()
				p.result(stmt.ExecContext(p.ctx, 1))
				p.say("%s", showError(stmt.Close()))
				p.say("%s", showError(held.Close()))
			})
		}),
		callCase("raw", "Raw returns whatever the program's function returns. A bad connection or a panic discards the connection.", func(p *player) {
			p.step("that fails", func() {
				conn := p.take()
				p.say("%s", showError(conn.Raw(func(any) error { return fake.ErrFault })))
				p.say("%s", showError(conn.Close()))
			})
			p.step("with a bad connection", func() {
				conn := p.take()
				p.say("%s", showError(conn.Raw(func(any) error { return driver.ErrBadConn })))
				p.say("%s", showError(conn.Close()))
			})
			p.step("that panics", func() {
				conn := p.take()
				defer func() { p.say("%s", showError(conn.Close())) }()
				conn.Raw(func(any) error { panic("fake: raw") })
			})
		}),
		callCase("pool", "Connections are closed when they are surplus, idle for too long or too old.", func(p *player) {
			p.db.SetMaxIdleConns(1)
			p.step("surplus", func() {
				a, b := p.take(), p.take()
				p.say("%s, %s", showError(a.Close()), showError(b.Close()))
			})
			p.step("shrunk", func() { p.db.SetMaxIdleConns(0) })
			p.db.SetMaxIdleConns(2)
			p.db.SetConnMaxIdleTime(time.Minute)
			p.step("used", func() { p.result(p.db.ExecContext(p.ctx, "q ?", 1)) })
			p.step("idle for too long", func() { time.Sleep(3 * time.Minute) })
			p.db.SetConnMaxLifetime(time.Minute)
			p.step("used", func() {
				conn := p.take()
				time.Sleep(3 * time.Minute)
				p.say("%s", showError(conn.Close()))
			})
		}),
		callCase("calls while rows are open", "A connection whose rows are open can be used for other calls.", func(p *player) {
			p.step("on a connection", func() {
				conn := p.take()
				stmt, err := conn.PrepareContext(p.ctx, "q ?")
				p.say("prepare: %s", showError(err))
				rows, err := conn.QueryContext(p.ctx, "q ?", 1)
				p.say("query: %s, next: %t", showError(err), rows.Next())
				p.result(conn.ExecContext(p.ctx, "q ?", 2))
				p.result(stmt.ExecContext(p.ctx, 3))
				p.read(conn.QueryContext(p.ctx, "q ?", 4))
				p.say("ping: %s", showError(conn.PingContext(p.ctx)))
				p.scan(rows)
				p.say("rows: %t, %s", rows.Next(), showError(rows.Close()))
				p.say("%s, %s", showError(stmt.Close()), showError(conn.Close()))
			})
			p.step("in a transaction", func() {
				tx := p.begin(nil)
				rows, err := tx.QueryContext(p.ctx, "q ?", 1)
				p.say("query: %s, next: %t", showError(err), rows.Next())
				p.result(tx.ExecContext(p.ctx, "q ?", 2))
				p.read(tx.QueryContext(p.ctx, "q ?", 3))
				p.scan(rows)
				p.say("rows: %s", showError(rows.Close()))
				p.say("commit: %s", showError(tx.Commit()))
			})
		}),
		callCase("two transactions at once", "Connections work independently of each other.", func(p *player) {
			p.step("all", func() {
				a, b := p.begin(nil), p.begin(nil)
				p.result(a.ExecContext(p.ctx, "q ?", 1))
				p.result(b.ExecContext(p.ctx, "q ?", 2))
				rowsA, errA := a.QueryContext(p.ctx, "q ?", 3)
				rowsB, errB := b.QueryContext(p.ctx, "q ?", 4)
				p.say("%s, %s", showError(errA), showError(errB))
				p.say("%t, %t", rowsA.Next(), rowsB.Next())
				p.say("%s, %s", showError(rowsA.Close()), showError(rowsB.Close()))
				p.say("%s, %s", showError(a.Commit()), showError(b.Rollback()))
			})
		}),
		{
			Name: "the connector's close",
			Rule: "The connector is closed with the database if it has a Close method, and the program gets its error.",
			script: &script{kinds: callKinds, close: true, play: func(p *player) {
				p.step("use", func() { p.result(p.db.ExecContext(p.ctx, "q ?", 1)) })
				p.On(fake.Fail(fake.ErrFault), "Close")
				p.step("close", func() { p.say("%s", showError(p.db.Close())) })
			}},
		},
		callCase("the database closed first", "What is in use when the database is closed can be finished, and is closed then.", func(p *player) {
			p.step("all", func() {
				tx, conn := p.begin(nil), p.take()
				stmt, err := conn.PrepareContext(p.ctx, "q ?")
				p.say("prepare: %s", showError(err))
				p.say("close: %s", showError(p.db.Close()))
				p.result(p.db.ExecContext(p.ctx, "q ?", 1))
				p.result(stmt.ExecContext(p.ctx, 2))
				p.read(tx.QueryContext(p.ctx, "q ?", 3))
				p.say("%s, %s, %s", showError(tx.Commit()), showError(stmt.Close()), showError(conn.Close()))
			})
		}),
	}
}
