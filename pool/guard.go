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

// A function of the program's that the pool calls may panic, or never return. On the
// goroutine of one of the program's own calls, that is the call's: the panic passes,
// and the call lasts as long as the function. What is in this file is for goroutines
// of the pool's own, which end neither the process nor the pool.

// A place is where the pool calls a function of the program's.
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

// String returns the name that errors, logs and events have for it.
func (p place) String() string {
	return [...]string{"", "Config.Init", "Config.Term", "Config.Hooks.BeforeConnect", "Config.Hooks.AfterConnect",
		"Config.Hooks.AfterRelease", "Config.Hooks.BeforeClose", "Config.Recorder", "Config.Logger", "the logger of LogEvents",
		"a callback of SQLite's", "the meter provider of Config.Tracing"}[p]
}

// isApart reports whether the function has no connection in hand, and so may be called
// on another goroutine than that which waits for it.
func (p place) hasNoConn() bool {
	return p == placeBeforeConnect || p == placeBeforeClose || p == placeMeter
}

// tells reports whether events or log lines go there: to tell of its panics more than
// once would be to cause the next.
func (p place) reports() bool { return p == placeRecorder || p == placeLogger || p == placeLogEvents }

// A guard knows which functions of the program's are being called, and which jobs
// are under way.
type guard struct {
	pool   *Pool
	logger *slog.Logger // the pool's, for whom nobody waits
	panics atomic.Uint64
	places [places]placeState

	mu   sync.Mutex
	jobs []*job
}

type placeState struct {
	inside  atomic.Int32  // calls under way that errors may name
	since   atomic.Int64  // when the first of them, or one after it, began: Unix nanoseconds
	logged  atomic.Bool   // a panic has been logged
	slot    chan struct{} // has room for one: the pool's own goroutine that is inside
	skipped atomic.Uint64 // calls that were left out, because that one has not returned
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

// A job is something that the pool does on a goroutine of its own, one of each kind at
// a time.
type job struct {
	name       string
	slot       chan struct{} // has room for one: the goroutine
	since      atomic.Int64  // when that began: Unix nanoseconds
	place      atomic.Int32  // of the function of the program's that it is in
	firstPanic error         // of what those have panicked with

	// until bounds how long the job waits for functions of the program's.
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

// jobOf returns the job whose goroutine ctx is used on, or nil for one of the
// program's.
func jobOf(ctx context.Context) *job {
	j, _ := ctx.Value(jobKey{}).(*job)
	return j
}

// inJob says of a connection that it is used on the goroutine that ctx tells, if that
// is a job's: in events, and to Term.
func markBackground(ctx context.Context, c driver.PoolConn) {
	if jobOf(ctx) == nil {
		return
	}
	c.Wrapped().InBackground()
	if !c.Wrapped().Panicked() {
		c.SQLite().SetInterrupt(context.WithoutCancel(ctx))
	}
}

// start has f called on a goroutine of the pool's own, unless j is under way, and
// reports whether it is. A panic of f is told of.
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

// ended waits until j is not under way, as long as ctx allows.
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

// attempt has f called for j, which is under way on the caller's goroutine, on another,
// and waits for that. After j.until, it gives up what is in a function of the
// program's, and what takes longer than afterwards; it reports whether f has returned,
// and, if not, whether it is known where it is.
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

// protect calls f. A panic of it is told of under this name, and returned.
func (g *guard) protect(name string, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(placeNone, name, v)
		}
	}()
	f()
	return nil
}

// call calls a function of the program's: as it is on the goroutine of one of the
// program's calls, which ctx tells. On the pool's own, a panic is told of and
// returned, and where another such goroutine is inside already and does not return,
// nothing is called: the error says so. Nor does the pool wait longer than
// sqliteTimeout for what has no connection in hand.
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
		if at != placeMeter { // else it is no hook of the pool's
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

// inside calls f with the turn of its place, which it gives back: for j, on whose
// goroutine it is, or on another if that is nil.
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

// quietly calls f for a program that has seen another panic already, or whose
// release of a connection it is: a panic of f is told of.
func (g *guard) recoverPanics(at place, f func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.recordPanic(at, "", v)
		}
	}()
	f()
	return nil
}

// panicked tells of a panic that was recovered: in the log once for each place, and
// as an event. It is called by the deferred function that has recovered.
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

// A BlockedError says that a function of the program's, called on a goroutine of the
// pool's own, has not returned, and is not called there again until it does.
type BlockedError struct {
	Function string        // as "Config.Init"
	For      time.Duration // how long it has been called for
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("pool: %s has not returned for %s: it is not called again on the pool's own goroutines until it does", e.Function, e.For.Round(time.Millisecond))
}

func (g *guard) blockedError(at place) error {
	return &BlockedError{at.String(), time.Since(time.Unix(0, g.places[at].since.Load()))}
}

// blocked names what is under way: functions of the program's, and jobs that are in
// none of them.
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

// left waits until the pool's own goroutines have left all functions of the program's,
// as long as ctx allows, and reports whether they have.
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

// stillUnderWay says that a job has not come to its end.
func (g *guard) unfinishedError(j *job) error {
	if at := place(j.place.Load()); at != placeNone {
		return g.blockedError(at)
	}
	return &BlockedError{j.name, time.Since(time.Unix(0, j.since.Load()))}
}
