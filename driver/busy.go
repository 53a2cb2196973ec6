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
)

// What is told of a call that had to wait for SQLite's locks, or could not have
// them.
const (
	busyWait    = attribute.Key("sqlite.busy.wait")
	busyRetries = attribute.Key("sqlite.busy.retries")
	busyReason  = attribute.Key("sqlite.busy.reason")
	busyHolder  = attribute.Key("sqlite.busy.holder")
)

// The values of sqlite.busy.reason.
const (
	busySnapshot = "snapshot"        // another has written since the transaction began to read
	busyRecovery = "recovery"        // another process recovers the WAL after a crash
	busyTimedOut = "timeout"         // the operating system gave up the wait
	busyOurs     = "this connection" // its own statements are in the way
	busyHere     = "this process"    // another connection of this process
	busyThere    = "other process"
)

// waits are what a call has waited for SQLite's locks.
type waits struct {
	time    time.Duration
	retries int
	reason  string // of a call that ended with BUSY
	holder  ConnID // 0 if it is not known
}

func (w *waits) add(more waits) {
	w.time += more.time
	w.retries += more.retries
	if w.reason == "" {
		w.reason, w.holder = more.reason, more.holder
	}
}

// tell leaves out what did not happen.
func (w waits) appendAttrs(attrs []attribute.KeyValue) []attribute.KeyValue {
	if w.retries > 0 {
		attrs = append(attrs, busyWait.Float64(w.time.Seconds()), busyRetries.Int(w.retries))
	}
	if w.reason != "" {
		attrs = append(attrs, busyReason.String(w.reason))
	}
	if w.holder != 0 {
		attrs = append(attrs, busyHolder.Int64(int64(w.holder)))
	}
	return attrs
}

// A lockWatch watches how one connection waits for SQLite's locks.
//
// SQLite tells of waits only to a busy handler, and that takes the place of the
// busy timeout: PRAGMA busy_timeout then answers 0. So the handler, which waits
// as the plain driver's timeout does, is there only while nobody can look. The
// timeout is back before a text that names it, and before the program is given
// SQLite's own connection; it is then read anew, since either may have changed it.
type lockWatch struct {
	raw  *sqlite3.Conn
	file *sharedFile // nil if no other connection can have it open
	self holder

	joined    bool // self is among the file's
	closed    bool
	timeout   time.Duration // in force, if the handler stands in for it
	handlerOn bool          // the handler does
	known     bool          // whether it can stand in is known
	rawInUse  bool          // the program has SQLite's own connection
	foreign   bool          // there may be a handler of the program's

	lastBusy waits // what was in the way of the last call that ended with BUSY

	// The call under way.
	waits
	before hold // what was held when it began
	may    hold // what it may come to hold

	// The last wait, and what SQLite waits for in it.
	ctx         context.Context // the call's; nil if it has not waited
	since       time.Time
	waited      time.Duration // before it, in the same call
	last        time.Time     // that a lock was asked for again
	gaveUp      bool          // it was given up
	checks      int           // how often it was looked what was in the way
	localChecks int           // how often that was of this process
	blocker     ConnID        // last
}

func newLockWatch(raw *sqlite3.Conn, d *DSN, foreign bool) *lockWatch {
	return &lockWatch{raw: raw, file: openSharedFile(raw, d), foreign: foreign}
}

// open is called before the first call.
func (w *lockWatch) open(id ConnID) {
	w.self.id = id
	if w.file != nil {
		w.file = w.file.join(&w.self)
		w.joined = true
	}
}

// close is called before the connection is closed.
func (w *lockWatch) close() {
	w.restoreTimeout()
	w.closed = true
	if w.joined {
		w.joined = false
		w.file.leave(&w.self)
	}
}

// enter is called before a call, or part of one, that may come to hold what it
// says. leave is called after it, but not if a panic passed.
func (w *lockWatch) enter(query string, may hold) {
	w.waits, w.ctx, w.gaveUp = waits{}, nil, false
	if w.closed {
		return
	}
	w.before, w.may = hold(w.self.hold.Load()), may
	if may > w.before {
		w.self.publish(may)
	}
	switch {
	case namesBusyTimeout(query):
		w.restoreTimeout()
	case !w.known && !w.rawInUse:
		w.installHandler()
	}
}

func (w *lockWatch) leave(err error) {
	if w.closed {
		return
	}
	w.self.publish(w.holds())
	if err != nil && err != io.EOF {
		w.judge(err)
		w.lastBusy = w.waits
	}
}

// take returns what the call under way has waited until now.
func (w *lockWatch) take() waits {
	taken := w.waits
	w.waits = waits{}
	return taken
}

// holds asks SQLite what the connection has of its file.
func (w *lockWatch) holds() hold {
	switch w.raw.TxnState("main") {
	case sqlite3.TXN_WRITE:
		return writes
	case sqlite3.TXN_READ:
		return reads
	}
	return holdsNone
}

// standIn puts the handler in the place of the timeout. Where the program may
// have a handler of its own, an answer of 0 may mean that.
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

// stepAside puts the timeout back.
func (w *lockWatch) restoreTimeout() {
	if w.handlerOn {
		w.handlerOn = false
		w.raw.BusyTimeout(w.timeout)
	}
	w.known = false
}

// lend is called before the program is given SQLite's own connection. It may use
// that until it releases its connection.
func (w *lockWatch) beforeRaw() {
	w.restoreTimeout()
	w.rawInUse, w.foreign = true, true
}

// released is called when the connection is.
func (w *lockWatch) released() {
	w.rawInUse = false
	w.self.publish(w.holds())
}

// busy is the handler. It waits as the plain driver does for a timeout
// (Xgo_busy_timeout), which asks the context just before, too.
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

// busyCode is the reason that the code of an error is, if it is one.
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

// judge says why a call ended with BUSY, if it did.
func (w *lockWatch) judge(err error) {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) || code.Code() != sqlite3.BUSY {
		return
	}
	if w.reason = busyCode(err); w.reason != "" {
		return
	}
	// Where it is no lock that is in the way, SQLite has more to say.
	var said *sqlite3.Error
	if w.file == nil || errors.As(err, &said) && said.Error() != sqlite3.BUSY.Error() {
		w.reason = busyOurs
		return
	}
	var blocker ConnID
	var ours bool
	if w.gaveUp || w.ctx != nil && w.ctx.Err() != nil {
		// Of a wait that was given up, what was in the way most of the time.
		// By now it may be gone; and who else only waits may have looked, for
		// a moment, as if it had the lock.
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

// A watchedSession is a session whose locks are watched.
type watchedSession struct{ *session }

func (s watchedSession) ExecDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s.enter(query, mayWrite)
	res, err := s.session.ExecDirect(ctx, query, args)
	s.locks.leave(err)
	return res, err
}

func (s watchedSession) QueryDirect(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s.enter(query, holdsNone) // until there are rows
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

// enter begins a call, of which nothing has been told yet.
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
