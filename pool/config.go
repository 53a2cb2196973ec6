package pool

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A Config says what a pool is like. Path must be set; zero is good for every
// other field.
//
// A duration of zero means its default, and a negative one means never.
// A count of zero means its default, and a negative one is refused.
type Config struct {
	// Path is the database: a file's name, a "file:" URI with any of the
	// parameters that package driver takes, or ":memory:". For the same setting,
	// a parameter wins over a field of Config.
	//
	// A database in memory lasts as long as the pool, and is the pool's own,
	// unless the URI names one that is shared: cache=shared, or vfs=memdb and a
	// name that begins with "/".
	Path string

	// Name is the pool's in logs, errors and metrics. Empty means Path without
	// its parameters.
	Name string

	// MinConns is how many connections are kept open. Zero means 1.
	MinConns int

	// MaxConns is how many connections may be open: one that writes, and the
	// others to read. Zero means 10. Beyond it, connections are opened for a
	// moment, by readers that wait for each other, beside a checkout that has the
	// one that writes and asks for nothing, for a backup and for a health check;
	// and, in WAL mode, one to move the WAL into the database.
	//
	// There is one connection for everything, whatever MaxConns is, where readers
	// beside a writer would gain nothing or are not safe: a database that is in
	// memory, not in WAL mode (DisableWAL, or another journal_mode), only read
	// (mode=ro, immutable=1, query_only), or without locks or shared memory
	// (nolock=1, locking_mode=exclusive, a VFS that Path names other than "os").
	MaxConns int

	// AcquireTimeout is how long a call waits for a connection, if its context
	// does not end before. Zero means 30 seconds, or twice BusyTimeout if that is
	// more; negative: as long as the context allows.
	AcquireTimeout time.Duration

	// IdleTimeout is how long a connection may be idle before it is closed, if
	// there are more than MinConns. Zero means 600 seconds, or MaxLifetime if
	// that is less; negative: as long as it likes. A database in memory has none.
	IdleTimeout time.Duration

	// MaxLifetime is how long a connection may be open before it is closed, once
	// it is idle. Zero means 1800 seconds, or IdleTimeout if that is more;
	// negative: for ever. A database in memory has none.
	MaxLifetime time.Duration

	// LifetimeJitter is the fraction of MaxLifetime by which each connection's own
	// is shortened at most, at random, so that they do not end together. Zero
	// means 0.1; negative: none. More than 1 is refused.
	LifetimeJitter float64

	// MaxWaiters is how many calls may wait for a connection of a lane; the next
	// fails at once. Zero means any number.
	MaxWaiters int

	// DisableWAL leaves the journal mode as it is, to what Path or Pragmas say, or
	// to the file: one that is in WAL mode stays so, unless the pragma journal_mode
	// says otherwise. Zero sets WAL, where the database can have it and may be written.
	DisableWAL bool

	// MustExist has a missing file not created.
	MustExist bool

	// Synchronous is how commits reach the disk. Zero means [SynchronousFull] in
	// WAL mode and [SynchronousExtra] without a WAL, so that a power failure undoes
	// no commit. [Pool.Config] returns which. Any other value is used as it is.
	Synchronous Synchronous

	// BusyTimeout is how long SQLite waits for a lock of another process: within
	// the pool there are queues. Zero means 5 seconds, or half of AcquireTimeout
	// if that is less; negative: not at all. It is counted in milliseconds, and
	// rounded up.
	BusyTimeout time.Duration

	// ValidateAfter has a connection that was idle that long read a page before
	// it is lent, and be replaced if it cannot. Zero means never.
	ValidateAfter time.Duration

	// KeepAlive is how often an idle connection reads a page. Zero means never.
	KeepAlive time.Duration

	// LeakAfter is how long a connection may be held before that is reported.
	// Zero means never.
	LeakAfter time.Duration

	// StatementTimeout is how long a statement may take, from when it has its connection:
	// an Exec until it returns, a query until its last row. Zero means for ever. What
	// takes longer is interrupted when SQLite next looks, within milliseconds. As where a
	// context ends, SQLite rolls back the transaction of a write that is interrupted; that
	// of a read is the program's to end.
	StatementTimeout time.Duration

	// TxTimeout is how long a transaction may last, whoever began it and by whatever
	// text. Zero means for ever. One that lasts longer is rolled back, also while the
	// program asks for nothing, and its turn is given to the next; every later call of
	// it fails.
	TxTimeout time.Duration

	// MaxReadAge is how long rows or a transaction may be open, for the WAL cannot be
	// begun anew behind the oldest that is read. Zero means for ever. What is open for
	// longer is ended, as with TxTimeout.
	//
	// Of these three limits, an eighth may pass until the last two are noticed. A log
	// line and an event tell of each that is over, before anything is interrupted, and
	// the error is a [*TimeLimitError]. What has SQLite's own connection, by Raw, is
	// interrupted and not taken away.
	MaxReadAge time.Duration

	// TrackStacks remembers the stack of whoever acquires a connection, at some
	// microseconds each. LeakAfter implies it.
	TrackStacks bool

	// Dirty is what becomes of a connection that is given back with a transaction
	// open. Zero means [DirtyRepair].
	Dirty Dirty

	// HealthInterval is how often the pool checks its health by itself. Zero means
	// never.
	HealthInterval time.Duration

	// JournalSizeLimit is how many bytes a WAL, or a journal that is kept, may
	// have once what is in it is in the database. Zero means 64 MiB; negative:
	// any number. To have it emptied, set the pragma journal_size_limit to 0.
	//
	// The pool keeps a WAL that is in use within twice this; see the package
	// documentation for what that means for readers and writers. For that, less than 64
	// pages count as 64 pages; with 0 or a negative limit, 64 MiB are kept to.
	JournalSizeLimit int64

	// Pragmas are applied to every connection, besides those that Path has and
	// those that follow from other fields, over which they win; see
	// [driver.Config]. What is kept in the file, such as user_version, is left to
	// the connection that writes.
	Pragmas []driver.Pragma

	// Init and Term, if not nil, are called for every new connection of every
	// lane, and before one is closed; see [driver.Config]. Init is the place for
	// what all connections must have: functions, collations, attached files.
	Init, Term func(*sqlite3.Conn) error

	// Compat is the driver whose data source names Path may be, and whose behaviour
	// connections have; see [driver.Compat]. A _compat in Path wins over it. What the pool sets
	// by itself stays, but for foreign_keys, which is on only if it is asked for.
	Compat driver.Compat

	// MapError is called with every error that database/sql is given; see
	// [driver.Config].MapError. [Pool.WithTx] tries again after an error that is
	// sqlite3.BUSY as it comes out of MapError.
	MapError func(error) error

	// StatementCache is how many prepared statements each connection keeps. Zero
	// means [driver.DefaultStatementCache]; negative: none.
	StatementCache int

	// MemoryLimit is how many bytes SQLite may take for each connection: those of
	// both lanes, and the pool's own. Zero means [driver.DefaultMemoryLimit]; a
	// negative number is refused, and so is less than 1 MiB or more than 4 GiB. A
	// limit in the context of the call that a connection is opened for
	// (sqlite3.WithMaxMemory) has no meaning here: others use the connection, too.
	MemoryLimit int64

	// Interceptors stand around every connection's calls, the first outermost and
	// tracing within them.
	Interceptors []sqlmw.Interceptor

	// Tracing makes the spans. Nil means [tracing.Default].
	Tracing *tracing.Tracer

	// Recorder is told of every event, besides the pool's own log: in a call, on its
	// goroutine; else on one of its own. Nil means none.
	Recorder driver.Recorder

	// Events is how many events the pool's log keeps. Zero means [DefaultEvents].
	Events int

	// Logger is what the pool logs to, on a goroutine of its own, for which a call waits
	// 20 milliseconds at most. Nil means what [slog.Default] is when the pool is opened.
	Logger *slog.Logger

	// Hooks are called as connections come and go.
	Hooks Hooks
}

