package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Names, units and boundaries are those of the conventions, except boundaries set by the
// program.
func TestInstruments(t *testing.T) {
	conventional := []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}
	for name, tc := range map[string]struct{ given, want []float64 }{
		"default": {nil, conventional},
		"empty":   {[]float64{}, conventional},
		"fine":    {tracing.FineDurationBuckets(), tracing.FineDurationBuckets()},
		"own":     {[]float64{1, 2}, []float64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t)
			tel.DurationBuckets = tc.given
			db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
			value[int](t, db, "SELECT 1")
			m := tel.collect(t)
			for name, want := range map[string]struct {
				unit   string
				bounds []float64
			}{
				"db.client.operation.duration":     {"s", tc.want},
				"db.client.response.returned_rows": {"{row}", []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}},
				"db.client.connection.create_time": {"s", tracing.FineDurationBuckets()},
				"db.client.connection.use_time":    {"s", tracing.FineDurationBuckets()},
				"db.client.connection.count":       {"{connection}", nil},
			} {
				got := m.metric(name)
				if got.Unit != want.unit {
					t.Errorf("%s: unit %q, want %q", name, got.Unit, want.unit)
				}
				var bounds []float64
				switch data := got.Data.(type) {
				case metricdata.Histogram[float64]:
					bounds = data.DataPoints[0].Bounds
				case metricdata.Histogram[int64]:
					bounds = data.DataPoints[0].Bounds
				case metricdata.Sum[int64]:
					if data.IsMonotonic {
						t.Errorf("%s never falls", name)
					}
				}
				if !slices.Equal(bounds, want.bounds) {
					t.Errorf("%s: boundaries %v, want %v", name, bounds, want.bounds)
				}
			}
			for _, scope := range m.ScopeMetrics {
				if scope.Scope.Name != tracing.ScopeName || !strings.HasSuffix(scope.Scope.SchemaURL, "/1.43.0") {
					t.Errorf("scope %+v", scope.Scope)
				}
			}
		})
	}
}

// untilCancelled calls its argument and then runs until its context ends.
const untilCancelled = "WITH RECURSIVE n(i) AS (SELECT call(?) UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"

// A measuredCall is a call and the attributes of its measurement.
type measuredCall struct {
	call func() error
	want string // attributes besides the database's, or "none" if nothing is measured
}

// measuredCalls returns calls of every kind, to be made in order. They use a table t(a
// PRIMARY KEY, b) with a row whose a is 1.
func measuredCalls(t *testing.T, ctx context.Context, db *sql.DB) []measuredCall {
	done := func(_ any, err error) error { return err }
	fails := func(_ any, err error) error { return mustFail(err) }
	cancelled, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	var tx *sql.Tx
	var stmt *sql.Stmt
	return []measuredCall{
		{func() error { return done(db.ExecContext(ctx, "INSERT INTO t VALUES (?, ?)", 2, "secret")) },
			"db.query.summary=INSERT t"},
		{func() error { return done(db.ExecContext(ctx, "INSERT INTO t VALUES (3, 'secret')")) },
			"db.query.summary=INSERT t"},
		{func() error { return db.QueryRowContext(ctx, "SELECT b FROM t WHERE a = ?", 1).Scan(new(string)) },
			"db.query.summary=SELECT t"},
		{func() (err error) {
			stmt, err = db.PrepareContext(ctx, "SELECT b FROM t WHERE a = ?")
			return err
		}, "db.operation.name=PREPARE,db.query.summary=SELECT t"},
		{func() error { return stmt.QueryRowContext(ctx, 1).Scan(new(string)) },
			"db.query.summary=SELECT t"},
		{func() error { return done(stmt.ExecContext(ctx, 1)) },
			"db.query.summary=SELECT t"},
		{func() error { return stmt.Close() },
			"none"},
		{func() error { return db.PingContext(ctx) },
			"db.operation.name=PING"},
		{func() (err error) { tx, err = db.BeginTx(ctx, nil); return err },
			"db.operation.name=BEGIN"},
		{func() error { return done(tx.ExecContext(ctx, "DELETE FROM t WHERE a = ?", 99)) },
			"db.query.summary=DELETE t"},
		{func() error { return tx.Commit() },
			"db.operation.name=COMMIT"},
		{func() (err error) { tx, err = db.BeginTx(ctx, nil); return err },
			"db.operation.name=BEGIN"},
		{func() error { return tx.Rollback() },
			"db.operation.name=ROLLBACK"},
		{func() error { return done(db.ExecContext(ctx, "-- nothing")) },
			""},
		{func() error { return fails(db.ExecContext(ctx, "INSERT INTO t VALUES (?, ?)", 1, "secret")) },
			"db.query.summary=INSERT t,db.response.status_code=1555,error.type=1555"},
		{func() error { return fails(db.ExecContext(ctx, "SELEC 'secret'")) },
			"db.response.status_code=1,error.type=1"},
		{func() error { return fails(db.ExecContext(ctx, "SELECT ?", 1, 2)) },
			"db.query.summary=SELECT,error.type=*errors.errorString"},
		{func() error {
			return mustFail(db.QueryRowContext(ctx, "SELECT abs(b - 9223372036854775807 - 1) FROM (SELECT 0 AS b)").Scan(new(int)))
		}, "db.query.summary=SELECT SELECT,db.response.status_code=1,error.type=1"},
		{func() error {
			return fails(db.ExecContext(cancelled, untilCancelled, goFunc(cancel)))
		}, "db.query.summary=SELECT SELECT SELECT,db.response.status_code=9,error.type=context.Canceled"},
	}
}

