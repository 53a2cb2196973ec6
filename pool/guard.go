package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A function of the program that the pool calls may panic or never return. On the goroutine of
// a call of the program, that affects only the call: it panics, or lasts as long as the
// function. This file handles the pool's own goroutines, where neither may end the process or
// stop the pool.

// A place is a function of the program that the pool calls.
type place int

const (
	placeNone place = iota
	placeInit
	placeTerm
	placeBeforeConnect
	placeAfterConnect
	placeAfterRelease
	placeBeforeClose
	placeRecorder
	placeLogger
	placeLogEvents
	placeCallback
	placeMeter
	places = iota
)

// String returns the name of the function in errors, logs and events.
func (p place) String() string {
	return [...]string{"", "Config.Init", "Config.Term", "Config.Hooks.BeforeConnect", "Config.Hooks.AfterConnect",
		"Config.Hooks.AfterRelease", "Config.Hooks.BeforeClose", "Config.Recorder", "Config.Logger", "the logger of LogEvents",
		"a callback of SQLite's", "the meter provider of Config.Tracing"}[p]
}

// hasNoConn reports whether the function does not use a connection. It may then be called on
// another goroutine than the one that waits for it.
func (p place) hasNoConn() bool {
	return p == placeBeforeConnect || p == placeBeforeClose || p == placeMeter
}

// reports reports whether events or log lines go to the function. Then only its first panic is
// reported, because each report could cause the next panic.
func (p place) reports() bool { return p == placeRecorder || p == placeLogger || p == placeLogEvents }

// A guard knows the running calls of the program's functions, and the running jobs.
type guard struct {
	pool   *Pool
	logger *slog.Logger // the pool's; does not wait for lines
	panics atomic.Uint64
	places [places]placeState

	mu   sync.Mutex // guards jobs
	jobs []*job
}

type placeState struct {
	inside  atomic.Int32  // running calls
	since   atomic.Int64  // start of the first of them, or of a later one; Unix nanoseconds
	logged  atomic.Bool   // a panic has been logged
	slot    chan struct{} // holds one token: that of the pool's goroutine in the function
	skipped atomic.Uint64 // calls that were left out because that goroutine has not returned
}

func newGuard(p *Pool) *guard {
	g := &guard{pool: p}
	for i := range g.places {
		g.places[i].slot = make(chan struct{}, 1)
	}
	return g
}

func (s *placeState) enter() {
	if s.inside.Add(1) == 1 {
		s.since.Store(time.Now().UnixNano())
	}
}

func (s *placeState) leave() { s.inside.Add(-1) }

// A job is a kind of work on a goroutine of the pool. At most one of each kind runs.
type job struct {
	name       string
	slot       chan struct{} // holds one token: that of the goroutine
	since      atomic.Int64  // start of the work; Unix nanoseconds
	place      atomic.Int32  // the function of the program that it is in
	firstPanic error         // the first panic of these functions

	// until ends when the job must not wait for functions of the program any longer.
	until context.Context
}

func (g *guard) newJob(name string) *job {
	j := &job{name: name, slot: make(chan struct{}, 1)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = append(g.jobs, j)
	return j
}

type jobKey struct{}

// jobOf returns the job on whose goroutine ctx is used, or nil on a goroutine of the program.
func jobOf(ctx context.Context) *job {
	j, _ := ctx.Value(jobKey{}).(*job)
	return j
}

// markBackground tells a connection that it is used in a job, if ctx is that of a job. Its
// events, and the context of Term, then say so.
func markBackground(ctx context.Context, c driver.PoolConn) {
	if jobOf(ctx) == nil {
		return
	}
	c.Lease().InBackground()
	if !c.Lease().Panicked() {
		c.SQLite().SetInterrupt(context.WithoutCancel(ctx))
	}
}

// start calls f on a goroutine of the pool and returns true. If j is running already, it
// returns false. A panic of f is reported.
func (g *guard) start(ctx context.Context, j *job, f func(context.Context)) bool {
	select {
	case j.slot <- struct{}{}:
	default:
		return false
	}
	j.since.Store(time.Now().UnixNano())
	j.place.Store(int32(placeNone))
	j.firstPanic, j.until = nil, ctx
	go func() {
		defer func() { <-j.slot }()
		g.protect(j.name, func() { f(context.WithValue(ctx, jobKey{}, j)) })
	}()
	return true
}

// ended waits until j is not running. It returns false if ctx ends first.
func (j *job) ended(ctx context.Context) bool {
	select {
	case j.slot <- struct{}{}:
	default:
		select {
		case j.slot <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	<-j.slot
	return true
}

// attempt calls f on another goroutine and waits for it. It is called by job j. After j.until
// has ended, it stops waiting if f is in a function of the program, or takes longer than
// closeGrace. finished reports whether f has returned. If not, known reports whether f is in a
// function of the program.
func (g *guard) attempt(ctx context.Context, j *job, name string, f func(context.Context)) (finished, known bool) {
	part := &job{name: name, slot: make(chan struct{}, 1), until: j.until}
	part.slot <- struct{}{}
	part.since.Store(time.Now().UnixNano())
	g.mu.Lock()
	g.jobs = append(g.jobs, part)
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer func() {
			g.mu.Lock()
			g.jobs = slices.DeleteFunc(g.jobs, func(other *job) bool { return other == part })
			g.mu.Unlock()
			close(done)
		}()
		_ = g.protect(name, func() { f(context.WithValue(ctx, jobKey{}, part)) })
	}()
	select {
	case <-done:
		j.keepPanic(part.firstPanic)
		return true, true
	case <-j.until.Done():
	}
	const looks = 5 * time.Millisecond
	for waited := time.Duration(0); waited < closeGrace; waited += looks {
		timer := time.NewTimer(looks)
		select {
		case <-done:
			timer.Stop()
			j.keepPanic(part.firstPanic)
			return true, true
		case <-timer.C:
			if place(part.place.Load()) != placeNone {
				return false, true
			}
		}
	}
	return false, false
}

// protect calls f. It recovers a panic, reports it under name, and returns it.
func (g *guard) protect(name string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(placeNone, name, v)
		}
	}()
	f()
	return nil
}

