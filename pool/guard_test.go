package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A misbehaving function of the program calls do once it is armed: the first time, or each
// time.
type misbehaving struct {
	do     func()
	always bool
	armed  atomic.Bool
	calls  atomic.Int32
	inside atomic.Int32
	most   atomic.Int32 // calls at the same time
}

func (m *misbehaving) call() {
	if !m.armed.Load() || m.calls.Add(1) > 1 && !m.always {
		return
	}
	n := m.inside.Add(1)
	defer m.inside.Add(-1)
	for most := m.most.Load(); n > most && !m.most.CompareAndSwap(most, n); most = m.most.Load() {
	}
	m.do()
}

// A handlerFunc is a slog.Handler that calls a function.
type handlerFunc func(slog.Record)

func (f handlerFunc) Enabled(context.Context, slog.Level) bool { return true }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler       { return f }
func (f handlerFunc) WithGroup(string) slog.Handler            { return f }
func (f handlerFunc) Handle(_ context.Context, r slog.Record) error {
	f(r)
	return nil
}

// meterProvider unregisters callbacks by a function of the test.
type meterProvider struct {
	noop.MeterProvider
	f func()
}

type meter struct {
	noop.Meter
	f func()
}

type registration struct {
	noop.Registration
	f func()
}

func (p *meterProvider) Meter(string, ...metric.MeterOption) metric.Meter { return meter{f: p.f} }

func (m meter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	return registration{f: m.f}, nil
}

func (r registration) Unregister() error { r.f(); return nil }

// misplaces are the places where the pool calls functions of the program on its own goroutines.
// run makes such a call happen, if a minute without calls does not.
var backgroundCalls = []struct {
	name    string // in errors, events and logs
	where   string
	set     func(cfg *pool.Config, f func())
	run     func(t *testing.T, p *pool.Pool, f func())
	reports bool // the function gets events or log lines
	late    bool // only Shutdown calls it
}{
	{name: "Config.Init", where: "for MinConns", set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Init = func(*sqlite3.Conn) error { f(); return nil }
	}},
	{name: "Config.Init", where: "for a health check", set: func(cfg *pool.Config, f func()) {
		cfg.HealthInterval = 10 * time.Second
		cfg.Init = func(*sqlite3.Conn) error { f(); return nil }
	}},
	{name: "Config.Init", where: "for the checkpointer", set: func(cfg *pool.Config, f func()) {
		cfg.Init = func(*sqlite3.Conn) error { f(); return nil }
	}, run: func(t *testing.T, p *pool.Pool, _ func()) {
		for range 3 {
			must(t, p.DB(), "INSERT INTO t SELECT randomblob(4000) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1200) SELECT i FROM n)")
			time.Sleep(time.Second)
		}
	}},
	{name: "Config.Init", where: "for a look at the WAL", set: func(cfg *pool.Config, f func()) {
		cfg.Pragmas = []driver.Pragma{{Name: "wal_autocheckpoint", Value: "100"}}
		cfg.JournalSizeLimit, cfg.Synchronous, cfg.HealthInterval = 1<<20, pool.SynchronousOff, -1
		cfg.Init = func(*sqlite3.Conn) error { f(); return nil }
	}, run: func(t *testing.T, p *pool.Pool, _ func()) {
		c := foreignConn(t, p.Config().Path)
		if err := c.Exec("BEGIN; SELECT * FROM t"); err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			must(t, p.DB(), "INSERT INTO t VALUES (randomblob(3900))")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}},
	{name: "Config.Term", where: "of idle connections", set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Term = func(*sqlite3.Conn) error { f(); return nil }
	}},
	{name: "Config.Hooks.BeforeConnect", where: "for MinConns", set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Hooks.BeforeConnect = func(context.Context) error { f(); return nil }
	}},
	{name: "Config.Hooks.AfterConnect", where: "for MinConns", set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Hooks.AfterConnect = func(context.Context, *sqlite3.Conn) error { f(); return nil }
	}},
	{name: "Config.Hooks.BeforeClose", where: "of idle connections", set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Hooks.BeforeClose = func(pool.ConnInfo) { f() }
	}},
	{name: "Config.Recorder", where: "of idle connections", reports: true, set: func(cfg *pool.Config, f func()) {
		cfg.MinConns, cfg.MaxLifetime, cfg.IdleTimeout = 3, 10*time.Second, -1
		cfg.Recorder = driver.RecorderFunc(func(e driver.Event) {
			if e.Kind == driver.KindClose && e.Background {
				f()
			}
		})
	}},
	{name: "Config.Logger", where: "of a leak", reports: true, set: func(cfg *pool.Config, f func()) {
		cfg.LeakAfter = 10 * time.Second
		cfg.Logger = slog.New(handlerFunc(func(slog.Record) { f() }))
	}, run: func(t *testing.T, p *pool.Pool, _ func()) {
		c, err := p.AcquireRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		c.Close()
	}},
	{name: "Config.Logger", where: "of what a call does", reports: true, set: func(cfg *pool.Config, f func()) {
		cfg.Logger = slog.New(handlerFunc(func(slog.Record) { f() }))
	}, run: func(t *testing.T, p *pool.Pool, _ func()) { must(t, p.DB(), "PRAGMA cache_size=77") }},
	{name: "the logger of LogEvents", reports: true, set: func(*pool.Config, func()) {}, run: func(t *testing.T, p *pool.Pool, f func()) {
		p.LogEvents(slog.New(handlerFunc(func(slog.Record) { f() })))
		must(t, p.DB(), "INSERT INTO t VALUES (1)")
	}},
	{name: "Config.Hooks.BeforeClose", where: "of Shutdown", late: true, set: func(cfg *pool.Config, f func()) {
		cfg.Hooks.BeforeClose = func(pool.ConnInfo) { f() }
	}},
	{name: "Config.Term", where: "of Shutdown", late: true, set: func(cfg *pool.Config, f func()) {
		cfg.Term = func(*sqlite3.Conn) error { f(); return nil }
	}},
	{name: "Config.Recorder", where: "of Shutdown", reports: true, late: true, set: func(cfg *pool.Config, f func()) {
		cfg.Recorder = driver.RecorderFunc(func(driver.Event) { f() })
	}},
	{name: "Config.Logger", where: "of Shutdown", reports: true, late: true, set: func(cfg *pool.Config, f func()) {
		cfg.Logger = slog.New(handlerFunc(func(slog.Record) { f() }))
	}},
	{name: "the meter provider of Config.Tracing", late: true, set: func(cfg *pool.Config, f func()) {
		cfg.Tracing, _ = tracing.New(tracing.Config{MeterProvider: &meterProvider{f: f}})
	}},
}

