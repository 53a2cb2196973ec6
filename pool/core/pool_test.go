package core_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// inTrace returns a context in a trace.
func inTrace(ctx context.Context, id byte) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{id}, SpanID: trace.SpanID{id}}))
}

// TestHoldersAndWaiters checks that a pool lists its holders, the longest first, and its
// waiters, those that are served first first.
func TestHoldersAndWaiters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{Name: "toys", TrackStacks: true}, writer(), readers(2))
		r, w := e.pool.Lanes()[0], e.pool.Lanes()[1]
		if len(e.pool.Holders()) != 0 || len(e.pool.Waiters()) != 0 {
			t.Error("a new pool has holders or waiters")
		}
		c1 := acquireAs(t, w, "one")
		time.Sleep(time.Second)
		c2, err := r.Acquire(inTrace(t.Context(), 2), nil)
		if err != nil {
			t.Fatal(err)
		}
		c2.SetDefaultOwner("two")
		c1.SetDefaultOwner("other") // it has a name already
		rows := openRows(t, c2)
		toyOf(c1).tx.Store(true)
		time.Sleep(time.Second)
		first := beginAs(t, w, "first")
		time.Sleep(time.Second)
		second := startAcquire(inTrace(t.Context(), 7), w)

		h := e.pool.Holders()
		if len(h) != 2 {
			t.Fatalf("holders %v", h)
		}
		if h := h[0]; h.Owner != "one" || h.Pool != "toys" || h.Lane != wrap.LaneWriter || h.Held != 3*time.Second || !h.Tx || h.Rows != 0 || h.Last != "toy" ||
			h.Conn != toyOf(c1).Lease().ID() || h.Trace.IsValid() || !h.Since().Equal(time.Now().Add(-3*time.Second)) {
			t.Errorf("%+v", h)
		}
		if h := h[1]; h.Owner != "two" || h.Lane != wrap.LaneReader || h.Held != 2*time.Second || h.Tx || h.Rows != 1 || h.Trace != (trace.TraceID{2}) || c2.Trace() != h.Trace {
			t.Errorf("%+v", h)
		}
		// The first function of the stack is the caller's, not one of the pool.
		if stack := h[1].Stack; len(stack) == 0 || !strings.Contains(stack[0], "TestHoldersAndWaiters") {
			t.Errorf("stack %q", stack)
		}
		for _, part := range []string{`reader of "toys"`, `by "two"`, `last "toy"`, "with open rows of a query", "trace 02", "pool_test.go"} {
			if !strings.Contains(h[1].String(), part) {
				t.Errorf("%q does not contain %q", h[1], part)
			}
		}
		want := []core.Waiter{
			{Pool: "toys", Lane: wrap.LaneWriter, Place: 1, Waited: time.Second, Owner: "first"},
			{Pool: "toys", Lane: wrap.LaneWriter, Place: 2, Trace: trace.TraceID{7}},
		}
		if got := e.pool.Waiters(); !slices.Equal(got, want) {
			t.Errorf("waiters %+v, want %+v", got, want)
		}
		if s := e.pool.Stats(); s.OldestReader != 2*time.Second {
			t.Errorf("oldest reader %s", s.OldestReader)
		}
		w.Release(c1)
		if got := e.pool.Waiters(); len(got) != 1 || got[0].Place != 1 {
			t.Errorf("waiters %+v after one was served", got)
		}
		rows.Close()
		if s := e.pool.Stats(); s.OldestReader != 0 {
			t.Errorf("oldest reader %s without rows", s.OldestReader)
		}
		r.Release(c2)
		w.Release(first.got(t))
		w.Release(second.got(t))
	})
}

