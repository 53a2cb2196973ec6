package driver

import (
	"log/slog"

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
	// recently than the other gives way. No text of more than 16 KiB is kept, and all
	// texts take 2 MiB at most for each connection, and 64 MiB for the process.
	StatementCache int

	// MemoryLimit is how many bytes SQLite may take for each connection, for its
	// page cache, statements and sorting: what needs more fails. Zero means what
	// the context says with which the connection is opened (sqlite3.WithMaxMemory),
	// or else [DefaultMemoryLimit]. Less than 1 MiB, or more than 4 GiB, is refused.
	MemoryLimit int64

	// Compat is the driver whose data source names and behaviour connections have. A _compat
	// in the data source name wins over it. The zero value is the plain driver,
	// ncruces/go-sqlite3.
	Compat Compat

	// MapError, if not nil, is called with every error that database/sql is given, and
	// returns what it is given instead: what the program's code looks for, such as another
	// driver's error type. It is not called with nil, io.EOF and driver.ErrBadConn; where it
	// returns nil, the error stays. It is the outermost layer: spans, events and pools see the
	// error as it was. It may be called on several goroutines at once, and must not block.
	MapError func(error) error

	// Tracing makes the spans. Nil means [tracing.Default]: spans go to
	// OpenTelemetry's global provider.
	Tracing *tracing.Tracer

	// PoolName is db.client.connection.pool.name in metrics. Empty means that of
	// Tracing, or else the database.
	PoolName string

	// Recorder is told of every step in a connection's life. Nil means none.
	Recorder Recorder

	// Logger gets one line, at level Warn, for each event of [KindWarning]. Nil means
	// [slog.Default].
	Logger *slog.Logger

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

	KindTimeout   = wrap.KindTimeout
	KindCancel    = wrap.KindCancel
	KindRefuse    = wrap.KindRefuse
	KindLeak      = wrap.KindLeak
	KindUnleak    = wrap.KindUnleak
	KindTimeLimit = wrap.KindTimeLimit
	KindBusy      = wrap.KindBusy
	KindDirty     = wrap.KindDirty
	KindSession   = wrap.KindSession
	KindReset     = wrap.KindReset
	KindHealth    = wrap.KindHealth
	KindShutdown  = wrap.KindShutdown
	KindFileLost  = wrap.KindFileLost

	KindFailing   = wrap.KindFailing
	KindRecovered = wrap.KindRecovered
	KindPanic     = wrap.KindPanic
	KindWarning   = wrap.KindWarning
)

// The reasons for which a connection is discarded or closed: see package wrap.
const (
	ReasonBad            = wrap.ReasonBad
	ReasonPanic          = wrap.ReasonPanic
	ReasonSick           = wrap.ReasonSick
	ReasonTimeLimit      = wrap.ReasonTimeLimit
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

// What fails, of a KindFailing or KindRecovered event: see package wrap.
const (
	ReasonWrite      = wrap.ReasonWrite
	ReasonCheckpoint = wrap.ReasonCheckpoint
	ReasonWAL        = wrap.ReasonWAL
)

// What a KindWarning event is about: see package wrap.
const (
	ReasonNoBusyTimeout    = wrap.ReasonNoBusyTimeout
	ReasonPrivateMemory    = wrap.ReasonPrivateMemory
	ReasonSharedCache      = wrap.ReasonSharedCache
	ReasonUnknownParameter = wrap.ReasonUnknownParameter
	ReasonPragma           = wrap.ReasonPragma
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