// Hooks are functions of the program's that are called as connections come and
// go. Those that are nil are not called. Each may be called on several goroutines
// at once, with different connections.
//
// No lock of the pool is held while a hook runs: it may call methods of the
// [Pool]. But each runs in somebody's turn, so that one that waits for a
// connection of the same lane may wait for itself, and AfterRelease and
// BeforeClose may be called with a mutex of database/sql's held, so that they must
// not call the *sql.DB; and none may call Shutdown or Close, which wait for what is
// under way.
type Hooks struct {
	// BeforeConnect is called before a connection is opened, on a goroutine of the
	// pool's own: for MinConns, or for a call, with the values of its context; what it
	// panics with is then that call's panic. The context ends when nobody waits for the
	// connection any more and the pool is shut down. An error fails the connection.
	BeforeConnect func(ctx context.Context) error

	// AfterConnect is called once a connection is open and configured, Config.Init
	// included, on the goroutine and with the context that BeforeConnect had. It
	// must not keep the connection. An error closes it and fails the call.
	AfterConnect func(ctx context.Context, c *sqlite3.Conn) error

	// BeforeAcquire is called before a connection is lent, new ones included, on
	// the goroutine of the call that gets it, with its context. If it returns
	// false, the connection is closed and another is tried, until the context
	// ends.
	BeforeAcquire func(ctx context.Context, c ConnInfo) bool

	// AfterRelease is called when a connection has been given back, on the
	// goroutine that gave it back, which may be one of database/sql's. If it
	// returns false, the connection is closed.
	AfterRelease func(c ConnInfo) bool

	// BeforeClose is called before a connection is closed that has been lent or
	// could have been, on whatever goroutine closes it: one that gives it back or
	// finds it too old, the pool's own, or that of Shutdown.
	BeforeClose func(c ConnInfo)
}

