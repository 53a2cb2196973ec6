package pool

import (
	"context"
	"iter"
	"log/slog"
	"slices"

	"github.com/sqlitemw/sqlitemw/driver"
)

// All returns the events of the subscription as they come. The loop ends when the
// subscription is closed, once it has had what was still in its buffer. To leave
// the loop before is not to close the subscription. Each event is received once:
// by one loop, or by one who uses C.
func (s *Subscription) All() iter.Seq[driver.Event] {
	return func(yield func(driver.Event) bool) {
		for e := range s.events {
			if !yield(e) {
				return
			}
		}
	}
}

// LogEvents writes every event from now on to logger, on a goroutine of its own,
// until stop is called or the pool is shut down; only those of the given kinds, if
// there are any. A nil logger is Config.Logger.
//
// A line has the level debug if all is well, info for what comes rarely
// (health, reset, shutdown), and warn for what fails or ought not to be: an error,
// timeout, refuse, leak, dirty, session. Its message is "pool: " and the kind. It
// has no text of the program's. What is told here of session, dirty, leak, unleak,
// health, reset and shutdown, the pool itself logs to Config.Logger in any case.
//
// Nobody waits for the logger: there is room for [DefaultEvents] events that are
// still to be written, and the next are lost, which a line at level warn counts.
// stop, and Shutdown as long as its context allows, wait for what is still to be
// written; stop must not be called by the logger, and may be called more than
// once. The logger must not use the pool: each line would cause the next.
func (p *Pool) LogEvents(logger *slog.Logger, kinds ...driver.Kind) (stop func()) {
	if logger == nil {
		logger = p.cfg.Logger
	}
	l := &eventLogger{
		logger: logger.With("pool", p.cfg.Name),
		kinds:  slices.Clone(kinds),
		events: p.log.subscribe(DefaultEvents, make(chan struct{})),
	}
	go func() {
		defer close(l.events.through)
		l.run()
	}()
	return func() {
		l.events.Close()
		<-l.events.through
	}
}

// An eventLogger writes events to a logger.
type eventLogger struct {
	logger *slog.Logger
	kinds  []driver.Kind // empty for all
	events *Subscription
}

func (l *eventLogger) run() {
	lost := uint64(0)
	for e := range l.events.All() {
		if n := l.events.Lost(); n > lost {
			l.lost(n - lost)
			lost = n
		}
		if len(l.kinds) == 0 || slices.Contains(l.kinds, e.Kind) {
			l.write(context.Background(), e)
		}
	}
	if n := l.events.Lost(); n > lost {
		l.lost(n - lost)
	}
}

func (l *eventLogger) write(ctx context.Context, e driver.Event) {
	if level := levelOf(e); l.logger.Enabled(ctx, level) {
		l.logger.LogAttrs(ctx, level, "pool: "+e.Kind.String(), attrsOf(e)...)
	}
}

func (l *eventLogger) lost(n uint64) {
	l.logger.Warn("pool: events are lost, because the logger is too slow for them", "events", n)
}

func levelOf(e driver.Event) slog.Level {
	switch e.Kind {
	case driver.KindTimeout, driver.KindRefuse, driver.KindLeak, driver.KindDirty, driver.KindBusy, driver.KindSession:
		return slog.LevelWarn
	case driver.KindHealth, driver.KindReset, driver.KindShutdown:
		return slog.LevelInfo
	}
	if e.Err != "" && e.Kind != driver.KindCancel { // to cancel is the caller's right
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// attrsOf are what is known of an event.
func attrsOf(e driver.Event) []slog.Attr {
	attrs := []slog.Attr{slog.Uint64("seq", e.Seq), slog.Time("at", e.Time)}
	if e.Conn != 0 {
		attrs = append(attrs, slog.Uint64("conn", uint64(e.Conn)))
	}
	if e.Duration != 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	if e.Holder != 0 {
		attrs = append(attrs, slog.Uint64("holder", uint64(e.Holder)))
	}
	if e.Queue != 0 {
		attrs = append(attrs, slog.Duration("wait", e.Wait), slog.Int("queue", e.Queue))
	}
	for _, text := range []slog.Attr{slog.String("lane", string(e.Lane)), slog.String("reason", string(e.Reason)), slog.String("error", e.Err)} {
		if text.Value.String() != "" {
			attrs = append(attrs, text)
		}
	}
	if e.Trace.IsValid() {
		attrs = append(attrs, slog.String("trace", e.Trace.String()))
	}
	return attrs
}