// TestSameTraceIsSameCaller checks that leases and waits in the same trace count as those of one
// caller, unless they have different names.
func TestSameTraceIsSameCaller(t *testing.T) {
	for _, test := range []struct {
		holder, waiter string
		want           core.Cause
	}{
		{"", "", core.CauseCycle},
		{"a", "", core.CauseCycle},
		{"", "a", core.CauseCycle},
		{"a", "a", core.CauseCycle},
		{"a", "b", core.CauseIdle},
	} {
		bubble(t, func(t *testing.T) {
			l := started(t, core.Config{AcquireTimeout: time.Second}, writer()).lane()
			c, err := l.Acquire(core.WithOwner(inTrace(t.Context(), 1), test.holder), nil)
			if err != nil {
				t.Fatal(err)
			}
			w := startAcquire(core.WithOwner(inTrace(t.Context(), 1), test.waiter), l)
			time.Sleep(time.Second)
			if cause := explained(t, w.fails(t)).Cause; cause != test.want {
				t.Errorf("holder %q, waiter %q: cause %q, want %q", test.holder, test.waiter, cause, test.want)
			}
			l.Release(c)
		})
	}
}

// TestStatsMatchEvents checks that the counters are the sums of the events, in a pool with some
// events of each kind that the core records.
func TestStatsMatchEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := errors.New("broken")
		fails := false
		e := newToy(core.Config{MaxWaiters: 2, AcquireTimeout: 10 * time.Second, LeakAfter: 4 * time.Second}, writer(), readers(2))
		e.opening = func(context.Context) error {
			time.Sleep(30 * time.Millisecond)
			if fails {
				return broken
			}
			return nil
		}
		dirty := wrap.Reason("")
		e.cleanUp = func() wrap.Reason { return dirty }
		p := start(t, e).pool
		r, w := p.Lanes()[0], p.Lanes()[1]
		get := func(l *core.Lane) *core.Conn {
			c := begin(t, l)
			time.Sleep(30 * time.Millisecond)
			return c.got(t)
		}
		c1, c2, c3 := get(w), get(r), get(r)
		if s := p.Stats(); s.Open != 3 || s.InUse != 3 || s.Writers != 1 || s.Readers != 2 || s.WritersInUse != 1 || s.ReadersInUse != 2 || s.Idle != 0 {
			t.Errorf("%+v", s)
		}
		served, canceled := begin(t, w), begin(t, w)
		_ = begin(t, w).fails(t) // the queue is full
		time.Sleep(2 * time.Second)
		if s := p.Stats(); s.Waiting != 2 || s.PeakWaiting != 2 {
			t.Errorf("%d wait, at most %d", s.Waiting, s.PeakWaiting)
		}
		canceled.cancel(nil)
		_ = canceled.fails(t)
		late := begin(t, r)
		time.Sleep(10 * time.Second) // the holders are leaks meanwhile, and served and late time out
		_, _ = served.fails(t), late.fails(t)
		served = begin(t, w)
		w.Release(c1)
		w.Release(served.got(t))
		r.Replace()
		r.Release(c2)
		toyOf(c3).closeErr = broken
		dirty = wrap.ReasonDirty
		r.Release(c3)
		fails = true
		failing := begin(t, r)
		time.Sleep(time.Second)
		_ = failing.fails(t)

		s, events := p.Stats(), p.Events()
		sum := core.Stats{ClosedFor: map[wrap.Reason]uint64{}}
		inUse := 0
		used := func(d time.Duration) {
			inUse--
			sum.UseTime += d
			sum.LongestUse = max(sum.LongestUse, d)
		}
		waited := func(e wrap.Event) {
			if e.QueuePosition > 0 {
				sum.Waits++
				sum.WaitTime += e.Wait
				sum.LongestWait = max(sum.LongestWait, e.Wait)
			}
		}
		for _, e := range events {
			switch e.Kind {
			case wrap.KindConnect:
				if e.Err != "" {
					sum.ConnectErrors++
					continue
				}
				sum.Connects++
				sum.ConnectTime += e.Duration
				sum.LongestConnect = max(sum.LongestConnect, e.Duration)
			case wrap.KindAcquire:
				sum.Acquires++
				inUse++
				sum.PeakInUse = max(sum.PeakInUse, inUse)
				waited(e)
			case wrap.KindRelease:
				sum.Releases++
				used(e.Duration)
			case wrap.KindDiscard:
				sum.Discards++
				used(e.Duration)
			case wrap.KindTimeout:
				sum.Timeouts++
				waited(e)
			case wrap.KindCancel:
				sum.Cancels++
				waited(e)
			case wrap.KindRefuse:
				sum.Refusals++
			case wrap.KindLeak:
				sum.Leaks++
			case wrap.KindLeakEnd:
				sum.LeaksEnded++
			case wrap.KindClose:
				sum.Closes++
				sum.ClosedFor[e.Reason]++
				if e.Err != "" {
					sum.CloseErrors++
				}
			}
		}
		sum.Events, sum.PeakWaiting = uint64(len(events)), 2
		sum.Open, sum.Idle, sum.Writers = 1, 1, 1
		sum.UseTimes, sum.WaitTimes = s.UseTimes, s.WaitTimes
		if s.UseTimes.Count() != sum.Releases+sum.Discards || s.WaitTimes.Count() != sum.Acquires {
			t.Errorf("%d uses and %d waits in the histograms", s.UseTimes.Count(), s.WaitTimes.Count())
		}
		if !reflect.DeepEqual(s, sum) {
			t.Errorf("stats  %+v\nevents %+v", s, sum)
		}
		for name, n := range map[string]uint64{"connect errors": sum.ConnectErrors, "timeouts": sum.Timeouts, "cancels": sum.Cancels, "refusals": sum.Refusals,
			"leaks": sum.Leaks, "ends of leaks": sum.LeaksEnded, "discards": sum.Discards, "close errors": sum.CloseErrors, "waits": uint64(sum.Waits)} {
			if n == 0 {
				t.Errorf("the test has no %s", name)
			}
		}
		fails = false
	})
}

