package core

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// shared is what all parts of a pool use.
type shared struct {
	cfg    Config
	engine Engine
	max    atomic.Int64 // Config.MaxConns; see Pool.SetMaxConns

	guard       *Guard
	places      places
	logger      *slog.Logger
	logBox      *mailbox[logLine] // for logger
	recorder    wrap.Recorder
	recorderBox *mailbox[wrap.Event] // for Config.Recorder; nil if there is none
	log         *EventLog
	sums        counters
	drain       drain
}

// places are the functions of the program that the core itself calls.
type places struct {
	afterRelease, beforeClose, recorder, logger, logEvents *Place
}

func newShared(engine Engine, cfg Config) *shared {
	s := &shared{cfg: cfg, engine: engine, log: NewEventLog(cfg.Events)}
	s.max.Store(int64(cfg.MaxConns))
	s.guard = &Guard{}
	s.places = places{
		afterRelease: s.guard.NewPlace("Config.Hooks.AfterRelease", UsesConn),
		beforeClose:  s.guard.NewPlace("Config.Hooks.BeforeClose", UsesNoConn),
		recorder:     s.guard.NewPlace("Config.Recorder", told),
		logger:       s.guard.NewPlace("Config.Logger", told),
		logEvents:    s.guard.NewPlace("the logger of LogEvents", told),
	}
	if cfg.Recorder != nil {
		s.recorderBox = &mailbox[wrap.Event]{guard: s.guard, place: s.places.recorder, deliver: cfg.Recorder.Record}
	}
	s.recorder = &ledger{&s.sums, s.log, cfg.Recorder, s.recorderBox}
	handler, lines := newLogger(s.guard, s.places.logger, cfg.Logger.With("pool", cfg.Name))
	s.logger, s.logBox = slog.New(handler), lines
	s.guard.recorder, s.guard.logger = s.recorder, slog.New(handler.withoutPatience())
	return s
}

// maxConns returns how many connections may be open.
func (s *shared) maxConns() int { return int(s.max.Load()) }

// drain tells the end of a pool that a connection has been given back or closed.
type drain struct {
	begun atomic.Bool   // Shutdown has begun; set with mu held
	mu    sync.Mutex    // guards woken, and every change of begun
	woken chan struct{} // closed by wake
}

// begin reports whether this is the first call.
func (d *drain) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.begun.Swap(true)
}

// next returns a channel that is closed by the next wake.
func (d *drain) next() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.woken = make(chan struct{})
	return d.woken
}

// wake is called after every release.
func (d *drain) wake() {
	if !d.begun.Load() { // the end checks once more after it has begun
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.woken != nil {
		close(d.woken)
		d.woken = nil
	}
}
