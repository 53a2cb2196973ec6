package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestWriterIsFirstComeFirstServed checks that waiters for the writer are served first come,
// first served, however they ask. Waiters that give up do not change the order of the others.
func TestWriterIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{})
		must(t, p.DB(), "CREATE TABLE t(a)")
		c, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order, want []int
		got := func(i int) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		}
		var wg sync.WaitGroup
		for i := range 60 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wg.Go(func() {
				var err error
				switch i % 5 {
				case 0:
					var tx *sql.Tx
					if tx, err = p.DB().BeginTx(ctx, nil); err == nil {
						got(i)
						err = tx.Rollback()
					}
				case 1:
					err = p.Raw(ctx, func(*sqlite3.Conn) error { got(i); return nil })
				case 2:
					var c *pool.Conn
					if c, err = p.AcquireWrite(ctx); err == nil {
						got(i)
						err = c.Release()
					}
				case 3:
					var c *sql.Conn
					if c, err = p.Writer().Conn(ctx); err == nil {
						if err = c.PingContext(ctx); err == nil {
							got(i)
						}
						c.Close()
					}
				case 4:
					_, err = p.DB().ExecContext(ctx, "INSERT INTO t VALUES (1)")
					if !errors.Is(err, context.Canceled) {
						t.Errorf("a cancelled waiter: %v", err)
					}
					return
				}
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if i%5 == 4 {
				defer func() {
					if slices.Contains(order, i) {
						t.Errorf("waiter %d was served after it had given up", i)
					}
				}()
				time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
			} else {
				want = append(want, i)
			}
		}
		time.Sleep(time.Second)
		if n := p.Stats().Waiting; n != len(want) {
			t.Errorf("%d wait", n)
		}
		c.Release()
		wg.Wait()
		if !slices.Equal(order, want) {
			t.Errorf("served in the order %v", order)
		}
		l.settled(t, p)
		if s := p.Stats(); s.Waits != int64(len(want)+12) || s.Cancels != 12 || s.PeakWaiting != 60 {
			t.Errorf("%d waits, %d cancels, at most %d waiting", s.Waits, s.Cancels, s.PeakWaiting)
		}
	})
}

// TestHooks checks that each hook is called at the documented time and with the documented
// values. No lock is held, because all hooks call the pool.
func TestHooks(t *testing.T) {
	var mu sync.Mutex
	var calls []string
	var p *pool.Pool
	call := func(format string, args ...any) {
		if p != nil {
			p.Stats()
			p.Holders()
			p.Events()
			p.Config()
			p.Health()
			p.Closed()
		}
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, fmt.Sprintf(format, args...))
	}
	describe := func(c pool.ConnInfo) string {
		return fmt.Sprintf("%s, use %d, idle %v", c.Lane, c.Uses, c.Idle > 0)
	}
	type key struct{}
	p, _ = pooled(t, pool.Config{MaxConns: 2, Hooks: pool.Hooks{
		BeforeConnect: func(ctx context.Context) error { call("before connect %v", ctx.Value(key{})); return nil },
		AfterConnect: func(ctx context.Context, c *sqlite3.Conn) error {
			call("after connect %v, autocommit %v", ctx.Value(key{}), c.GetAutocommit())
			return nil
		},
		BeforeAcquire: func(ctx context.Context, c pool.ConnInfo) bool {
			call("before acquire %v: %s", ctx.Value(key{}), describe(c))
			return true
		},
		AfterRelease: func(c pool.ConnInfo) bool { call("after release: %s", describe(c)); return true },
		BeforeClose:  func(c pool.ConnInfo) { call("before close: %s", describe(c)) },
	}})
	step := func(what string, want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(calls, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(calls, "\n"), strings.Join(want, "\n"))
		}
		calls = nil
	}
	step("open", "before connect <nil>", "after connect <nil>, autocommit true")
	ctx := context.WithValue(t.Context(), key{}, "me")
	if err := p.Raw(ctx, func(*sqlite3.Conn) error { return nil }); err != nil {
		t.Fatal(err)
	}
	step("a write", "before acquire me: writer, use 0, idle true", "after release: writer, use 1, idle false")
	c, err := p.AcquireRead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	step("a read", "before connect me", "after connect me, autocommit true", "before acquire me: reader, use 0, idle false", "after release: reader, use 1, idle false")
	p.Reset()
	step("a reset", "before close: reader, use 1, idle true", "before close: writer, use 1, idle true")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	step("a close of nothing")
}

