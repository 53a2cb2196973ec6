package core

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A logLine is a line of the pool for the program's handler.
type logLine struct {
	ctx     context.Context
	handler slog.Handler
	record  slog.Record
}

// newLogger returns a handler that puts lines into a mailbox. The mailbox passes them to the
// handler of to.
func newLogger(g *Guard, at *Place, to *slog.Logger) (*logHandler, *mailbox[logLine]) {
	box := &mailbox[logLine]{
		guard: g,
		place: at,
		deliver: func(l logLine) {
			if l.handler.Enabled(l.ctx, l.record.Level) {
				_ = l.handler.Handle(l.ctx, l.record)
			}
		},
		onLost: func(n uint64) {
			to.Warn("pool: log lines were lost, because the logger is too slow", "lines", n)
		},
	}
	return &logHandler{box, to.Handler(), logPatience}, box
}

// A logHandler puts lines into a mailbox.
type logHandler struct {
	box      *mailbox[logLine]
	to       slog.Handler
	patience time.Duration
}

// withoutPatience returns a handler that does not wait until lines are written.
func (h *logHandler) withoutPatience() *logHandler { return &logHandler{h.box, h.to, 0} }

var _ slog.Handler = &logHandler{}

// Enabled implements [slog.Handler]. The program's handler is asked when it gets the line.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// logPatience is how long a caller waits until its line is written. So the line is in the right
// place among the program's own lines, and is written even if the program ends next. Writing a
// line to a busy disk takes less time.
const logPatience = 20 * time.Millisecond

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	h.box.putAndWait(logLine{context.WithoutCancel(ctx), h.to, r.Clone()}, h.patience)
	return nil
}

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.box, h.to.WithAttrs(attrs), h.patience}
}

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.box, h.to.WithGroup(name), h.patience}
}

// All returns the events of the subscription as they are recorded. The loop ends when the
// subscription is closed and its buffer is empty. Leaving the loop earlier does not close the
// subscription. Each event is received once: by one loop, or by one receiver from C.
func (s *Subscription) All() iter.Seq[wrap.Event] {
	return func(yield func(wrap.Event) bool) {
		for e := range s.events {
			if !yield(e) {
				return
			}
		}
	}
}

// logEvents writes every event of log to logger, as [Pool.LogEvents] does, until stop is called.
func logEvents(log *EventLog, g *Guard, at *Place, logger *slog.Logger, kinds []wrap.Kind) (stop func()) {
	l := &eventLogger{guard: g, place: at, logger: logger, kinds: slices.Clone(kinds), events: log.subscribe(DefaultEvents, make(chan struct{}))}
	go l.run()
	return func() {
		l.events.Close()
		<-l.events.finished
	}
}

// An eventLogger writes events to a logger.
type eventLogger struct {
	guard        *Guard
	place        *Place
	logger       *slog.Logger
	kinds        []wrap.Kind // empty for all
	events       *Subscription
	reportedLost uint64 // how many lost events have been reported
}

// run writes events until the subscription ends. If the logger panics, the line is lost.
func (l *eventLogger) run() {
	finished := false
	defer func() {
		if !finished { // the logger has called runtime.Goexit
			go l.run()
			return
		}
		close(l.events.finished)
	}()
	for e := range l.events.All() {
		l.reportLost()
		if len(l.kinds) == 0 || slices.Contains(l.kinds, e.Kind) {
			l.call(func() { l.write(context.Background(), e) })
		}
	}
	l.reportLost()
	finished = true
}

func (l *eventLogger) reportLost() {
	if n := l.events.Lost(); n > l.reportedLost {
		lost := n - l.reportedLost
		l.reportedLost = n
		l.call(func() { l.logLost(lost) })
	}
}

func (l *eventLogger) call(f func()) {
	l.place.enter()
	defer l.place.leave()
	_ = l.guard.Recover(l.place, f)
}

func (l *eventLogger) write(ctx context.Context, e wrap.Event) {
	if level := levelOf(e); l.logger.Enabled(ctx, level) {
		l.logger.LogAttrs(ctx, level, "pool: "+e.Kind.String(), attrsOf(e)...)
	}
}

func (l *eventLogger) logLost(n uint64) {
	l.logger.Warn("pool: events were lost, because the logger is too slow", "events", n)
}

func levelOf(e wrap.Event) slog.Level {
	switch e.Kind {
	case wrap.KindTimeout, wrap.KindRefuse, wrap.KindLeak, wrap.KindDirty, wrap.KindBusy, wrap.KindSession, wrap.KindFailing, wrap.KindFileLost, wrap.KindPanic, wrap.KindTimeLimit, wrap.KindWarning:
		return slog.LevelWarn
	case wrap.KindHealth, wrap.KindReset, wrap.KindShutdown, wrap.KindRecovered:
		return slog.LevelInfo
	}
	if e.Err != "" && e.Kind != wrap.KindCancel { // a cancel is no failure of the pool
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// attrsOf returns the attributes of an event.
func attrsOf(e wrap.Event) []slog.Attr {
	attrs := []slog.Attr{slog.Uint64("seq", e.Seq), slog.Time("at", e.Time)}
	if e.Conn != 0 {
		attrs = append(attrs, slog.Uint64("conn", uint64(e.Conn)))
	}
	if e.Duration != 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	if e.Commits != 0 {
		attrs = append(attrs, slog.Uint64("commits", e.Commits))
	}
	if e.Holder != 0 {
		attrs = append(attrs, slog.Uint64("holder", uint64(e.Holder)))
	}
	if e.QueuePosition != 0 {
		attrs = append(attrs, slog.Duration("wait", e.Wait), slog.Int("queue", e.QueuePosition))
	}
	for _, text := range []slog.Attr{slog.String("lane", string(e.Lane)), slog.String("reason", string(e.Reason)),
		slog.String("blocker", string(e.Blocker)), slog.String("health", e.Health), slog.String("error", e.Err)} {
		if text.Value.String() != "" {
			attrs = append(attrs, text)
		}
	}
	if e.Trace.IsValid() {
		attrs = append(attrs, slog.String("trace", e.Trace.String()))
	}
	return attrs
}
