package core

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Pool is the lanes of an [Engine] and what they share. An engine makes it with [New], adds
// lanes, and calls [Pool.Start] when its database is open. All methods are safe for concurrent
// use.
type Pool struct {
	cfg    Config
	engine Engine
	lanes  []*Lane      // set before Start
	max    atomic.Int64 // Config.MaxConns; see SetMaxConns

	guard       *Guard
	places      places
	logger      *slog.Logger
	logBox      *mailbox[logLine] // for logger
	recorder    wrap.Recorder
	recorderBox *mailbox[wrap.Event] // for Config.Recorder; nil if there is none
	log         *EventLog
	sums        counters
	health      healthState
	maintain    *maintainer // nil before Start
	end         ending
}

// An ending is the end of a pool.
type ending struct {
	begun   atomic.Bool   // Shutdown has begun; set with mu held
	mu      sync.Mutex    // guards drained, and every change of begun
	drained chan struct{} // wakes drain; closed by wakeDrain
	done    chan struct{} // closed when Shutdown has finished
	err     error         // result of Shutdown; set before done is closed
	job     *Job
}

// New returns a pool for engine, without lanes. If it is not started, [Pool.Abandon] ends it.
func New(engine Engine, cfg Config) *Pool {
	p := &Pool{cfg: cfg, engine: engine, log: NewEventLog(cfg.Events)}
	p.max.Store(int64(cfg.MaxConns))
	p.end.done = make(chan struct{})
	p.guard = &Guard{recorder: recorderOf{p}}
	p.places = places{
		afterRelease: p.guard.NewPlace("Config.Hooks.AfterRelease", UsesConn),
		beforeClose:  p.guard.NewPlace("Config.Hooks.BeforeClose", UsesNoConn),
		recorder:     p.guard.NewPlace("Config.Recorder", told),
		logger:       p.guard.NewPlace("Config.Logger", told),
		logEvents:    p.guard.NewPlace("the logger of LogEvents", told),
	}
	handler, lines := newLogger(p.guard, p.places.logger, cfg.Logger.With("pool", cfg.Name))
	p.logger, p.logBox, p.guard.logger = slog.New(handler), lines, slog.New(handler.withoutPatience())
	if cfg.Recorder != nil {
		p.recorderBox = &mailbox[wrap.Event]{guard: p.guard, place: p.places.recorder, deliver: cfg.Recorder.Record}
	}
	p.recorder = &ledger{&p.sums, p.log, cfg.Recorder, p.recorderBox}
	p.health.job = p.guard.NewJob("the health check")
	return p
}

// recorderOf is the recorder of a pool that is being made.
type recorderOf struct{ pool *Pool }

func (r recorderOf) Record(e wrap.Event) { r.pool.recorder.Record(e) }

// AddLane adds a lane to a pool that has not been started.
func (p *Pool) AddLane(cfg LaneConfig) *Lane {
	l := &Lane{cfg: cfg, pool: p, name: cfg.Name, reads: cfg.Reads, source: cfg.Source, queue: cfg.Queue}
	if l.queue == nil {
		l.queue = NewQueue(cfg.Turns)
	}
	l.queue.add(l)
	if l.reads {
		p.lanes = slices.Insert(p.lanes, 0, l) // readers are closed before writers
	} else {
		p.lanes = append(p.lanes, l)
	}
	return l
}

// SetQueue makes a lane use another queue. No caller may have used the lane yet.
func (l *Lane) SetQueue(q *Queue) {
	l.queue.drop(l)
	l.queue = q
	q.add(l)
}

// Start makes a pool available, whose database is open, and starts its maintenance.
func (p *Pool) Start(ctx context.Context) {
	register(p)
	p.maintain = newMaintainer(p)
	p.end.job = p.guard.NewJob("closing the connections")
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
		l.queue.drop(l)
	}
	if p.recorderBox != nil { // the Recorder gets all events before Open returns
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		p.recorderBox.flush(ctx)
	}
}

// openPools are the open pools of the process. Its mutex guards list.
var openPools struct {
	sync.Mutex
	list []*Pool // replaced, never changed
}

// Pools returns the open pools of the process, of all engines.
func Pools() []*Pool {
	openPools.Lock()
	defer openPools.Unlock()
	return openPools.list
}

func register(p *Pool) {
	openPools.Lock()
	defer openPools.Unlock()
	openPools.list = append(slices.Clone(openPools.list), p)
}

func unregister(p *Pool) {
	openPools.Lock()
	defer openPools.Unlock()
	openPools.list = slices.DeleteFunc(slices.Clone(openPools.list), func(other *Pool) bool { return other == p })
}

// Name returns the pool's name.
func (p *Pool) Name() string { return p.cfg.Name }

// Engine returns the pool's engine.
func (p *Pool) Engine() Engine { return p.engine }

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
func (p *Pool) MaxConns() int { return int(p.max.Load()) }

// SetMaxConns changes the number of MaxConns, and returns the old one. The lanes do not change.
func (p *Pool) SetMaxConns(n int) (was int) { return int(p.max.Swap(int64(n))) }

// Closed reports whether Shutdown has been called.
func (p *Pool) Closed() bool { return p.end.begun.Load() }

// Reset replaces all connections of the pool by new ones. Idle connections are closed now, those
// in use when they are given back.
func (p *Pool) Reset() {
	for _, l := range p.Lanes() {
		l.Replace()
		l.reap(context.Background(), time.Now())
	}
	p.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindReset})
	p.logger.Info("pool: reset")
}

// WhileOpen calls f if the pool is not being shut down, and otherwise returns [ErrClosed]. A
// Shutdown does not begin meanwhile. f must not block.
func (p *Pool) WhileOpen(f func()) error {
	p.end.mu.Lock()
	defer p.end.mu.Unlock()
	if p.end.begun.Load() {
		return ErrClosed
	}
	f()
	return nil
}

func (p *Pool) closeFailed(c *Conn, err error) {
	p.logger.Error("pool: a connection was closed with an error", "conn", c.session.Lease().ID(), "lane", c.lane.name, "error", p.engine.Describe(err))
}
