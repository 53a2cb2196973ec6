package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
)

// decode reads a JSON response.
func decode[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A state is what the tests read of state.json.
type state struct {
	Pools   []poolLine
	Holders []struct {
		Pool, Conn, Lane, Owner, Last, Trace string
		WaitsFor                             string `json:"waits_for"`
		Cycle, Tx                            bool
		Held                                 float64
		Stack                                []string
	}
	Waiters     []waiterLine
	MorePools   int `json:"more_pools"`
	MoreHolders int `json:"more_holders"`
	MoreWaiters int `json:"more_waiters"`
}

type poolLine struct {
	ID, Name, Health string
	Reasons          []string
	Waiting          *int
	Cycle            bool
	Leaks            int
	LongestWait      float64 `json:"longest_wait"`
	WAL              int64
	WALLimit         int64 `json:"wal_limit"`
}

type waiterLine struct {
	Waited float64
	Query  string
	Owner  string
	Place  int
	Cycle  bool
}

// TestShared checks that many viewers cause one reading of the pools every 250 ms.
func TestShared(t *testing.T) {
	v := &view{name: "app.db"}
	h := newPage(t, v)
	began := time.Now()
	var viewers sync.WaitGroup
	for range 20 {
		viewers.Go(func() {
			for time.Since(began) < 600*time.Millisecond {
				for _, route := range dataRoutes {
					get(h, "/?file="+route)
				}
			}
		})
	}
	viewers.Wait()
	most := int64(time.Since(began)/(250*time.Millisecond)) + 1
	if n := v.reads.Load(); n < 2 || n > most {
		t.Errorf("the pool was read %d times, want 2 to %d", n, most)
	}
}

// TestWaitForSnapshot checks that requests wait for a slow reading only as long as their contexts
// allow, and that all get its result.
func TestWaitForSnapshot(t *testing.T) {
	v := &view{name: "app.db", slow: make(chan struct{})}
	h := newPage(t, v)
	done := make(chan int, 10)
	for range cap(done) {
		go func() { done <- get(h, "/state.json").Code }()
	}
	for v.reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/state.json", nil).WithContext(ctx))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("a request whose context has ended: %d", w.Code)
	}
	close(v.slow)
	for range cap(done) {
		if code := <-done; code != http.StatusOK {
			t.Errorf("a request that waited: %d", code)
		}
	}
	if n := v.reads.Load(); n != 1 {
		t.Errorf("the pool was read %d times", n)
	}
}

