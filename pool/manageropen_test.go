package pool_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A heldOpening is a configuration whose first connection waits for release, and fails with err.
type heldOpening struct {
	cfg      pool.Config
	opens    atomic.Int64
	release  chan struct{}
	failures atomic.Int64 // how many openings fail
	err      error
}

func holdOpening(t *testing.T) *heldOpening {
	h := &heldOpening{cfg: fileConfig(t), release: make(chan struct{}), err: errors.New("no license")}
	h.cfg.MaxConns = 1
	h.cfg.Hooks.BeforeConnect = func(ctx context.Context) error {
		h.opens.Add(1)
		select {
		case <-h.release:
		case <-ctx.Done():
			return ctx.Err()
		}
		if h.failures.Add(-1) >= 0 {
			return h.err
		}
		return nil
	}
	return h
}

// An opened is the result of a call of Manager.Open.
type opened struct {
	pool *pool.Pool
	err  error
}

func goOpen(ctx context.Context, m *pool.Manager, name string, cfg pool.Config) <-chan opened {
	done := make(chan opened, 1)
	go func() {
		p, err := m.Open(ctx, name, cfg)
		done <- opened{p, err}
	}()
	return done
}

// TestManagerOpen checks that many concurrent calls share one opening and one pool, and that
// later calls return that pool without a look at their configuration.
func TestManagerOpen(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	h := holdOpening(t)
	close(h.release)
	var calls sync.WaitGroup
	var first atomic.Pointer[pool.Pool]
	for range 20 {
		calls.Go(func() {
			p, err := m.Open(t.Context(), "t1", h.cfg)
			if err != nil {
				t.Error(err)
			} else if !first.CompareAndSwap(nil, p) && first.Load() != p {
				t.Error("two pools have the same name")
			}
		})
	}
	calls.Wait()
	p, err := m.Open(t.Context(), "t1", pool.Config{})
	if err != nil || p != first.Load() || p.Name() != "t1" {
		t.Errorf("%v, %v, want %v", p, err, first.Load())
	}
	if got, _ := m.Get("t1"); got != p {
		t.Error("the Manager has another pool")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := m.Open(t.Context(), "t1", fileConfig(t))
	if err != nil || again == p || again.Closed() {
		t.Errorf("in place of a closed pool: %v, %v", again, err)
	}
	for name, want := range map[string]error{"": pool.ErrInvalidConfig, pool.PrimaryName: pool.ErrInvalidConfig} {
		if _, err := m.Open(t.Context(), name, fileConfig(t)); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(t.Context(), "t1", fileConfig(t)); !errors.Is(err, pool.ErrClosed) {
		t.Error(err)
	}
}

// TestManagerOpenWaits checks the calls that wait while another call opens the pool.
func TestManagerOpenWaits(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, m *pool.Manager, h *heldOpening){
		"the opening succeeds": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			a := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			b := goOpen(t.Context(), m, "a", pool.Config{}) // which could not be opened
			synctest.Wait()
			if _, err := m.Add(t.Context(), "a", h.cfg); !errors.Is(err, pool.ErrExists) {
				t.Error(err)
			}
			close(h.release)
			x, y := <-a, <-b
			if x.err != nil || y.err != nil || x.pool != y.pool || h.opens.Load() != 1 {
				t.Errorf("%+v, %+v, %d openings", x, y, h.opens.Load())
			}
		},
		"Add opens": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			added := make(chan opened, 1)
			go func() { p, err := m.Add(t.Context(), "a", h.cfg); added <- opened{p, err} }()
			synctest.Wait()
			b := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			close(h.release)
			if x, y := <-added, <-b; x.err != nil || x != y {
				t.Errorf("%+v, %+v", x, y)
			}
		},
		"the opening fails": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			h.failures.Store(1)
			a := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			b := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			close(h.release)
			if x, y := <-a, <-b; !errors.Is(x.err, h.err) || x != y || h.opens.Load() != 1 {
				t.Errorf("%+v, %+v, %d openings", x, y, h.opens.Load())
			}
			if c := <-goOpen(t.Context(), m, "a", h.cfg); c.err != nil {
				t.Error(c.err)
			}
		},
		"the first call is canceled": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			ctx, cancel := context.WithCancel(t.Context())
			a := goOpen(ctx, m, "a", h.cfg)
			synctest.Wait()
			b, c := goOpen(t.Context(), m, "a", h.cfg), goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			cancel()
			if x := <-a; !errors.Is(x.err, context.Canceled) {
				t.Errorf("%+v", x)
			}
			synctest.Wait()
			close(h.release)
			if x, y := <-b, <-c; x.err != nil || y.err != nil || x.pool != y.pool || h.opens.Load() != 2 {
				t.Errorf("%+v, %+v, %d openings", x, y, h.opens.Load())
			}
		},
		"the context of a waiting call ends": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			a := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if b := <-goOpen(ctx, m, "a", h.cfg); !errors.Is(b.err, context.DeadlineExceeded) {
				t.Errorf("%+v", b)
			}
			close(h.release)
			if x := <-a; x.err != nil {
				t.Error(x.err)
			}
			if b := <-goOpen(ctx, m, "a", h.cfg); b.err != nil { // there is nothing to wait for
				t.Error(b.err)
			}
		},
		"a hook panics": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			panics, cfg := fileConfig(t), h.cfg
			panics.Hooks.BeforeConnect = func(context.Context) error { <-h.release; panic("hook") }
			panicked := make(chan any, 1)
			go func() {
				defer func() { panicked <- recover() }()
				m.Open(t.Context(), "a", panics)
			}()
			synctest.Wait()
			b := goOpen(t.Context(), m, "a", cfg)
			synctest.Wait()
			close(h.release)
			if v, x := <-panicked, <-b; v != "hook" || x.err != nil {
				t.Errorf("%v, %+v", v, x)
			}
		},
		"the Manager is closed": func(t *testing.T, m *pool.Manager, h *heldOpening) {
			a := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			b := goOpen(t.Context(), m, "a", h.cfg)
			synctest.Wait()
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if x, y := <-a, <-b; !errors.Is(x.err, pool.ErrClosed) || !errors.Is(y.err, pool.ErrClosed) {
				t.Errorf("%+v, %+v", x, y)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var m pool.Manager
				test(t, &m, holdOpening(t))
				if err := m.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