// A ConnInfo tells of a connection. It is a copy, and does not change.
type ConnInfo struct {
	ID   driver.ConnID
	Lane string        // "writer" or "reader"; "writer" if there is one lane
	Age  time.Duration // since it was opened
	Idle time.Duration // since it was given back, or opened; 0 while it is in use
	Uses uint64        // how often it has been lent
}

// Synchronous is how commits reach the disk.
//
// Without a WAL, a commit is the removal of the journal. FULL syncs the database
// and not the directory, so the journal may be back after a power failure, and
// undoes the commit: in a test with simulated power failures, 10 of 60 lost the
// latest commit. EXTRA syncs the directory as well. In WAL mode, both do the same.
// https://sqlite.org/pragma.html#pragma_synchronous
type Synchronous int

const (
	SynchronousDefault Synchronous = iota // SynchronousFull in WAL mode, SynchronousExtra without a WAL
	SynchronousFull                       // with a WAL, every commit is on the disk; without, a power failure may undo the latest
	SynchronousOff                        // the operating system's own time; a crash of it may corrupt the database
	SynchronousNormal                     // with a WAL, a power failure may undo the latest commits
	SynchronousExtra                      // every commit is on the disk, with and without a WAL
)

var synchronousNames = []string{"default", "full", "off", "normal", "extra"}

// String returns SQLite's word for it.
func (s Synchronous) String() string { return nameOf("Synchronous", int(s), synchronousNames) }

// Dirty is what becomes of a connection that is given back with a transaction
// open: one that a text began and did not end, since database/sql ends its own.
// An event and a log line tell of it in any case.
type Dirty int

const (
	DirtyRepair  Dirty = iota // the transaction is rolled back
	DirtyDiscard              // the connection is closed, which rolls it back
	DirtyFail                 // it is rolled back, and the next statement of the pool fails and says so
)

