package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

func fileConfig(t testing.TB) pool.Config {
	t.Helper()
	return pool.Config{Path: filepath.Join(t.TempDir(), "test.db")}
}

func closeManager(t testing.TB, m *pool.Manager) {
	t.Helper()
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// counting returns a configuration that counts connects in n.
func counting(t testing.TB, n *atomic.Int64) pool.Config {
	cfg := fileConfig(t)
	cfg.Hooks.BeforeConnect = func(context.Context) error {
		n.Add(1)
		return nil
	}
	return cfg
}

// TestManagerKeepsPoolsByName checks that the zero Manager is empty, and keeps the pools that
// it opens by name.
func TestManagerKeepsPoolsByName(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	if p, ok := m.Primary(); ok || p != nil || len(m.Names()) != 0 || m.HealthCheck(t.Context()) == nil {
		t.Errorf("the zero Manager has %v, %v", p, m.Names())
	}
	primary, err := m.OpenPrimary(t.Context(), fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := fileConfig(t)
	cfg.Name = "its own"
	sessions, err := m.Add(t.Context(), "sessions", cfg)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := m.Add(t.Context(), "memory", pool.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*pool.Pool{pool.PrimaryName: primary, "sessions": sessions, "memory": memory} {
		if got, ok := m.Get(name); !ok || got != want {
			t.Errorf("Get(%q) is %p, %v, want %p", name, got, ok, want)
		}
	}
	if got, ok := m.Primary(); !ok || got != primary {
		t.Errorf("Primary is %p, %v, want %p", got, ok, primary)
	}
	if got, ok := m.Get("other"); ok || got != nil {
		t.Errorf("there is a pool that was never added: %p, %v", got, ok)
	}
	if got, want := m.Names(), []string{"memory", pool.PrimaryName, "sessions"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	var viewed []string
	for _, v := range m.Views() {
		viewed = append(viewed, v.Name())
		if h := v.Health().Health; h != pool.HealthOK || v.Stats().Open < 1 || len(v.Events()) == 0 {
			t.Errorf("the view of %q is %v, with %+v", v.Name(), h, v.Stats())
		}
	}
	if want := []string{"memory", pool.PrimaryName, "its own"}; !slices.Equal(viewed, want) {
		t.Errorf("views of %q, want %q", viewed, want)
	}
	if a, b := primary.Config().Name, sessions.Config().Name; a != pool.PrimaryName || b != "its own" {
		t.Errorf("the pools have the names %q and %q", a, b)
	}
}

// TestManagerRefusesNames checks that a name is refused before anything is opened.
func TestManagerRefusesNames(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	if _, err := m.OpenPrimary(t.Context(), fileConfig(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Add(t.Context(), "a", fileConfig(t)); err != nil {
		t.Fatal(err)
	}
	var connects atomic.Int64
	cfg := counting(t, &connects)
	for what, tc := range map[string]struct {
		open func() (*pool.Pool, error)
		want error
		says string
	}{
		"a second primary":   {func() (*pool.Pool, error) { return m.OpenPrimary(t.Context(), cfg) }, pool.ErrExists, `"primary"`},
		"a name twice":       {func() (*pool.Pool, error) { return m.Add(t.Context(), "a", cfg) }, pool.ErrExists, `"a"`},
		"an empty name":      {func() (*pool.Pool, error) { return m.Add(t.Context(), "", cfg) }, pool.ErrInvalidConfig, "empty"},
		"the primary's name": {func() (*pool.Pool, error) { return m.Add(t.Context(), pool.PrimaryName, cfg) }, pool.ErrInvalidConfig, "OpenPrimary"},
	} {
		if p, err := tc.open(); p != nil || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %p, %v", what, p, err)
		}
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("refused pools opened %d connections", n)
	}
	if got := m.Names(); !slices.Equal(got, []string{"a", pool.PrimaryName}) {
		t.Errorf("names %q", got)
	}
}

// TestManagerOpensOnePrimary checks that of several concurrent OpenPrimary calls one
// succeeds. The others open nothing.
func TestManagerOpensOnePrimary(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	const many = 8
	opening, others := make(chan struct{}), make(chan struct{})
	var connects, refused atomic.Int64
	cfg := fileConfig(t)
	cfg.Hooks.BeforeConnect = func(context.Context) error {
		if connects.Add(1) == 1 {
			close(opening)
			<-others // they have been refused while this one is being opened
		}
		return nil
	}
	var first, rest sync.WaitGroup
	var winner *pool.Pool
	first.Go(func() {
		p, err := m.OpenPrimary(t.Context(), cfg)
		if err != nil {
			t.Error(err)
		}
		winner = p
	})
	<-opening
	if _, ok := m.Primary(); ok || len(m.Names()) != 0 || len(m.HealthCheck(t.Context())) != 0 {
		t.Error("Primary returns a primary that is still being opened")
	}
	if err := m.Remove(t.Context(), pool.PrimaryName); !errors.Is(err, pool.ErrNoPool) {
		t.Errorf("removing a pool that is being opened: %v", err)
	}
	for range many {
		rest.Go(func() {
			if _, err := m.OpenPrimary(t.Context(), cfg); errors.Is(err, pool.ErrExists) {
				refused.Add(1)
			}
		})
	}
	rest.Wait()
	if n := connects.Load(); n != 1 || refused.Load() != many {
		t.Errorf("%d connects, %d of %d refused", n, refused.Load(), many)
	}
	close(others)
	first.Wait()
	if p, ok := m.Primary(); !ok || p != winner {
		t.Errorf("the primary is %p, the winner %p", p, winner)
	}
}

// TestManagerFreesNameAfterFailure checks that a pool that cannot be opened leaves its name
// free, also if its hook panics.
func TestManagerFreesNameAfterFailure(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	bad := fileConfig(t)
	bad.MustExist = true
	if _, err := m.OpenPrimary(t.Context(), bad); !errors.Is(err, pool.ErrNotFound) {
		t.Fatal(err)
	}
	panics := fileConfig(t)
	panics.Hooks.BeforeConnect = func(context.Context) error { panic("hook") }
	func() {
		defer func() {
			if recover() != "hook" {
				t.Error("the panic does not reach the caller")
			}
		}()
		m.OpenPrimary(t.Context(), panics)
	}()
	if _, err := m.OpenPrimary(t.Context(), fileConfig(t)); err != nil {
		t.Error(err)
	}
}

// TestManagerRemove checks that Remove shuts a pool down and frees its name.
func TestManagerRemove(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	p, err := m.Add(t.Context(), "a", fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(t.Context(), "b"); !errors.Is(err, pool.ErrNoPool) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("removing a missing pool: %v", err)
	}
	if err := m.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Get("a"); ok || !p.Closed() {
		t.Errorf("there: %v, closed: %v", ok, p.Closed())
	}
	if _, err := m.Add(t.Context(), "a", fileConfig(t)); err != nil {
		t.Error(err)
	}
}

// TestManagerReplacesAClosedPool checks that a pool that its owner has shut down counts as
// closed, and may be replaced.
func TestManagerReplacesAClosedPool(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	first, err := m.OpenPrimary(t.Context(), fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Add(t.Context(), "other", fileConfig(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if h := m.HealthCheck(t.Context()); len(h) != 2 || !errors.Is(h[pool.PrimaryName], pool.ErrClosed) || h["other"] != nil {
		t.Errorf("health %v", h)
	}
	second, err := m.OpenPrimary(t.Context(), fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := m.Primary(); p != second {
		t.Errorf("the primary is %p, not %p", p, second)
	}
	if h := m.HealthCheck(t.Context()); h[pool.PrimaryName] != nil {
		t.Errorf("health %v", h)
	}
}

// TestManagerHealthCheckIsParallel checks that all pools are checked in parallel, and that each
// has its own result.
func TestManagerHealthCheckIsParallel(t *testing.T) {
	var m pool.Manager
	closeManager(t, &m)
	names := []string{pool.PrimaryName, "a", "b"}
	var checking atomic.Bool
	meet := make(chan struct{}, len(names))
	met := make(chan struct{})
	sick := errors.New("sick")
	for _, name := range names {
		cfg := fileConfig(t)
		cfg.Init = func(*sqlite3.Conn) error {
			if !checking.Load() {
				return nil
			}
			// Each check waits until all have started.
			if meet <- struct{}{}; len(meet) == len(names) {
				close(met)
			}
			<-met
			if name == "b" {
				return sick
			}
			return nil
		}
		open := m.OpenPrimary
		if name != pool.PrimaryName {
			open = func(ctx context.Context, cfg pool.Config) (*pool.Pool, error) { return m.Add(ctx, name, cfg) }
		}
		if _, err := open(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	checking.Store(true)
	h := m.HealthCheck(t.Context())
	checking.Store(false)
	if got := slices.Sorted(maps.Keys(h)); !slices.Equal(got, []string{"a", "b", pool.PrimaryName}) {
		t.Errorf("checked %q", got)
	}
	if h["a"] != nil || h[pool.PrimaryName] != nil || !errors.Is(h["b"], sick) || !errors.Is(h["b"], pool.ErrHealthCheck) {
		t.Errorf("health %v", h)
	}
}

// TestManagerClose checks that Close shuts all pools down, names the pools in its error, and
// leaves nothing open.
func TestManagerClose(t *testing.T) {
	var m pool.Manager
	primary, err := m.OpenPrimary(t.Context(), fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	healthy, err := m.Add(t.Context(), "healthy", fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	busy, err := m.Add(t.Context(), "busy", fileConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	held, err := busy.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ends := []*pool.Subscription{primary.Subscribe(1), healthy.Subscribe(1)}
	returned := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { returned <- m.Close(ctx) }()
	for _, end := range ends { // healthy is closed although Close still waits for the first name, busy
		for range end.C() {
		}
	}
	select {
	case err := <-returned:
		t.Fatalf("Close did not wait for the connection in use: %v", err)
	default:
	}
	second, over := context.WithCancel(t.Context())
	over()
	if err := m.Close(second); !errors.Is(err, context.Canceled) {
		t.Errorf("a second Close with a cancelled context: %v", err)
	}
	cancel() // the connection is now taken away
	err = <-returned
	held.Release()
	var left *pool.ShutdownError
	if !errors.As(err, &left) || !strings.Contains(err.Error(), `"busy"`) || strings.Contains(err.Error(), "healthy") {
		t.Errorf("close: %v", err)
	}
	if again := m.Close(t.Context()); again != err {
		t.Errorf("the second Close: %v, the first %v", again, err)
	}
	for _, p := range []*pool.Pool{primary, healthy, busy} {
		if !p.Closed() {
			t.Errorf("%s is open", p.Config().Name)
		}
	}
	if _, ok := m.Primary(); ok || len(m.Names()) != 0 || len(m.HealthCheck(t.Context())) != 0 {
		t.Errorf("the Manager still has %q", m.Names())
	}
	var connects atomic.Int64
	if _, err := m.Add(t.Context(), "late", counting(t, &connects)); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("Add: %v", err)
	}
	if _, err := m.OpenPrimary(t.Context(), counting(t, &connects)); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("OpenPrimary: %v", err)
	}
	if err := m.Remove(t.Context(), "healthy"); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("Remove: %v", err)
	}
	if n := connects.Load(); n != 0 {
		t.Errorf("a closed Manager opened %d connections", n)
	}
}

// TestManagerCloseDuringOpening checks that a pool that is being opened when the Manager is
// closed does not stay open.
func TestManagerCloseDuringOpening(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		var m pool.Manager
		opening, closing := make(chan struct{}), make(chan struct{})
		cfg := fileConfig(t)
		var connects atomic.Int64
		cfg.Hooks.BeforeConnect = func(ctx context.Context) error {
			if connects.Add(1) > 1 {
				return nil
			}
			close(opening)
			<-ctx.Done() // Close cancels it
			if stubborn {
				return nil
			}
			return ctx.Err()
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if p, err := m.Add(t.Context(), "a", cfg); p != nil || !errors.Is(err, pool.ErrClosed) {
				t.Errorf("stubborn %v: %p, %v", stubborn, p, err)
			}
			close(closing)
		})
		<-opening
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("stubborn %v: close: %v", stubborn, err)
		}
		<-closing
		wg.Wait()
	}
}

// An onMessage is a slog.Handler that calls f with the message of each line.
type onMessage struct {
	slog.Handler
	f func(string)
}

func (h onMessage) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h onMessage) Enabled(context.Context, slog.Level) bool { return true }

func (h onMessage) Handle(_ context.Context, r slog.Record) error {
	h.f(r.Message)
	return nil
}

// TestManagerCloseAtEndOfOpening checks that a pool whose opening ends just when the
// Manager is closed is closed again.
func TestManagerCloseAtEndOfOpening(t *testing.T) {
	var m pool.Manager
	var closing sync.WaitGroup
	opened, closes := 0, 0
	cfg := fileConfig(t)
	cfg.Logger = slog.New(onMessage{slog.DiscardHandler, func(message string) {
		switch message {
		case "pool: open":
			opened++
			closing.Go(func() {
				if err := m.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
			for !errors.Is(m.Remove(t.Context(), "none"), pool.ErrClosed) {
				runtime.Gosched()
			}
		case "pool: closed":
			closes++
		}
	}})
	if p, err := m.Add(t.Context(), "a", cfg); p != nil || !errors.Is(err, pool.ErrClosed) {
		t.Errorf("%p, %v", p, err)
	}
	closing.Wait()
	if opened != 1 || closes != 1 {
		t.Errorf("opened %d times, closed %d times", opened, closes)
	}
}

// TestDefaultManager checks that all callers get the same default Manager.
func TestDefaultManager(t *testing.T) {
	p, err := pool.Default().Add(t.Context(), t.Name(), pool.InMemory())
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := pool.Default().Get(t.Name()); !ok || got != p {
		t.Errorf("got %p, %v, want %p", got, ok, p)
	}
	if err := pool.Default().Remove(t.Context(), t.Name()); err != nil {
		t.Error(err)
	}
}

// TestShutdownDuringConnect checks that a connection that is still being opened when
// Shutdown stops waiting is not used. The call that waits for it gets an error, and nothing
// stays open.
func TestShutdownDuringConnect(t *testing.T) {
	cfg := fileConfig(t)
	synctest.Test(t, func(t *testing.T) {
		opening, goOn := make(chan struct{}), make(chan struct{})
		var slow atomic.Bool
		cfg.Hooks.BeforeConnect = func(context.Context) error {
			if slow.Swap(false) {
				close(opening)
				<-goOn
			}
			return nil
		}
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		slow.Store(true)
		got := make(chan error)
		go func() {
			var n int
			got <- p.Reader().QueryRow("SELECT 1").Scan(&n)
		}()
		<-opening
		over, cancel := context.WithCancel(context.Background())
		cancel()
		p.Shutdown(over)
		close(goOn)
		if err := <-got; !errors.Is(err, pool.ErrClosed) {
			t.Errorf("the call: %v", err)
		}
		synctest.Wait() // until the connection is closed; the call does not wait for that
		if s := p.Stats(); s.Open != 0 || s.Connects != s.Closes {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestHealthCheckWaitsAsLongAsItsContext checks that a caller that waits for another caller's
// check waits only as long as its context. A probe with a deadline needs that.
func TestHealthCheckWaitsAsLongAsItsContext(t *testing.T) {
	cfg := fileConfig(t)
	var slow atomic.Bool
	checking, goOn := make(chan struct{}), make(chan struct{})
	cfg.Init = func(*sqlite3.Conn) error {
		if slow.Swap(false) {
			close(checking)
			<-goOn
		}
		return nil
	}
	var m pool.Manager
	closeManager(t, &m)
	if _, err := m.OpenPrimary(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	first := make(chan map[string]error)
	go func() { first <- m.HealthCheck(t.Context()) }()
	<-checking
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if h := m.HealthCheck(ctx); !errors.Is(h[pool.PrimaryName], context.DeadlineExceeded) || !errors.Is(h[pool.PrimaryName], pool.ErrHealthCheck) {
		t.Errorf("the second check: %v", h)
	}
	close(goOn)
	if h := <-first; h[pool.PrimaryName] != nil {
		t.Errorf("the first check: %v", h)
	}
}
