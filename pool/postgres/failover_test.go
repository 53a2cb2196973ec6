package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// A load inserts values from several callers at the same time, each as soon as its last one has
// ended.
type load struct {
	mu     sync.Mutex // guards the fields below
	acked  []string
	failed map[string]error
	last   time.Duration // the longest insert
	stop   chan struct{}
	done   sync.WaitGroup
}

func (l *load) start(db *sql.DB, callers int) {
	l.failed, l.stop = map[string]error{}, make(chan struct{})
	for i := range callers {
		l.done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				value, began := fmt.Sprintf("%d-%d", i, n), time.Now()
				err := insert(context.Background(), db, value)
				l.mu.Lock()
				if err == nil {
					l.acked = append(l.acked, value)
				} else {
					l.failed[value] = err
				}
				l.last = max(l.last, time.Since(began))
				l.mu.Unlock()
			}
		})
	}
}

// end ends the load, and checks that the server has every value that was acknowledged, and none
// twice. It returns how many of the failed values the server has.
func (l *load) end(t *testing.T, s *server) (stored int) {
	t.Helper()
	close(l.stop)
	l.done.Wait()
	count := map[string]int{}
	for _, v := range s.values() {
		if count[v]++; count[v] > 1 {
			t.Errorf("%s is there %d times", v, count[v])
		}
	}
	for _, v := range l.acked {
		if count[v] == 0 {
			t.Errorf("%s was acknowledged, but is lost", v)
		}
	}
	for v := range l.failed {
		stored += count[v]
	}
	return stored
}

// TestFailover kills the primary under load, and promotes the standby after some time. Nothing is
// lost and nothing is there twice. Callers wait for the new primary, and only those fail whose call
// was running when the primary died.
func TestFailover(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b", "c")
		a, b := all.get("a"), all.get("b")
		a.set(func(s *server) { s.latency = time.Millisecond })
		b.set(func(s *server) { s.latency = time.Millisecond })
		p := open(t, all, func(c *postgres.Config) { c.MaxConns, c.Events = 4, 1<<20 })
		var l load
		l.start(p.DB(), 32)
		time.Sleep(time.Second)
		a.kill()
		time.Sleep(time.Second)
		if h := p.Health(); h.Health != core.HealthDown || len(h.Reasons) == 0 || !strings.Contains(h.Reasons[0], `"b" is a standby`) {
			t.Errorf("without a primary: %v, %q", h.Health, h.Reasons)
		}
		if n := p.Stats().Waiting; n != 28 {
			t.Errorf("%d callers wait, want 28 behind 4 that open a connection", n)
		}
		b.promote()
		time.Sleep(time.Second)
		l.end(t, b)
		if n := len(l.failed); n > 4 {
			t.Errorf("%d inserts failed, want at most one for each connection", n)
		}
		if l.last > 1200*time.Millisecond {
			t.Errorf("an insert took %v, although there was no primary for only a second", l.last)
		}
		if s, _ := where(t, p.DB()); s != "b" {
			t.Errorf("%s answers, want the new primary", s)
		}
		if h := p.Health(); h.Health != core.HealthDegraded || len(h.Reasons) != 1 || !strings.Contains(h.Reasons[0], `server "a"`) {
			t.Errorf("with a new primary: %v, %q", h.Health, h.Reasons)
		}
		outage(t, p, time.Second)
		if got := setting(p, "primary"); got != "b" {
			t.Errorf("the primary is %q in Settings", got)
		}
	})
}

// outage checks that the events tell one outage of about that time.
func outage(t *testing.T, p *postgres.Pool, about time.Duration) {
	t.Helper()
	var events []wrap.Event
	for _, e := range p.Events() {
		if e.Reason == postgres.ReasonPrimary {
			events = append(events, e)
		}
	}
	if len(events) != 2 || events[0].Kind != wrap.KindFailing || events[1].Kind != wrap.KindRecovered {
		t.Errorf("the events of the outage are %v", events)
		return
	}
	if d := events[1].Duration; d < about-200*time.Millisecond || d > about+200*time.Millisecond {
		t.Errorf("the outage took %v, want about %v", d, about)
	}
}

func setting(p *postgres.Pool, name string) string {
	for _, s := range p.Settings() {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// TestNoPrimary checks that calls fail with ErrNoPrimary after Config.FailoverTimeout, and that each
// server's state is in the error.
func TestNoPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, func(c *postgres.Config) { c.FailoverTimeout = 3 * time.Second })
		all.get("a").kill()
		began := time.Now()
		var err error
		for range 2 { // the first one may find out
			err = insert(t.Context(), p.DB(), "x")
		}
		if !errors.Is(err, postgres.ErrNoPrimary) || !strings.Contains(err.Error(), `"b" is a standby`) {
			t.Errorf("%v, want ErrNoPrimary with what the servers are", err)
		}
		if took := time.Since(began); took < 3*time.Second || took > 7*time.Second {
			t.Errorf("it failed after %v, want 3s", took)
		}
		if err := p.HealthCheck(t.Context()); !errors.Is(err, core.ErrHealthCheck) || !errors.Is(err, postgres.ErrNoPrimary) {
			t.Errorf("HealthCheck: %v", err)
		}
	})
}