// Every call is measured once, for as long as its span. It has an exemplar that links to
// the span, and attributes with few values.
func TestCallsAreMeasured(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), Init: callable})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a PRIMARY KEY, b)")
	exec(t, db, "INSERT INTO t VALUES (1, 'x')")
	namespace := attr(tel.spans.calls()[0], "db.namespace")
	tel.forget(t)
	for _, tc := range measuredCalls(t, tel.program(t), db) {
		if err := tc.call(); err != nil {
			t.Errorf("%s: %v", tc.want, err)
		}
		points, calls := tel.collect(t).durations(), tel.spans.calls()
		if tc.want == "none" {
			if len(points) > 0 || len(calls) > 0 {
				t.Errorf("%d points and %d spans of no call", len(points), len(calls))
			}
			continue
		}
		if len(points) != 1 || points[0].Count != 1 || len(calls) != 1 {
			t.Fatalf("%s: %d points, %d measurements, %d spans", tc.want, len(points), counted(points), len(calls))
		}
		p, span := points[0], calls[0]
		want := []string{"db.system.name=sqlite", "db.namespace=" + namespace}
		if tc.want != "" {
			want = append(want, strings.Split(tc.want, ",")...)
		}
		slices.Sort(want)
		if got := encode(p.Attributes); got != strings.Join(want, ",") {
			t.Errorf("attributes %s, want %s", got, strings.Join(want, ","))
		}
		for _, kv := range p.Attributes.ToSlice() {
			if got := attr(span, kv.Key); got != kv.Value.AsString() {
				t.Errorf("%s: %s is %q, on the span %q", tc.want, kv.Key, kv.Value.AsString(), got)
			}
		}
		if took := span.EndTime().Sub(span.StartTime()).Seconds(); p.Sum != took {
			t.Errorf("%s: it took %vs, by its span %vs", tc.want, p.Sum, took)
		}
		id, trace := span.SpanContext().SpanID(), span.SpanContext().TraceID()
		if len(p.Exemplars) != 1 || !slices.Equal(p.Exemplars[0].SpanID, id[:]) || !slices.Equal(p.Exemplars[0].TraceID, trace[:]) {
			t.Errorf("%s: exemplars %+v, want one of span %s", tc.want, p.Exemplars, id)
		}
	}
}