var dirtyNames = []string{"repair", "discard", "fail"}

// String returns the word that a DSN has for it.
func (d Dirty) String() string { return nameOf("Dirty", int(d), dirtyNames) }

func nameOf(kind string, n int, names []string) string {
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", kind, n)
}

const (
	defaultMinConns         = 1
	defaultMaxConns         = 10
	defaultAcquireTimeout   = 30 * time.Second
	defaultIdleTimeout      = 600 * time.Second
	defaultMaxLifetime      = 1800 * time.Second
	defaultLifetimeJitter   = 0.1
	defaultBusyTimeout      = 5 * time.Second
	defaultJournalSizeLimit = 64 << 20
)

// never is what a negative duration is once it is in force.
const never = time.Duration(-1)

// InMemory returns the configuration of a database in memory: of one connection,
// without a WAL, and never closed before the pool is.
func InMemory() Config {
	return Config{
		Path:        ":memory:",
		MinConns:    1,
		MaxConns:    1,
		IdleTimeout: never,
		MaxLifetime: never,
		DisableWAL:  true,
	}
}

// Validate returns everything that is wrong with the configuration, as an error
// that is [ErrInvalidConfig], or nil. It opens nothing. What is wrong with Path or
// Pragmas is also package driver's own error. What is not set is no reason for
// one: defaults that follow from other fields fit them.
func (c Config) Validate() error {
	_, err := c.plan()
	return err
}

// plan returns the plan for c.
func (c Config) plan() (*plan, error) {
	dsn, ps := c.parsePath()
	return newPlan(c, dsn, ps)
}

// parsePath parses Path. If that fails, the DSN is nil, and the problems say why.
func (c Config) parsePath() (*driver.DSN, problems) {
	var ps problems
	switch {
	case c.Path == "":
		ps.add("Path is empty: name a file, or use InMemory() for a database in memory")
		return nil, ps
	case strings.ContainsRune(c.Path, 0):
		ps.add("Path holds a NUL byte, at which SQLite would cut it off: leave it out")
		return nil, ps
	}
	foreign := "" // the first key of the pool's
	dsn, err := driver.DSNReader{Compat: c.Compat, Param: func(key, _ string) (bool, error) {
		if !isPoolKey(key) {
			return false, nil
		}
		foreign = cmp.Or(foreign, key)
		return true, nil
	}}.Parse(c.Path)
	if foreign != "" {
		ps.add("Path has the parameter %q, which is for sql.Open(%q, ...): set the field of Config instead", redact.Key(foreign), Name)
	}
	if err != nil {
		ps.add("Path: %w", err)
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return dsn, nil
}

// String returns the configuration for people: of Path without its parameters, and of
// Pragmas without values that may be secrets.
func (c Config) String() string {
	type fields Config // has no String
	f := fields(c)
	if dsn, err := (driver.DSNReader{Compat: c.Compat}).Parse(c.Path); err == nil {
		f.Path = dsn.String()
	} else {
		path, _, _ := strings.Cut(strings.TrimPrefix(c.Path, "file:"), "?")
		f.Path = redact.Text(redact.Name(path)) + "?..."
	}
	f.Name = redact.Text(f.Name)
	return fmt.Sprintf("%+v", f)
}

// problems are what is wrong with a configuration.
type problems []error

func (ps *problems) add(format string, args ...any) {
	*ps = append(*ps, fmt.Errorf(format, args...))
}

func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &configError{ps}
}

