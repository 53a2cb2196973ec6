package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Programs call on several goroutines, and calls fail in many ways. Still, every span ends
// once and is not used afterwards, every call is measured once and for as long as its span,
// and no connection stays in any counter.
func TestNothingIsLeft(t *testing.T) {
	seeds := uint64(16)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed) })
	}
}

func chaos(t *testing.T, seed uint64) {
	sampler := sdktrace.AlwaysSample()
	if seed%4 == 3 {
		sampler = sdktrace.TraceIDRatioBased(0.5)
	}
	tel := newTelemetry(t, sdktrace.WithSampler(sampler))
	tel.reader = sdkmetric.NewManualReader()
	tel.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader))
	var log eventLog
	db := open(t, file(t, "_pragma=busy_timeout(600000)", "_pragma=journal_mode(wal)", "_pragma=synchronous(off)", "_txlock=immediate"),
		driver.Config{Tracing: tel.tracer(t), Init: callable, Recorder: &log, StatementCache: int(seed%3) - 1})
	exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	exec(t, db, "INSERT INTO t(b) VALUES (1), (2), (3), (4), (5)")
	db.SetMaxOpenConns(2 + int(seed%2)) // so that some callers wait, and get connections opened in the background
	stmt, err := db.Prepare("SELECT b FROM t WHERE a > ?")
	if err != nil {
		t.Fatal(err)
	}

	var programs sync.WaitGroup
	for i := range uint64(4) {
		programs.Go(func() {
			p := &program{t: t, db: db, stmt: stmt, Rand: rand.New(rand.NewPCG(seed, i))}
			for range 25 {
				p.step(t.Context())
			}
			p.others.Wait()
		})
	}
	programs.Wait()
	stmt.Close()
	eventually(t, func() (bool, string) {
		got, stats := tel.collect(t).connections(), db.Stats()
		return stats.InUse == 0 && got["used"] == 0 && got["idle"] == int64(stats.OpenConnections),
			fmt.Sprintf("%v measured, database/sql has %+v", got, stats)
	})
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, func() (bool, string) {
		n := tel.collect(t).connections()
		return n["idle"] == 0 && n["used"] == 0, fmt.Sprintf("connections left: %v", n)
	})

	m := tel.collect(t)
	if got, want := counted(m.seconds("db.client.connection.create_time")), log.count(driver.KindConnect); got != uint64(want) {
		t.Errorf("%d connections were created, want %d", got, want)
	}
	if got, want := counted(m.seconds("db.client.connection.use_time")), log.count(driver.KindRelease)+log.count(driver.KindDiscard); got != uint64(want) {
		t.Errorf("%d uses of connections, want %d", got, want)
	}
	if seed%4 == 3 {
		return
	}
	calls := tel.spans.calls()
	var took, measured float64
	for _, span := range calls {
		took += span.EndTime().Sub(span.StartTime()).Seconds()
	}
	var durations []metricdata.HistogramDataPoint[float64]
	for _, p := range m.durations() {
		if op, _ := p.Attributes.Value("db.operation.name"); op.AsString() != "ACQUIRE" { // of a call that got no connection
			durations = append(durations, p)
			measured += p.Sum
		}
	}
	if n := counted(durations); n != uint64(len(calls)) || math.Abs(took-measured) > 1e-9*took {
		t.Errorf("%d calls of %vs are measured, but %d of %vs traced", n, measured, len(calls), took)
	}
}

// A program makes random calls one after the other. They may fail in any way, but not hang.
type program struct {
	*rand.Rand
	t      *testing.T
	db     *sql.DB
	stmt   *sql.Stmt
	others sync.WaitGroup // goroutines that cancel and close
}

// caller has the methods that *sql.DB, *sql.Conn and *sql.Tx share.
type caller interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
}

func (p *program) step(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil && r != "boom" {
			panic(r)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.IntN(4) == 0 {
		after := time.Duration(p.IntN(2000)) * time.Microsecond
		p.others.Go(func() {
			select {
			case <-time.After(after):
				cancel()
			case <-ctx.Done():
			}
		})
	}
	switch p.IntN(6) {
	case 0, 1:
		p.call(ctx, p.db)
	case 2:
		p.query(p.stmt.QueryContext(ctx, p.IntN(5)))
	case 3:
		p.db.PingContext(ctx)
	case 4:
		conn, err := p.db.Conn(ctx)
		if err != nil {
			return
		}
		defer conn.Close()
		for range p.IntN(4) {
			p.call(ctx, conn)
		}
		if p.IntN(3) == 0 {
			conn.Raw(func(any) error { return sqldriver.ErrBadConn })
		}
	case 5:
		tx, err := p.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: p.IntN(4) == 0})
		if err != nil {
			return
		}
		defer tx.Rollback()
		for range p.IntN(4) {
			p.call(ctx, tx)
		}
		switch p.IntN(3) {
		case 0:
			tx.Commit()
		case 1:
			cancel()
		}
	}
}

// call makes a call. Its argument may cancel its context, or panic, during the call.
func (p *program) call(ctx context.Context, db caller) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	whats := []func(){
		func() {},
		cancel,
		func() { panic("boom") },
	}
	do := goFunc(whats[p.IntN(3)])
	switch p.IntN(8) {
	case 0:
		db.ExecContext(ctx, "INSERT INTO t(b) VALUES (?)", p.IntN(100))
	case 1:
		db.ExecContext(ctx, "INSERT INTO t(a) VALUES (1)")
	case 2:
		db.ExecContext(ctx, "SELEC")
	case 3:
		db.ExecContext(ctx, "UPDATE t SET b = call(?) WHERE a < 5", do)
	case 4:
		p.query(db.QueryContext(ctx, "SELECT a, CASE WHEN a = 3 THEN call(?) END FROM t", do))
	case 5:
		p.query(db.QueryContext(ctx, "SELECT fail(a) FROM t WHERE a > ?", p.IntN(9)))
	case 6:
		p.query(db.QueryContext(ctx, "INSERT INTO t(b) VALUES (1), (2), (3) RETURNING call(?)", do))
	case 7:
		stmt, err := db.PrepareContext(ctx, "SELECT a FROM t WHERE call(?)")
		if err != nil {
			return
		}
		defer stmt.Close()
		// database/sql keeps the connection of a prepared Exec that panics.
		stmt.ExecContext(ctx, goFunc(whats[p.IntN(2)]))
		p.query(stmt.QueryContext(ctx, do))
	}
}

// query reads some or all rows and closes them, perhaps while another goroutine does the
// same.
func (p *program) query(rows *sql.Rows, err error) {
	if err != nil {
		return
	}
	defer rows.Close()
	if p.IntN(5) == 0 {
		p.others.Go(func() { rows.Close() })
	}
	if p.IntN(5) == 0 {
		rows.ColumnTypes()
	}
	for n := p.IntN(8); n > 0 && rows.Next(); n-- {
		if columns, err := rows.Columns(); err == nil {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			rows.Scan(values...)
		}
	}
}