// Calls that are not traced or not sampled are measured too.
func TestCallsAreMeasuredWithoutSpans(t *testing.T) {
	for name, prepare := range map[string]func(*telemetry){
		"no tracer":      func(tel *telemetry) { tel.TracerProvider = nil },
		"not sampled":    func(*telemetry) {},
		"without parent": func(tel *telemetry) { tel.OnlyWithParent = true },
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t, sdktrace.WithSampler(sdktrace.NeverSample()))
			prepare(tel)
			db := open(t, file(t), driver.Config{Tracing: tel.tracer(t), Init: callable})
			db.SetMaxOpenConns(1)
			exec(t, db, "CREATE TABLE t(a PRIMARY KEY, b)")
			exec(t, db, "INSERT INTO t VALUES (1, 'x')")
			tel.collect(t)
			for _, tc := range measuredCalls(t, t.Context(), db) {
				if err := tc.call(); err != nil {
					t.Errorf("%s: %v", tc.want, err)
				}
				points := tel.collect(t).durations()
				if tc.want == "none" {
					continue
				}
				if len(points) != 1 || points[0].Count != 1 || points[0].Sum <= 0 || !strings.Contains(encode(points[0].Attributes), tc.want[strings.LastIndex(tc.want, ",")+1:]) {
					t.Errorf("%s: %+v", tc.want, points)
				}
				if len(points) == 1 && len(points[0].Exemplars) > 0 {
					t.Errorf("%s: an exemplar of no span", tc.want)
				}
			}
		})
	}
}

// Only rows that the program gets are counted.
func TestReturnedRowsAreMeasured(t *testing.T) {
	const query = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n LIMIT 5) SELECT i, fail_at(i, 4) FROM n"
	tel := newTelemetry(t)
	tel.ReturnedRows = true
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Init: func(c *sqlite3.Conn) error {
		return c.CreateFunction("fail_at", 2, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
			if arg[0].Int() == arg[1].Int() {
				ctx.ResultError(errors.New("failed"))
			}
		})
	}})
	db.SetMaxOpenConns(1)
	read := func(n int) func(*sql.Rows) {
		return func(rows *sql.Rows) {
			for ; n > 0 && rows.Next(); n-- {
			}
		}
	}
	for name, tc := range map[string]struct {
		from int // number of the first row
		read func(*sql.Rows)
		want int64
		err  string
	}{
		"wholly":           {10, read(9), 5, ""},
		"to the last":      {10, read(5), 5, ""},
		"partly":           {10, read(2), 2, ""},
		"none":             {10, read(0), 0, ""},
		"only the columns": {10, func(rows *sql.Rows) { rows.Columns() }, 0, ""},
		"until it fails":   {2, read(9), 2, "1"},
		"fails at once":    {4, read(9), 0, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			tel.forget(t)
			rows, err := db.Query(query, tc.from)
			if err != nil {
				t.Fatal(err)
			}
			tc.read(rows)
			rows.Close()
			m, calls := tel.collect(t), tel.spans.calls()
			points := m.rows()
			if len(points) != 1 || points[0].Count != 1 || points[0].Sum != tc.want {
				t.Errorf("%+v, want one of %d rows", points, tc.want)
			}
			if typ, _ := points[0].Attributes.Value("error.type"); typ.AsString() != tc.err {
				t.Errorf("error.type %q, want %q", typ.AsString(), tc.err)
			}
			if got := attr(calls[0], "db.response.returned_rows"); got != fmt.Sprint(tc.want) {
				t.Errorf("the span says %s rows, want %d", got, tc.want)
			}
		})
	}
	tel.forget(t)
	exec(t, db, "SELECT 1")
	if points := tel.collect(t).rows(); len(points) > 0 {
		t.Errorf("an exec returns no rows: %+v", points)
	}
}

