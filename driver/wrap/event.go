package wrap

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A ConnID identifies a connection. It is unique in the process and counts from 1. It is the
// sqlitemw.connection.id of the connection's spans.
type ConnID uint64

func (id ConnID) String() string { return strconv.FormatUint(uint64(id), 10) }

// A Kind is a kind of event in a connection's life. If the event has a span, too, both have
// the same name.
type Kind uint8

const (
	// KindConnect occurs when a connection has been opened and configured, or has failed to.
	KindConnect Kind = iota + 1

	// KindAcquire occurs when a call gets a connection: a new one or an idle one. If
	// database/sql opened the connection in the background, KindAcquire occurs at its first
	// use.
	KindAcquire

	// KindRelease occurs when a connection is released.
	KindRelease

	// KindDiscard occurs instead of KindRelease when a connection in use is discarded.
	// KindClose follows.
	KindDiscard

	// KindClose occurs when a connection has been closed.
	KindClose

	// The following kinds are for pools that know their waiters, such as package pool's.

	// KindTimeout occurs when an acquire has waited too long.
	KindTimeout

	// KindCancel occurs when an acquire's context ends before it gets a connection.
	KindCancel

	// KindRefuse occurs when an acquire fails for another reason: the queue is full, the pool
	// is closed, or no connection can be opened.
	KindRefuse

	// KindLeak occurs when a connection has been in use for longer than the pool's setting
	// for leaks. KindLeakEnd occurs when it is released after all.
	KindLeak
	KindLeakEnd

	// KindDirty occurs when a connection is released with an open transaction, which is then
	// rolled back.
	KindDirty

	// KindSession occurs when a program makes a change to a pooled connection that stays
	// after its use: a pragma, an attached file, a temporary object, or a change through Raw.
	KindSession

	// KindBusy occurs when a call on a pooled connection has ended because the database was
	// locked.
	KindBusy

	// KindReset occurs when a pool starts to replace all of its connections.
	KindReset

	// KindHealth occurs when a pool's health changes.
	KindHealth

	// KindShutdown occurs when a pool stops.
	KindShutdown

	// KindFileLost occurs when the file of a pool's open database was removed, replaced or
	// emptied, or its -wal or -shm was. The reason names the file and the cause.
	KindFileLost

	// KindFailing occurs when an operation of the whole pool starts to fail: its writes, its
	// checkpoints, or keeping its write-ahead log within the limit. It occurs once.
	// KindRecovered occurs when the operation succeeds again.
	KindFailing
	KindRecovered

	// KindPanic occurs when a function of the program panics on one of the pool's own
	// goroutines. The pool recovers the panic.
	KindPanic

	// KindTimeLimit occurs when a statement, a transaction or a read takes longer than a
	// setting of the pool allows. It occurs before that is ended. The reason names the
	// setting.
	KindTimeLimit

	// KindWarning occurs once for each part of a data source name that has no effect, or a
	// surprising one. The cause may also be the database. The reason names it. It also occurs
	// once if the program closes a *sql.DB of an open pool; the reason is ReasonDatabaseClosed.
	KindWarning

	// KindSync occurs when a sync of a pool's write-ahead log has put commits on the disk, or has
	// failed to. It is for all commits that waited for it.
	KindSync
)

var kinds = [...]string{
	"unknown", "connect", "acquire", "release", "discard", "close",
	"timeout", "cancel", "refuse", "leak", "leak-end", "dirty", "session", "busy", "reset", "health", "shutdown",
	"file-lost", "failing", "recovered", "panic", "time-limit", "warning", "sync",
}

// String returns the kind's name: connect, acquire, release, discard, close, timeout, cancel,
// refuse, leak, leak-end, dirty, session, busy, reset, health, shutdown, file-lost, failing,
// recovered, panic, time-limit, warning or sync.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		k = 0
	}
	return kinds[k]
}

// A Blocker is what blocked a call that failed because the database was locked. The package
// that knows the engine defines its values.
type Blocker string

// A Reason says why a connection was discarded or closed, or what else an event is about; see
// [Event].Reason.
type Reason string

const (
	// ReasonBad: a call returned [database/sql/driver.ErrBadConn], or (*sql.Conn).Raw
	// panicked.
	ReasonBad Reason = "bad"

	// ReasonPanic: a panic passed through the connection.
	ReasonPanic Reason = "panic"

	// ReasonSick: an error showed that the connection cannot recover.
	ReasonSick Reason = "sick"

	// ReasonTimeLimit: a time limit of the pool ended its use.
	ReasonTimeLimit Reason = "time limit"

	// ReasonExpired: its idle time or lifetime in database/sql ended.
	ReasonExpired Reason = "expired"

	// ReasonSurplus: database/sql had more idle connections than it keeps. Or, while the
	// connection was in use, its lifetime ended or the database was closed.
	ReasonSurplus Reason = "surplus"

	// ReasonShrunk: SetMaxIdleConns or SetMaxOpenConns lowered a limit.
	ReasonShrunk Reason = "shrunk"

	// ReasonDatabaseClosed: (*sql.DB).Close closed it.
	ReasonDatabaseClosed Reason = "database closed"

	// ReasonIdle: a pool did not use it for the idle timeout.
	ReasonIdle Reason = "idle"

	// ReasonInvalid: it did not pass a pool's check, which reads a page.
	ReasonInvalid Reason = "invalid"

	// ReasonDirty: it was released with an open transaction, and the pool does not repair
	// such connections.
	ReasonDirty Reason = "dirty"

	// ReasonReset: a pool replaced all of its connections.
	ReasonReset Reason = "reset"

	// ReasonHook: a hook of the program rejected it.
	ReasonHook Reason = "hook"

	// ReasonOverflow: a pool had opened it beyond its limit, because readers waited for each
	// other.
	ReasonOverflow Reason = "overflow"

	// ReasonPoolClosed: its pool was closed.
	ReasonPoolClosed Reason = "pool closed"

	// ReasonOther: a caller other than database/sql closed it.
	ReasonOther Reason = "other"
)

