package pool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestAcquireErrorCycle checks that callers that wait for each other, across pools, get
// CauseCycle. Owners or traces identify the callers. Callers with owners get it soon, others at
// their timeout. There is no cycle if one holder does not wait.
func TestAcquireErrorCycle(t *testing.T) {
	named := func(name string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return pool.WithOwner(ctx, name) }
	}
	in := func(trace byte) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return traced(ctx, trace) }
	}
	both := func(trace byte, name string) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return traced(pool.WithOwner(ctx, name), trace) }
	}
	for _, tc := range []struct {
		name    string
		parties []func(context.Context) context.Context // caller i holds the writer of pool i and waits for the next pool's
		free    bool                                    // the last one does not wait
		err     error
		cause   pool.Cause
	}{
		{"two owners", []func(context.Context) context.Context{named("A"), named("B")}, false, pool.ErrDeadlock, pool.CauseCycle},
		{"two traces", []func(context.Context) context.Context{in(1), in(2)}, false, pool.ErrAcquireTimeout, pool.CauseCycle},
		{"owners in one trace", []func(context.Context) context.Context{both(1, "A"), both(1, "B")}, false, pool.ErrDeadlock, pool.CauseCycle},
		{"three", []func(context.Context) context.Context{named("A"), in(1), named("C")}, false, pool.ErrAcquireTimeout, pool.CauseCycle},
		{"one may go on", []func(context.Context) context.Context{named("A"), named("B"), named("C")}, true, pool.ErrAcquireTimeout, pool.CauseIdle},
		{"one may go on, in the same trace", []func(context.Context) context.Context{both(1, "A"), both(1, "B")}, true, pool.ErrAcquireTimeout, pool.CauseIdle},
		{"no caller is known", []func(context.Context) context.Context{named(""), named("")}, false, pool.ErrAcquireTimeout, pool.CauseIdle},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var pools []*pool.Pool
				var ctxs []context.Context
				for i, party := range tc.parties {
					p, _ := pooled(t, pool.Config{Name: string(rune('1' + i)), AcquireTimeout: 10*time.Second + time.Duration(i)*time.Second})
					ctx := party(t.Context())
					c, err := p.AcquireWrite(ctx)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Release()
					pools, ctxs = append(pools, p), append(ctxs, ctx)
				}
				began := time.Now()
				if tc.free {
					ctxs = ctxs[:len(ctxs)-1]
				}
				errs := make(chan error)
				for i, ctx := range ctxs {
					go func() {
						c, err := pools[(i+1)%len(pools)].AcquireWrite(ctx)
						if err == nil {
							err = c.Release()
						}
						errs <- err
					}()
				}
				var e *pool.AcquireError
				if err := <-errs; !errors.As(err, &e) || !errors.Is(err, tc.err) || e.Cause != tc.cause {
					t.Fatalf("%v", err)
				}
				if took := time.Since(began); errors.Is(e, pool.ErrDeadlock) && took > time.Second {
					t.Errorf("the deadlock took %v", took)
				}
				if tc.cause == pool.CauseCycle {
					if len(e.Holders) != len(pools) {
						t.Errorf("%d callers are in the cycle", len(e.Holders))
					}
					for _, h := range e.Holders {
						next := string(rune('1' + (int(h.Pool[0]-'1')+1)%len(pools)))
						if want := fmt.Sprintf("writer of %q", next); h.WaitsFor != want || !strings.Contains(e.Error(), "waits for a "+want) {
							t.Errorf("%s waits for %q: %v", h.Pool, h.WaitsFor, e)
						}
					}
				}
				for range len(ctxs) - 1 { // their connections are still held
					if err := <-errs; !errors.Is(err, pool.ErrAcquireTimeout) {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestAcquireErrorOfConnect checks that an acquire ends if no connection can be opened. Its
// error does not blame slow holders.
func TestAcquireErrorOfConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the disk is gone")
		opens := 0
		p, _ := pooled(t, pool.Config{AcquireTimeout: 5 * time.Second, MaxConns: 2, Hooks: pool.Hooks{
			BeforeConnect: func(ctx context.Context) error {
				switch opens++; opens {
				case 1: // the writer's connection
					return nil
				case 2:
					time.Sleep(3 * time.Second)
					return down
				}
				<-ctx.Done()
				return ctx.Err()
			},
		}})
		first := make(chan error)
		go func() {
			_, err := p.AcquireRead(t.Context())
			first <- err
		}()
		synctest.Wait()
		began := time.Now()
		_, err := p.AcquireRead(t.Context())
		var e *pool.AcquireError
		if !errors.As(err, &e) || !errors.Is(err, pool.ErrAcquireTimeout) || e.Cause != pool.CauseConnect || e.Waited != 5*time.Second {
			t.Fatalf("%v", err)
		}
		if !errors.Is(e.Connect, down) && !errors.Is(e.Connect, context.DeadlineExceeded) || !strings.Contains(err.Error(), e.Connect.Error()) {
			t.Errorf("the error does not contain the reason: %v", err)
		}
		if d := time.Since(began); d != 5*time.Second {
			t.Errorf("it took %v", d)
		}
		var open *pool.OpenError
		if err := <-first; !errors.As(err, &open) || !errors.Is(err, down) {
			t.Errorf("the call that opens the connection returns %v", err)
		}
		if errors.Is(err, sqlite3.BUSY) {
			t.Error("the error says that a lock is the cause")
		}
	})
}