// A provider that the program installs late is used, and so is its replacement. Open
// connections are counted there from their next use on.
func TestGlobalMeterProvider(t *testing.T) {
	old := otel.GetMeterProvider()
	restore := sync.OnceFunc(func() { otel.SetMeterProvider(old) })
	defer restore()
	db := open(t, ":memory:", driver.Config{})
	db.SetMaxOpenConns(1)
	exec(t, db, "SELECT 1")
	var readers [2]*sdkmetric.ManualReader
	collect := func(i int) (m measurements) {
		t.Helper()
		if err := readers[i].Collect(t.Context(), &m.ResourceMetrics); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i := range readers {
		readers[i] = sdkmetric.NewManualReader()
		otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(readers[i])))
		exec(t, db, "SELECT 1")
		exec(t, db, "SELECT 1")
		if n := collect(i).connections(); n["idle"] != 1 || n["used"] != 0 {
			t.Errorf("provider %d counts connections %v, want one idle", i, n)
		}
	}
	restore()
	exec(t, db, "SELECT 1")
	for i := range readers {
		m := collect(i)
		if n := counted(m.durations()); n != 2 {
			t.Errorf("provider %d has measured %d calls, want 2", i, n)
		}
		if n := counted(m.seconds("db.client.connection.use_time")); n != 2 {
			t.Errorf("provider %d has measured %d uses, want 2", i, n)
		}
		if n := m.connections(); n["idle"] != 0 || n["used"] != 0 {
			t.Errorf("provider %d counts connections %v after its time", i, n)
		}
	}
}

// Made-up table names do not create more series than the limit.
func TestSummariesAreBounded(t *testing.T) {
	const calls, allowed = 3000, 1000
	tel := newTelemetry(t, sdktrace.WithSampler(sdktrace.NeverSample()))
	tel.Logger, tel.Exceptions = nil, false
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	db.SetMaxOpenConns(1)
	for i := range calls {
		if _, err := db.Exec(fmt.Sprintf("DELETE FROM made_up_%d", i)); err == nil {
			t.Fatal("there is such a table")
		}
	}
	exec(t, db, "SELECT 1")
	points := tel.collect(t).durations()
	if n := counted(points); n != calls+1 {
		t.Errorf("%d calls are measured, want %d", n, calls+1)
	}
	summaries := make(map[string]bool)
	for _, p := range points {
		if summary, ok := p.Attributes.Value("db.query.summary"); ok {
			summaries[summary.AsString()] = true
		} else if err, _ := p.Attributes.Value("error.type"); err.AsString() == "1" && p.Count != calls-allowed {
			t.Errorf("%d calls are in no summary, want %d", p.Count, calls-allowed)
		}
	}
	if len(summaries) != allowed || len(points) != allowed+2 {
		t.Errorf("%d summaries in %d series, want %d in %d", len(summaries), len(points), allowed, allowed+2)
	}
}

// A connectionCount compares the connection metrics with database/sql's statistics and the
// events.
type connectionCount struct {
	*testing.T
	db  *sql.DB
	tel *telemetry
	log *eventLog
}

func countConnections(t *testing.T, dsn string) connectionCount {
	tel := newTelemetry(t)
	tel.reader = sdkmetric.NewManualReader()
	tel.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader))
	log := new(eventLog)
	db := open(t, dsn, driver.Config{Tracing: tel.tracer(t), Init: callable, Recorder: log})
	return connectionCount{t, db, tel, log}
}

// is compares the numbers of connections.
func (c connectionCount) is(when string, idle, used int64) {
	c.Helper()
	eventually(c.T, func() (bool, string) {
		got, stats := c.tel.collect(c.T).connections(), c.db.Stats()
		return got["idle"] == idle && got["used"] == used && int64(stats.OpenConnections) == idle+used,
			fmt.Sprintf("%s: %v measured, want %d idle, %d used; database/sql has %+v", when, got, idle, used, stats)
	})
}

// over closes the database and compares the event counts.
func (c connectionCount) over() {
	c.Helper()
	c.db.Close()
	c.is("closed", 0, 0)
	m := c.tel.collect(c.T)
	if got, want := counted(m.seconds("db.client.connection.create_time")), c.log.count(driver.KindConnect); got != uint64(want) {
		c.Errorf("%d connections were created, want %d", got, want)
	}
	if got, want := counted(m.seconds("db.client.connection.use_time")), c.log.count(driver.KindRelease)+c.log.count(driver.KindDiscard); got != uint64(want) {
		c.Errorf("%d uses of connections, want %d", got, want)
	}
	for _, name := range []string{"db.client.connection.create_time", "db.client.connection.use_time"} {
		for _, p := range m.seconds(name) {
			if got, want := encode(p.Attributes), "db.client.connection.pool.name=:memory:,db.namespace=:memory:,db.system.name=sqlite"; got != want {
				c.Errorf("%s: attributes %s, want %s", name, got, want)
			}
		}
	}
}