// TestHistogram checks the bounds of the histogram of uses.
func TestHistogram(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		l := e.lane()
		lengths := []time.Duration{0}
		for _, b := range (core.Histogram{}).Buckets() {
			if b.Below > 0 {
				lengths = append(lengths, b.Below)
			}
		}
		for _, d := range lengths {
			acquire(t, l)
			time.Sleep(d)
			l.Release(e.pool.Lanes()[0].Conns()[0])
		}
		for i, b := range e.pool.Stats().UseTimes.Buckets() {
			if b.Count != 1 {
				t.Errorf("%d uses in bucket %d, want 1", b.Count, i)
			}
		}
	})
}

// TestUtilization checks Utilization with and without a limit.
func TestUtilization(t *testing.T) {
	for _, test := range []struct {
		stats core.Stats
		want  float64
	}{
		{core.Stats{}, 0},
		{core.Stats{Open: 4, InUse: 1}, 0.25},
		{core.Stats{Max: 2, Open: 4, InUse: 1}, 0.5},
		{core.Stats{Max: 2, Open: 4, InUse: 3}, 1},
	} {
		if got := test.stats.Utilization(); got != test.want {
			t.Errorf("%+v: %v, want %v", test.stats, got, test.want)
		}
	}
}

// TestMaxConns checks that SetMaxConns returns the old number and changes no lane.
func TestMaxConns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := started(t, core.Config{MaxConns: 3}, readers(2)).pool
		if was := p.SetMaxConns(5); was != 3 || p.MaxConns() != 5 || p.Lanes()[0].Turns() != 2 {
			t.Errorf("was %d, is %d, %d turns", was, p.MaxConns(), p.Lanes()[0].Turns())
		}
		called := false
		if err := p.WhileOpen(func() { called = true }); err != nil || !called {
			t.Errorf("WhileOpen: %v, called %v", err, called)
		}
	})
}

// A toyConnector is a connector for database/sql.
type toyConnector struct{ toy *toy }