// TestOpenWithoutPrimary checks that Open waits for a primary, and fails if there is none in time.
func TestOpenWithoutPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("a").set(func(s *server) { s.primary = false })
		if _, err := postgres.Open(t.Context(), all.config()); !errors.Is(err, postgres.ErrNoPrimary) {
			t.Errorf("%v, want ErrNoPrimary", err)
		}
		time.AfterFunc(5*time.Second, all.get("b").promote)
		p := open(t, all, nil)
		if s, _ := where(t, p.DB()); s != "b" {
			t.Errorf("%s answers", s)
		}
	})
}

// TestPausedPrimary pauses the primary under load, and promotes the standby. The calls that hang on
// the old primary end when the new one is known, and the old one is refused when it goes on.
func TestPausedPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		a, b := all.get("a"), all.get("b")
		for _, s := range all.list {
			s.set(func(s *server) { s.latency = time.Millisecond })
		}
		p := open(t, all, func(c *postgres.Config) { c.MaxConns = 4 })
		var l load
		l.start(p.DB(), 8)
		time.Sleep(time.Second)
		a.pause()
		time.Sleep(time.Second)
		b.promote()
		time.Sleep(3 * time.Second)
		l.end(t, b)
		for v, err := range l.failed {
			if !errors.Is(err, postgres.ErrDemoted) {
				t.Errorf("%s: %v, want ErrDemoted", v, err)
			}
		}
		if len(l.failed) != 4 {
			t.Errorf("%d inserts failed, want the 4 that hung", len(l.failed))
		}
		if l.last > 2500*time.Millisecond {
			t.Errorf("an insert took %v", l.last)
		}
		before := a.values()
		a.resume()
		time.Sleep(3 * time.Second)
		if s, _ := where(t, p.DB()); s != "b" {
			t.Errorf("%s answers, want the new primary", s)
		}
		if h := p.Health(); len(h.Reasons) != 2 || !strings.Contains(h.Reasons[0], `server "a" is a primary of timeline 1, which is out of date since timeline 2`) {
			t.Errorf("reasons %q", h.Reasons)
		}
		b.kill()
		if err := insert(t.Context(), p.DB(), "x"); err == nil {
			t.Error("an insert after the new primary's end succeeded")
		}
		if err := insert(t.Context(), p.DB(), "x"); !errors.Is(err, postgres.ErrNoPrimary) {
			t.Errorf("%v, want ErrNoPrimary: the old primary is out of date also if it is alone", err)
		}
		if after := a.values(); !slices.Equal(before, after) {
			t.Errorf("the old primary has got %d values more", len(after)-len(before))
		}
	})
}

// TestTwoPrimaries checks that neither of two primaries of the same timeline is used, also by
// transactions that have begun before, until one of them has stopped.
func TestTwoPrimaries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		tx := begin(t, p.DB(), nil)
		if err := insert(t.Context(), tx, "x"); err != nil {
			t.Fatal(err)
		}
		all.get("b").set(func(s *server) { s.primary = true })
		time.Sleep(3 * time.Second)
		if err := insert(t.Context(), tx, "y"); !errors.Is(err, postgres.ErrDemoted) {
			t.Errorf("in the transaction: %v, want ErrDemoted", err)
		}
		if err := tx.Commit(); !errors.Is(err, postgres.ErrDemoted) {
			t.Errorf("its commit: %v, want ErrDemoted", err)
		}
		began := time.Now()
		if err := insert(t.Context(), p.DB(), "z"); !errors.Is(err, postgres.ErrTwoPrimaries) {
			t.Errorf("%v, want ErrTwoPrimaries", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("that took %v, want an error without delay", took)
		}
		for _, s := range all.list {
			if got := s.values(); len(got) != 0 {
				t.Errorf("%s has %q", s.name, got)
			}
		}
		all.get("a").kill()
		time.Sleep(3 * time.Second)
		if err := insert(t.Context(), p.DB(), "z"); err != nil {
			t.Error(err)
		}
		outage(t, p, 2*time.Second)
	})
}

// TestTwoPrimariesAtOpen checks that Open refuses two primaries of the same timeline or of different
// clusters, and takes the newer one otherwise.
func TestTwoPrimariesAtOpen(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *server)
		want   error
	}{
		"same timeline":   {func(b *server) { b.primary = true }, postgres.ErrTwoPrimaries},
		"another cluster": {func(b *server) { b.primary, b.system, b.timeline = true, "8", 9 }, postgres.ErrTwoPrimaries},
		"newer":           {func(b *server) { b.primary, b.timeline = true, 2 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				all := newServers("a", "b")
				all.get("a").set(func(s *server) { s.latency = 50 * time.Millisecond })
				all.get("b").set(c.change)
				if c.want != nil {
					if _, err := postgres.Open(t.Context(), all.config()); !errors.Is(err, c.want) {
						t.Errorf("%v, want %v", err, c.want)
					}
					return
				}
				p := open(t, all, nil)
				if s, _ := where(t, p.DB()); s != "b" {
					t.Errorf("%s answers, want the newer primary", s)
				}
			})
		})
	}
}

