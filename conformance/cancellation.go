package conformance

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// cancellationCases check contexts that end, and the values that contexts hold.
func cancellationCases() []Case {
	return append(earlyCases(), append(lateCases(), contextCases()...)...)
}

// cancelled returns a context that has ended.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(background)
	cancel()
	return ctx
}

// An expiring is a context whose deadline passes when the case calls expire.
type expiring struct {
	context.Context
	done chan struct{}
}

func newExpiring() *expiring { return &expiring{background, make(chan struct{})} }

func (c *expiring) expire()                     { close(c.done) }
func (c *expiring) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (c *expiring) Done() <-chan struct{}       { return c.done }

func (c *expiring) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// long takes seconds unless the function hook ends it.
const long = "WITH RECURSIVE n(i) AS (SELECT hook() UNION ALL SELECT 1 FROM n LIMIT 10000000) SELECT count(*) FROM n WHERE i = ?"

// earlyCases use a context that has ended before the call.
func earlyCases() []Case {
	type call struct {
		name, rule string
		do         func(ctx context.Context, s *Session, db querier) error
	}
	calls := []call{
		{"exec", "An exec", func(ctx context.Context, s *Session, db querier) error {
			_, err := s.ExecContext(ctx, db, "INSERT INTO t VALUES (1)")
			return err
		}},
		{"exec of nothing", "An exec of an empty query", func(ctx context.Context, s *Session, db querier) error {
			_, err := s.ExecContext(ctx, db, "")
			return err
		}},
		{"exec with arguments", "An exec with arguments", func(ctx context.Context, s *Session, db querier) error {
			_, err := s.ExecContext(ctx, db, "INSERT INTO t VALUES (?)", 1)
			return err
		}},
		{"exec of an error", "An exec of an invalid query", func(ctx context.Context, s *Session, db querier) error {
			_, err := s.ExecContext(ctx, db, "INSERT INTO nowhere VALUES (?)", 1)
			return err
		}},
		{"query", "A query", func(ctx context.Context, s *Session, db querier) error {
			rows, err := db.QueryContext(ctx, "SELECT 1")
			if err == nil {
				defer rows.Close()
			}
			return err
		}},
		{"query with arguments", "A query with arguments", func(ctx context.Context, s *Session, db querier) error {
			rows, err := db.QueryContext(ctx, "SELECT ?", 1)
			if err == nil {
				defer rows.Close()
			}
			return err
		}},
		{"query of a row", "A query of a row", func(ctx context.Context, s *Session, db querier) error {
			return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
		}},
		{"prepare", "A prepare", func(ctx context.Context, s *Session, db querier) error {
			stmt, err := db.PrepareContext(ctx, "SELECT 1")
			if err == nil {
				defer stmt.Close()
			}
			return err
		}},
	}
	var cases []Case
	for _, c := range calls {
		cases = append(cases, Case{
			Name: "before " + c.name,
			Rule: c.rule + " whose context has ended is refused: by database/sql if it must acquire a connection, and otherwise by the driver.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.See("database", c.do(cancelled(), s, s.DB))
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.See("used", c.do(background, s, conn))
				s.See("connection", c.do(cancelled(), s, conn))
				late := newExpiring()
				late.expire()
				s.See("expired", c.do(late, s, conn))
				s.See("usable", c.do(background, s, conn))
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.See("transaction", c.do(cancelled(), s, tx), c.do(background, s, tx))
				s.See("commit", tx.Commit())
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		})
	}
	return append(cases, []Case{
		{
			Name: "before begin",
			Rule: "Begin with a context that has ended begins nothing.",
			Play: func(s *Session) {
				_, err := s.DB.BeginTx(cancelled(), nil)
				s.See("database", err)
				conn := s.Conn(s.DB)
				defer conn.Close()
				_, err = conn.BeginTx(cancelled(), nil)
				s.See("connection", err)
				_, err = conn.BeginTx(cancelled(), &sql.TxOptions{Isolation: sql.LevelSnapshot})
				s.See("no such level", err)
				_, err = conn.BeginTx(cancelled(), &sql.TxOptions{ReadOnly: true})
				s.See("read-only", err)
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.SeeExec(tx, "CREATE TABLE t(a)")
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "before prepared",
			Rule: "A prepared statement whose caller's context has ended is not executed, and can be used again.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				conn := s.Conn(s.DB)
				defer conn.Close()
				insert, query := s.Prepare(conn, "INSERT INTO t VALUES (?)"), s.Prepare(conn, "SELECT count(*) FROM t WHERE a = ?")
				defer insert.Close()
				defer query.Close()
				_, err := insert.ExecContext(cancelled(), 1)
				s.See("exec", err)
				s.SeeStmtExec("usable", insert, 2)
				// Either database/sql or the driver reports the context's end,
				// whichever notices it first.
				rows, err := query.QueryContext(cancelled(), 2)
				s.See("query", err)
				if err == nil {
					s.See("next", rows.Next(), rows.Err() != nil, rows.Close())
				}
				s.SeeStmtQuery("usable", query, 2)
			},
		},
		{
			Name: "before ping",
			Rule: "A ping of an acquired connection succeeds even if its context has ended.",
			Play: func(s *Session) {
				s.See("database", s.DB.PingContext(cancelled()))
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.See("connection", conn.PingContext(cancelled()))
				s.See("background", conn.PingContext(background))
			},
		},
		{
			Name: "before conn",
			Rule: "No connection is opened for a context that has ended.",
			Play: func(s *Session) {
				_, err := s.DB.Conn(cancelled())
				s.See("conn", err)
				late := newExpiring()
				late.expire()
				_, err = s.DB.Conn(late)
				s.See("expired", err)
				s.See("open", s.DB.Stats().OpenConnections)
			},
		},
	}...)
}

