package driver

import (
	"database/sql"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A Call is a statement that a program has executed, or several of one Exec. [Watch] passes it
// to its function when the call has finished.
type Call struct {
	// Text is the SQL as the program wrote it, after Config.Interceptors. It may contain
	// values.
	Text string

	// Query says that the call was a Query or QueryRow, and not an Exec.
	Query bool

	// Start is when the connection received the call. Duration is the time from then until
	// the call had finished: for a query, until its rows were closed. So it includes the time
	// that the program spent between rows. It includes neither the wait for a connection nor
	// a pool's wait for the disk.
	Start    time.Time
	Duration time.Duration

	// Rows is the number of rows that the program has read.
	Rows int64

	// Err is the error of the call, before Config.MapError. It is the context's error if the
	// context ended the rows of a query. It is [ErrPanicked] if a panic ended the call.
	Err error

	// Trace is the span of the caller's context. It is not valid if there is none.
	Trace trace.SpanContext

	// SQLite's counters for this call. The documentation of SQLite describes them:
	// https://sqlite.org/c3ref/c_stmtstatus_counter.html
	FullScanSteps int // steps forward in a full scan of a table or an index
	Sorts         int
	AutoIndexRows int // rows put into automatic indexes
	VMSteps       int // operations of SQLite's virtual machine

	// Stack has the program counters of the call's goroutine when the call began, for
	// [runtime.CallersFrames]. The first are of this module and of database/sql.
	Stack []uintptr

	watch *watch // for Plan
}

// Watch calls f after every call of db that executes a statement, until detach is called. It
// needs no Tracer. It is meant for tests and tools: package dbtest is built on it.
//
// The calls are those of Exec, Query and QueryRow of a *sql.DB, *sql.Conn, *sql.Tx and
// *sql.Stmt. A query has finished when its rows are closed. Watch sees calls of connections
// that are already open, too. It does not see:
//
//   - the queries whose rows are open when it is called, or when detach is called;
//   - BeginTx, Commit, Rollback, Ping and the preparing of a statement;
//   - a call that gets no connection, for example because its context has ended;
//   - what the program does with the connection that (*sql.Conn).Raw gives it;
//   - a query whose rows panic.
//
// f runs on the goroutine of the call, which holds a connection: usually the caller's, but
// database/sql closes rows on a goroutine of its own when their context ends. Several
// goroutines may call f at the same time. f must not use db, and must not call
// [runtime.Goexit], as (*testing.T).FailNow does. A panic of f is recovered and logged to
// [slog.Default].
//
// Several functions may watch a database. detach may be called more than once, also by f. After
// it has returned, no further call of f begins. A call of f that runs on another goroutine may
// still be running.
//
// db must be of this package or of package pool. Otherwise, Watch returns an error.
func Watch(db *sql.DB, f func(Call)) (detach func(), err error) {
	if db == nil || f == nil {
		return nil, fmt.Errorf("sqlitemw: watch: the database and the function must not be nil")
	}
	if w, ok := db.Driver().(CallWatcher); ok {
		if detach := w.WatchCalls(f); detach != nil {
			return detach, nil
		}
	}
	return nil, fmt.Errorf("sqlitemw: watch: the database's driver is %T: open it with sql.Open(%q, ...), sql.OpenDB of a driver.Connector, or package pool; "+
		"if another package wraps the driver, use (*driver.Connector).WatchCalls", db.Driver(), Name)
}

// A CallWatcher is a driver that leads back to the connector of a database, as (*sql.DB).Driver
// returns it.
type CallWatcher interface {
	// WatchCalls calls f after every call of the connector's connections; see [Watch]. It
	// returns nil if the driver belongs to no connector.
	WatchCalls(f func(Call)) (detach func())
}

var _ CallWatcher = &Driver{}

// WatchCalls implements [CallWatcher].
func (d *Driver) WatchCalls(f func(Call)) (detach func()) {
	if d.connector == nil {
		return nil
	}
	return d.connector.WatchCalls(f)
}

// WatchCalls calls f after every call of the connector's connections; see [Watch].
func (c *Connector) WatchCalls(f func(Call)) (detach func()) { return c.watchers.Add(f) }

// ShareWatchers makes w watch the calls of the connector's connections, in place of the
// connector's own Watchers. It must be called before the connector opens a connection.
func (c *Connector) ShareWatchers(w *Watchers) { c.watchers = w }

// Watchers are the functions that watch the calls of one database. A pool shares them between
// its connectors. The zero Watchers is ready to use, and safe for concurrent use.
type Watchers struct {
	mu  sync.Mutex // serializes changes of all
	all atomic.Pointer[[]*watcher]
}

// A watcher is one function of [Watch].
type watcher struct {
	f        func(Call)
	detached atomic.Bool
}

// Add calls f after every call, until detach is called; see [Watch].
func (w *Watchers) Add(f func(Call)) (detach func()) {
	added := &watcher{f: f}
	w.change(func(all []*watcher) []*watcher { return append(all, added) })
	return sync.OnceFunc(func() {
		added.detached.Store(true)
		w.change(func(all []*watcher) []*watcher {
			return slices.DeleteFunc(all, func(w *watcher) bool { return w == added })
		})
	})
}

// change replaces the functions. If there are none, all is nil.
func (w *Watchers) change(f func([]*watcher) []*watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*watcher
	if p := w.all.Load(); p != nil {
		all = slices.Clone(*p)
	}
	if all = f(all); len(all) == 0 {
		w.all.Store(nil)
		return
	}
	w.all.Store(&all)
}

// watched reports whether there is a function.
func (w *Watchers) watched() bool { return w.all.Load() != nil }

// call calls every function that is not detached.
func (w *Watchers) call(c Call) {
	all := w.all.Load()
	if all == nil {
		return
	}
	for _, watcher := range *all {
		if !watcher.detached.Load() {
			watcher.call(c)
		}
	}
}

// call calls the function. It recovers a panic, because database/sql would lose the connection
// when it passes through the close of rows.
func (w *watcher) call(c Call) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("sqlitemw: the function of driver.Watch panicked", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
		}
	}()
	w.f(c)
}