// TestForeignStandby checks that a standby of another cluster is not used for reads.
func TestForeignStandby(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("b").set(func(s *server) { s.system = "8" })
		p := open(t, all, nil)
		if s, _ := where(t, p.Reader()); s != "a" {
			t.Errorf("%s answers a reader", s)
		}
		if h := p.Health(); len(h.Reasons) == 0 || !strings.Contains(h.Reasons[0], `server "b" belongs to another cluster, "8"`) {
			t.Errorf("reasons %q", h.Reasons)
		}
	})
}

// TestSwitchover makes a standby of the primary without an end of its connections. The first write
// fails as the server says. After that, no connection of the old primary is used for a write.
func TestSwitchover(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		a, b := all.get("a"), all.get("b")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns, c.MinConns, c.CheckInterval = 4, 4, time.Hour })
		a.set(func(s *server) { s.primary = false })
		b.promote()
		var state interface{ SQLState() string }
		if err := insert(t.Context(), p.DB(), "x"); !errors.As(err, &state) || state.SQLState() != "25006" {
			t.Errorf("%v, want the server's error", err)
		}
		for range 4 {
			if err := insert(t.Context(), p.DB(), "y"); err != nil {
				t.Error(err)
			}
		}
		if got := b.values(); len(got) != 4 {
			t.Errorf("the new primary has %q", got)
		}
		time.Sleep(time.Second)
		if n := a.open(); n != 1 {
			t.Errorf("%d connections to the old primary are open, want the one that asks for its role", n)
		}
	})
}

// TestReadOnlyErrorIsNoDemotion checks that a write in a read-only transaction, which is the
// program's fault, costs no connection.
func TestReadOnlyErrorIsNoDemotion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		opened := all.get("a").open()
		tx := begin(t, p.Writer(), &sql.TxOptions{ReadOnly: true})
		if err := insert(t.Context(), tx, "x"); err == nil {
			t.Error("a read-only transaction can write")
		}
		tx.Rollback()
		insert(t.Context(), p.Reader(), "x")
		if s := p.Stats(); s.Discards != 0 || all.get("a").open() != opened {
			t.Errorf("%d connections were discarded", s.Discards)
		}
	})
}

// TestWrongServer checks that a connection that leads to another server than before, as behind a DNS
// name, is refused.
func TestWrongServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		other := &server{all: all, name: "x", system: "7", timeline: 1, asked: map[string]int{}} // a standby
		to := all.get("a")
		cfg := func(c *postgres.Config) {
			c.Servers[0].Connector = moving{connector{to}, &to}
			c.CheckInterval = time.Hour
		}
		p := open(t, all, cfg)
		to = other
		p.Reset()
		began := time.Now()
		err := insert(t.Context(), p.DB(), "x")
		if err == nil || !strings.Contains(err.Error(), "another role") && !errors.Is(err, postgres.ErrNoPrimary) {
			t.Errorf("%v after %v, want a refusal", err, time.Since(began))
		}
		to = all.get("a")
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Error(err)
		}
	})
}

// moving is a connector whose server changes.
type moving struct {
	connector
	to **server
}

func (m moving) Connect(ctx context.Context) (driver.Conn, error) {
	return connector{*m.to}.Connect(ctx)
}

// TestBrokenConnections checks that the idle connections beside one that has broken are checked
// before they are lent, so that only one call fails.
func TestBrokenConnections(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		a := all.get("a")
		p := open(t, all, func(c *postgres.Config) { c.MaxConns, c.MinConns, c.CheckInterval = 5, 5, time.Hour })
		a.kill()
		a.set(func(s *server) { s.down = false }) // a restart
		failures := 0
		for range 20 {
			if err := insert(t.Context(), p.DB(), "x"); err != nil {
				t.Log(err)
				failures++
			}
		}
		if failures > 1 {
			t.Errorf("%d calls failed, want one", failures)
		}
	})
}

// TestUnknownOutcome checks that an insert whose answer is lost fails, and is not repeated.
func TestUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		a := all.get("a")
		p := open(t, all, nil)
		for _, lost := range []error{errors.ErrUnsupported, context.DeadlineExceeded} {
			a.set(func(s *server) { s.log, s.inserts, s.lost = nil, 0, []error{lost} })
			if err := insert(t.Context(), p.DB(), "x"); !errors.Is(err, lost) {
				t.Errorf("%v, want %v", err, lost)
			}
			if a.set(func(s *server) {
				if s.inserts != 1 {
					t.Errorf("the server got %d inserts, want 1", s.inserts)
				}
			}); len(a.values()) != 1 {
				t.Errorf("the server has %q", a.values())
			}
		}
		synctest.Wait()
	})
}
