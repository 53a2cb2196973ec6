package core

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Pool is the lanes of an [Engine] and what they share. An engine makes it with [New], adds
// lanes, and calls [Pool.Start] when its database is open. All methods are safe for concurrent
// use.
type Pool struct {
	*shared
	lanes    []*Lane // set before Start
	check    *checker
	maintain *maintainer // nil before Start
	end      *closer     // nil before Start
	failures *failures
}

// New returns a pool for engine, without lanes. If it is not started, [Pool.Abandon] ends it.
func New(engine Engine, cfg Config) *Pool {
	s := newShared(engine, cfg)
	check := newChecker(s)
	return &Pool{shared: s, check: check, failures: &failures{shared: s, check: check, kinds: make([]failureState, len(cfg.Failures))}}
}

// AddLane adds a lane to a pool that has not been started.
func (p *Pool) AddLane(cfg LaneConfig) *Lane {
	l := &Lane{shared: p.shared, opts: cfg}
	if cfg.Queue == nil {
		cfg.Queue = NewQueue(cfg.Turns)
	}
	l.SetQueue(cfg.Queue)
	register(l)
	if cfg.Reads {
		p.lanes = slices.Insert(p.lanes, 0, l) // readers are closed before writers
	} else {
		p.lanes = append(p.lanes, l)
	}
	return l
}

// Start makes a pool available, whose database is open, and starts its maintenance.
func (p *Pool) Start(ctx context.Context) {
	p.maintain = newMaintainer(p.shared, p.lanes, p.check)
	p.end = &closer{
		shared: p.shared, lanes: p.lanes, check: p.check, maintain: p.maintain,
		done: make(chan struct{}), job: p.guard.NewJob("closing the connections"),
	}
	if p.recorderBox != nil {
		p.recorderBox.flush(ctx) // the Recorder gets the events of opening before Start returns
	}
}

// Abandon closes the connections of a pool that could not be started. It calls closed when they
// are closed.
func (p *Pool) Abandon(closed func()) {
	for _, l := range p.Lanes() {
		l.shut(context.Background())
	}
	closed()
	for _, l := range p.Lanes() {
		unregister(l)
	}
	if p.recorderBox != nil { // the Recorder gets all events before Open returns
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		p.recorderBox.flush(ctx)
	}
}

// Name returns the pool's name.
func (p *Pool) Name() string { return p.cfg.Name }

// Lanes returns the pool's lanes, in the order in which they are closed: readers first.
func (p *Pool) Lanes() []*Lane { return p.lanes }

// Guard returns the pool's guard.
func (p *Pool) Guard() *Guard { return p.guard }

// ReleasePlace returns the [Place] of Config.Hooks.AfterRelease, for an engine that gives a
// connection back where no caller sees a panic of the hook.
func (p *Pool) ReleasePlace() *Place { return p.places.afterRelease }

// Logger returns the pool's logger. Its lines are written on another goroutine.
func (p *Pool) Logger() *slog.Logger { return p.logger }

// Recorder returns the recorder that all events of the pool must go to.
func (p *Pool) Recorder() wrap.Recorder { return p.recorder }

// Events returns the latest events, the oldest first.
func (p *Pool) Events() []wrap.Event { return p.log.Events() }

// Subscribe returns a subscription to every event from now on; see [EventLog.Subscribe].
// Shutdown closes it.
func (p *Pool) Subscribe(buffer int) *Subscription { return p.log.Subscribe(buffer) }

// MaxConns returns how many connections may be open.
func (p *Pool) MaxConns() int { return p.maxConns() }

// SetMaxConns changes the number of MaxConns, and returns the old one. The lanes do not change.
func (p *Pool) SetMaxConns(n int) (was int) { return int(p.max.Swap(int64(n))) }

// Stats returns the pool's counters, apart from those that only the engine knows. It takes no
// connection.
func (p *Pool) Stats() Stats {
	s := p.sums.sum()
	for _, l := range p.lanes {
		n := l.Count()
		open, inUse := &s.Writers, &s.WritersInUse
		if l.opts.Reads {
			open, inUse = &s.Readers, &s.ReadersInUse
		}
		*open += n.Open
		*inUse += n.Open - n.Idle
		s.Idle += n.Idle
	}
	s.Open, s.InUse = s.Writers+s.Readers, s.WritersInUse+s.ReadersInUse
	s.Events, s.EventsDropped = p.log.counts()
	s.Panics = p.guard.panics.Load()
	s.Health = p.Health().Health
	for _, h := range p.Holders() {
		if h.Lane == wrap.LaneReader && (h.Rows > 0 || h.Tx) {
			s.OldestReader = max(s.OldestReader, h.Held)
		}
	}
	return s
}

