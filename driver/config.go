package driver

import (
	"log/slog"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Config holds the options that do not fit in a DSN. The zero Config is valid and changes
// nothing.
type Config struct {
	// Pragmas are applied to every connection, in addition to the DSN's.
	Pragmas []Pragma

	// Init, if not nil, is called for every new connection, after its pragmas are applied
	// and before they are read back. Use it to add functions, collations, extensions and
	// attached files. An error from Init fails the connection. Init may be called
	// concurrently for several connections, and must not retain its argument.
	Init func(*sqlite3.Conn) error

	// Term, if not nil, is called once before a connection is closed, if Init is nil or
	// returned nil for it. It may be called while database/sql holds its mutex, so it must
	// not call a *sql.DB. Closing the connection returns its error.
	Term func(*sqlite3.Conn) error

	// StatementCache is the number of prepared statements that each connection keeps for
	// calls with the same query. Zero means [DefaultStatementCache]; a negative number
	// means none. Each statement takes a few kilobytes of memory.
	//
	// The first eight queries are kept immediately, and any other query from its second use
	// on. When the cache is full, a statement is evicted only if the new query was used
	// more recently. Queries longer than 16 KiB are not kept. The queries kept take at most
	// 2 MiB for each connection and 64 MiB for the process.
	StatementCache int

	// MemoryLimit is the number of bytes that SQLite may allocate for each connection. They
	// hold its page cache, its statements and the data that it sorts. A call that needs
	// more fails. Zero means the limit of the context that opens the connection
	// (sqlite3.WithMaxMemory), or else [DefaultMemoryLimit]. A limit below 1 MiB or above 4
	// GiB is an error.
	MemoryLimit int64

	// Compat is the driver whose DSNs and behavior connections imitate. A _compat parameter
	// in the DSN takes precedence. The zero value is the plain driver, ncruces/go-sqlite3.
	Compat Compat

	// MapError, if not nil, is called with every error before database/sql gets it, and
	// returns its replacement. That may be an error that the program looks for, such as
	// another driver's error type. If it returns nil, the error stays as it is. It is not
	// called with nil, io.EOF and driver.ErrBadConn. MapError is the outermost layer:
	// spans, events and pools see the original error. It may be called concurrently, and
	// must not block.
	MapError func(error) error

	// Tracing creates the spans. Nil means [tracing.Default], which sends spans to
	// OpenTelemetry's global provider.
	Tracing *tracing.Tracer

	// PoolName is the attribute db.client.connection.pool.name of metrics. Empty means the
	// pool name of Tracing, or else the name of the database. The latter gets a suffix, as in
	// "app.db#2", if another pool of the process has that name: a *sql.DB takes it with its
	// first connection and has it until it is closed.
	PoolName string

	// Recorder records every event in a connection's life. Nil means none.
	Recorder Recorder

	// Logger logs one line at level Warn for each event of [KindWarning]. Nil means
	// [slog.Default].
	Logger *slog.Logger

	// Interceptors wrap every call on a connection. The first is the outermost, and tracing
	// is inside all of them; see [wrap.Config].
	Interceptors []sqlmw.Interceptor
}

// The types of events are defined in package wrap.
type (
	// An Event is one step in a connection's life.
	Event = wrap.Event
	// A Kind is the kind of an event.
	Kind = wrap.Kind
	// A Reason says why a connection was discarded or closed, or what else an event is
	// about.
	Reason = wrap.Reason
	// A Blocker is what blocked the call of a KindBusy event.
	Blocker = wrap.Blocker
	// A Lane is the part of a pool that a connection belongs to.
	Lane = wrap.Lane
	// A ConnID identifies a connection in this process.
	ConnID = wrap.ConnID
	// A Recorder records events.
	Recorder = wrap.Recorder
	// A RecorderFunc is a function that implements Recorder.
	RecorderFunc = wrap.RecorderFunc
)

// The lanes; see package wrap.
const (
	LaneNone   = wrap.LaneNone
	LaneWriter = wrap.LaneWriter
	LaneReader = wrap.LaneReader
)

// The kinds of events; see package wrap.
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
	KindLeakEnd   = wrap.KindLeakEnd
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
	KindSync      = wrap.KindSync
)

// The reasons why a connection is discarded or closed; see package wrap.
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

// What fails in a KindFailing or KindRecovered event; see package wrap.
const (
	ReasonWrite      = wrap.ReasonWrite
	ReasonCheckpoint = wrap.ReasonCheckpoint
	ReasonWAL        = wrap.ReasonWAL
)

// What a KindWarning event is about; see package wrap.
const (
	ReasonNoBusyTimeout    = wrap.ReasonNoBusyTimeout
	ReasonPrivateMemory    = wrap.ReasonPrivateMemory
	ReasonSharedCache      = wrap.ReasonSharedCache
	ReasonUnknownParameter = wrap.ReasonUnknownParameter
	ReasonPragma           = wrap.ReasonPragma
	ReasonLitestream       = wrap.ReasonLitestream
)

// What blocked the call of a KindBusy event.
const (
	BlockerSnapshot     Blocker = busySnapshot // another connection has written since the transaction's first read
	BlockerRecovery     Blocker = busyRecovery // another process is recovering the WAL after a crash
	BlockerTimeout      Blocker = busyTimedOut // the operating system's wait for the lock timed out
	BlockerThisConn     Blocker = busyOurs     // the connection's own statements
	BlockerThisProcess  Blocker = busyHere     // another connection of this process: Event.Holder
	BlockerOtherProcess Blocker = busyThere
	BlockerOutside      Blocker = "outside the pools" // another process, or a connection of this one that is in no pool
)

// Tee returns a Recorder that passes every event to each of rs, in order.
func Tee(rs ...Recorder) Recorder { return wrap.Tee(rs...) }
