package driver

import (
	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Config is what a DSN cannot say. The zero Config is good: it changes nothing.
type Config struct {
	// Pragmas are applied to every connection, besides the DSN's.
	Pragmas []Pragma

	// Init, if not nil, is called for every new connection, once its pragmas
	// are set and before they are read back. It is the place for functions,
	// collations, extensions and attached files. An error of it fails the
	// connection. It may be called on several connections at once, and must
	// not keep the connection.
	Init func(*sqlite3.Conn) error

	// Term, if not nil, is called once before a connection is closed for which
	// Init is nil or has returned nil. It may be called while database/sql holds its
	// mutex: it must not call a *sql.DB. Its error is that of closing.
	Term func(*sqlite3.Conn) error

	// StatementCache is how many prepared statements each connection keeps, to
	// use them again for a call with the same text. Zero means
	// [DefaultStatementCache]; a negative number means none.
	// A statement takes a few kilobytes. The first eight texts are kept at once, any
	// other from its second use on; where there is no room, one that was used less
	// recently than the other gives way.
	StatementCache int

	// Tracing makes the spans. Nil means [tracing.Default]: spans go to
	// OpenTelemetry's global provider.
	Tracing *tracing.Tracer

	// PoolName is db.client.connection.pool.name in metrics. Empty means that of
	// Tracing, or else the database.
	PoolName string

	// Recorder is told of every step in a connection's life. Nil means none.
	Recorder Recorder

	// Interceptors stand around every connection's calls, the first outermost
	// and tracing within them; see [wrap.Config].
	Interceptors []sqlmw.Interceptor
}

// The vocabulary of events is package wrap's.
type (
	// An Event is one step in a connection's life.
	Event = wrap.Event
	// A Kind is which step it is.
	Kind = wrap.Kind
	// A Reason is why a connection was discarded or closed.
	Reason = wrap.Reason
	// A ConnID names a connection in this process.
	ConnID = wrap.ConnID
	// A Recorder is told of events.
	Recorder = wrap.Recorder
	// A RecorderFunc is a function that is a Recorder.
	RecorderFunc = wrap.RecorderFunc
)

// The kinds of events: see package wrap.
const (
	KindConnect = wrap.KindConnect
	KindAcquire = wrap.KindAcquire
	KindRelease = wrap.KindRelease
	KindDiscard = wrap.KindDiscard
	KindClose   = wrap.KindClose

	KindTimeout  = wrap.KindTimeout
	KindCancel   = wrap.KindCancel
	KindRefuse   = wrap.KindRefuse
	KindLeak     = wrap.KindLeak
	KindUnleak   = wrap.KindUnleak
	KindBusy     = wrap.KindBusy
	KindDirty    = wrap.KindDirty
	KindSession  = wrap.KindSession
	KindReset    = wrap.KindReset
	KindHealth   = wrap.KindHealth
	KindShutdown = wrap.KindShutdown
)

// The reasons for which a connection is discarded or closed: see package wrap.
const (
	ReasonBad            = wrap.ReasonBad
	ReasonPanic          = wrap.ReasonPanic
	ReasonSick           = wrap.ReasonSick
	ReasonExpired        = wrap.ReasonExpired
	ReasonSurplus        = wrap.ReasonSurplus
	ReasonShrunk         = wrap.ReasonShrunk
	ReasonDatabaseClosed = wrap.ReasonDatabaseClosed
	ReasonIdle           = wrap.ReasonIdle
	ReasonInvalid        = wrap.ReasonInvalid
	ReasonDirty          = wrap.ReasonDirty
	ReasonReset          = wrap.ReasonReset
	ReasonHook           = wrap.ReasonHook
	ReasonOverflow       = wrap.ReasonOverflow
	ReasonPoolClosed     = wrap.ReasonPoolClosed
	ReasonOther          = wrap.ReasonOther
)

// What was in the way of a call, of a KindBusy event.
const (
	ReasonSnapshot     Reason = busySnapshot // another has written since the transaction began to read
	ReasonRecovery     Reason = busyRecovery // another process recovers the WAL after a crash
	ReasonTimeout      Reason = busyTimedOut // the operating system gave up the wait
	ReasonThisConn     Reason = busyOurs     // its own statements
	ReasonThisProcess  Reason = busyHere     // another connection of this process: Event.Holder
	ReasonOtherProcess Reason = busyThere
	ReasonOutside      Reason = "outside the pools" // another process, or a connection of this one that is in no pool
)

// Tee returns a Recorder that passes every event to each of rs, in their order.
func Tee(rs ...Recorder) Recorder { return wrap.Tee(rs...) }