// causeBackgroundWork makes the pool do work that no caller waits for.
func causeBackgroundWork(t *testing.T, p *pool.Pool) {
	t.Helper()
	began := time.Now()
	must(t, p.DB(), "INSERT INTO t VALUES (1)")
	if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int)); err != nil {
		t.Error(err)
	}
	p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_PASSIVE)
	if d := time.Since(began); d > 0 {
		t.Errorf("calls took %v", d)
	}
}

func openWithBackgroundCall(t *testing.T, set func(*pool.Config, func()), f func()) *pool.Pool {
	t.Helper()
	cfg := pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler)}
	set(&cfg, f)
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "CREATE TABLE t(a)")
	return p
}

// TestPanicsOnPoolGoroutines checks a function of the program that panics on one of the pool's
// own goroutines, once or each time. The panic ends neither the process nor the pool. There is
// one event for each panic. For functions that get events or log lines, there is one in all.
func TestPanicsOnPoolGoroutines(t *testing.T) {
	for _, tc := range backgroundCalls {
		for _, always := range []bool{false, true} {
			if always && !tc.reports {
				continue // calls could not open connections either
			}
			t.Run(fmt.Sprintf("%s %s, always %v", tc.name, tc.where, always), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := &misbehaving{do: func() { panic(errOops) }, always: always}
					p := openWithBackgroundCall(t, tc.set, m.call)
					m.armed.Store(true)
					if tc.run != nil {
						tc.run(t, p, m.call)
					}
					if !tc.late {
						time.Sleep(time.Minute)
						causeBackgroundWork(t, p)
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					var err error
					began := time.Now()
					panicked := panics(func() { err = p.Shutdown(ctx) })
					if d := time.Since(began); d > 0 {
						t.Errorf("Shutdown took %v", d)
					}
					if passes := tc.late && !tc.reports && !strings.HasPrefix(tc.name, "the meter"); err != nil && !tc.late || panicked != passes {
						t.Errorf("Shutdown: %v, panicked %v", err, panicked)
					}
					if n := p.Stats().Open; n != 0 {
						t.Errorf("%d connections are open", n)
					}
					told := 0
					for _, e := range p.Events() {
						if e.Kind == driver.KindPanic {
							told++
							if string(e.Reason) != tc.name || e.Err != "*errors.errorString" {
								t.Errorf("the event is %+v", e)
							}
						}
					}
					if m.calls.Load() == 0 || told != 1 {
						t.Errorf("it was called %d times, but %d events report panics", m.calls.Load(), told)
					}
					if n := p.Stats().Panics; n == 0 {
						t.Error("Stats counts no panics")
					}
				})
			})
		}
	}
}

// TestBlockingOnPoolGoroutines checks a function of the program that blocks forever on one of
// the pool's own goroutines. It delays no call and no Shutdown. The error of Shutdown names the
// function. At most one goroutine is blocked in it.
func TestBlockingOnPoolGoroutines(t *testing.T) {
	for _, tc := range backgroundCalls {
		t.Run(tc.name+" "+tc.where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				never := make(chan struct{})
				m := &misbehaving{do: func() { <-never }, always: tc.reports}
				p := openWithBackgroundCall(t, tc.set, m.call)
				m.armed.Store(true)
				if tc.run != nil {
					tc.run(t, p, m.call)
				}
				if !tc.late {
					time.Sleep(10 * time.Minute)
					causeBackgroundWork(t, p)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				err := p.Shutdown(ctx)
				if d := time.Since(began); d > 1500*time.Millisecond {
					t.Errorf("Shutdown took %v", d)
				}
				var left *pool.ShutdownError
				if !errors.As(err, &left) || !errors.Is(err, context.DeadlineExceeded) ||
					!slices.ContainsFunc(left.Blocked, func(s string) bool { return strings.HasPrefix(s, tc.name+", for ") }) || len(left.Blocked) != 1 {
					t.Errorf("Shutdown: %v", err)
				}
				if n := m.most.Load(); n != 1 {
					t.Errorf("%d goroutines were in the function", n)
				}
				close(never)
				synctest.Wait()
				if n := p.Stats().Open; n != 0 {
					t.Errorf("%d connections are open after it has returned", n)
				}
			})
		})
	}
}