// Reasons of KindFailing and KindRecovered: the operation that fails.
const (
	// ReasonWrite: the database cannot be written. The disk or the quota is full, a write or
	// a sync fails, or the file system is read-only.
	ReasonWrite Reason = "write"

	// ReasonCheckpoint: the write-ahead log cannot be copied into the database.
	ReasonCheckpoint Reason = "checkpoint"

	// ReasonWAL: the write-ahead log is longer than its limit, because a reader still needs
	// it.
	ReasonWAL Reason = "wal"
)

// Reasons of KindWarning.
const (
	// ReasonNoBusyTimeout: a call that finds the database locked fails immediately.
	ReasonNoBusyTimeout Reason = "no busy timeout"

	// ReasonPrivateMemory: more than one connection was opened to an in-memory database, and
	// each has a database of its own.
	ReasonPrivateMemory Reason = "private memory"

	// ReasonSharedCache: cache=shared was ignored, because the database is a file.
	ReasonSharedCache Reason = "shared cache"

	// ReasonUnknownParameter: a parameter has no effect.
	ReasonUnknownParameter Reason = "unknown parameter"

	// ReasonPragma: a pragma does not have the requested value, in a case that is not an
	// error.
	ReasonPragma Reason = "pragma"

	// ReasonLitestream: a pool runs checkpoints in a database that Litestream replicates.
	ReasonLitestream Reason = "litestream"
)

// An Event is an event in a connection's life. It is a small value without pointers into the
// driver.
type Event struct {
	// Seq is set by the Recorder that keeps the event, such as a pool.EventLog.
	Seq uint64

	Time time.Time // when the step ended
	Kind Kind
	Conn ConnID

	// Duration is how long the step took (connect, close, sync). For release and discard, it is how
	// long the connection was in use; for recovered, how long the operation failed. For an
	// acquire, it is the time that the driver spent, including the connect if there was one.
	// A driver does not know how long the caller waited for database/sql.
	Duration time.Duration

	Idle time.Duration // acquire, close: how long the connection was idle; 0 if it was in use or new
	Age  time.Duration // all but connect: time since the connection was opened
	Uses uint64        // number of acquires, including this one

	// Reason is why a connection was discarded or closed. For KindFailing and KindRecovered,
	// it is the operation that fails; for KindPanic, the function that panicked, such as
	// "Config.Init"; for KindTimeLimit, the setting.
	Reason Reason

	// Blocker is what blocked the call of a KindBusy.
	Blocker Blocker

	// Health is the pool's new health, of a KindHealth: ok, degraded or down.
	Health string

	// Holder is the connection of this process that blocked a call (busy) or the checkpoints
	// (failing). It is 0 if there was none or if it is not known.
	Holder ConnID

	// Err is the status code of the step's error, or else its Go type. For KindPanic, it is
	// the Go type of the panic's value. It is empty if there was no error.
	Err string

	// Trace is the trace of the call that caused the step, if it has one. For a release or
	// discard, that is the call that acquired the connection.
	Trace trace.TraceID

	// Lane is the pool's lane for the step. It is empty if there are no lanes.
	Lane Lane

	// Wait is how long an acquire of a pool waited for its turn. QueuePosition is the place in the
	// queue where the wait began, from 1. Both are zero if it did not wait.
	Wait          time.Duration
	QueuePosition int

	// Commits is the number of commits that a sync has put on the disk.
	Commits uint64

	// Background says that the step ran on a goroutine of database/sql or of a pool. Such a
	// connect is for the longest waiter, or for an idle connection. Such a close may be for
	// the connection's age.
	Background bool

	// Derived says that the event was inferred, not observed. An acquire is inferred from the
	// first use of a connection; a reason, from the stack or from the owner of a turn.
	Derived bool
}

// A Recorder records events.
//
// Record is called on the goroutine of the step. Several goroutines may call it at the same
// time. database/sql may hold its mutex during the call. So Record must not block, and must
// not call any method of a *sql.DB, not even Stats.
type Recorder interface {
	Record(Event)
}

// RecorderFunc is a function that implements [Recorder].
type RecorderFunc func(Event)

// Record calls f.
func (f RecorderFunc) Record(e Event) { f(e) }

// Tee returns a Recorder that passes every event to each of rs that is not nil, in order.
func Tee(rs ...Recorder) Recorder {
	all := make(tee, 0, len(rs))
	for _, r := range rs {
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

type tee []Recorder

func (t tee) Record(e Event) {
	for _, r := range t {
		r.Record(e)
	}
}
