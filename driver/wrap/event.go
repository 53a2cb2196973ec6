package wrap

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A ConnID names a connection. It is unique in the process, counts from 1,
// and is the sqlitemw.connection.id of the connection's spans.
type ConnID uint64

func (id ConnID) String() string { return strconv.FormatUint(uint64(id), 10) }

// A Kind is a step in a connection's life.
// Where there is a span of the step, it has the same name.
type Kind uint8

const (
	// KindConnect occurs when a connection has been opened and configured, or
	// has failed to be.
	KindConnect Kind = iota + 1

	// KindAcquire occurs when a connection is handed to a call: once it is
	// opened for it, when it is taken from the idle ones, or, if database/sql
	// opened it in the background, at its first use.
	KindAcquire

	// KindRelease occurs when a connection is given back.
	KindRelease

	// KindDiscard occurs in place of KindRelease when a connection in use is
	// thrown away; KindClose follows.
	KindDiscard

	// KindClose occurs when a connection has been closed.
	KindClose

	// The others are of pools that know who waits for a connection.

	// KindTimeout occurs when an acquire has waited too long.
	KindTimeout

	// KindCancel occurs when an acquire's context was over before there was a
	// connection.
	KindCancel

	// KindRefuse occurs when an acquire has failed for another reason: the
	// queue was full, the pool closed, or no connection could be opened.
	KindRefuse

	// KindLeak occurs when a connection has been in use for longer than the
	// pool was told to expect, and KindUnleak when it is given back after all.
	KindLeak
	KindUnleak

	// KindDirty occurs when a connection is given back with a transaction open,
	// which is then rolled back.
	KindDirty

	// KindSession occurs when a program changes something of a pooled connection
	// that stays in force after its use: a pragma, an attached file, a
	// temporary object, or what it does through Raw.
	KindSession

	// KindBusy occurs when a call on a pooled connection has ended because the
	// database was locked.
	KindBusy

	// KindReset occurs when all of a pool's connections are to be opened anew.
	KindReset

	// KindHealth occurs when a pool's health has changed.
	KindHealth

	// KindShutdown occurs when a pool stops.
	KindShutdown

	// KindFileLost occurs when a pool's database, its -wal or its -shm was removed,
	// replaced or emptied while it was open: the reason says which, and how.
	KindFileLost

	// KindFailing occurs when something begins to fail that concerns a pool as a
	// whole: its writes, its checkpoints, or keeping its write-ahead log within its
	// limit. It occurs once, and KindRecovered when that succeeds again.
	KindFailing
	KindRecovered

	// KindPanic occurs when a function of the program's has panicked on a goroutine
	// of the pool's own, which has recovered the panic.
	KindPanic

	// KindTimeLimit occurs when a statement, a transaction or a reading has taken
	// longer than a setting of the pool's allows, which the reason names, before it
	// is ended.
	KindTimeLimit

	// KindWarning occurs once for each thing in a data source name, or of the database
	// that it names, that has no effect or one that the program may not expect. The reason
	// says which.
	KindWarning
)

var kinds = [...]string{
	"unknown", "connect", "acquire", "release", "discard", "close",
	"timeout", "cancel", "refuse", "leak", "unleak", "dirty", "session", "busy", "reset", "health", "shutdown",
	"file-lost", "failing", "recovered", "panic", "time-limit", "warning",
}

// String returns the kind's name: connect, acquire, release, discard, close,
// timeout, cancel, refuse, leak, unleak, dirty, session, busy, reset, health,
// shutdown, file-lost, failing, recovered, panic, time-limit or warning.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		k = 0
	}
	return kinds[k]
}

// A Reason is why a connection was discarded or closed, or what was in the way of a
// call, or how a pool is.
type Reason string

const (
	// ReasonBad: a call said [database/sql/driver.ErrBadConn], or (*sql.Conn).Raw panicked.
	ReasonBad Reason = "bad"

	// ReasonPanic: a panic passed through the connection.
	ReasonPanic Reason = "panic"

	// ReasonSick: an error said that the connection is of no more use.
	ReasonSick Reason = "sick"

	// ReasonTimeLimit: it was taken away after a time limit of the pool's.
	ReasonTimeLimit Reason = "time limit"

	// ReasonExpired: database/sql's idle time or lifetime was over.
	ReasonExpired Reason = "expired"

	// ReasonSurplus: there were more idle connections than database/sql keeps,
	// or its lifetime ended while in use, or the database was closed meanwhile.
	ReasonSurplus Reason = "surplus"

	// ReasonShrunk: SetMaxIdleConns or SetMaxOpenConns lowered the limit.
	ReasonShrunk Reason = "shrunk"

	// ReasonDatabaseClosed: (*sql.DB).Close.
	ReasonDatabaseClosed Reason = "database closed"

	// ReasonIdle: a pool has not needed it for its idle timeout.
	ReasonIdle Reason = "idle"

	// ReasonInvalid: a pool asked it for a page and got none.
	ReasonInvalid Reason = "invalid"

	// ReasonDirty: it was given back with a transaction open, and was not to be
	// repaired.
	ReasonDirty Reason = "dirty"

	// ReasonReset: a pool was told to open its connections anew.
	ReasonReset Reason = "reset"

	// ReasonHook: a hook of the program's did not want it.
	ReasonHook Reason = "hook"

	// ReasonOverflow: a pool had opened it beyond its limit, for readers that
	// waited for each other.
	ReasonOverflow Reason = "overflow"

	// ReasonPoolClosed: its pool has been closed.
	ReasonPoolClosed Reason = "pool closed"

	// ReasonOther: somebody other than database/sql closed it.
	ReasonOther Reason = "other"
)

