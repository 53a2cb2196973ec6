package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// postgresEngine is PostgreSQL, with one of pgx's ways to end a call whose context has ended.
// With a nil handler, pgx does what it does by default: it closes the connection.
func postgresEngine(name string, handler func(*pgconn.PgConn) ctxwatch.Handler, programs []program) engine {
	return engine{
		name:     name,
		system:   "postgresql",
		raw:      "*stdlib.Conn",
		discards: true,
		classify: func(err error) tracing.ErrorClass {
			if e, ok := errors.AsType[*pgconn.PgError](err); ok {
				return tracing.ErrorClass{StatusCode: e.Code, Interrupted: e.Code == "57014"}
			}
			return tracing.ErrorClass{}
		},
		start:    func(t *testing.T, log *transcript) site { return startPostgres(t, log, handler) },
		programs: programs,
	}
}

// cancelRequest makes the server cancel a call, and keeps the connection.
func cancelRequest(c *pgconn.PgConn) ctxwatch.Handler {
	return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Minute}
}

var allPostgresPrograms = slices.Concat(deterministic(commonPrograms("select two", "select none", "insert one", "select wrong", "$1")),
	serverPrograms("insert one $1", "select drops"), postgresPrograms, postgresCancelPrograms)

func startPostgres(t *testing.T, log *transcript, handler func(*pgconn.PgConn) ctxwatch.Handler) site {
	cfg, err := pgx.ParseConfig("postgres://shop@localhost/orders?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	s := newPGServer(log)
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return s.dial(), nil }
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { log.hear("pgx", "notice %q", n.Message) }
	cfg.Tracer = pgTracer{log}
	if handler != nil {
		cfg.BuildContextWatcherHandler = handler
	}
	dsn := stdlib.RegisterConnConfig(cfg)
	t.Cleanup(func() { stdlib.UnregisterConnConfig(dsn) })
	return site{stdlib.GetConnector(*cfg), stdlib.GetDefaultDriver(), dsn, s.drop}
}

// A pgTracer records what pgx gets: the arguments before their conversion, and whether the
// context is the program's own.
type pgTracer struct{ log *transcript }

func (p pgTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	args := ""
	for _, a := range data.Args {
		args += fmt.Sprintf(" %T %v", a, a)
	}
	p.log.hear("pgx", "asked %q with%s, context %T %v", data.SQL, args, ctx, ctx.Value(mine{}))
	return ctx
}

func (p pgTracer) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	p.log.hear("pgx", "answers %v, %v", data.CommandTag, data.Err)
}

var isolationLevels = []sql.IsolationLevel{
	sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelWriteCommitted, sql.LevelRepeatableRead,
	sql.LevelSnapshot, sql.LevelSerializable, sql.LevelLinearizable,
}

