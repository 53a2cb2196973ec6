package core_test

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// logLines collects the lines of a logger.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// count returns the number of lines that contain part.
func (l *logLines) count(part string) (n int) {
	for line := range strings.Lines(l.text()) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// TestLeaks checks that a connection that is in use for LeakAfter is reported once, and again
// when it is given back.
func TestLeaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var lines logLines
		e := started(t, core.Config{LeakAfter: 80 * time.Second, TrackStacks: true, Logger: lines.logger()}, readers(2))
		l := e.lane()
		c := acquireAs(t, l, "importer")
		other := acquire(t, l)
		time.Sleep(79 * time.Second)
		l.Release(other) // in time
		if n := len(eventsOf(e.pool, wrap.KindLeak)); n != 0 {
			t.Errorf("%d leaks before LeakAfter", n)
		}
		time.Sleep(time.Hour)
		leaks := eventsOf(e.pool, wrap.KindLeak)
		if len(leaks) != 1 || leaks[0].Conn != toyOf(c).Lease().ID() || leaks[0].Duration < 80*time.Second || leaks[0].Duration > 90*time.Second {
			t.Fatalf("leaks %+v", leaks)
		}
		if s := e.pool.Stats(); s.Leaks != 1 || s.LeaksEnded != 0 {
			t.Errorf("%d leaks, %d ended", s.Leaks, s.LeaksEnded)
		}
		l.Release(c)
		ends := eventsOf(e.pool, wrap.KindLeakEnd)
		if len(ends) != 1 || ends[0].Conn != leaks[0].Conn || ends[0].Duration != time.Hour+79*time.Second || e.pool.Stats().LeaksEnded != 1 {
			t.Errorf("ends of leaks %+v", ends)
		}
		acquire(t, l)
		l.Release(c) // a short use has no end of a leak
		if n := len(eventsOf(e.pool, wrap.KindLeakEnd)); n != 1 {
			t.Errorf("%d ends of leaks after a short use", n)
		}
		synctest.Wait()
		if lines.count("has been in use for long") != 1 || lines.count("owner=importer") != 1 || lines.count("has been given back") != 1 {
			t.Errorf("log: %s", lines.text())
		}
	})
}

// TestLogEvents checks that LogEvents writes every event until it is stopped, or only those of
// the given kinds, with a level for each.
func TestLogEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var all, some, own logLines
		e := started(t, core.Config{Name: "toys", Logger: own.logger()}, writer())
		l := e.lane()
		stopAll := e.pool.LogEvents(all.logger())
		stopSome := e.pool.LogEvents(some.logger(), wrap.KindAcquire, wrap.KindCancel)
		stopOwn := e.pool.LogEvents(nil)
		c := acquire(t, l)
		w := begin(t, l)
		w.cancel(nil)
		_ = w.fails(t)
		l.Release(c)
		stopAll()
		stopAll()
		acquire(t, l)
		l.Release(c)
		stopSome()
		stopOwn()
		for _, test := range []struct {
			lines *logLines
			part  string
			want  int
		}{
			{&all, "pool=toys", 4}, {&all, `msg="pool: connect"`, 1}, {&all, `msg="pool: acquire"`, 1}, {&all, `msg="pool: cancel"`, 1},
			{&all, "level=DEBUG", 4}, {&all, "queue=1", 1}, {&all, "lane=writer", 4},
			{&some, `msg="pool: acquire"`, 2}, {&some, "pool: ", 3}, {&own, "pool: ", 6},
		} {
			if got := test.lines.count(test.part); got != test.want {
				t.Errorf("%d lines with %q, want %d: %s", got, test.part, test.want, test.lines.text())
			}
		}
	})
}

// TestLogEventsEndsWithPool checks that Shutdown waits until LogEvents has written all events.
func TestLogEventsEndsWithPool(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var lines logLines
		e := started(t, core.Config{}, writer())
		stop := e.pool.LogEvents(lines.logger())
		e.lane().Release(acquire(t, e.lane()))
		if err := e.pool.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if n := lines.count(""); n != len(e.pool.Events()) || lines.count(`level=INFO msg="pool: shutdown"`) != 1 {
			t.Errorf("%d lines for %d events: %s", n, len(e.pool.Events()), lines.text())
		}
		stop()
	})
}

// TestPanickingLogger checks that a logger of LogEvents that panics loses its lines, and that
// the pool goes on. Only the first panic has an event.
func TestPanickingLogger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{}, writer())
		stop := e.pool.LogEvents(slog.New(panicking{slog.DiscardHandler}))
		l := e.lane()
		l.Release(acquire(t, l))
		stop()
		if n := len(eventsOf(e.pool, wrap.KindPanic)); n != 1 || e.pool.Stats().Panics < 3 {
			t.Errorf("%d events for %d panics", n, e.pool.Stats().Panics)
		}
	})
}

