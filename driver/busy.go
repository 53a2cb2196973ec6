package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// Attributes of a call that waited for SQLite's locks, or failed to get them.
const (
	busyWait    = attribute.Key("sqlite.busy.wait")
	busyRetries = attribute.Key("sqlite.busy.retries")
	busyReason  = attribute.Key("sqlite.busy.reason")
	busyHolder  = attribute.Key("sqlite.busy.holder")
)

// The values of sqlite.busy.reason.
const (
	busySnapshot = "snapshot"        // another connection has written since the transaction's first read
	busyRecovery = "recovery"        // another process is recovering the WAL after a crash
	busyTimedOut = "timeout"         // the operating system's wait for the lock timed out
	busyOurs     = "this connection" // the connection's own statements block it
	busyHere     = "this process"    // another connection of this process holds the lock
	busyThere    = "other process"
)

// waits describes how a call waited for SQLite's locks.
type waits struct {
	time    time.Duration
	retries int
	reason  string // why the call failed with BUSY; "" if it did not
	holder  ConnID // the connection that held the lock; 0 if unknown
}

func (w *waits) add(more waits) {
	w.time += more.time
	w.retries += more.retries
	if w.reason == "" {
		w.reason, w.holder = more.reason, more.holder
	}
}

// tell tells w. It leaves out attributes of zero values.
func (w waits) tell(told *instrument.Told) {
	told.LockWait = w.time
	if !told.Details {
		return
	}
	if w.retries > 0 {
		told.Attrs = append(told.Attrs, busyWait.Float64(w.time.Seconds()), busyRetries.Int(w.retries))
	}
	if w.reason != "" {
		told.Attrs = append(told.Attrs, busyReason.String(w.reason))
	}
	if w.holder != 0 {
		told.Attrs = append(told.Attrs, busyHolder.Int64(int64(w.holder)))
	}
}

// A lockWatch measures how one connection waits for SQLite's locks.
//
// SQLite reports waits only to a busy handler, and a busy handler replaces the busy
// timeout: PRAGMA busy_timeout then returns 0. So the handler, which waits as the plain
// driver's timeout does, is installed only while the program cannot see it. The timeout is
// restored before a query that names busy_timeout, and before the program gets SQLite's own
// connection. Either may change the timeout, so the lockWatch reads it again afterwards.
type lockWatch struct {
	raw   *sqlite3.Conn
	file  *sharedFile // nil if no other connection can have the file open
	self  holder
	quiet bool // only the time of waits is measured, without tracing.Config.Details

	joined    bool // self is in file.holders
	closed    bool
	timeout   time.Duration // the busy timeout that the handler replaces
	handlerOn bool          // the handler is installed
	known     bool          // whether the handler can be installed has been checked
	rawInUse  bool          // the program has SQLite's own connection
	foreign   bool          // the program may have installed a busy handler

	lastBusy waits // why the last call that failed with BUSY had to wait

	// The call in progress.
	waits
	before hold // the lock held when the call began
	may    hold // the strongest lock that the call may take

	// The last wait, and what blocked it.
	ctx         context.Context // the call's context; nil if the call has not waited
	since       time.Time
	waited      time.Duration // time waited before this wait, in the same call
	last        time.Time     // when SQLite last asked to retry
	gaveUp      bool          // the wait ended without the lock
	checks      int           // how often findBlocker was called
	localChecks int           // how often it found a connection of this process
	blocker     ConnID        // the connection that it found last
}

func newLockWatch(raw *sqlite3.Conn, d *DSN, details, foreign bool) *lockWatch {
	if !details {
		return &lockWatch{raw: raw, quiet: true, foreign: foreign}
	}
	return &lockWatch{raw: raw, file: openSharedFile(raw, d), foreign: foreign}
}

// open adds the connection to the file's holders. It must be called before the first call.
func (w *lockWatch) open(id ConnID) {
	w.self.id = id
	if w.file != nil {
		w.file = w.file.join(&w.self)
		w.joined = true
	}
}

