package core

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

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// EngineTimeout limits what a pool itself does in the engine, and how long its goroutines wait
// for hooks. It is as long as SQLite's usual busy timeout.
const EngineTimeout = 5 * time.Second

// closeGrace is how long after the end of its context Shutdown waits for connections that it
// has taken away to be closed. It includes callGrace and the engine's last work, such as
// SQLite's last checkpoint.
const closeGrace = 500 * time.Millisecond

// A function of the program that the pool calls may panic or never return. On the goroutine of
// a call of the program, that affects only the call: it panics, or lasts as long as the
// function. This file handles the pool's own goroutines, where neither may end the process or
// stop the pool.

// A Place is a function of the program that the pool calls. At most one of the pool's own
// goroutines is in it.
type Place struct {
	name   string // in errors, logs and events, such as "Config.Init"
	kind   PlaceKind
	inside atomic.Int32  // running calls
	since  atomic.Int64  // start of the first of them, or of a later one; Unix nanoseconds
	logged atomic.Bool   // a panic has been logged
	slot   chan struct{} // holds one token: that of the pool's goroutine in the function
}

// A PlaceKind is a kind of [Place].
type PlaceKind int

const (
	// UsesConn is for functions that use a connection.
	UsesConn PlaceKind = iota

	// UsesNoConn is for functions that use none. The pool may then call them on another goroutine
	// than the one that waits for them, and does not wait for ever.
	UsesNoConn

	// NoHook is UsesNoConn for functions whose panics Shutdown does not pass on.
	NoHook

	// told is for functions to which events or log lines go; see recordPanic.
	told
)

// A Guard knows the running calls of the program's functions, and the running jobs.
type Guard struct {
	recorder wrap.Recorder // the pool's
	logger   *slog.Logger  // the pool's; does not wait for lines
	panics   atomic.Uint64

	mu     sync.Mutex // guards the fields below
	places []*Place
	jobs   []*Job
}

// NewPlace returns a Place for the function of this name.
func (g *Guard) NewPlace(name string, kind PlaceKind) *Place {
	at := &Place{name: name, kind: kind, slot: make(chan struct{}, 1)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places = append(g.places, at)
	return at
}

// all returns the places and jobs.
func (g *Guard) all() ([]*Place, []*Job) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.places), slices.Clone(g.jobs)
}

func (s *Place) enter() {
	if s.inside.Add(1) == 1 {
		s.since.Store(time.Now().UnixNano())
	}
}

func (s *Place) leave() { s.inside.Add(-1) }

// A Job is a kind of work on a goroutine of the pool. At most one of each kind runs.
type Job struct {
	name       string
	slot       chan struct{}         // holds one token: that of the goroutine
	since      atomic.Int64          // start of the work; Unix nanoseconds
	place      atomic.Pointer[Place] // the function of the program that it is in; nil for none
	firstPanic error                 // the first panic of these functions

	// until ends when the job must not wait for functions of the program any longer.
	until context.Context
}

// NewJob returns a Job of this name.
func (g *Guard) NewJob(name string) *Job {
	j := &Job{name: name, slot: make(chan struct{}, 1)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs = append(g.jobs, j)
	return j
}

// Name returns the name of the job.
func (j *Job) Name() string { return j.name }

type jobKey struct{}

// JobOf returns the job on whose goroutine ctx is used, or nil on a goroutine of the program.
func JobOf(ctx context.Context) *Job {
	j, _ := ctx.Value(jobKey{}).(*Job)
	return j
}

// Start calls f on a goroutine of the pool and returns true. If j is running already, it
// returns false. A panic of f is reported.
func (g *Guard) Start(ctx context.Context, j *Job, f func(context.Context)) bool {
	select {
	case j.slot <- struct{}{}:
	default:
		return false
	}
	j.since.Store(time.Now().UnixNano())
	j.place.Store(nil)
	j.firstPanic, j.until = nil, ctx
	go func() {
		defer func() { <-j.slot }()
		g.Protect(j.name, func() { f(context.WithValue(ctx, jobKey{}, j)) })
	}()
	return true
}

// Ended waits until j is not running. It returns false if ctx ends first.
func (j *Job) Ended(ctx context.Context) bool {
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
func (g *Guard) attempt(ctx context.Context, j *Job, name string, f func(context.Context)) (finished, known bool) {
	part := &Job{name: name, slot: make(chan struct{}, 1), until: j.until}
	part.slot <- struct{}{}
	part.since.Store(time.Now().UnixNano())
	g.mu.Lock()
	g.jobs = append(g.jobs, part)
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer func() {
			g.mu.Lock()
			g.jobs = slices.DeleteFunc(g.jobs, func(other *Job) bool { return other == part })
			g.mu.Unlock()
			close(done)
		}()
		_ = g.Protect(name, func() { f(context.WithValue(ctx, jobKey{}, part)) })
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
			if part.place.Load() != nil {
				return false, true
			}
		}
	}
	return false, false
}

// Protect calls f. It recovers a panic, reports it under name, and returns it.
func (g *Guard) Protect(name string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(nil, name, v)
		}
	}()
	f()
	return nil
}