// Holders returns the current holders of connections, the longest first.
func (p *Pool) Holders() []Holder { return holdersOf(p.lanes) }

// Waiters returns the calls that wait for connections, those that are served first first.
func (p *Pool) Waiters() []Waiter { return waitersOf(p.lanes) }

// HealthCheck calls [Engine.Examine], for at most [EngineTimeout] or as long as ctx allows. It
// returns nil if the pool is ok or degraded; [Pool.Health] says which, and why. Otherwise the
// error is [ErrHealthCheck] or [ErrClosed].
//
// Several goroutines may call HealthCheck. One of them checks; the others wait as long as their
// contexts allow.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.check.check(ctx, true) }

// Health returns the result of the last check, together with what [Engine.Reasons] returns now.
func (p *Pool) Health() HealthReport { return p.check.health() }

// LastHealth returns the result of the last check.
func (p *Pool) LastHealth() HealthReport { return p.check.lastReport() }

// SetHealth sets the result of the last check, for an engine that knows more.
func (p *Pool) SetHealth(r HealthReport) { p.check.set(r) }

// HealthMayChange records an event if the health differs from that of the latest event.
// background says that the caller may be a goroutine of the pool.
func (p *Pool) HealthMayChange(background bool) { p.check.mayChange(background) }

// Fail records that an operation of that kind, an index in Config.Failures, has failed.
func (p *Pool) Fail(kind int, c FailureCause) { p.failures.fail(kind, c) }

// Succeed records that an operation of that kind has succeeded, which ends its failure. If it does
// not fail, Succeed costs one atomic load.
func (p *Pool) Succeed(kind int) { p.failures.succeed(kind) }

// Fails reports whether operations of that kind fail.
func (p *Pool) Fails(kind int) bool { return p.failures.kinds[kind].on.Load() }

// Failing reports whether operations of any kind fail.
func (p *Pool) Failing() bool {
	for kind := range p.failures.kinds {
		if p.Fails(kind) {
			return true
		}
	}
	return false
}

// Failures returns the current failures.
func (p *Pool) Failures() []Failure { return p.failures.current() }

// FailuresBegun returns how many failures of that kind have begun.
func (p *Pool) FailuresBegun(kind int) uint64 { return p.failures.kinds[kind].begun.Load() }

// LogEvents writes every event from now on to logger, on a separate goroutine, until stop is
// called or the pool is shut down. If there are kinds, it writes only events of these. A nil
// logger means Config.Logger.
//
// No call waits for the logger. There is room for [DefaultEvents] events that have not been
// written yet. Further events are lost, and a line at level warn counts them. stop waits until
// the remaining events are written; so does Shutdown, as long as its context allows. stop may
// be called more than once, but not by the logger. The logger must not use the pool, because
// each line would cause the next.
func (p *Pool) LogEvents(logger *slog.Logger, kinds ...wrap.Kind) (stop func()) {
	if logger == nil {
		logger = p.cfg.Logger
	}
	return logEvents(p.log, p.guard, p.places.logEvents, logger.With("pool", p.cfg.Name), kinds)
}

// Closed reports whether Shutdown has been called.
func (p *Pool) Closed() bool { return p.drain.begun.Load() }

// WhileOpen calls f if the pool is not being shut down, and otherwise returns [ErrClosed]. A
// Shutdown does not begin meanwhile. f must not block.
func (p *Pool) WhileOpen(f func()) error {
	p.drain.mu.Lock()
	defer p.drain.mu.Unlock()
	if p.drain.begun.Load() {
		return ErrClosed
	}
	f()
	return nil
}

// Reset replaces all connections of the pool by new ones. Idle connections are closed now, those
// in use when they are given back.
func (p *Pool) Reset() {
	for _, l := range p.lanes {
		l.Replace()
		l.reap(context.Background(), time.Now())
	}
	p.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindReset})
	p.logger.Info("pool: reset")
}

// Shutdown closes the pool. New and waiting acquires fail with [ErrClosed]. Connections in use
// may be used until ctx ends. Then Shutdown takes them away: their running calls end as if they
// were canceled, and later calls fail with ErrClosed. When Shutdown has finished, the engine's
// [Engine.Closed] has been called. Readers are closed before writers.
//
// Shutdown returns at most half a second after ctx has ended, whatever functions of the program
// do. If ctx has a deadline, the last tenth of a second before it is for running calls to end;
// for less than a second, it is the last tenth of the time. The error is a [*ShutdownError] if
// Shutdown had to take something away, or if something has not ended. It lists these with their
// holders. If a hook has panicked, Shutdown panics too, when everything is closed. If the pool
// is closed already, Shutdown waits for the first Shutdown and returns its result.
func (p *Pool) Shutdown(ctx context.Context) error { return p.end.shutdown(ctx) }
