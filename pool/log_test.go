package pool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A notebook is a slog.Handler that keeps its lines. If let is not nil, it first waits for let.
type notebook struct {
	slog.Handler
	let chan struct{} // nil means that it does not wait

	mu    *sync.Mutex
	lines *bytes.Buffer
}

func newNotebook(let chan struct{}) notebook {
	var lines bytes.Buffer
	return notebook{slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}), let, &sync.Mutex{}, &lines}
}

func (n notebook) WithAttrs(attrs []slog.Attr) slog.Handler {
	n.Handler = n.Handler.WithAttrs(attrs)
	return n
}

func (n notebook) Handle(ctx context.Context, r slog.Record) error {
	if n.let != nil {
		<-n.let
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.Handler.Handle(ctx, r)
}

func (n notebook) read(t testing.TB) (lines []map[string]any) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, text := range strings.Split(strings.TrimSpace(n.lines.String()), "\n") {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestSubscriptionAll checks that a loop over events ends with the subscription. It may be left
// and started again.
func TestSubscriptionAll(t *testing.T) {
	var log pool.EventLog
	s := log.Subscribe(10)
	for i := range 5 {
		log.Record(driver.Event{Conn: driver.ConnID(i)})
	}
	var got []driver.Event
	for e := range s.All() {
		if got = append(got, e); len(got) == 2 {
			break
		}
	}
	log.Record(driver.Event{Conn: 5})
	s.Close()
	for e := range s.All() {
		got = append(got, e)
	}
	if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(ids(got), want) {
		t.Errorf("got %v, want %v", ids(got), want)
	}
	for range s.All() {
		t.Error("there is an event after the last one")
	}
}

// TestSubscribeAfterClose checks that a subscription of a closed pool or Observer has ended.
func TestSubscribeAfterClose(t *testing.T) {
	p := openOwn(t, pool.InMemory())
	obs, err := pool.Observe(t.Context(), openDB(t), pool.ObserveConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	obs.Close()
	for _, s := range []*pool.Subscription{p.Subscribe(1), obs.Subscribe(1)} {
		for range s.All() { // otherwise the loop would block forever
			t.Error("there is an event after the end")
		}
		s.Close()
	}
	p.LogEvents(nil)()
}

// TestLogEvents checks that every event becomes a line, in order, with its values but without
// the program's SQL.
func TestLogEvents(t *testing.T) {
	p := openOwn(t, pool.Config{Path: filepath.Join(t.TempDir(), "test.db"), Name: "shop"})
	all, some := newNotebook(nil), newNotebook(nil)
	before := len(p.Events())
	stop := p.LogEvents(slog.New(all))
	stopSome := p.LogEvents(slog.New(some), driver.KindSession, driver.KindReset)
	execOn(t, p.DB(), "CREATE TABLE secret(a)")
	execOn(t, p.DB(), "INSERT INTO secret VALUES ('secret')")
	execOn(t, p.DB(), "PRAGMA cache_size = 123")
	p.Reset()
	stop()
	stop()
	stopSome()
	events := p.Events()[before:]
	execOn(t, p.DB(), "SELECT 1")

	lines := all.read(t)
	if len(lines) != len(events) {
		t.Fatalf("%d lines of %d events: %v", len(lines), len(events), lines)
	}
	levels := map[driver.Kind]string{driver.KindSession: "WARN", driver.KindReset: "INFO"}
	for i, e := range events {
		level := levels[e.Kind]
		if level == "" {
			level = "DEBUG"
		}
		line := lines[i]
		if line["msg"] != "pool: "+e.Kind.String() || line["level"] != level || line["pool"] != "shop" || line["seq"] != float64(e.Seq) {
			t.Errorf("event %+v is %v", e, line)
		}
		if e.Conn != 0 && (line["conn"] != float64(e.Conn) || e.Lane != "" && line["lane"] != string(e.Lane)) {
			t.Errorf("event %+v is %v", e, line)
		}
		if text := fmt.Sprint(line); strings.Contains(text, "secret") {
			t.Errorf("event %+v is %v", e, line)
		}
	}
	var kinds []string
	for _, line := range some.read(t) {
		kinds = append(kinds, line["msg"].(string))
	}
	if want := []string{"pool: session", "pool: reset"}; !slices.Equal(kinds, want) {
		t.Errorf("two kinds of events: %q, want %q", kinds, want)
	}
}

// TestLogEventsOfFailures checks that failures are logged as warnings, except those that the
// caller has cancelled.
func TestLogEventsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := pool.InMemory()
		cfg.AcquireTimeout = time.Millisecond
		var fails atomic.Bool
		cfg.Hooks.BeforeConnect = func(context.Context) error {
			if fails.Load() {
				return errors.New("secret")
			}
			return nil
		}
		p := openOwn(t, cfg)
		lines := newNotebook(nil)
		stop := p.LogEvents(slog.New(lines), driver.KindTimeout, driver.KindCancel, driver.KindRefuse)
		raw := func(ctx context.Context) error { return p.Raw(ctx, func(*sqlite3.Conn) error { return nil }) }
		w, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := raw(t.Context()); !errors.Is(err, pool.ErrAcquireTimeout) {
			t.Errorf("timeout: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := raw(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancel: %v", err)
		}
		w.Release()
		p.Reset()
		fails.Store(true)
		if err := raw(t.Context()); err == nil {
			t.Error("the database was opened")
		}
		fails.Store(false)
		stop()
		var got []string
		for _, line := range lines.read(t) {
			got = append(got, fmt.Sprint(line["level"], " ", line["msg"]))
			if line["error"] == nil || strings.Contains(fmt.Sprint(line), "secret") {
				t.Errorf("%v", line)
			}
		}
		if want := []string{"WARN pool: timeout", "DEBUG pool: cancel", "WARN pool: refuse"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestShutdownWaitsForTheLogger checks that Shutdown waits until all lines are written, and
// ends the goroutine.
func TestShutdownWaitsForTheLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newNotebook(make(chan struct{}))
		cfg := pool.InMemory()
		cfg.Logger = slog.New(newNotebook(nil))
		p := openOwn(t, cfg)
		p.LogEvents(slog.New(own))
		execOn(t, p.DB(), "SELECT 1")
		time.AfterFunc(time.Minute, func() { close(own.let) })
		if err := p.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := own.read(t)
		if last := lines[len(lines)-1]; last["msg"] != "pool: shutdown" {
			t.Errorf("the last line is %v", last)
		}
	})
}

// TestLogEventsCountsLostLines checks that a blocked logger delays neither the pool's callers
// nor Shutdown beyond its context. The lost lines are counted.
func TestLogEventsCountsLostLines(t *testing.T) {
	cfg := pool.InMemory()
	cfg.Events = 1 << 20
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	slow := newNotebook(make(chan struct{}))
	before := len(p.Events())
	stop := p.LogEvents(slog.New(slow))
	for range pool.DefaultEvents {
		execOn(t, p.DB(), "SELECT 1")
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var left *pool.ShutdownError
	if err := p.Shutdown(over); !errors.As(err, &left) || len(left.Blocked) != 1 || !strings.HasPrefix(left.Blocked[0], "the logger of LogEvents, for ") {
		t.Errorf("Shutdown: %v", err)
	}
	close(slow.let)
	stop()
	written, lost := 0, 0
	for _, line := range slow.read(t) {
		if n, ok := line["events"].(float64); ok && line["level"] == "WARN" {
			lost += int(n)
		} else {
			written++
		}
	}
	if events := len(p.Events()) - before; lost == 0 || written < pool.DefaultEvents || written+lost != events {
		t.Errorf("%d events: %d written, %d lost", events, written, lost)
	}
}

// TestLogEventsToThePoolsLogger checks that LogEvents uses the pool's logger if it gets none.
func TestLogEventsToThePoolsLogger(t *testing.T) {
	own := newNotebook(nil)
	cfg := pool.InMemory()
	cfg.Logger = slog.New(own)
	p := openOwn(t, cfg)
	defer p.LogEvents(nil, driver.KindRelease)()
	execOn(t, p.DB(), "SELECT 1")
	p.Close()
	n := 0
	for _, line := range own.read(t) {
		if line["msg"] == "pool: release" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines for one release: %v", n, own.read(t))
	}
}