// TestCallsDoNotOutrunTheRecorder checks a slow Recorder that is behind with the events of the
// pool's own work. It loses no events of calls that are faster than it.
func TestCallsDoNotOutrunTheRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened, behind atomic.Bool
		p, l := pooled(t, pool.Config{IdleTimeout: 8 * time.Second, Recorder: driver.RecorderFunc(func(e driver.Event) {
			if opened.Load() && e.Kind == driver.KindClose && e.Background && !behind.Swap(true) {
				time.Sleep(500 * time.Millisecond)
			}
		})})
		opened.Store(true)
		if err := p.DB().QueryRow("SELECT 1").Scan(new(int)); err != nil { // on a reader, which is closed when it is idle
			t.Fatal(err)
		}
		until(t, "behind", behind.Load)
		for range 2 * pool.DefaultEvents {
			if err := p.DB().QueryRow("SELECT 1").Scan(new(int)); err != nil {
				t.Fatal(err)
			}
		}
		l.check(t, p)
	})
}

// TestHealthCheckWhileInitBlocks checks that health checks return in time, with the reason,
// while Init blocks in one of them.
func TestHealthCheckWhileInitBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		m := &misbehaving{do: func() { <-never }}
		p := openWithBackgroundCall(t, func(cfg *pool.Config, f func()) { cfg.Init = func(*sqlite3.Conn) error { f(); return nil } }, m.call)
		m.armed.Store(true)
		for range 2 {
			began := time.Now()
			err := p.HealthCheck(t.Context())
			var blocked *pool.BlockedError
			if !errors.Is(err, pool.ErrHealthCheck) || !errors.As(err, &blocked) || blocked.Function != "Config.Init" {
				t.Errorf("%v", err)
			}
			if d := time.Since(began); d > 6*time.Second {
				t.Errorf("it took %v", d)
			}
			causeBackgroundWork(t, p)
		}
		close(never)
		synctest.Wait()
		if err := p.HealthCheck(t.Context()); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestManagerOfPoolsThatPanic checks that a Manager closes and checks all its pools, whatever
// their hooks do.
func TestManagerOfPoolsThatPanic(t *testing.T) {
	var m pool.Manager
	fail := false
	for _, name := range []string{"a", "b"} {
		cfg := fileConfig(t)
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		cfg.Init = func(*sqlite3.Conn) error {
			if fail {
				panic(errOops)
			}
			return nil
		}
		cfg.Hooks.BeforeClose = func(pool.ConnInfo) {
			if fail {
				panic(errOops)
			}
		}
		if _, err := m.Add(t.Context(), name, cfg); err != nil {
			t.Fatal(err)
		}
	}
	fail = true
	for name, err := range m.HealthCheck(t.Context()) {
		if !errors.Is(err, errOops) || !errors.Is(err, pool.ErrHealthCheck) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Close(t.Context()); !errors.Is(err, errOops) || strings.Count(err.Error(), "pool: close") != 2 {
		t.Errorf("%v", err)
	}
}

// TestOpenPanics checks that a panic of Init or of a hook during Open reaches the caller and
// leaves nothing open.
func TestOpenPanics(t *testing.T) {
	for name, set := range map[string]func(cfg *pool.Config, f func()){
		"Init": func(cfg *pool.Config, f func()) { cfg.Init = func(*sqlite3.Conn) error { f(); return nil } },
		"BeforeConnect": func(cfg *pool.Config, f func()) {
			cfg.Hooks.BeforeConnect = func(context.Context) error { f(); return nil }
		},
		"AfterConnect": func(cfg *pool.Config, f func()) {
			cfg.Hooks.AfterConnect = func(context.Context, *sqlite3.Conn) error { f(); return nil }
		},
	} {
		for at := range 3 {
			calls := 0
			var l ledger
			cfg := pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), MinConns: 3, Recorder: &l, Logger: slog.New(slog.DiscardHandler)}
			set(&cfg, func() {
				if calls++; calls == at+1 {
					panic(errOops)
				}
			})
			if !panics(func() { pool.Open(t.Context(), cfg) }) {
				t.Errorf("%s: it does not panic", name)
			}
			if n := l.open(); n != 0 {
				t.Errorf("%s, call %d: %d connections are open", name, at, n)
			}
			p, err := pool.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			must(t, p.DB(), "CREATE TABLE t(a)") // the writer's turn is free
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}
