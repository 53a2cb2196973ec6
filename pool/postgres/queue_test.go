package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// TestFirstComeFirstServed checks that callers get their turns in the order in which they came.
func TestFirstComeFirstServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns = 2 })
		held := []*sql.Tx{begin(t, p.DB(), nil), begin(t, p.DB(), nil)}
		var callers sync.WaitGroup
		var want []string
		for i := range 10 {
			value := fmt.Sprint(i)
			want = append(want, value)
			callers.Go(func() {
				if err := insert(t.Context(), p.DB(), value); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if w := p.Waiters(); len(w) != 10 || w[3].Place != 4 || w[3].Lane != wrap.LaneWriter || w[3].Query != "INSERT" {
			t.Errorf("waiters %+v", w)
		}
		held[0].Rollback()
		callers.Wait()
		if got := all.get("a").values(); !slices.Equal(got, want) {
			t.Errorf("the order is %q", got)
		}
		if s := p.Stats(); s.Waits != 10 || s.PeakWaiting != 10 {
			t.Errorf("%d waits, at most %d at a time", s.Waits, s.PeakWaiting)
		}
	})
}

// TestAcquireTimeout checks the error of a caller that waits too long: it names the holders and what
// the program can do, which is only what this pool has.
func TestAcquireTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) {
			c.Name, c.MaxConns, c.AcquireTimeout, c.MaxWaiters = "shop", 1, time.Second, 1
		})
		tx := begin(t, p.DB(), nil)
		if err := insert(t.Context(), tx, "x"); err != nil {
			t.Fatal(err)
		}
		var failure *core.AcquireError
		err := insert(t.Context(), p.DB(), "y")
		if !errors.As(err, &failure) || !errors.Is(err, core.ErrAcquireTimeout) || failure.Cause != core.CauseIdle || len(failure.Holders) != 1 || !failure.Holders[0].Tx {
			t.Errorf("%v", err)
		}
		if !strings.HasPrefix(err.Error(), `pool: acquire a writer of "shop": timed out after 1s`) || strings.Contains(err.Error(), "StatementTimeout") {
			t.Errorf("%v", err)
		}
		go insert(t.Context(), p.DB(), "z")
		synctest.Wait()
		if err := insert(t.Context(), p.DB(), "y"); !errors.Is(err, core.ErrQueueFull) {
			t.Errorf("%v, want ErrQueueFull", err)
		}
	})
}

// TestShutdown checks that Shutdown ends with its context, also if a call hangs on a server that
// answers nothing, and that this call ends.
func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		where(t, p.Reader())
		all.get("a").pause()
		defer all.get("a").resume()
		hung := make(chan error, 1)
		go func() { hung <- insert(context.Background(), p.DB(), "x") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := p.Shutdown(ctx)
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("Shutdown took %v", took)
		}
		var left *core.ShutdownError
		if !errors.As(err, &left) || len(left.Holders) != 1 {
			t.Errorf("Shutdown: %v, want the holder of the call", err)
		}
		if err := <-hung; !errors.Is(err, core.ErrClosed) || !errors.Is(err, context.Canceled) {
			t.Errorf("the call: %v, want ErrClosed and canceled", err)
		}
		if err := insert(t.Context(), p.DB(), "y"); err == nil {
			t.Error("a closed pool inserts")
		}
		if !p.Closed() {
			t.Error("the pool is not closed")
		}
	})
}

// TestShutdownWithoutPrimary checks that Shutdown ends callers that wait for a primary.
func TestShutdownWithoutPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns, c.FailoverTimeout = 2, time.Hour })
		all.get("a").kill()
		insert(t.Context(), p.DB(), "x") // finds out
		failed := make(chan error, 5)
		for range 5 {
			go func() { failed <- insert(context.Background(), p.DB(), "x") }()
		}
		synctest.Wait()
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for range 5 {
			if err := <-failed; !errors.Is(err, core.ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		}
	})
}

// TestPage checks that the page shows the pool, its servers and its holders.
func TestPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("db1:5432", "db2:5432")
		p := open(t, all, func(c *postgres.Config) { c.Name = "shop" })
		tx := begin(t, p.DB(), nil)
		if err := insert(core.WithOwner(t.Context(), "importer"), tx, "x"); err != nil {
			t.Fatal(err)
		}
		h, err := page.New(page.Config{Pools: page.List(p), Allow: page.Guarded})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/state.txt", nil))
		for _, want := range []string{"shop", "primary", "db1:5432", "standbys", "db2:5432", "INSERT"} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("the page does not show %q:\n%s", want, w.Body)
			}
		}
	})
}

// TestDirty checks that a transaction that a query has left open ends with its connection, and that
// an event says so.
func TestDirty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		for _, text := range []string{"BEGIN", "START TRANSACTION"} {
			if _, err := p.DB().ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Fatal(err)
		}
		if got := all.get("a").values(); len(got) != 1 {
			t.Errorf("%q, want the value outside of the transaction", got)
		}
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"BEGIN", "ROLLBACK"} {
			if _, err := c.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		if s := p.Stats(); s.Dirty != 2 || s.ClosedFor[wrap.ReasonDirty] != 2 {
			t.Errorf("%d dirty connections, %v closed", s.Dirty, s.ClosedFor)
		}
	})
}

