package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A sampled tracer and what it has received.
type telemetry struct {
	tracer  *tracing.Tracer
	spans   *tracetest.SpanRecorder
	reader  *sdkmetric.ManualReader
	sampled startSampler
}

// A startSampler samples all spans and keeps the attributes that it has seen.
type startSampler struct{ seen *[]attribute.Set }

func (s startSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.Kind == trace.SpanKindClient {
		*s.seen = append(*s.seen, attribute.NewSet(p.Attributes...))
	}
	return sdktrace.AlwaysSample().ShouldSample(p)
}

func (startSampler) Description() string { return "all" }

func newTelemetry(t *testing.T) telemetry {
	t.Helper()
	tel := telemetry{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader(), sampled: startSampler{new([]attribute.Set)}}
	var err error
	tel.tracer, err = tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(tel.spans), sdktrace.WithSampler(tel.sampled)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(tel.reader)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// durations returns the number of calls for each set of these labels of
// db.client.operation.duration.
func (tel telemetry) durations(t *testing.T, labels ...attribute.Key) map[string]uint64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := tel.reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != "db.client.operation.duration" {
				continue
			}
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				var of []string
				for _, key := range labels {
					if v, ok := p.Attributes.Value(key); ok {
						of = append(of, v.String())
					}
				}
				counts[strings.Join(of, " ")] += p.Count
			}
		}
	}
	return counts
}

const (
	serverAddress = attribute.Key("server.address")
	serverPort    = attribute.Key("server.port")
)

// Every span of an open connection shows its server, and samplers see it for calls. Describe is
// called once for each connection, with the parent's.
func TestServer(t *testing.T) {
	for _, tc := range []struct {
		name, system  string
		server        wrap.Server
		address, port string
	}{
		{"port", "postgresql", wrap.Server{Address: "db1.example", Port: 6432}, "db1.example", "6432"},
		{"default port of PostgreSQL", "postgresql", wrap.Server{Address: "db1.example", Port: 5432}, "db1.example", ""},
		{"default port of MariaDB", "mariadb", wrap.Server{Address: "10.0.0.1", Port: 3306}, "10.0.0.1", ""},
		{"another's default port", "mysql", wrap.Server{Address: "db1", Port: 5432}, "db1", "5432"},
		{"no default port", "sqlite", wrap.Server{Address: "db1", Port: 9001}, "db1", "9001"},
		{"socket", "postgresql", wrap.Server{Address: "/run/postgresql/.s.PGSQL.5432"}, "/run/postgresql/.s.PGSQL.5432", ""},
		{"impossible port", "postgresql", wrap.Server{Address: "db1", Port: -1}, "db1", ""},
		{"not UTF-8", "postgresql", wrap.Server{Address: "db\xff", Port: 1}, "db\uFFFD", "1"},
		{"not known", "postgresql", wrap.Server{Port: 6432}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, tel := newFake(), newTelemetry(t)
			var described []driver.Conn
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
				Source: tracing.Source{System: tc.system}, Tracing: tel.tracer,
				Describe: func(c driver.Conn) wrap.Server { described = append(described, c); return tc.server },
			}))
			ctx, parent := startParent(t, tel.spans)
			for range 2 {
				useAll(ctx, t, db)
			}
			parent.End()
			var own any
			if conn, err := db.Conn(ctx); err == nil {
				conn.Raw(func(c any) error { own = c.(*wrap.Conn).Parent(); return nil })
				conn.Close()
			}
			db.Close()

			if len(described) != 1 || described[0] != own {
				t.Errorf("Describe must be called once, with the parent's connection, got %v", described)
			}
			kinds := make(map[string]bool)
			for _, s := range tel.spans.Ended() {
				if s.Name() == "program" {
					continue
				}
				kinds[s.Name()] = true
				if address, port := attr(s, serverAddress), attr(s, serverPort); address != tc.address || port != tc.port {
					t.Errorf("the span %q has the server %q %q, want %q %q", s.Name(), address, port, tc.address, tc.port)
				}
			}
			for _, name := range []string{"connect", "acquire", "close", "BEGIN", "COMMIT", "PING", "INSERT", "SELECT", "PREPARE INSERT"} {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(kinds)), func(k string) bool { return strings.HasPrefix(k, name) }) {
					t.Errorf("there is no span %q, so the test shows nothing of it", name)
				}
			}
			for _, seen := range *tel.sampled.seen {
				if v, _ := seen.Value(serverAddress); v.AsString() != tc.address {
					t.Errorf("a sampler has seen %v, without the server", seen.ToSlice())
				}
			}
			want := strings.TrimSpace(tc.address + " " + tc.port)
			for server := range tel.durations(t, serverAddress, serverPort) {
				if server != want {
					t.Errorf("a call was measured at the server %q, want %q", server, want)
				}
			}
		})
	}
}