// call calls a function of the program.
//
// On the goroutine of a call of the program, which ctx identifies, it calls f directly. On a
// goroutine of the pool, it recovers and reports a panic, and returns it. There, only one
// goroutine is in each function. If that one does not return in time, call does not call f and
// returns a [*BlockedError]. If the function uses no connection, call waits at most
// sqliteTimeout for it.
func (g *guard) call(ctx context.Context, at place, f func() error) error {
	s := &g.places[at]
	j := jobOf(ctx)
	if j == nil {
		s.enter()
		defer s.leave()
		return f()
	}
	patience, cancel := context.WithTimeout(j.until, sqliteTimeout)
	defer cancel()
	select {
	case s.slot <- struct{}{}:
	default:
		select {
		case s.slot <- struct{}{}:
		case <-patience.Done():
			s.skipped.Add(1)
			return g.blockedError(at)
		}
	}
	if !at.hasNoConn() {
		err := g.inside(j, at, f)
		j.keepPanic(err)
		return err
	}
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { done <- err }()
		err = g.inside(nil, at, f)
	}()
	select {
	case err := <-done:
		if at != placeMeter { // the meter provider is not a hook
			j.keepPanic(err)
		}
		return err
	case <-patience.Done():
		return g.blockedError(at)
	}
}

func (j *job) keepPanic(err error) {
	var p *wrap.PanicError
	if j.firstPanic == nil && errors.As(err, &p) {
		j.firstPanic = err
	}
}

// inside calls f with the slot of its place, and then frees the slot. j is the job on whose
// goroutine f runs; nil means a separate goroutine.
func (g *guard) inside(j *job, at place, f func() error) (err error) {
	s := &g.places[at]
	s.enter()
	if j != nil {
		j.place.Store(int32(at))
	}
	defer func() {
		if j != nil {
			j.place.Store(int32(placeNone))
		}
		s.leave()
		<-s.slot
		if v := recover(); v != nil {
			err = g.recordPanic(at, "", v)
		}
	}()
	return f()
}

var errGoexit = errors.New("pool: a function of the program has called runtime.Goexit")

// recoverPanics calls f. It recovers a panic, reports it, and returns it. It is used when the
// program has already seen another panic, or when f runs as part of a release.
func (g *guard) recoverPanics(at place, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(at, "", v)
		}
	}()
	f()
	return nil
}

// recordPanic reports a recovered panic: as an event, and in the log once for each place. The
// deferred function that has recovered must call it, because it logs the stack.
func (g *guard) recordPanic(at place, name string, v any) error {
	if at != placeNone {
		name = at.String()
	}
	g.panics.Add(1)
	s := &g.places[at]
	first := !s.logged.Swap(true) || at == placeNone
	if first || !at.reports() {
		g.pool.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindPanic, Reason: driver.Reason(name), Err: fmt.Sprintf("%T", v), Background: true})
	}
	if first {
		g.logger.Error("pool: a panic was recovered, and the pool goes on; it is logged once for each function of the program", "in", name, "panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	}
	return wrap.NewPanicError(v)
}

// A BlockedError says that a function of the program has not returned on a goroutine of the
// pool. Until it does, the pool does not call it on another goroutine of its own.
type BlockedError struct {
	Function string        // such as "Config.Init"
	For      time.Duration // since it was called
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("pool: %s has not returned for %s: it is not called again on the pool's own goroutines until it does", e.Function, e.For.Round(time.Millisecond))
}

func (g *guard) blockedError(at place) error {
	return &BlockedError{at.String(), time.Since(time.Unix(0, g.places[at].since.Load()))}
}

// blocked describes what is running: functions of the program, and jobs that are in none of
// them.
func (g *guard) blocked() []string {
	var names []string
	now := time.Now()
	add := func(name string, since int64) {
		names = append(names, fmt.Sprintf("%s, for %s", name, now.Sub(time.Unix(0, since)).Round(time.Millisecond)))
	}
	for i := range g.places {
		if s := &g.places[i]; s.inside.Load() > 0 {
			add(place(i).String(), s.since.Load())
		}
	}
	g.mu.Lock()
	jobs := slices.Clone(g.jobs)
	g.mu.Unlock()
	for _, j := range jobs {
		if len(j.slot) > 0 && place(j.place.Load()) == placeNone {
			add(j.name, j.since.Load())
		}
	}
	return names
}

// waitLeft waits until the pool's goroutines have left all functions of the program. It returns
// false if ctx ends first.
func (g *guard) waitLeft(ctx context.Context) bool {
	all := true
	for i := range g.places {
		turn := g.places[i].slot
		select {
		case turn <- struct{}{}:
			<-turn
		default:
			select {
			case turn <- struct{}{}:
				<-turn
			case <-ctx.Done():
				all = false
			}
		}
	}
	return all
}

// unfinishedError returns the error for a job that has not finished.
func (g *guard) unfinishedError(j *job) error {
	if at := place(j.place.Load()); at != placeNone {
		return g.blockedError(at)
	}
	return &BlockedError{j.name, time.Since(time.Unix(0, j.since.Load()))}
}