// TestRaw checks that Raw and (*sql.Conn).Raw give the driver's connection of the primary, and that
// the pool survives a panic in Raw.
func TestRaw(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns = 1 })
		var got string
		name := func(c driver.Conn) error { got = c.(*conn).name; return nil }
		if err := p.Raw(t.Context(), name); err != nil || got != "a" {
			t.Errorf("Raw is on %q, %v", got, err)
		}
		own := errors.New("own")
		if err := p.Raw(t.Context(), func(driver.Conn) error { return own }); err != own {
			t.Errorf("Raw returns %v", err)
		}
		func() {
			defer func() { recover() }()
			p.Raw(t.Context(), func(driver.Conn) error { panic("raw") })
		}()
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got = ""
		if err := c.Raw(func(c any) error { return name(c.(interface{ Parent() driver.Conn }).Parent()) }); err != nil || got != "a" {
			t.Errorf("(*sql.Conn).Raw is on %q, %v", got, err)
		}
	})
}

// TestPanics checks that a panic of the driver loses no connection and no turn.
func TestPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns = 1 })
		calls := map[string]func(q querier) error{
			"exec":  func(q querier) error { _, err := q.ExecContext(t.Context(), "PANIC"); return err },
			"query": func(q querier) error { return q.QueryRowContext(t.Context(), "PANIC").Scan(new(any)) },
		}
		for name, call := range calls {
			func() {
				defer func() {
					if v := recover(); v != "panic" {
						t.Errorf("%s: recovered %v", name, v)
					}
				}()
				err := call(p.DB())
				t.Errorf("%s: %v, want a panic", name, err)
			}()
			if err := insert(t.Context(), p.DB(), name); err != nil {
				t.Errorf("after a panic of %s: %v", name, err)
			}
		}
		if s := p.Stats(); s.ClosedFor[wrap.ReasonPanic] != 2 {
			t.Errorf("closed for %v", s.ClosedFor)
		}
	})
}

// TestFacades checks that closing a *sql.DB of the pool does not close the pool.
func TestFacades(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, newServers("a", "b"), nil)
		db := p.DB()
		if p.DB() != db || p.Reader() == db || p.Writer() == db {
			t.Error("DB, Reader and Writer do not return one *sql.DB each")
		}
		db.Close()
		if err := insert(t.Context(), db, "x"); err == nil {
			t.Error("a closed *sql.DB inserts")
		}
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Error(err)
		}
		if got := kinds(p, wrap.ReasonDatabaseClosed); len(got) != 1 {
			t.Errorf("events %q", got)
		}
	})
}

// TestSession checks that a driver's session is reset before a connection is used again, and that an
// idle connection is closed in time.
func TestSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.IdleTimeout = time.Minute })
		resets := 0
		count := func(c driver.Conn) error { resets = c.(*conn).resets; return nil }
		for range 3 {
			if err := p.Raw(t.Context(), count); err != nil {
				t.Error(err)
			}
		}
		if resets != 3 { // the first one was opened by Open
			t.Errorf("the session was reset %d times, want 3", resets)
		}
		held := []*sql.Tx{begin(t, p.DB(), nil), begin(t, p.DB(), nil), begin(t, p.DB(), nil)}
		for _, tx := range held {
			tx.Rollback()
		}
		if n := p.Stats().Writers; n != 3 {
			t.Errorf("%d writers are open, want 3", n)
		}
		time.Sleep(2 * time.Minute)
		if n := p.Stats().Writers; n != 1 {
			t.Errorf("%d writers are open, want MinConns", n)
		}
	})
}

// TestInvalidConfig checks that a Config that makes no sense is refused with its field's name.
func TestInvalidConfig(t *testing.T) {
	good := newServers("a", "b").config()
	for want, change := range map[string]func(*postgres.Config){
		"there is no server":        func(c *postgres.Config) { c.Servers = nil },
		"server 1 has no connector": func(c *postgres.Config) { c.Servers[1].Connector = nil },
		"server 0 has no name":      func(c *postgres.Config) { c.Servers[0].Name = "" },
		`two servers are called`:    func(c *postgres.Config) { c.Servers[0].Name = "b" },
		"Config.MaxConns is -1":     func(c *postgres.Config) { c.MaxConns = -1 },
		"Config.MaxReaders is -1":   func(c *postgres.Config) { c.MaxReaders = -1 },
		"Config.MinConns is 11":     func(c *postgres.Config) { c.MinConns = 11 },
		"Config.CheckInterval is":   func(c *postgres.Config) { c.CheckInterval = -1 },
		"Config.FailoverTimeout is": func(c *postgres.Config) { c.FailoverTimeout = -1 },
	} {
		cfg := good
		cfg.Servers = slices.Clone(good.Servers)
		change(&cfg)
		if _, err := postgres.Open(t.Context(), cfg); !errors.Is(err, core.ErrInvalidConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
