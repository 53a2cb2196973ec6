package page_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"go.opentelemetry.io/otel/trace"

	_ "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/tracing"
)

func open(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.Shutdown(ctx)
	})
	return p
}

// await reads the state until it is as wanted.
func await(t *testing.T, read func() state, ok func(state) bool) state {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		s := read()
		if ok(s) {
			return s
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the state is %+v", s)
		}
	}
}

// TestQueue checks what the page shows of a held writer and three waiters, and after that.
func TestQueue(t *testing.T) {
	p := open(t, pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Name: "orders", TrackStacks: true})
	if _, err := p.DB().Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	h := newPage(t, p)
	read := func() state { return decode[state](t, get(h, "/state.json")) }
	tx, err := p.DB().BeginTx(pool.WithOwner(t.Context(), "import"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("INSERT INTO t VALUES ('hidden')"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 3)
	for range 2 {
		go func() {
			_, err := p.DB().ExecContext(ctx, "DELETE FROM t WHERE a = 'hidden'")
			done <- err
		}()
	}
	go func() {
		done <- p.WithTx(ctx, nil, func(*sql.Tx) error { return nil })
	}()
	s := await(t, read, func(s state) bool { return len(s.Waiters) == 3 })
	queries := make(map[string]int)
	for _, w := range s.Waiters {
		queries[w.Query]++
	}
	if queries["DELETE t"] != 2 || queries["BEGIN"] != 1 {
		t.Errorf("they wait with %v", queries)
	}
	if len(s.Holders) != 1 || *s.Pools[0].Waiting != 3 || s.Pools[0].LongestWait <= 0 {
		t.Errorf("%+v", s)
	}
	c := s.Holders[0]
	if c.Owner != "import" || c.Last != "INSERT t" || !c.Tx || c.Lane != "writer" || c.Pool != s.Pools[0].ID || c.Cycle || len(c.Stack) == 0 {
		t.Errorf("the holder is %+v", c)
	}
	text := get(h, "/state.txt").Body.String()
	for _, want := range []string{"orders", "by import, last INSERT t, in a transaction", "place 3 of orders", "DELETE t", "BEGIN"} {
		if !strings.Contains(text, want) {
			t.Errorf("state.txt has no %q:\n%s", want, text)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	await(t, read, func(s state) bool { return len(s.Waiters)+len(s.Holders) == 0 && *s.Pools[0].Waiting == 0 })
	if w := read().Pools[0]; w.WAL == 0 || w.WALLimit != 64<<20 {
		t.Errorf("the WAL has %d bytes, its limit is %d", w.WAL, w.WALLimit)
	}
}

// TestCycle checks that callers that wait for each other are marked, and that one behind them is.
func TestCycle(t *testing.T) {
	var pools []core.View
	var conns []*pool.Conn
	caller := func(id byte) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}}))
	}
	for i := range 3 {
		p := open(t, pool.Config{Path: ":memory:", Name: string(rune('a' + i)), MaxConns: 1, MinConns: 1, AcquireTimeout: time.Minute})
		c, err := p.AcquireWrite(caller(byte(i + 1)))
		if err != nil {
			t.Fatal(err)
		}
		pools, conns = append(pools, p), append(conns, c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	wait := func(who byte, to int) {
		go func() {
			ctx := trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(caller(who)))
			if c, err := pools[to].(*pool.Pool).AcquireWrite(ctx); err == nil {
				_ = c.Close()
			}
		}()
	}
	wait(1, 1) // the holder of a waits for b
	wait(2, 0) // and that of b for a
	wait(3, 0) // that of c waits behind them
	h := newPage(t, pools...)
	read := func() state { return decode[state](t, get(h, "/state.json")) }
	s := await(t, read, func(s state) bool { // for a second, because only their traces say who they are
		return len(s.Waiters) == 3 && !slices.ContainsFunc(s.Waiters, func(w waiterLine) bool { return w.Waited < 1.1 })
	})
	waits := map[string]string{}
	for _, c := range s.Holders {
		i := slices.IndexFunc(s.Pools, func(p poolLine) bool { return p.ID == c.Pool })
		name := s.Pools[i].Name
		if waits[name] = c.WaitsFor; c.Cycle != (name != "c") || s.Pools[i].Cycle != c.Cycle {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if !strings.HasSuffix(waits["a"], " of b") || !strings.HasSuffix(waits["b"], " of a") || !strings.HasSuffix(waits["c"], " of a") {
		t.Errorf("%v", waits)
	}
	for _, w := range s.Waiters {
		if !w.Cycle {
			t.Errorf("%+v", w)
		}
	}
	if text := get(h, "/state.txt").Body.String(); !strings.Contains(text, "callers wait for each other") || strings.Count(text, "IN A CYCLE") != 5 {
		t.Errorf("state.txt:\n%s", text)
	}
	_ = conns[1].Close() // nothing is a cycle any more
	await(t, read, func(s state) bool {
		return !slices.ContainsFunc(s.Waiters, func(w waiterLine) bool { return w.Cycle })
	})
	for _, c := range conns {
		_ = c.Close()
	}
}

// TestViews checks that a Manager's pools, which come and go, and Observers show.
func TestViews(t *testing.T) {
	var m pool.Manager
	defer m.Close(context.Background())
	db, err := sql.Open("sqlitemw", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Name: "observed"})
	if err != nil {
		t.Fatal(err)
	}
	defer obs.Close()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	h := configured(t, page.Config{Allow: page.Guarded, Pools: func() []core.View { return append(m.Views(), obs) }})
	read := func() state { return decode[state](t, get(h, "/state.json")) }
	names := func(want ...string) func(state) bool {
		return func(s state) bool {
			var got []string
			for _, p := range s.Pools {
				got = append(got, p.Name)
			}
			return slices.Equal(got, want)
		}
	}
	s := await(t, read, names("observed"))
	if s.Pools[0].Health != "unknown" || s.Pools[0].Waiting != nil {
		t.Errorf("%+v", s)
	}
	if _, err := m.OpenPrimary(t.Context(), pool.InMemory()); err != nil {
		t.Fatal(err)
	}
	s = await(t, read, names("primary", "observed"))
	type detail struct {
		Name     string
		Settings []struct{ Name, Value, Default, Why string }
		Waits    struct {
			Below  []float64
			Counts []uint64
		}
	}
	d := decode[detail](t, get(h, "/pool.json?pool="+s.Pools[0].ID))
	if d.Name != "primary" || len(d.Settings) == 0 || d.Settings[0].Why != "the database is in memory" || len(d.Waits.Counts) != len(d.Waits.Below)+1 {
		t.Errorf("%+v", d)
	}
	if d := decode[detail](t, get(h, "/pool.json?pool="+s.Pools[1].ID)); d.Name != "observed" || d.Settings != nil {
		t.Errorf("%+v", d)
	}
	type events struct{ Events []struct{ Kind string } }
	if e := decode[events](t, get(h, "/events.json?pool="+s.Pools[1].ID)); len(e.Events) == 0 || e.Events[0].Kind != "connect" {
		t.Errorf("%+v", e)
	}
	if err := m.Remove(t.Context(), "primary"); err == nil {
		await(t, read, names("observed"))
	}
}

// TestStatementsAndPlans checks what the page shows of a slow statement, whose names are hostile.
func TestStatementsAndPlans(t *testing.T) {
	tracer, err := tracing.New(tracing.Config{Statements: 10, SlowCall: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, pool.Config{Path: filepath.Join(t.TempDir(), "app.db"), Tracing: tracer, KeepAlive: 80 * time.Millisecond})
	if _, err := p.DB().Exec("CREATE TABLE \"<b>\u202et\"(a)"); err != nil {
		t.Fatal(err)
	}
	if err := p.DB().QueryRow("SELECT a FROM \"<b>\u202et\" WHERE a = 'hidden'").Scan(new(string)); err != sql.ErrNoRows {
		t.Fatal(err)
	}
	h := configured(t, page.Config{Pools: page.List(p), Allow: page.Guarded, Tracer: tracer})
	type statements struct {
		Statements []struct {
			ID, Text string
			Calls    int
		}
	}
	id := ""
	for _, s := range decode[statements](t, get(h, "/statements.json")).Statements {
		if strings.HasPrefix(s.Text, "SELECT a") {
			if id = s.ID; s.Calls != 1 || s.Text != `SELECT a FROM "<b>\u202et" WHERE a = ?` {
				t.Errorf("%+v", s)
			}
		}
	}
	type plan struct{ Steps, Findings []string }
	var got plan
	for began := time.Now(); len(got.Steps) == 0; time.Sleep(50 * time.Millisecond) {
		if got = decode[plan](t, get(h, "/plan.json?id="+id)); time.Since(began) > 10*time.Second {
			t.Fatal("no plan")
		}
	}
	if got.Steps[0] != `SCAN <b>\u202et` || len(got.Findings) != 1 || !strings.HasPrefix(got.Findings[0], `full scan of <b>\u202et`) {
		t.Errorf("%+v", got)
	}
	if body := get(h, "/plan.json?id=nothing").Body.String(); strings.TrimSpace(body) != "null" {
		t.Error(body)
	}
	text := get(h, "/state.txt").Body.String()
	for _, want := range []string{
		"STATEMENTS", `SELECT "<b>\u202et"`, `full scan of <b>\u202et`, "SETTINGS of ", "EVENTS of ", "connect",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("state.txt has no %q:\n%s", want, text)
		}
	}
}

// TestWrappedDatabase checks what shows of a database of another driver beneath package wrap.
func TestWrappedDatabase(t *testing.T) {
	tracer, err := tracing.New(tracing.Config{Statements: 10})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := (&sqlite3driver.SQLite{}).OpenConnector(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(wrap.NewConnector(parent, wrap.Config{Tracing: tracer, Source: tracing.Source{System: "mysql", Namespace: "shop"}}))
	defer db.Close()
	obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{Name: "wrapped"})
	if err != nil {
		t.Fatal(err)
	}
	defer obs.Close()
	if err := db.QueryRow("SELECT 'hidden'").Scan(new(string)); err != nil {
		t.Fatal(err)
	}
	h := configured(t, page.Config{Allow: page.Guarded, Pools: page.List(obs), Tracer: tracer})
	for route, want := range map[string]string{"state.json": `"wrapped"`, "state.txt": "wrapped", "statements.json": `"SELECT"`, "events.json": `"connect"`} {
		if body := get(h, "/"+route).Body.String(); !strings.Contains(body, want) || strings.Contains(body, "hidden") {
			t.Errorf("%s: %s", route, body)
		}
	}
}