var postgresPrograms = []program{
	{name: "types", play: func(r *run) {
		r.query(r.db, "select types")
		r.query(r.db, "select types", pgx.QueryExecModeSimpleProtocol)
		stmt := r.prepare(r.db, "select types")
		r.queryStmt(stmt)
		r.close(stmt)
	}},
	{name: "scanning into Go types", play: func(r *run) {
		var n sql.NullInt64
		var i int
		var s string
		var b []byte
		r.scan("select two", &n)
		r.scan("select two", &i)
		r.scan("select two", &s)
		r.scan("select two", &b)
	}},
	{name: "scanning into pgx's types", scansItself: true, play: func(r *run) {
		var list []int32
		var span pgtype.Range[pgtype.Int4]
		r.scan("select list", &list, &span)
		m := pgtype.NewMap()
		r.scan("select list", m.SQLScanner(&list), m.SQLScanner(&span))
	}},
	{name: "arguments", play: func(r *run) {
		at := time.Date(2026, 8, 1, 12, 30, 0, 0, time.UTC)
		number := 5
		for _, args := range [][]any{
			{1, "two", true, 4.5, []byte("six"), at},
			{int8(1), sql.NullString{}, nil, float32(4), []byte(nil), &at},
			{&number, sql.NullString{String: "x", Valid: true}, sql.NullBool{}, sql.NullFloat64{Float64: 1, Valid: true}, nil, sql.NullTime{Time: at, Valid: true}},
			{uint64(1) << 63, "too big", true, 1.0, nil, nil},
			{"not a number", "x", true, 1.0, nil, nil},
			{pgtype.Int8{Int64: 8, Valid: true}, pgtype.Text{String: "t", Valid: true}, pgtype.Bool{}, pgtype.Float8{}, nil, pgtype.Timestamptz{Time: at, Valid: true}},
			{1, 2, 3},
			{sql.Named("a", 1), "two", true, 4.5, nil, at},
			{failing{}, "x", true, 1.0, nil, nil},
		} {
			r.exec(r.db, "insert args", args...)
			stmt := r.prepare(r.db, "insert args")
			r.execStmt(stmt, args...)
			r.close(stmt)
		}
		numeric := pgtype.Numeric{}
		r.say("numeric: %s", showErr(numeric.Scan("12.5")))
		r.exec(r.db, "insert list", []int32{1, 2}, []string{"a", "b"}, map[string]int{"k": 1}, numeric)
		r.exec(r.db, "insert list", pgtype.FlatArray[int32]{3}, nil, []byte(`[1]`), "1.5")
		r.exec(r.db, "insert list", struct{}{}, nil, nil, nil)
	}},
	{name: "ways to execute", play: func(r *run) {
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
			pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol, 77,
		} {
			r.query(r.db, "select echo $1", mode, "it's")
			r.exec(r.db, "insert one $1", mode, int64(1))
			r.query(r.db, "select echo $1", mode, pgx.QueryResultFormats{1}, "x")
		}
		r.query(r.db, "select echo @word", pgx.NamedArgs{"word": "named"})
		stmt := r.prepare(r.db, "select echo $1")
		r.queryStmt(stmt, pgx.QueryExecModeExec, "one too many")
		r.close(stmt)
	}},
	{name: "isolation levels", play: func(r *run) {
		for _, level := range isolationLevels {
			for _, readOnly := range []bool{false, true} {
				if tx := r.begin(&sql.TxOptions{Isolation: level, ReadOnly: readOnly}); tx != nil {
					r.exec(tx, "insert one $1", 1)
					r.say("commit: %s", showErr(tx.Commit()))
				}
			}
		}
		conn := r.conn()
		tx, err := conn.BeginTx(r.ctx, &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
		r.say("begin: %s", showErr(err))
		if err == nil {
			r.say("rollback: %s", showErr(tx.Rollback()))
		}
		r.close(conn)
	}},
	{name: "errors", play: func(r *run) {
		r.exec(r.db, "insert twice $1", 1)
		r.query(r.db, "insert twice $1", 1)
		r.query(r.db, "select half")
		r.exec(r.db, "select half")
		r.exec(r.db, "gibberish")
		r.exec(r.db, "update; select wrong; update")
		var n int
		r.say("row: %s", showErr(r.db.QueryRowContext(r.ctx, "insert twice $1", 1).Scan(&n)))
	}},
	{name: "a transaction that failed", play: func(r *run) {
		tx := r.begin(nil)
		r.exec(tx, "insert twice $1", 1)
		r.say("commit: %s", showErr(tx.Commit()))
		tx = r.begin(nil)
		r.exec(tx, "insert twice $1", 1)
		r.say("rollback: %s, %s", showErr(tx.Rollback()), showErr(tx.Rollback()))
		r.stats()
	}},
	{name: "texts without arguments", play: func(r *run) {
		r.exec(r.db, "create table")
		r.exec(r.db, "update; update")
		r.exec(r.db, "")
		r.query(r.db, "")
		r.exec(r.db, "select two")
		r.query(r.db, "update")
	}},
	{name: "returning", play: func(r *run) {
		var id int64
		r.say("row: %s %d", showErr(r.db.QueryRowContext(r.ctx, "insert returning $1", "x").Scan(&id)), id)
	}},
	{name: "a transaction left open in a text", play: func(r *run) {
		r.exec(r.db, "begin")
		r.exec(r.db, "update")
		r.stats()
	}},
	{name: "idle for long", play: func(r *run) {
		for range 2 {
			r.exec(r.db, "update")
			r.exec(r.db, "update") // pgx pings only a connection that was idle for a second
			time.Sleep(2 * time.Second)
		}
		r.exec(r.db, "update")
	}},
	cancelledBetweenRows("select blocks", "update"), // the server has not sent all rows
	{name: "cancelled while rows come", play: func(r *run) {
		time.AfterFunc(time.Second, r.cancel)
		r.query(r.db, "select blocks")
		r.stats()
		r.renew()
		r.exec(r.db, "update")
	}},
	{name: "cancelled in a transaction that runs", cancelsTx: true, play: func(r *run) {
		tx := r.begin(nil)
		time.AfterFunc(time.Second, r.cancel)
		r.exec(tx, "select blocks")
		r.say("commit: %s", showErr(tx.Commit()))
		r.stats()
		r.renew()
		r.exec(r.db, "update")
		r.stats()
	}},
	{name: "raw", play: func(r *run) {
		conn := r.conn()
		r.parent(conn, func(c any) error {
			p := c.(*stdlib.Conn).Conn()
			_, err := p.Exec(r.ctx, "insert one $1", 7)
			return err
		})
		r.parent(conn, func(c any) error {
			_, err := c.(*stdlib.Conn).Conn().Exec(r.ctx, "insert twice $1", 7)
			return err
		})
		r.parent(conn, func(any) error { return driver.ErrBadConn })
		r.say("close: %s", showErr(conn.Close()))
		r.stats()
	}},
}

// postgresCancelPrograms end the context of a call while the server executes it.
var postgresCancelPrograms = []program{
	{name: "cancelled while it runs", play: func(r *run) {
		for _, do := range []func(){
			func() { r.exec(r.db, "select waits") },
			func() { r.query(r.db, "select waits", pgx.QueryExecModeSimpleProtocol) },
			func() { r.query(r.db, "select waits") },
			func() { r.execStmt(r.prepare(r.db, "select waits")) },
		} {
			r.renew()
			time.AfterFunc(time.Second, r.cancel)
			do()
			r.stats()
		}
		r.renew()
		r.exec(r.db, "update")
	}},
	{name: "out of time", play: func(r *run) {
		r.ctx, r.cancel = context.WithTimeout(context.Background(), time.Second)
		r.exec(r.db, "select waits")
		r.exec(r.db, "update")
		r.renew()
		r.exec(r.db, "update")
	}},
}

// failing is an argument whose conversion fails.
type failing struct{}

var errFailing = errors.New("this value never converts")

func (failing) Value() (driver.Value, error) { return nil, errFailing }

// deterministic removes a program in which two of pgx's own goroutines race: one sends
// Terminate to the server, and the other rolls back.
func deterministic(programs []program) []program {
	return slices.DeleteFunc(programs, func(p program) bool { return p.name == "cancelled in a transaction" })
}