// lateCases use a context that ends during the call, or after it.
func lateCases() []Case {
	// during makes the function hook end the context of the call.
	during := func(s *Session, do func(ctx context.Context) error) error {
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		s.Function("hook", func(context.Context) any { cancel(); return 1 })
		return do(ctx)
	}
	return []Case{
		{
			Name: "during exec",
			Rule: "An exec whose context ends is interrupted, and its connection stays usable.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.See("exec", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, s.DB, long, 2)
					return err
				}))
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "during exec without arguments",
			Rule: "An exec without arguments whose context ends is interrupted.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.See("exec", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, s.DB, strings.Replace(long, "?", "2", 1))
					return err
				}))
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "during prepared exec",
			Rule: "A prepared statement whose context ends is interrupted, and can be used again.",
			Play: func(s *Session) {
				stmt := s.Prepare(s.DB, long)
				defer stmt.Close()
				s.See("exec", during(s, func(ctx context.Context) error {
					_, err := stmt.ExecContext(ctx, 2)
					return err
				}))
				s.See("again", during(s, func(ctx context.Context) error {
					_, err := stmt.ExecContext(ctx, 3)
					return err
				}))
			},
		},
		{
			Name: "deadline during exec",
			Rule: "An exec whose deadline passes is interrupted: the error is the engine's, not the context's.",
			Play: func(s *Session) {
				late := newExpiring()
				s.Function("hook", func(context.Context) any { late.expire(); return 1 })
				_, err := s.ExecContext(late, s.DB, long, 2)
				s.See("exec", err)
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "during a write",
			Rule: "A write that is interrupted is undone. In a transaction, what was written before it remains.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				const write = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT hook() UNION ALL SELECT i FROM n LIMIT 10000000) SELECT i FROM n WHERE i = ?"
				s.See("write", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, s.DB, write, 2)
					return err
				}))
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("write", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, tx, write, 2)
					return err
				}))
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 3)
				s.See("commit", tx.Commit())
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "during a short write",
			Rule: "A write that ends before its context is checked has succeeded.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.See("write", during(s, func(ctx context.Context) error {
					res, err := s.ExecContext(ctx, s.DB, "INSERT INTO t SELECT hook() + ?", 1)
					s.SeeResult("write", res, err)
					return err
				}))
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "between statements",
			Rule: "If the context ends during the first of several statements, the engine may execute the others.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.See("exec", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, s.DB, "INSERT INTO t SELECT hook(); INSERT INTO t VALUES (2)")
					return err
				}))
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "during a query",
			Rule: "A query whose context ends during a row does not return that row, and its connection stays usable.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.See("query", during(s, func(ctx context.Context) error {
					rows, err := s.DB.QueryContext(ctx, long, 2)
					s.Must(err)
					defer rows.Close()
					s.See("next", rows.Next(), rows.Err() != nil)
					return nil
				}))
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "between rows",
			Rule: "Rows end when their context ends, and Err returns the reason.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				rows, err := s.DB.QueryContext(ctx, "SELECT ? UNION ALL SELECT 2", 1)
				s.Must(err)
				s.See("first", rows.Next())
				s.SeeRow(rows)
				cancel()
				s.Await(func() bool { return rows.Err() != nil })
				s.See("then", rows.Next(), rows.Err(), rows.Scan(new(int)), rows.Close())
				s.SeeQuery(s.DB, "SELECT 1")
			},
		},
		{
			Name: "deadline between rows",
			Rule: "Rows end when their deadline passes, and Err returns the reason.",
			Play: func(s *Session) {
				late := newExpiring()
				rows, err := s.DB.QueryContext(late, "SELECT ? UNION ALL SELECT 2", 1)
				s.Must(err)
				s.See("first", rows.Next())
				late.expire()
				s.Await(func() bool { return rows.Err() != nil })
				s.See("then", rows.Next(), rows.Err(), rows.Close())
			},
		},
		{
			Name: "between rows of a transaction",
			Rule: "When the context of rows ends, their transaction goes on.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				rows, err := tx.QueryContext(ctx, "SELECT ? UNION ALL SELECT 2", 1)
				s.Must(err)
				s.See("first", rows.Next())
				cancel()
				s.Await(func() bool { return rows.Err() != nil })
				s.See("then", rows.Next(), rows.Close())
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("commit", tx.Commit())
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "after rows",
			Rule: "A context that ends after its rows have been read changes nothing.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				ctx, cancel := context.WithCancel(background)
				rows, err := s.DB.QueryContext(ctx, "SELECT ?", 1)
				s.SeeRows("rows", rows, err)
				cancel()
				s.See("err", rows.Err(), rows.Close())
				s.SeeQuery(s.DB, "SELECT ?", 1)
			},
		},
		{
			Name: "after prepare",
			Rule: "A statement stays usable after the context that it was prepared with has ended.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				ctx, cancel := context.WithCancel(background)
				stmt, err := conn.PrepareContext(ctx, "SELECT ?")
				s.Must(err)
				defer stmt.Close()
				cancel()
				s.SeeStmtQuery("query", stmt, 1)
				s.SeeStmtExec("exec", stmt, 1)
			},
		},
		{
			Name: "after connect",
			Rule: "A connection stays usable after the context that it was opened with has ended.",
			Play: func(s *Session) {
				ctx, cancel := context.WithCancel(background)
				conn, err := s.DB.Conn(ctx)
				s.Must(err)
				defer conn.Close()
				cancel()
				s.SeeExec(conn, "CREATE TABLE t(a)")
				s.SeeQuery(conn, "SELECT ?", 1)
				tx := s.Begin(conn)
				defer tx.Rollback()
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "an outer query",
			Rule: "A query whose context ends does not end another query that is running on its connection.",
			Play: func(s *Session) {
				tx := s.Begin(s.DB)
				rows := s.Query(tx, "SELECT ? UNION ALL SELECT 2", 1)
				defer rows.Close()
				for rows.Next() {
					s.SeeRow(rows)
					s.See("inner", during(s, func(ctx context.Context) error {
						_, err := s.ExecContext(ctx, tx, long, 2)
						return err
					}))
				}
				s.See("end", rows.Err(), rows.Close(), tx.Commit())
			},
		},
		{
			Name:     "waiting for a lock",
			Rule:     "A call whose context has ended does not wait for a lock.",
			Settings: Settings{Pragmas: []string{"busy_timeout(5000)"}},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx, err := s.DB.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelSerializable})
				s.Must(err)
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.See("exec", during(s, func(ctx context.Context) error {
					_, err := s.ExecContext(ctx, conn, "SELECT hook(); INSERT INTO t VALUES (1)")
					return err
				}))
				s.See("commit", tx.Commit())
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
	}
}