// The numbers of connections by state equal those of database/sql, whatever happens to the
// connections.
func TestConnectionsAreCounted(t *testing.T) {
	c := countConnections(t, ":memory:")
	take := func() *sql.Conn {
		c.Helper()
		conn, err := c.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	one := take()
	c.is("one in use", 0, 1)
	two, three := take(), take()
	c.is("three in use", 0, 3)
	one.Close()
	two.Close()
	c.is("two released", 2, 1)
	three.Close()
	c.is("one surplus", 2, 0)

	one, two = take(), take()
	one.Raw(func(any) error { return sqldriver.ErrBadConn })
	c.is("one discarded", 0, 1)
	func() {
		defer func() { recover() }()
		two.ExecContext(t.Context(), "SELECT call(?)", goFunc(func() { panic("boom") }))
	}()
	two.Close()
	c.is("one retired after a panic", 0, 0)

	rows, err := c.db.Query("SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	c.is("rows open", 0, 1)
	rows.Next()
	rows.Next()
	c.is("rows exhausted", 1, 0)

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.db.BeginTx(ctx, nil); err != nil {
		t.Fatal(err)
	}
	c.is("a transaction", 0, 1)
	cancel()
	c.is("a transaction whose context has ended", 1, 0)

	c.db.SetMaxIdleConns(-1)
	c.is("none may be idle", 0, 0)
	exec(t, c.db, "SELECT 1")
	c.is("a call", 0, 0)
	c.over()
}

// A connection that database/sql opens in the background is idle until the first call on
// it.
func TestBackgroundConnectionsAreCounted(t *testing.T) {
	c := countConnections(t, ":memory:")
	c.db.SetMaxOpenConns(1)
	one, err := c.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *sql.Conn)
	go func() {
		two, err := c.db.Conn(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- two
	}()
	eventually(t, func() (bool, string) { return c.db.Stats().WaitCount == 1, "no call waits" })
	one.Raw(func(any) error { return sqldriver.ErrBadConn })
	two := <-got
	c.log.mu.Lock()
	events := slices.Clone(c.log.events)
	c.log.mu.Unlock()
	if !slices.ContainsFunc(events, func(e driver.Event) bool { return e.Background }) {
		t.Fatal("no connection was opened in the background")
	}
	c.is("handed over", 1, 0)
	if err := two.PingContext(t.Context()); err != nil {
		t.Error(err)
	}
	c.is("in use", 0, 1)
	two.Close()
	c.is("released", 1, 0)
	c.over()
}

// A connection that fails to open is not counted.
func TestFailedConnectionsAreNotCounted(t *testing.T) {
	c := countConnections(t, "file:"+t.TempDir())
	if err := c.db.Ping(); err == nil {
		t.Fatal("a directory is opened")
	}
	c.is("failed", 0, 0)
	c.over()
}

// A pool is named after its database, or as the program says.
func TestPoolName(t *testing.T) {
	tel := newTelemetry(t)
	tel.PoolName = "writer"
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	exec(t, db, "SELECT 1")
	sum := tel.collect(t).metric("db.client.connection.count").Data.(metricdata.Sum[int64])
	for _, p := range sum.DataPoints {
		if name, _ := p.Attributes.Value("db.client.connection.pool.name"); name.AsString() != "writer" {
			t.Errorf("attributes %s", encode(p.Attributes))
		}
	}
	if len(sum.DataPoints) != 2 {
		t.Errorf("%d series, want one for each state", len(sum.DataPoints))
	}
}

// TestQueryInAMetricCallback checks that a callback of the program may query a database while the SDK
// collects, as one that reports the length of a table does.
func TestQueryInAMetricCallback(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracer, err := tracing.New(tracing.Config{MeterProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, file(t), driver.Config{Tracing: tracer})
	_, err = provider.Meter("program").Int64ObservableGauge("rows", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		var n int64
		err := db.QueryRow("SELECT 7").Scan(&n) // the first call of the database
		o.Observe(n)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- reader.Collect(context.Background(), &metricdata.ResourceMetrics{}) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the callback hangs")
	}
}
