package conformance

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
)

// lifecycleCases check opening and closing: databases, connections, statements.
func lifecycleCases() []Case {
	return append(lifecycleOfConnections(), lifecycleOfStatements()...)
}

// seeStats records the statistics of a database, without wait times.
func (s *Session) seeStats(db *sql.DB) {
	st := db.Stats()
	s.See("stats", st.MaxOpenConnections, st.OpenConnections, st.InUse, st.Idle, st.WaitCount, st.MaxIdleClosed, st.MaxLifetimeClosed)
}

func lifecycleOfConnections() []Case {
	return []Case{
		{
			Name: "open and close",
			Rule: "A database that is opened, used and closed leaves nothing open.",
			Play: func(s *Session) {
				s.SeeExec(s.DB, "CREATE TABLE t(a)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT a, a + ? AS b FROM t", 2)
				s.See("close", s.DB.Close(), s.DB.Close())
				s.SeeExec(s.DB, "SELECT 1")
			},
		},
		{
			Name: "a function's context",
			Rule: "A function called by SQLite runs with the caller's own context.",
			Play: func(s *Session) {
				type key struct{}
				ctx := context.WithValue(background, key{}, "mine")
				s.Function("hook", func(got context.Context) any {
					s.See("hook", got == ctx, got.Value(key{}))
					return 1
				})
				_, err := s.ExecContext(ctx, s.DB, "SELECT hook()")
				s.See("exec", err)
			},
		},
		{
			Name: "unused",
			Rule: "A database that is opened and not used has no connection and creates no file.",
			Play: func(s *Session) {
				s.seeStats(s.DB)
				_, err := os.Stat(s.File("test.db"))
				s.See("there is no file", errors.Is(err, fs.ErrNotExist))
				s.See("close", s.DB.Close())
				s.seeStats(s.DB)
			},
		},
		{
			Name: "the file of a connection",
			Rule: "A connection creates the file, and writes nothing to it.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				info, err := os.Stat(s.File("test.db"))
				s.Must(err)
				s.See("size", info.Size())
				s.See("close", conn.Close())
			},
		},
		{
			Name: "ping",
			Rule: "A ping of an intact database opens a connection and keeps it.",
			Play: func(s *Session) {
				s.See("ping", s.DB.PingContext(background))
				s.seeStats(s.DB)
				conn := s.Conn(s.DB)
				s.See("of a connection", conn.PingContext(background), conn.Close())
				s.seeStats(s.DB)
			},
		},
		{
			Name: "used after close",
			Rule: "Every use of a closed database fails with the same error.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.See("close", s.DB.Close())
				s.See("ping", s.DB.PingContext(background))
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT a FROM t")
				s.See("row", s.DB.QueryRowContext(background, "SELECT 1").Err())
				_, err := s.DB.PrepareContext(background, "SELECT 1")
				s.See("prepare", err)
				_, err = s.DB.BeginTx(background, nil)
				s.See("begin", err)
				_, err = s.DB.Conn(background)
				s.See("conn", err)
			},
		},
		{
			Name: "one connection for one caller",
			Rule: "Consecutive calls of one caller get the same connection, with its temporary tables.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TEMP TABLE t(a)")
				for i := range 3 {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", i)
					s.SeeQuery(s.DB, "SELECT a FROM temp.t WHERE a = ?", i)
				}
				s.seeStats(s.DB)
			},
		},
		{
			Name: "a connection goes back",
			Rule: "A released connection goes to the next caller unchanged: with its settings, attached databases and transactions.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				s.Exec(conn, "PRAGMA cache_size = 123")
				s.Exec(conn, "ATTACH ':memory:' AS aux")
				s.Exec(conn, "CREATE TABLE aux.t(a)")
				s.Exec(conn, "CREATE TABLE u(a)")
				s.Exec(conn, "BEGIN")
				s.Exec(conn, "INSERT INTO u VALUES (1)")
				s.See("close", conn.Close())
				s.SeeQuery(s.DB, "PRAGMA cache_size")
				s.SeeQuery(s.DB, "SELECT count(*) FROM aux.t")
				s.SeeExec(s.DB, "ROLLBACK")
				s.SeeQuery(s.DB, "SELECT count(*) FROM u")
			},
		},
		{
			Name: "used after it went back",
			Rule: "Every use of a connection that was released fails with sql.ErrConnDone.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				s.See("close", conn.Close(), conn.Close())
				s.SeeExec(conn, "CREATE TABLE t(a)")
				s.SeeQuery(conn, "SELECT ?", 1)
				s.See("ping", conn.PingContext(background))
				_, err := conn.PrepareContext(background, "SELECT 1")
				s.See("prepare", err)
				_, err = conn.BeginTx(background, nil)
				s.See("begin", err)
				s.See("raw", conn.Raw(func(any) error { return nil }))
			},
		},
		{
			Name: "database closed before a connection",
			Rule: "A connection in use stays usable after its database was closed, and is closed when it is released.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TABLE t(a)")
				s.See("close", s.DB.Close())
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(conn, "SELECT a FROM t")
				s.seeStats(s.DB)
				s.See("give back", conn.Close())
				s.seeStats(s.DB)
			},
		},
		{
			Name: "database closed before rows",
			Rule: "Rows can be read to their end after their database was closed.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT ?", 3)
				s.See("next", rows.Next())
				s.See("close", s.DB.Close())
				s.SeeRows("rest", rows, nil)
				s.seeStats(s.DB)
			},
		},
		{
			Name: "database closed before a transaction",
			Rule: "A transaction continues after its database was closed, and can be committed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 1)
				s.See("close", s.DB.Close())
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 2)
				s.See("commit", tx.Commit())
				again := s.Open(s.File("test.db"), Settings{})
				s.SeeQuery(again, "SELECT a FROM t")
			},
		},
		{
			Name: "none idle",
			Rule: "If no connection may be idle, every call opens a connection of its own and closes it.",
			Play: func(s *Session) {
				s.DB.SetMaxIdleConns(0)
				s.SeeExec(s.DB, "CREATE TEMP TABLE t(a)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT ?", 1)
				s.seeStats(s.DB)
			},
		},
		{
			Name: "one idle",
			Rule: "Of the released connections, no more stay open than the limit of idle ones.",
			Play: func(s *Session) {
				s.DB.SetMaxIdleConns(1)
				var conns []*sql.Conn
				for range 3 {
					conn := s.Conn(s.DB)
					s.SeeExec(conn, "SELECT ?", len(conns))
					conns = append(conns, conn)
				}
				s.seeStats(s.DB)
				for _, conn := range conns {
					s.See("give back", conn.Close())
					s.seeStats(s.DB)
				}
			},
		},
		{
			Name: "short lives",
			Rule: "A connection that has reached its maximum lifetime is closed when it is released, and the next caller gets a new one.",
			Play: func(s *Session) {
				s.DB.SetConnMaxLifetime(1)
				for i := range 3 {
					conn := s.Conn(s.DB)
					s.SeeExec(conn, "CREATE TEMP TABLE t(a)")
					s.SeeExec(conn, "INSERT INTO t VALUES (?)", i)
					s.seeStats(s.DB)
					s.See("give back", conn.Close())
				}
				s.SeeQuery(s.DB, "SELECT a FROM t")
			},
		},
		{
			Name: "two databases of one file",
			Rule: "Two databases opened with the same name share only the file.",
			Play: func(s *Session) {
				other := s.Open(s.File("test.db"), Settings{})
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "CREATE TEMP TABLE u(a)")
				s.SeeExec(other, "INSERT INTO t VALUES (?)", 1)
				s.SeeExec(other, "INSERT INTO u VALUES (?)", 1)
				s.SeeQuery(s.DB, "SELECT * FROM t, (SELECT count(*) FROM u)")
				s.See("close", other.Close())
				s.SeeQuery(s.DB, "SELECT * FROM t")
			},
		},
		{
			Name: "every caller's context",
			Rule: "Whichever call runs SQLite, SQLite runs with the context of exactly that call: not with that of the statement, nor of an earlier call.",
			Play: func(s *Session) {
				type key struct{}
				with := func(name string) context.Context { return context.WithValue(background, key{}, name) }
				var want context.Context
				s.Function("hook", func(got context.Context) any {
					s.See("hook", got == want, got.Value(key{}))
					return 1
				})
				conn, err := s.DB.Conn(with("conn"))
				s.Must(err)
				defer conn.Close()
				stmt, err := conn.PrepareContext(with("prepare"), "SELECT hook() WHERE ? = 1")
				s.Must(err)
				defer stmt.Close()
				var n int
				want = with("stmt exec")
				_, err = stmt.ExecContext(want, 1)
				s.See("exec", err)
				want = with("stmt query")
				s.See("query", stmt.QueryRowContext(want, 1).Scan(&n))
				for _, name := range []string{"first", "second"} {
					want = with(name)
					_, err = s.ExecContext(want, conn, "SELECT hook(), ?", 1)
					s.See("exec", err)
					s.See("query", conn.QueryRowContext(want, "SELECT hook(), ?", 1).Scan(&n, &n))
				}
				tx, err := conn.BeginTx(with("begin"), nil)
				s.Must(err)
				want = with("in a transaction")
				_, err = s.ExecContext(want, tx, "SELECT hook(), ?", 1)
				s.See("exec", err)
				s.See("prepared", tx.StmtContext(with("stmt"), stmt).QueryRowContext(want, 1).Scan(&n))
				s.See("commit", tx.Commit())
			},
		},
		{
			Name: "contexts of rows side by side",
			Rule: "Each row is computed with the context of its own query, whatever ran in between.",
			Play: func(s *Session) {
				type key struct{}
				s.Function("hook", func(got context.Context) any {
					s.See("hook", got.Value(key{}))
					return 1
				})
				tx := s.Begin(s.DB)
				defer tx.Rollback()
				const query = "SELECT hook(), ? UNION ALL SELECT hook(), 2 UNION ALL SELECT hook(), 3"
				var all []*sql.Rows
				for _, name := range []string{"a", "b"} {
					rows, err := tx.QueryContext(context.WithValue(background, key{}, name), query, 1)
					s.Must(err)
					defer rows.Close()
					all = append(all, rows)
				}
				for range 4 {
					for _, rows := range all {
						s.See("next", rows.Next(), rows.Err())
					}
				}
			},
		},
	}
}