// useAll makes a call of each kind, one of them with an error.
func useAll(ctx context.Context, t *testing.T, db *sql.DB) {
	t.Helper()
	if err := db.PingContext(ctx); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	stmt, err := tx.PrepareContext(ctx, insertText)
	if err != nil {
		t.Fatal(err)
	}
	stmt.ExecContext(ctx, 1)
	stmt.ExecContext(ctx, struct{}{}) // fails
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	rows, err := db.QueryContext(ctx, readText, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows.Close()
}

// A function that panics has no effect: the server is not known.
func TestDescribePanics(t *testing.T) {
	f, tel := newFake(), newTelemetry(t)
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
		Tracing: tel.tracer, Describe: func(driver.Conn) wrap.Server { panic("describe") },
	}))
	useAll(t.Context(), t, db)
	db.Close()
	if left := f.Left(); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	for server := range tel.durations(t, serverAddress, serverPort) {
		if server != "" {
			t.Errorf("a call was measured at %q", server)
		}
	}
}

// In a cluster whose nodes get new addresses, spans show every server, but metrics only the first.
// No call is lost.
func TestManyServers(t *testing.T) {
	const nodes, most = 200, 64
	f, tel := newFake(), newTelemetry(t)
	node := 0
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
		Source: tracing.Source{System: "postgresql"}, Tracing: tel.tracer,
		Describe: func(driver.Conn) wrap.Server {
			node++
			return wrap.Server{Address: fmt.Sprintf("10.0.0.%d", node), Port: 5432}
		},
	}))
	defer db.Close()
	db.SetMaxIdleConns(-1) // a new connection for each call
	for range nodes {
		if _, err := db.Exec(insertText, 1); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]bool)
	for _, s := range tel.spans.Ended() {
		if s.SpanKind() == trace.SpanKindClient {
			seen[attr(s, serverAddress)] = true
		}
	}
	if len(seen) != nodes {
		t.Errorf("the spans have %d servers, want %d", len(seen), nodes)
	}
	counts := tel.durations(t, serverAddress)
	if len(counts) != most+1 || counts[""] != nodes-most || counts["10.0.0.1"] != 1 {
		t.Errorf("the metrics have %d servers, and %d calls without one, want %d and %d", len(counts)-1, counts[""], most, nodes-most)
	}
}

