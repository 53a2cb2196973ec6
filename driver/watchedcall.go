package driver

import (
	"context"
	"database/sql/driver"
	"io"
	"runtime"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// This file is the way of a call that is watched; see [Watch]. The methods that execute calls
// ask mustWatch first, which reads one atomic value. If the call is watched, they leave it to
// the methods here, which call them again.

// A watch measures one call.
type watch struct {
	session *session
	ctx     context.Context
	call    Call

	before    [4]int // the counters of a cached statement when the call began
	returned  bool   // no panic has passed
	exhausted bool   // the rows were read to their end
	held      bool   // the call ends with its rows
	ended     bool
	during    bool // the functions are being called; see Call.Plan
}

// mustWatch reports whether a call is to be watched that is about to begin. A call that is
// watched already passes through several methods.
func (s *session) mustWatch() bool { return s.watch == nil && s.watchers.watched() }

// execWatched is ExecDirect of a watched call.
func (s *session) execWatched(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	w := s.startWatch(ctx, query, false)
	defer w.leave(&err)
	res, err = s.ExecDirect(ctx, query, args)
	w.returned = true
	return res, err
}

// queryWatched is QueryDirect of a watched call.
func (s *session) queryWatched(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	w := s.startWatch(ctx, query, true)
	defer w.leave(&err)
	rows, err = s.QueryDirect(ctx, query, args)
	w.returned = true
	return rows, err
}

// execWatched is ExecContext of a watched call.
func (s *stmt) execWatched(ctx context.Context, args []driver.NamedValue) (res driver.Result, err error) {
	w := s.session.startWatch(ctx, s.cached.query, false)
	defer w.leave(&err)
	res, err = s.ExecContext(ctx, args)
	w.returned = true
	return res, err
}

// queryWatched is QueryContext of a watched call.
func (s *stmt) queryWatched(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	w := s.session.startWatch(ctx, s.cached.query, true)
	defer w.leave(&err)
	rows, err = s.QueryContext(ctx, args)
	w.returned = true
	return rows, err
}

// maxWatchedStack is the number of stack frames of a [Call]. The frames of this module and
// database/sql are about twenty, and those of an ORM may be as many.
const maxWatchedStack = 96

func (s *session) startWatch(ctx context.Context, query string, isQuery bool) *watch {
	var pcs [maxWatchedStack]uintptr
	n := runtime.Callers(3, pcs[:])
	w := &watch{session: s, ctx: ctx, call: Call{
		Text:  query,
		Query: isQuery,
		Start: time.Now(),
		Trace: trace.SpanContextFromContext(ctx),
		Stack: append([]uintptr(nil), pcs[:n]...),
	}}
	w.call.watch = w
	s.watch = w
	return w
}

// leave is deferred by the methods above. It ends the call, unless its rows will.
func (w *watch) leave(err *error) {
	w.session.watch = nil
	switch {
	case !w.returned:
		w.end(ErrPanicked)
	case *err != nil || !w.held:
		w.end(*err)
	}
}

// end passes the call to the functions, once.
func (w *watch) end(err error) {
	if w.ended {
		return
	}
	w.ended = true
	w.call.Err, w.call.Duration = err, time.Since(w.call.Start)
	w.during = true
	w.session.watchers.call(w.call)
	w.during = false
	w.session, w.ctx = nil, nil // a Call that is kept must not keep its connection
}

// startCounters records the counters of a statement that may have been executed before. They
// are not reset here, because other code may read them as well.
func (w *watch) startCounters(st sqliteStmt) {
	for i, c := range counters {
		w.before[i] = st.Status(c.status, false)
	}
}

// addCounters adds what a statement has counted since startCounters. It must be called before
// any other code resets the counters.
func (w *watch) addCounters(st sqliteStmt) {
	sums := [...]*int{&w.call.FullScanSteps, &w.call.Sorts, &w.call.AutoIndexRows, &w.call.VMSteps}
	for i, c := range counters {
		*sums[i] += max(st.Status(c.status, false)-w.before[i], 0)
		w.before[i] = 0
	}
}

// hold makes the call end with its rows.
func (w *watch) hold(r *rows) {
	w.held, r.watch = true, w
}

// stepped records the result of a step that the program has asked for.
func (w *watch) stepped(err error) {
	switch err {
	case nil:
		w.call.Rows++
	case io.EOF:
		w.exhausted = true
	default:
		w.call.Err = err
	}
}

// closeCounters adds the counters of rows that are being closed.
func (w *watch) closeCounters(r *rows) {
	if !r.cached.closed {
		w.addCounters(r.cached.base)
	}
}

// closed ends the call of rows. err is the error of their close.
func (w *watch) closed(r *rows, err error) {
	switch {
	case w.call.Err != nil:
		err = w.call.Err
	case err != nil:
	case r.failure != nil && r.failure != io.EOF:
		err = r.failure
	case !w.exhausted:
		err = callerOf(w.ctx).Err() // if it has ended, that has closed the rows
	}
	w.end(err)
}

// callerOf returns the caller's own context of a call.
func callerOf(ctx context.Context) context.Context {
	if p, ok := ctx.(instrument.LeaseContext); ok {
		return p.Caller()
	}
	return ctx
}