// TestHooksDecide checks the results of hooks: an error fails the call but not the pool, and
// false closes the connection. The next waiter gets the turn in every case.
func TestHooksDecide(t *testing.T) {
	refusal := errors.New("not today")
	for _, tc := range []struct {
		name   string
		hooks  func(yes func() bool) pool.Hooks
		err    error
		reason driver.Reason
	}{
		{"BeforeConnect", func(yes func() bool) pool.Hooks {
			return pool.Hooks{BeforeConnect: func(context.Context) error {
				if yes() {
					return nil
				}
				return refusal
			}}
		}, refusal, ""},
		{"AfterConnect", func(yes func() bool) pool.Hooks {
			return pool.Hooks{AfterConnect: func(context.Context, *sqlite3.Conn) error {
				if yes() {
					return nil
				}
				return refusal
			}}
		}, refusal, driver.ReasonHook},
		{"BeforeAcquire", func(yes func() bool) pool.Hooks {
			return pool.Hooks{BeforeAcquire: func(context.Context, pool.ConnInfo) bool { return yes() }}
		}, nil, driver.ReasonHook},
		{"AfterRelease", func(yes func() bool) pool.Hooks {
			return pool.Hooks{AfterRelease: func(pool.ConnInfo) bool { return yes() }}
		}, nil, driver.ReasonHook},
	} {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, panic %v", tc.name, panics), func(t *testing.T) {
				no := 0
				p, l := pooled(t, pool.Config{MaxConns: 2, Hooks: tc.hooks(func() bool {
					if no == 0 {
						return true
					}
					no--
					if panics {
						panic(refusal)
					}
					return false
				})})
				p.Reset()
				no = 1
				panicked, err := raw(p)
				switch {
				case panics && panicked != refusal:
					t.Errorf("the panic was %v", panicked)
				case !panics && (panicked != nil || !errors.Is(err, tc.err)):
					t.Errorf("%v, panic %v", err, panicked)
				}
				if no != 0 {
					t.Error("the hook was not called")
				}
				reason := tc.reason
				if panics && tc.name == "AfterConnect" { // the hook has SQLite's connection
					reason = driver.ReasonPanic
				}
				if n := l.closedFor(reason); reason != "" && n != 1 {
					t.Errorf("%d connections were closed", n)
				}
				l.settled(t, p)
				c, ok, err := p.TryAcquire(t.Context())
				if err != nil || !ok {
					t.Fatalf("the turn is lost: %v", err)
				}
				c.Release()
				l.settled(t, p)
			})
		}
	}
}

// raw calls Raw and returns the value of a panic.
func raw(p *pool.Pool) (panicked any, err error) {
	defer func() { panicked = recover() }()
	err = p.Raw(context.Background(), func(*sqlite3.Conn) error { return nil })
	return nil, err
}

// TestPanicsBesideACall checks that a panic in BeforeClose, Init or Term loses no connection
// and no turn.
func TestPanicsBesideACall(t *testing.T) {
	oops := errors.New("oops")
	for name, set := range map[string]func(cfg *pool.Config, hook func()){
		"BeforeClose": func(cfg *pool.Config, hook func()) { cfg.Hooks.BeforeClose = func(pool.ConnInfo) { hook() } },
		"Init":        func(cfg *pool.Config, hook func()) { cfg.Init = func(*sqlite3.Conn) error { hook(); return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			fail := false
			cfg := pool.Config{MaxConns: 2}
			set(&cfg, func() {
				if fail {
					fail = false
					panic(oops)
				}
			})
			p, l := pooled(t, cfg)
			for range 3 {
				c, err := p.AcquireWrite(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				p.Reset()
				fail = true
				// The release closes one connection, and Raw opens the next.
				for range 2 {
					func() {
						defer func() {
							if r := recover(); r != nil && r != oops {
								panic(r)
							}
						}()
						if c != nil {
							c.Release()
						}
						c = nil
						p.Raw(t.Context(), func(*sqlite3.Conn) error { return nil })
					}()
				}
				if fail {
					t.Error("the function was not called")
				}
				l.settled(t, p)
				if panicked, err := raw(p); err != nil || panicked != nil {
					t.Errorf("the turn is lost: %v, %v", err, panicked)
				}
			}
		})
	}
}

// TestBeforeAcquireRefusesAll checks that an acquire ends at its timeout, or with the
// caller's context, if the hook refuses every connection. It must not loop forever.
func TestBeforeAcquireRefusesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{AcquireTimeout: time.Second, Hooks: pool.Hooks{
			BeforeAcquire: func(context.Context, pool.ConnInfo) bool {
				time.Sleep(100 * time.Millisecond)
				return false
			},
		}})
		if _, err := p.AcquireRead(t.Context()); !errors.Is(err, pool.ErrAcquireTimeout) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := p.AcquireWrite(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if s := p.Stats(); s.Timeouts != 1 || s.Cancels != 1 {
			t.Errorf("%d timeouts, %d cancels", s.Timeouts, s.Cancels)
		}
		l.settled(t, p)
	})
}