// TestPanicOfPools checks that a panic of Config.Pools is not hidden, and that the next request
// tries again.
func TestPanicOfPools(t *testing.T) {
	fail := true
	h := configured(t, page.Config{Allow: page.Guarded, Pools: func() []core.View {
		if fail {
			fail = false
			panic("no pools")
		}
		return []core.View{nil, &view{name: "app.db"}}
	}})
	func() {
		defer func() {
			if recover() != "no pools" {
				t.Error("no panic")
			}
		}()
		get(h, "/state.json")
	}()
	if s := decode[state](t, get(h, "/state.json")); len(s.Pools) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestNoGoroutines checks that nothing runs while no request does.
func TestNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newPage(t, &view{name: "app.db"})
	for _, route := range routes {
		get(h, "/?file="+route)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

// TestNoPools checks all routes of a page without pools.
func TestNoPools(t *testing.T) {
	h := newPage(t)
	for route, want := range map[string]int{"": 200, "state.json": 200, "state.txt": 200, "statements.json": 200, "pool.json": 404, "events.json": 404, "plan.json&id=1": 200} {
		if w := get(h, "/?file="+route); w.Code != want {
			t.Errorf("%s: %d", route, w.Code)
		}
	}
}

// TestParameters checks that no parameter does harm.
func TestParameters(t *testing.T) {
	v := &view{name: "app.db"}
	for seq := range uint64(700) {
		v.events = append(v.events, wrap.Event{Seq: seq + 101, Kind: wrap.KindConnect})
	}
	h := newPage(t, v)
	long := strings.Repeat("9", 100_000)
	for target, want := range map[string]int{
		"?file=pool.json&pool=nothing": 404, "?file=pool.json&pool=" + long: 404, "?file=events.json&pool=..": 404,
		"?file=plan.json": 200, "?file=plan.json&id=" + long: 200, "?file=plan.json&id=x": 200,
		"?file=events.json&after=-1": 200, "?file=events.json&after=" + long: 200, "?file=events.json&after=1e3": 200, "?file=events.json&after=%00": 200,
	} {
		if w := get(h, "/"+target); w.Code != want {
			t.Errorf("%.60s: %d", target, w.Code)
		}
	}
	type list struct {
		Last, Missed uint64
		Events       []struct{ Seq uint64 }
	}
	for after, want := range map[string]struct {
		first        uint64
		n            int
		missed, last uint64
	}{
		"":                     {301, 500, 300, 800},
		"0":                    {301, 500, 300, 800},
		"50":                   {301, 500, 250, 800},
		"400":                  {401, 400, 0, 800},
		"799":                  {800, 1, 0, 800},
		"800":                  {0, 0, 0, 800},
		"801":                  {301, 500, 300, 800}, // of a program that has been restarted
		"18446744073709551615": {301, 500, 300, 800},
	} {
		l := decode[list](t, get(h, "/?file=events.json&after="+after))
		first := uint64(0)
		if len(l.Events) > 0 {
			first = l.Events[0].Seq
		}
		if first != want.first || len(l.Events) != want.n || l.Missed != want.missed || l.Last != want.last {
			t.Errorf("after %q: %d events from %d, %d missed, last %d; want %+v", after, len(l.Events), first, l.Missed, l.Last, want)
		}
	}
}

// crowd returns pools with so many holders, waiters and events each.
func crowd(pools, each int) []core.View {
	views := make([]core.View, pools)
	for i := range views {
		v := &view{name: fmt.Sprintf("tenant-%04d.db", i), stats: core.Stats{Max: 10, Open: each, InUse: each}}
		v.health = core.HealthReport{Health: core.HealthDegraded, Reasons: []string{"the WAL is longer than its limit"}}
		for j := range each {
			v.holders = append(v.holders, core.Holder{Conn: wrap.ConnID(j + 1), Lane: wrap.LaneReader, Held: time.Duration(i*each+j) * time.Millisecond, Owner: fmt.Sprintf("request %d/%d", i, j), Last: "SELECT orders", Stack: strings.Split(strings.Repeat("main.handle (/src/main.go:1)\n", 40), "\n")})
			v.waiters = append(v.waiters, core.Waiter{Lane: wrap.LaneReader, Place: j + 1, Waited: time.Duration(j) * time.Millisecond, Owner: fmt.Sprintf("request %d/%d", i, j+1)})
			v.events = append(v.events, wrap.Event{Seq: uint64(j + 1), Kind: wrap.KindAcquire})
		}
		views[i] = v
	}
	return views
}

// TestBounds checks that responses about many busy pools are bounded, and count what they leave
// out.
func TestBounds(t *testing.T) {
	h := newPage(t, crowd(1200, 30)...)
	s := decode[state](t, get(h, "/state.json"))
	if len(s.Pools) != 1000 || s.MorePools != 200 {
		t.Errorf("%d pools and %d more", len(s.Pools), s.MorePools)
	}
	if len(s.Holders) != 500 || len(s.Holders)+s.MoreHolders != 1000*30 {
		t.Errorf("%d holders and %d more", len(s.Holders), s.MoreHolders)
	}
	if len(s.Waiters) != 500 || len(s.Waiters)+s.MoreWaiters != 1000*30 {
		t.Errorf("%d waiters and %d more", len(s.Waiters), s.MoreWaiters)
	}
	if s.Holders[0].Held < s.Holders[499].Held || len(s.Holders[0].Stack) > 13 {
		t.Errorf("the first holder is %+v", s.Holders[0])
	}
	const most = 2 << 20
	if n := get(h, "/state.json").Body.Len(); n > most {
		t.Errorf("state.json has %d bytes", n)
	}
	if text := get(h, "/state.txt").Body.String(); strings.Count(text, "\n") > 2000 || !strings.Contains(text, "and 1100 more") {
		t.Errorf("state.txt has %d lines", strings.Count(text, "\n"))
	}
}

// BenchmarkState reads the state of 500 pools, each with two holders and two waiters, as one
// viewer does every 250 ms at most.
func BenchmarkState(b *testing.B) {
	views := crowd(500, 2)
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		b.StopTimer()
		h := newPage(b, views...) // which has no snapshot yet
		b.StartTimer()
		size = get(h, "/state.json").Body.Len()
	}
	b.ReportMetric(float64(size), "bytes/response")
}

// BenchmarkViewers reads the shared state of 500 pools, as all viewers but the first do.
func BenchmarkViewers(b *testing.B) {
	h := newPage(b, crowd(500, 2)...)
	b.ReportAllocs()
	for b.Loop() {
		get(h, "/state.json")
	}
}