// A panicking handler panics for every line.
type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool { panic("logger") }
func (h panicking) WithAttrs([]slog.Attr) slog.Handler     { return h }

// A blocking handler blocks every line until the channel is closed.
type blocking struct {
	slog.Handler
	until chan struct{}
}

func (h blocking) Handle(ctx context.Context, r slog.Record) error {
	<-h.until
	return h.Handler.Handle(ctx, r)
}
func (h blocking) WithAttrs(a []slog.Attr) slog.Handler {
	return blocking{h.Handler.WithAttrs(a), h.until}
}

// lost returns the sum of the attribute in the lines that contain part.
func (l *logLines) lost(t *testing.T, part, attr string) (sum int) {
	t.Helper()
	for line := range strings.Lines(l.text()) {
		if _, after, ok := strings.Cut(line, attr+"="); ok && strings.Contains(line, part) {
			n, err := strconv.Atoi(strings.Fields(after)[0])
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// TestSlowLoggers checks that no call waits for a logger that blocks, except once for 20 ms, and
// that the lines that do not fit are counted.
func TestSlowLoggers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const resets = 1100
		var own, events logLines
		until := make(chan struct{})
		e := started(t, core.Config{Logger: slog.New(blocking{own.logger().Handler(), until})}, writer())
		stop := e.pool.LogEvents(slog.New(blocking{events.logger().Handler(), until}))
		began := time.Now()
		for range resets { // each has an event and a line
			e.pool.Reset()
		}
		if took := time.Since(began); took != 20*time.Millisecond {
			t.Errorf("the calls took %s", took)
		}
		close(until)
		stop()
		synctest.Wait()
		for _, test := range []struct {
			lines      *logLines
			line, part string
			attr       string
		}{
			{&own, `msg="pool: reset"`, "log lines were lost", "lines"},
			{&events, `msg="pool: reset"`, "events were lost", "events"},
		} {
			written, lost := test.lines.count(test.line), test.lines.lost(t, test.part, test.attr)
			if written+lost != resets || written < core.DefaultEvents || lost == 0 {
				t.Errorf("%d lines were written and %d lost, of %d", written, lost, resets)
			}
		}
	})
}

// TestRecorder checks that Config.Recorder gets every event in the order of the log, also if it
// is slow, and that events of the pool's own goroutines do not wait for it.
func TestRecorder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []wrap.Kind
		cfg := core.Config{LeakAfter: time.Second, Recorder: wrap.RecorderFunc(func(e wrap.Event) {
			if e.Kind == wrap.KindLeak {
				time.Sleep(time.Hour)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e.Kind)
		})}
		e := started(t, cfg, writer())
		l := e.lane()
		c := acquire(t, l)
		time.Sleep(2 * time.Second) // the Recorder sleeps, and later events queue up
		if n := e.pool.Stats().Leaks; n != 1 {
			t.Errorf("%d leaks, want that the event does not wait for the Recorder", n)
		}
		l.Release(c)
		for range 10 {
			acquire(t, l)
			l.Release(c)
		}
		time.Sleep(2 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		events := e.pool.Events()
		if len(got) != len(events) || len(got) != 25 {
			t.Fatalf("the Recorder has %d events, the log %d, want 25", len(got), len(events))
		}
		for i, event := range events {
			if event.Kind != got[i] || event.Seq != uint64(i+1) {
				t.Errorf("event %d is %v with number %d, the Recorder has %v", i, event.Kind, event.Seq, got[i])
			}
		}
	})
}

// TestEventLog checks that a log keeps the latest events, and that a subscriber that is too slow
// loses events, which are counted.
func TestEventLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := started(t, core.Config{Events: 3}, writer())
		subscription := e.pool.Subscribe(2)
		l := e.lane()
		l.Release(acquire(t, l)) // connect, acquire and release
		l.Release(acquire(t, l))
		events := e.pool.Events()
		if s := e.pool.Stats(); len(events) != 3 || events[0].Seq != 3 || events[2].Seq != 5 || s.Events != 5 || s.EventsDropped != 2 {
			t.Errorf("%d events from %d, %d recorded, %d dropped", len(events), events[0].Seq, s.Events, s.EventsDropped)
		}
		if n := subscription.Lost(); n != 3 {
			t.Errorf("the subscriber lost %d events", n)
		}
		if err := e.pool.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		var kinds []wrap.Kind
		for event := range subscription.All() { // Shutdown has closed it
			kinds = append(kinds, event.Kind)
		}
		if len(kinds) != 2 || kinds[0] != wrap.KindConnect || kinds[1] != wrap.KindAcquire {
			t.Errorf("the subscriber got %v", kinds)
		}
		subscription.Close()
		late := e.pool.Subscribe(1)
		if _, open := <-late.C(); open {
			t.Error("a subscription to a closed pool is open")
		}
	})
}