// What fails, of KindFailing and KindRecovered.
const (
	// ReasonWrite: the database cannot be written: the disk or the quota is full, a
	// write or a sync fails, or the file system can only be read.
	ReasonWrite Reason = "write"

	// ReasonCheckpoint: what is in the write-ahead log cannot be moved to the
	// database.
	ReasonCheckpoint Reason = "checkpoint"

	// ReasonWAL: the write-ahead log is longer than its limit, because a reader needs
	// what is in it.
	ReasonWAL Reason = "wal"
)

// What a KindWarning is about.
const (
	// ReasonNoBusyTimeout: a call that finds the database locked fails at once.
	ReasonNoBusyTimeout Reason = "no busy timeout"

	// ReasonPrivateMemory: more than one connection was opened to a database in memory, and
	// each has its own.
	ReasonPrivateMemory Reason = "private memory"

	// ReasonSharedCache: cache=shared was asked for a file, and left out.
	ReasonSharedCache Reason = "shared cache"

	// ReasonUnknownParameter: a parameter has no effect.
	ReasonUnknownParameter Reason = "unknown parameter"

	// ReasonPragma: a pragma is not in force as it was asked for, in a case where that is no
	// failure.
	ReasonPragma Reason = "pragma"
)

// An Event is one step in a connection's life.
// It is a small value that points at nothing of the driver.
type Event struct {
	// Seq is given by what keeps the event, such as a pool.EventLog.
	Seq uint64

	Time time.Time // when the step was over
	Kind Kind
	Conn ConnID

	// Duration is how long the step took (connect, close), or how long the
	// connection had been in use (release, discard), or something had been failing
	// (recovered). For an acquire it is what the driver spent on it, which is the
	// connect where there was one: how long the caller waited is not known to a
	// driver.
	Duration time.Duration

	Idle time.Duration // acquire, close: how long it had been idle; 0 if it was in use or new
	Age  time.Duration // all but connect: how long ago it was opened
	Uses uint64        // how often it has been acquired, this one included

	// Reason says why a connection was discarded or closed; for KindBusy, what was
	// in the way; for KindHealth, how the pool is; for KindFailing and
	// KindRecovered, what fails; for KindPanic, whose function has panicked, as
	// "Config.Init".
	Reason Reason

	// Holder is the connection of this process that was in the way of a call
	// (busy), or of the checkpoints (failing); 0 if there was none, or it is not
	// known.
	Holder ConnID

	// Err is the status code, or else the Go type, of the error that the step
	// ended in; for KindPanic, the Go type of what was given to panic. It is empty
	// for none.
	Err string

	// Trace is the trace of the call that caused the step, if it is of one; for
	// a release or discard, of the call that had acquired the connection.
	Trace trace.TraceID

	// Lane is the part of a pool that the step was in; empty if it has none.
	Lane Lane

	// Wait and Queue are how long an acquire of a pool waited for its turn, and
	// the place in the queue, from 1, that it began at; zero if it did not.
	Wait  time.Duration
	Queue int

	// Background says that the step was on a goroutine of database/sql's or of a
	// pool's own: that the connection was opened for whoever waits longest, or is
	// to be kept (connect), or was closed for its age, say (close).
	Background bool

	// Derived says that the step was concluded, not seen: an acquire from the
	// first use of a connection, a reason from who called, or from who had a turn.
	Derived bool
}

// A Recorder is told of events.
//
// Record is called on the goroutine of the step, by many at once, and may be
// called while database/sql holds its mutex: it must not block, and must not
// call any method of a *sql.DB, not even Stats.
type Recorder interface {
	Record(Event)
}

// RecorderFunc is a function that is a [Recorder].
type RecorderFunc func(Event)

// Record calls f.
func (f RecorderFunc) Record(e Event) { f(e) }

// Tee returns a Recorder that passes every event to each of rs that is not nil,
// in their order.
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