// close removes the connection from the file's holders. It must be called before the
// connection is closed.
func (w *lockWatch) close() {
	w.restoreTimeout()
	w.closed = true
	if w.joined {
		w.joined = false
		w.file.leave(&w.self)
	}
}

// enter starts the measurement of a call, or of a part of one. may is the strongest lock
// that the call may take. The caller must call leave afterwards, except if a panic passed.
func (w *lockWatch) enter(query string, may hold) {
	w.waits, w.ctx, w.gaveUp = waits{}, nil, false
	if w.closed {
		return
	}
	if !w.quiet {
		w.before, w.may = hold(w.self.hold.Load()), may
		if may > w.before {
			w.self.publish(may)
		}
	}
	switch {
	case namesBusyTimeout(query):
		w.restoreTimeout()
	case !w.known && !w.rawInUse:
		w.installHandler()
	}
}

func (w *lockWatch) leave(err error) {
	if w.closed || w.quiet {
		return
	}
	w.self.publish(w.holds())
	if err != nil && err != io.EOF {
		w.judge(err)
		w.lastBusy = w.waits
	}
}

// take returns what the call in progress has waited so far, and resets it.
func (w *lockWatch) take() waits {
	taken := w.waits
	w.waits = waits{}
	return taken
}

// holds asks SQLite which lock the connection holds on its main database.
func (w *lockWatch) holds() hold {
	switch w.raw.TxnState("main") {
	case sqlite3.TXN_WRITE:
		return writes
	case sqlite3.TXN_READ:
		return reads
	}
	return holdsNone
}

// installHandler replaces the busy timeout with the handler. A timeout of 0 may mean that
// the program has a handler of its own. If that is possible, installHandler does nothing.
func (w *lockWatch) installHandler() {
	w.known = true
	timeout, err := busyTimeout(w.raw)
	if err != nil || timeout == 0 && w.foreign {
		return
	}
	if w.raw.BusyHandler(w.busy) == nil {
		w.timeout, w.handlerOn = timeout, true
	}
}

// restoreTimeout removes the handler and sets the busy timeout again.
func (w *lockWatch) restoreTimeout() {
	if w.handlerOn {
		w.handlerOn = false
		_ = w.raw.BusyTimeout(w.timeout) // cannot fail while the connection is open
	}
	w.known = false
}

// beforeRaw must be called before the program gets SQLite's own connection. The program may
// use that connection until it releases its own.
func (w *lockWatch) beforeRaw() {
	w.restoreTimeout()
	w.rawInUse, w.foreign = true, true
}

// released must be called when the program has released the connection.
func (w *lockWatch) released() {
	w.rawInUse = false
	if !w.quiet {
		w.self.publish(w.holds())
	}
}

// busy is the busy handler. It waits as the plain driver's timeout does (Xgo_busy_timeout),
// which also checks the context immediately before.
func (w *lockWatch) busy(ctx context.Context, count int) (again bool) {
	now := time.Now()
	w.ctx = ctx
	if count == 0 {
		w.since, w.waited = now, w.time
		w.checks, w.localChecks, w.blocker = 0, 0, 0
	}
	hasWriteLock := w.holds() == writes
	if !hasWriteLock {
		w.self.publish(awaits)
	}
	w.checks++
	if blocker, ours := w.findBlocker(hasWriteLock); ours {
		w.localChecks++
		w.blocker = blocker
	}
	w.time = w.waited + now.Sub(w.since)
	if now.Sub(w.since) >= w.timeout {
		w.gaveUp = true
		return false
	}
	w.gaveUp = false
	if now.Sub(w.last) < time.Millisecond {
		const most = 2 << 20 // about 2 ms
		time.Sleep(time.Duration(rand.Int64N(most)))
		now = time.Now()
	}
	w.last = now
	w.retries++
	w.time = w.waited + now.Sub(w.since)
	switch {
	case hasWriteLock:
	case w.may == mayWrite:
		w.self.retryLock()
	default:
		w.self.publish(w.may)
	}
	return true
}