func (c toyConnector) Connect(context.Context) (driver.Conn, error) {
	return &toyParent{of: &toyConn{toy: c.toy}}, nil
}
func (c toyConnector) Driver() driver.Driver            { return c }
func (c toyConnector) Open(string) (driver.Conn, error) { return nil, errors.New("toy: no name") }

// TestObserve checks that an Observer counts the events of a *sql.DB that is wrapped, until it
// is closed.
func TestObserve(t *testing.T) {
	db := sql.OpenDB(wrap.NewConnector(toyConnector{&toy{}}, wrap.Config{}))
	defer db.Close()
	o, err := core.Observe(t.Context(), db, core.ObserveConfig{Name: "toys", Events: 4})
	if err != nil {
		t.Fatal(err)
	}
	subscription := o.Subscribe(10)
	for range 2 {
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c, err := db.Conn(t.Context())
	if err == nil {
		err = c.PingContext(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := o.Stats(); s.Connects != 1 || s.Acquires != 3 || s.Releases != 2 || s.Open != 1 || s.InUse != 1 || s.PeakInUse != 1 || s.Events != 6 || s.EventsDropped != 2 {
		t.Errorf("%+v", s)
	}
	if events := o.Events(); len(events) != 4 || events[3].Seq != 6 || events[3].Kind != wrap.KindAcquire {
		t.Errorf("events %+v", events)
	}
	if o.Name() != "toys" || o.Health().Health != core.HealthUnknown {
		t.Errorf("name %q, health %v", o.Name(), o.Health())
	}
	for range 2 {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	c.Close()
	if s := o.Stats(); s.Events != 6 {
		t.Errorf("%d events after Close", s.Events)
	}
	n := 0
	for range subscription.All() {
		n++
	}
	if n != 6 {
		t.Errorf("the subscriber got %d events", n)
	}
}

// TestObserveFails checks what Observe refuses.
func TestObserveFails(t *testing.T) {
	wrapped, plain := sql.OpenDB(wrap.NewConnector(toyConnector{}, wrap.Config{})), sql.OpenDB(toyConnector{})
	defer wrapped.Close()
	defer plain.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context
		db   *sql.DB
		cfg  core.ObserveConfig
		want error
	}{
		{ended, wrapped, core.ObserveConfig{}, context.Canceled},
		{t.Context(), wrapped, core.ObserveConfig{Events: -1}, core.ErrInvalidConfig},
		{t.Context(), nil, core.ObserveConfig{}, core.ErrNotObservable},
		{t.Context(), plain, core.ObserveConfig{}, core.ErrNotObservable},
	} {
		if o, err := core.Observe(test.ctx, test.db, test.cfg); o != nil || !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
	o, err := core.Observe(t.Context(), wrapped, core.ObserveConfig{})
	if err != nil || !strings.Contains(o.Name(), "wrappedDriver") {
		t.Errorf("%v, want the driver's type as the name", err)
	}
	o.Close()
}

// TestViews checks that a status page can read a pool and an Observer in the same way.
func TestViews(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{Name: "pool"}, writer())
		db := sql.OpenDB(wrap.NewConnector(toyConnector{e}, wrap.Config{}))
		defer db.Close()
		o, err := core.Observe(t.Context(), db, core.ObserveConfig{Name: "observer"})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if err := db.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := acquire(t, e.lane())
		for i, v := range []core.View{e.pool, o} {
			_, holders := v.(core.HoldersView)
			_, waiters := v.(core.WaitersView)
			if pool := i == 0; v.Name() != []string{"pool", "observer"}[i] || v.Stats().Acquires != 1 || len(v.Events()) == 0 || holders != pool || waiters != pool {
				t.Errorf("%s: %d acquires, %d events, holders %v, waiters %v", v.Name(), v.Stats().Acquires, len(v.Events()), holders, waiters)
			}
		}
		e.lane().Release(c)
	})
}