// TestResize checks that Resize lets more readers in immediately. It closes surplus readers:
// idle ones immediately, least recently used first, and others at their release.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := pooled(t, pool.Config{MaxConns: 3, IdleTimeout: -1})
		for _, n := range []int{0, -1} {
			if err := p.Resize(n); !errors.Is(err, pool.ErrInvalidConfig) {
				t.Errorf("%d: %v", n, err)
			}
		}
		var held []*pool.Conn
		lease := func() {
			t.Helper()
			c, err := p.AcquireRead(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
		}
		lease()
		lease()
		waiter := make(chan error)
		go func() {
			c, err := p.AcquireRead(t.Context())
			if err == nil {
				err = c.Release()
			}
			waiter <- err
		}()
		synctest.Wait()
		if p.Stats().Waiting != 1 {
			t.Fatal("no call waits")
		}
		if err := p.Resize(6); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := <-waiter; err != nil {
			t.Fatal(err)
		}
		lease()
		lease()
		lease()
		if s := p.Stats(); s.Max != 6 || p.Config().MaxConns != 6 || s.Readers != 5 || s.Overflows != 0 {
			t.Fatalf("%+v", s)
		}
		for _, c := range held[:3] {
			c.Release()
		}
		if err := p.Resize(4); err != nil { // 2 in use, 3 idle: 2 too many
			t.Fatal(err)
		}
		if s := p.Stats(); s.Readers != 3 || s.ReadersInUse != 2 || l.closedFor(driver.ReasonShrunk) != 2 {
			t.Fatalf("%d readers, %d in use, %d closed", s.Readers, s.ReadersInUse, l.closedFor(driver.ReasonShrunk))
		}
		if err := p.Resize(1); err != nil {
			t.Fatal(err)
		}
		if s := p.Stats(); s.Max != 1 || s.Readers != 2 || s.ReadersInUse != 2 {
			t.Fatalf("%+v", s)
		}
		for _, c := range held[3:] {
			c.Release()
		}
		if s := p.Stats(); s.Open != 1 || s.Writers != 1 {
			t.Fatalf("%d readers, %d writers", s.Readers, s.Writers)
		}
		var n int
		if err := p.DB().QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil || p.Stats().Readers != 0 {
			t.Errorf("%v, %d readers", err, p.Stats().Readers)
		}
		if err := p.Resize(2); err != nil {
			t.Fatal(err)
		}
		leaseReaders(t, p, 1)
		if s := p.Stats(); s.Readers != 1 {
			t.Errorf("%d readers", s.Readers)
		}
		p.Close()
		if err := p.Resize(2); !errors.Is(err, pool.ErrClosed) {
			t.Error(err)
		}
	})
	p, _ := pooled(t, pool.InMemory())
	if err := p.Resize(7); err != nil || p.Config().MaxConns != 7 || p.Stats().Max != 1 {
		t.Errorf("%v; %d, %d", err, p.Config().MaxConns, p.Stats().Max)
	}
	must(t, p.DB(), "CREATE TABLE t(a)")
}

// TestPreparingIsNotAUseOfAQuery checks that preparing a query does not count as a use of it.
// The pool prepares a query to ask SQLite whether it only reads, and the program may prepare it
// too. A query that runs once is still prepared once, and evicts no other query.
func TestPreparingIsNotAUseOfAQuery(t *testing.T) {
	const once = 200
	for what, run := range map[string]func(db *sql.DB, i int) error{
		"WITH": func(db *sql.DB, i int) error {
			var n int
			return db.QueryRow(fmt.Sprintf("WITH w AS (SELECT %d AS n) SELECT n FROM w", i)).Scan(&n)
		},
		"Prepare": func(db *sql.DB, i int) error {
			stmt, err := db.Prepare(fmt.Sprintf("SELECT %d", i))
			if err != nil {
				return err
			}
			defer stmt.Close()
			var n int
			return stmt.QueryRow().Scan(&n)
		},
	} {
		p, _ := pooled(t, pool.Config{MaxConns: 2, StatementCache: 20})
		before := p.Stats().Cache
		for i := range once {
			if err := run(p.DB(), i); err != nil {
				t.Fatal(err)
			}
		}
		after := p.Stats().Cache
		if n := after.Misses - before.Misses; n != once {
			t.Errorf("%s: %d queries that run once were prepared %d times", what, once, n)
		}
		if after.Evictions != before.Evictions {
			t.Errorf("%s: they evicted %d queries", what, after.Evictions-before.Evictions)
		}
	}
}