// A dead connection is discarded when it is released, and not given to another call, although the
// parent cannot say that it is dead.
func TestBroken(t *testing.T) {
	type fate struct {
		atRelease bool // Broken is true when the connection is released
		panics    bool
		want      []string
	}
	for _, kind := range []string{"none", "ExecerContext"} { // of connections without Validator
		for _, tc := range []fate{
			{true, false, []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad", "2 connect", "2 acquire", "2 release"}},
			{true, true, []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad", "2 connect", "2 acquire", "2 release"}},
			{false, false, []string{"1 connect", "1 acquire", "1 release", "1 close bad", "2 connect", "2 acquire", "2 release"}},
		} {
			f := &fake.Base{Conn: fake.ConnOf(kind), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's")}
			events := &recorder{}
			dead := make(map[driver.Conn]bool)
			var current driver.Conn
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
				Recorder: events,
				Describe: func(c driver.Conn) wrap.Server { current = c; return wrap.Server{} },
				Broken: func(c driver.Conn) bool {
					if dead[c] && tc.panics {
						panic("broken")
					}
					return dead[c]
				},
			}))
			f.On(func(context.Context, int) error { dead[current] = tc.atRelease; return io.ErrUnexpectedEOF }, executes...)
			if _, err := db.Exec(insertText, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v, want the parent's error", err)
			}
			dead[current] = true
			f.Off()
			if _, err := db.Exec(insertText, 1); err != nil {
				t.Errorf("the next call must get another connection, but failed: %v", err)
			}
			if got := events.story(); !slices.Equal(got, tc.want) {
				t.Errorf("%s, %+v: the events are %q, want %q", kind, tc, got, tc.want)
			}
			db.Close()
		}
	}
}

// A call that gets no connection is measured, with the reason. Nothing is measured twice.
func TestCallsWithoutConnection(t *testing.T) {
	f, tel := newFake(), newTelemetry(t)
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
		Source: tracing.Source{System: "postgresql", Classify: func(err error) tracing.ErrorClass {
			if errors.Is(err, fake.ErrFault) {
				return tracing.ErrorClass{StatusCode: "57P03"}
			}
			return tracing.ErrorClass{}
		}},
		Tracing: tel.tracer,
	}))
	defer db.Close()
	if _, err := db.Exec(insertText, 1); err != nil {
		t.Fatal(err)
	}
	db.SetMaxIdleConns(-1)
	ctx, parent := startParent(t, tel.spans)
	defer parent.End()
	for _, tc := range []struct {
		err   error
		calls int
	}{{syscall.ECONNREFUSED, 5}, {fake.ErrFault, 3}, {driver.ErrBadConn, 1}} {
		f.On(fake.Fail(tc.err), "Connect")
		for range tc.calls {
			if _, err := db.ExecContext(ctx, insertText, 1); err == nil {
				t.Fatal("the call must fail")
			}
		}
	}
	want := map[string]uint64{
		"INSERT t":                  1,
		"ACQUIRE ECONNREFUSED":      5,
		"ACQUIRE 57P03 57P03":       3,
		"ACQUIRE driver.ErrBadConn": 1, // although database/sql has tried three times
	}
	got := tel.durations(t, "db.operation.name", "db.query.summary", "error.type", "db.response.status_code")
	if !maps.Equal(got, want) {
		t.Errorf("the measured calls are %v, want %v", got, want)
	}
}

// A call that was given three bad connections, one after the other, has got none. At the limit of
// connections, database/sql opens no new one for the last try.
func TestCallWithBadConnectionsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, tel := newFake(), newTelemetry(t)
		f.Derived = true
		type unlucky struct{}
		f.On(fake.Take(time.Second), "ExecContext")
		f.On(func(ctx context.Context, _ int) error {
			if ctx.Value(unlucky{}) != nil {
				return driver.ErrBadConn
			}
			return nil
		}, "ResetSession")
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Tracing: tel.tracer}))
		db.SetMaxOpenConns(1)
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 4 { // so that some always wait, and no connection is free
			group.Go(func() {
				for ctx.Err() == nil {
					if _, err := db.Exec(insertText, 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		var err error
		for err == nil { // it may be lucky and get a new connection, which is not reset
			_, err = db.ExecContext(context.WithValue(ctx, unlucky{}, true), insertText, 1)
		}
		if err != driver.ErrBadConn {
			t.Errorf("got %v, want driver.ErrBadConn", err)
		}
		stop()
		group.Wait()
		got := tel.durations(t, "db.operation.name", "db.query.summary", "error.type")
		if len(got) != 2 || got["INSERT"] == 0 || got["ACQUIRE driver.ErrBadConn"] != 1 {
			t.Errorf("the measured calls are %v, want inserts and one that got no connection", got)
		}
		db.Close()
	})
}
