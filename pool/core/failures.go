package core

import (
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A Failure is an operation that fails, from its first error until it succeeds again.
type Failure struct {
	Kind  int // index in Config.Failures
	Since time.Time
	Count int    // number of errors since
	Why   string // for people; without values of the program
	File  string // name of the database's file for people; empty if it has none
}

// A FailureCause is the reason of a failure, for events and logs.
type FailureCause struct {
	Why    string // for people
	Status string // see [wrap.Event].Err
	Conn   wrap.ConnID
	Lane   wrap.Lane
	Trace  trace.TraceID
	Holder *Holder       // that blocks the operation; nil if unknown
	Reads  time.Duration // how long Holder has been reading
	File   string        // name of the database's file for people; empty if it has none
}

// failures are the current failures of a pool.
type failures struct {
	*shared
	check *checker
	kinds []failureState

	mu sync.Mutex // guards kinds[].now, and changes of on and begun
}

// A failureState is the state of one kind of failure.
type failureState struct {
	now   *Failure      // nil if there is none
	on    atomic.Bool   // whether now is set; read without mu
	begun atomic.Uint64 // how many failures have begun
}

// fail records that an operation has failed.
func (f *failures) fail(kind int, c FailureCause) {
	now, what, state := time.Now(), f.cfg.Failures[kind], &f.kinds[kind]
	f.mu.Lock()
	begins := state.now == nil
	if begins {
		state.now = &Failure{Kind: kind, Since: now, File: c.File}
		state.on.Store(true)
		state.begun.Add(1)
	}
	state.now.Count++
	state.now.Why = c.Why
	f.mu.Unlock()
	if !begins {
		return
	}
	e := wrap.Event{Time: now, Kind: wrap.KindFailing, Reason: what.Reason, Err: c.Status, Conn: c.Conn, Lane: c.Lane, Trace: c.Trace, Background: !what.InCalls}
	attrs := []any{"error", c.Why}
	if c.File != "" {
		attrs = []any{"file", c.File, "error", c.Why}
	}
	if h := c.Holder; h != nil {
		e.Holder, e.Trace = h.Conn, h.Trace
		attrs = append(attrs, "holder", h.Conn, "lane", h.Lane, "reads", c.Reads, "owner", h.Owner, "last", h.Last, "trace", h.Trace)
	}
	f.recorder.Record(e)
	f.check.mayChange(!what.InCalls)
	f.logger.Error("pool: "+what.Begins, attrs...)
}

// succeed records that an operation has succeeded, which ends its failure.
func (f *failures) succeed(kind int) {
	what, state := f.cfg.Failures[kind], &f.kinds[kind]
	if !state.on.Load() {
		return
	}
	f.mu.Lock()
	was := state.now
	state.now = nil
	state.on.Store(false)
	f.mu.Unlock()
	if was == nil {
		return
	}
	now := time.Now()
	took := now.Sub(was.Since)
	f.recorder.Record(wrap.Event{Time: now, Kind: wrap.KindRecovered, Reason: what.Reason, Duration: took, Background: !what.InCalls})
	f.check.mayChange(!what.InCalls)
	attrs := []any{"after", took, "failures", was.Count}
	if was.File != "" {
		attrs = append([]any{"file", was.File}, attrs...)
	}
	f.logger.Info("pool: "+what.Ends, attrs...)
}

// current returns the current failures.
func (f *failures) current() (list []Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.kinds {
		if now := f.kinds[i].now; now != nil {
			list = append(list, *now)
		}
	}
	return list
}