// Call calls a function of the program.
//
// On the goroutine of a call of the program, which ctx identifies, it calls f directly. On a
// goroutine of the pool, it recovers and reports a panic, and returns it. There, only one
// goroutine is in each function. If that one does not return in time, Call does not call f and
// returns a [*BlockedError]. If the function uses no connection, Call waits at most
// EngineTimeout for it.
func (g *Guard) Call(ctx context.Context, at *Place, f func() error) error {
	j := JobOf(ctx)
	if j == nil {
		at.enter()
		defer at.leave()
		return f()
	}
	patience, cancel := context.WithTimeout(j.until, EngineTimeout)
	defer cancel()
	select {
	case at.slot <- struct{}{}:
	default:
		select {
		case at.slot <- struct{}{}:
		case <-patience.Done():
			return at.blockedError()
		}
	}
	if at.kind == UsesConn {
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
		if at.kind != NoHook {
			j.keepPanic(err)
		}
		return err
	case <-patience.Done():
		return at.blockedError()
	}
}

func (j *Job) keepPanic(err error) {
	var p *wrap.PanicError
	if j.firstPanic == nil && errors.As(err, &p) {
		j.firstPanic = err
	}
}

// inside calls f with the slot of its place, and then frees the slot. j is the job on whose
// goroutine f runs; nil means a separate goroutine.
func (g *Guard) inside(j *Job, at *Place, f func() error) (err error) {
	at.enter()
	if j != nil {
		j.place.Store(at)
	}
	defer func() {
		if j != nil {
			j.place.Store(nil)
		}
		at.leave()
		<-at.slot
		if v := recover(); v != nil {
			err = g.recordPanic(at, "", v)
		}
	}()
	return f()
}

// errGoexit is the error of a function of the program that has called runtime.Goexit.
var errGoexit = errors.New("pool: a function of the program has called runtime.Goexit")

// Recover calls f. It recovers a panic, reports it, and returns it. It is used when the
// program has already seen another panic, or when f runs as part of a release.
func (g *Guard) Recover(at *Place, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(at, "", v)
		}
	}()
	f()
	return nil
}

// RecordPanic reports a panic of a function of the program that the caller has recovered: as an
// event, and in the log once for each function. The deferred function that has recovered must
// call it, because it logs the stack.
func (g *Guard) RecordPanic(at *Place, v any) error { return g.recordPanic(at, "", v) }

// recordPanic is RecordPanic. Without a place, name says where the panic was.
func (g *Guard) recordPanic(at *Place, name string, v any) error {
	first, isTold := true, false
	if at != nil {
		name, first, isTold = at.name, !at.logged.Swap(true), at.kind == told
	}
	g.panics.Add(1)
	// Of a function to which events or lines go, only the first panic is reported, because each
	// report could cause the next panic.
	if first || !isTold {
		g.recorder.Record(wrap.Event{Time: time.Now(), Kind: wrap.KindPanic, Reason: wrap.Reason(name), Err: fmt.Sprintf("%T", v), Background: true})
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

// Describe returns the type of an error, or what the core itself says, for [Engine.Describe].
func Describe(err error) string {
	if blocked := (*BlockedError)(nil); errors.As(err, &blocked) {
		return blocked.Error()
	}
	if panicked := (*wrap.PanicError)(nil); errors.As(err, &panicked) {
		return fmt.Sprintf("panic: %T", panicked.Value)
	}
	return fmt.Sprintf("%T", err)
}

func (at *Place) blockedError() error {
	return &BlockedError{at.name, time.Since(time.Unix(0, at.since.Load()))}
}

// blocked describes what is running: functions of the program, and jobs that are in none of
// them.
func (g *Guard) blocked() []string {
	var names []string
	now := time.Now()
	add := func(name string, since int64) {
		names = append(names, fmt.Sprintf("%s, for %s", name, now.Sub(time.Unix(0, since)).Round(time.Millisecond)))
	}
	places, jobs := g.all()
	for _, at := range places {
		if at.inside.Load() > 0 {
			add(at.name, at.since.Load())
		}
	}
	for _, j := range jobs {
		if len(j.slot) > 0 && j.place.Load() == nil {
			add(j.name, j.since.Load())
		}
	}
	return names
}

// waitLeft waits until the pool's goroutines have left all functions of the program. It returns
// false if ctx ends first.
func (g *Guard) waitLeft(ctx context.Context) bool {
	all := true
	places, _ := g.all()
	for _, at := range places {
		select {
		case at.slot <- struct{}{}:
			<-at.slot
		default:
			select {
			case at.slot <- struct{}{}:
				<-at.slot
			case <-ctx.Done():
				all = false
			}
		}
	}
	return all
}

// unfinishedError returns the error for a job that has not finished.
func (g *Guard) unfinishedError(j *Job) error {
	if at := j.place.Load(); at != nil {
		return at.blockedError()
	}
	return &BlockedError{j.name, time.Since(time.Unix(0, j.since.Load()))}
}