// fields adds what is wrong with the fields of c other than Path.
func (ps *problems) fields(c Config) {
	ps.counts(c)
	if n := int(c.Synchronous); n < 0 || n >= len(synchronousNames) {
		ps.add("Synchronous is %d: use SynchronousDefault, SynchronousOff, SynchronousNormal, SynchronousFull or SynchronousExtra", n)
	}
	if n := int(c.Dirty); n < 0 || n >= len(dirtyNames) {
		ps.add("Dirty is %d: use DirtyRepair, DirtyDiscard or DirtyFail", n)
	}
	if j := c.LifetimeJitter; math.IsNaN(j) || j > 1 {
		ps.add("LifetimeJitter is %v: use a fraction up to 1, 0 for %v, or a negative number for none", j, defaultLifetimeJitter)
	}
	for i, p := range c.Pragmas {
		if _, err := driver.NewConnector(":memory:", driver.Config{Pragmas: []driver.Pragma{p}}); err != nil {
			ps.add("Pragmas[%d]: %w", i, err)
		}
	}
	if _, err := driver.NewConnector(":memory:", driver.Config{MemoryLimit: c.MemoryLimit}); err != nil {
		ps.add("MemoryLimit is %d: use 0 for %d, or a number of bytes from 1 MiB to 4 GiB", c.MemoryLimit, driver.DefaultMemoryLimit)
	}
	for i, in := range c.Interceptors {
		if in == nil {
			ps.add("Interceptors[%d] is nil: leave it out", i)
		}
	}
}

func (ps *problems) counts(c Config) {
	for _, f := range []struct {
		name string
		n    int
		zero string
	}{
		{"MinConns", c.MinConns, "for 1"},
		{"MaxConns", c.MaxConns, "for 10"},
		{"MaxWaiters", c.MaxWaiters, "for any number"},
		{"Events", c.Events, fmt.Sprintf("for %d", DefaultEvents)},
	} {
		if f.n < 0 {
			ps.add("%s is %d: use 0 %s, or a positive number", f.name, f.n, f.zero)
		}
	}
	most, by := c.MaxConns, ""
	if most == 0 {
		most, by = defaultMaxConns, " by default"
	}
	if most > 0 && c.MinConns > most {
		ps.add("MinConns is %d, which is more than MaxConns, %d%s: use a MinConns of at most %d, or a MaxConns of at least %d",
			c.MinConns, most, by, most, c.MinConns)
	}
}

// durations adds what is wrong with the durations of c. In said are those that Path and
// Pragmas say.
func (ps *problems) durations(c, said Config) {
	busy, from := said.BusyTimeout, ""
	if busy != c.BusyTimeout {
		from = ", as Path or Pragmas say"
	}
	if busy > math.MaxInt32*time.Millisecond {
		ps.add("BusyTimeout is %v%s: use %v at most", busy, from, math.MaxInt32*time.Millisecond)
	}
	if busy > 0 && c.AcquireTimeout > 0 && busy >= c.AcquireTimeout {
		ps.add("BusyTimeout is %v%s, which is not less than AcquireTimeout, %v: use a BusyTimeout of at most half of that, or leave it out; it is for locks of other processes only",
			busy, from, c.AcquireTimeout)
	}
	if c.IdleTimeout > 0 && c.MaxLifetime > 0 && c.IdleTimeout > c.MaxLifetime {
		ps.add("IdleTimeout is %v, which is more than MaxLifetime, %v: use an IdleTimeout of at most that, or leave it out",
			c.IdleTimeout, c.MaxLifetime)
	}
}

// A configError is all that is wrong with a configuration.
type configError struct{ problems problems }

func (e *configError) Error() string {
	if len(e.problems) == 1 {
		return ErrInvalidConfig.Error() + ": " + e.problems[0].Error()
	}
	var b strings.Builder
	b.WriteString(ErrInvalidConfig.Error() + ":")
	const most = 20
	for _, p := range e.problems[:min(len(e.problems), most)] {
		b.WriteString("\n\t" + p.Error())
	}
	if n := len(e.problems) - most; n > 0 {
		fmt.Fprintf(&b, "\n\tand %d more", n)
	}
	return b.String()
}

// Unwrap returns ErrInvalidConfig and whatever the problems are.
func (e *configError) Unwrap() []error {
	return slices.Concat([]error{ErrInvalidConfig}, e.problems)
}