// busyCode returns the reason that the extended code of err states, or "" if it states
// none.
func busyCode(err error) string {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return ""
	}
	switch code {
	case sqlite3.BUSY_SNAPSHOT:
		return busySnapshot
	case sqlite3.BUSY_RECOVERY:
		return busyRecovery
	case sqlite3.BUSY_TIMEOUT:
		return busyTimedOut
	}
	return ""
}

func (w *lockWatch) findBlocker(hasWriteLock bool) (ConnID, bool) {
	if w.file == nil {
		return 0, false
	}
	return w.file.findBlocker(&w.self, hasWriteLock)
}

// judge records why a call failed with BUSY. It ignores other errors.
func (w *lockWatch) judge(err error) {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) || code.Code() != sqlite3.BUSY {
		return
	}
	if w.reason = busyCode(err); w.reason != "" {
		return
	}
	// If no lock is in the way, SQLite's error has a message of its own.
	var said *sqlite3.Error
	if w.file == nil || errors.As(err, &said) && said.Error() != sqlite3.BUSY.Error() {
		w.reason = busyOurs
		return
	}
	var blocker ConnID
	var ours bool
	if w.gaveUp || w.ctx != nil && w.ctx.Err() != nil {
		// The wait was given up: report what blocked it most of the time. The holder may
		// have released the lock since then. And for a moment, another waiter may have
		// looked like a holder.
		blocker, ours = w.blocker, 2*w.localChecks > w.checks
	} else {
		blocker, ours = w.findBlocker(w.before == writes)
	}
	switch {
	case ours:
		w.reason, w.holder = busyHere, blocker
	case w.file.private:
		w.reason = busyHere
	default:
		w.reason = busyThere
	}
}

// A watchedSession is a session that measures waits for locks.
type watchedSession struct{ *session }

func (s watchedSession) ExecDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s.enter(query, mayWrite)
	res, err := s.session.ExecDirect(ctx, query, args)
	s.locks.leave(err)
	return res, err
}

func (s watchedSession) QueryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s.enter(query, holdsNone) // the rows take the read lock later
	answer, err := s.session.QueryDirect(ctx, query, args)
	s.locks.leave(err)
	if r, ok := answer.(*rows); ok && err == nil {
		r.account.waits.add(s.locks.take())
	}
	return answer, err
}

func (s watchedSession) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s.enter(query, holdsNone)
	st, err := s.session.PrepareContext(ctx, query)
	s.locks.leave(err)
	if st, ok := st.(*stmt); ok && err == nil {
		return watchedStmt{st}, nil
	}
	return st, err
}

func (s watchedSession) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	s.enter("", holdsNone)
	tx, err := s.session.BeginTx(ctx, opts)
	s.locks.leave(err)
	if err != nil {
		return nil, err
	}
	return watchedTx{tx, s}, nil
}

func (s watchedSession) Ping(ctx context.Context) error {
	s.enter("", reads)
	err := s.session.Ping(ctx)
	s.locks.leave(err)
	return err
}

// enter starts a call, for which no facts have been recorded yet.
func (s watchedSession) enter(query string, may hold) {
	s.executed = false
	s.locks.enter(query, may)
}

type watchedTx struct {
	driver.Tx
	session watchedSession
}

func (tx watchedTx) Commit() error {
	tx.session.enter("", holdsNone)
	err := tx.Tx.Commit()
	tx.session.locks.leave(err)
	return err
}

func (tx watchedTx) Rollback() error {
	tx.session.enter("", holdsNone)
	err := tx.Tx.Rollback()
	tx.session.locks.leave(err)
	return err
}

type watchedStmt struct{ *stmt }

func (s watchedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	w := watchedSession{s.session}
	w.enter(s.text(), mayWrite)
	res, err := s.stmt.ExecContext(ctx, args)
	w.locks.leave(err)
	return res, err
}

func (s watchedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	w := watchedSession{s.session}
	w.enter(s.text(), holdsNone)
	answer, err := s.stmt.QueryContext(ctx, args)
	w.locks.leave(err)
	if r, ok := answer.(*rows); ok && err == nil {
		r.account.waits.add(w.locks.take())
	}
	return answer, err
}

func (s watchedStmt) text() string {
	if s.cached == nil {
		return ""
	}
	return s.cached.query
}
