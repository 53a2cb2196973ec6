package pool

import (
	"cmp"
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

// Config configures a pool. Path is required. The zero value of every other field is a good
// default.
//
// For durations, zero means the default and a negative value means never. For counts, zero
// means the default and a negative value is refused.
type Config struct {
	// Path is the database: the name of a file, a "file:" URI with parameters of package driver,
	// or ":memory:". A parameter takes precedence over the field of Config for the same setting.
	//
	// An in-memory database lives as long as the pool and belongs to it alone, unless the URI
	// names a shared one: cache=shared, or vfs=memdb and a name that begins with "/".
	Path string

	// Name identifies the pool in logs, errors, statistics and metrics.
	//
	// Empty means Path without its parameters, or the name in the [Manager]. If another open pool
	// of the process has that name, as with two pools on one file, the name gets the first free
	// suffix, as in "app.db#2". So their metrics do not share series. [Pool.Name] returns the
	// name. It is free again when the pool is closed. A Name that is set is used as it is, also
	// if another pool has it.
	Name string

	// MinConns is how many connections the pool keeps open. Zero means 1.
	MinConns int

	// MaxConns is how many connections may be open: one writer and MaxConns-1 readers. Zero means
	// 10. The pool may temporarily open more:
	//
	//   - for readers that wait for each other;
	//   - for the next waiter, while a checkout has leased the writer but runs nothing;
	//   - for a backup and for a health check;
	//   - in WAL mode, for checkpoints.
	//
	// Whatever MaxConns is, there is one connection for everything where readers beside a writer
	// gain nothing or are not safe. That is a database that is
	//
	//   - in memory;
	//   - not in WAL mode (DisableWAL, or another journal_mode);
	//   - read-only (mode=ro, immutable=1, query_only);
	//   - without locks or shared memory (nolock=1, locking_mode=exclusive, a VFS in Path other
	//     than "os").
	MaxConns int

	// AcquireTimeout is how long a call waits for a connection, unless its context ends earlier.
	// Zero means 30 seconds, or twice BusyTimeout if that is more. Negative means as long as the
	// context allows.
	AcquireTimeout time.Duration

	// IdleTimeout is how long a connection may be idle before it is closed, if more than MinConns
	// are open. Zero means 600 seconds, or MaxLifetime if that is less. Negative means no limit.
	// In-memory databases have none.
	IdleTimeout time.Duration

	// MaxLifetime is how long a connection may be open. After that it is closed as soon as it is
	// idle. Zero means 1800 seconds, or IdleTimeout if that is more. Negative means no limit.
	// In-memory databases have none.
	MaxLifetime time.Duration

	// LifetimeJitter is the largest fraction of MaxLifetime by which a connection's lifetime is
	// shortened at random. So connections do not all expire together. Zero means 0.1, negative
	// means none. More than 1 is refused.
	LifetimeJitter float64

	// MaxWaiters is how many calls may wait for a connection of a lane. The next call fails
	// immediately. Zero means any number.
	MaxWaiters int

	// DisableWAL forbids WAL mode, for example because the file is on a network file system. The
	// journal mode is then that of the pragma journal_mode in Path or Pragmas, or else that of
	// the file, or delete for a new one.
	//
	// If the file is in WAL mode and no pragma changes that, [Open] fails with [ErrInvalidConfig]
	// before anything is changed. To convert the file, set the pragma journal_mode to delete; no
	// other connection may have it open then. A pool that would set WAL mode cannot open a file
	// that another pool of the process has open with DisableWAL. If another process sets WAL
	// mode later, the pool's health is degraded.
	//
	// False sets WAL mode if the database supports it and may be written, unless the pragma sets
	// another mode. Where the pool cannot set WAL mode, the field has no effect, and a file in
	// WAL mode is used as it is: with a read-only database, nolock=1, or a VFS other than "os".
	DisableWAL bool

	// MustExist makes [Open] fail with [ErrNotFound] if the file is missing. False creates it.
	MustExist bool

	// Synchronous is how commits reach the disk. Zero means [SynchronousFull] in WAL mode and
	// [SynchronousExtra] without a WAL, so that a power failure undoes no commit. [Pool.Config]
	// returns the resolved value. Any other value is used as it is.
	Synchronous Synchronous

	// CommitSync selects how the commits of a database with Synchronous FULL in WAL mode reach the
	// disk. Zero means [CommitSyncShared] where commits can share syncs, and otherwise
	// [CommitSyncSolo], as with any other Synchronous. [Pool.Config] returns the resolved value.
	CommitSync CommitSync

	// BusyTimeout is how long SQLite waits for a lock of another process; within the pool,
	// callers wait in queues. Zero means 5 seconds, or half of AcquireTimeout if that is less.
	// Negative means not at all. It is rounded up to milliseconds. It must be less than
	// AcquireTimeout.
	BusyTimeout time.Duration

	// ValidateAfter makes a connection that has been idle for that long read a page before it is
	// leased. If it cannot, it is replaced. Zero means never.
	ValidateAfter time.Duration

	// KeepAlive is how often an idle connection reads a page. Zero means never.
	KeepAlive time.Duration

	// LeakAfter is how long a connection may be held before it is reported. Zero means never.
	LeakAfter time.Duration

	// StatementTimeout is how long a statement may take once it has its connection: an Exec until
	// it returns, a query until its last row. Zero means no limit. A statement that takes longer
	// is interrupted within milliseconds, when SQLite next checks. SQLite rolls back the
	// transaction of an interrupted write, as it does when a context ends. The program must end
	// the transaction of an interrupted read.
	StatementTimeout time.Duration

	// TxTimeout is how long a transaction may last, no matter which query or call began it.
	// Zero means no limit. A transaction that lasts longer is rolled back, even while the program
	// calls nothing. Its turn goes to the next waiter, and every later call on it fails.
	TxTimeout time.Duration

	// MaxReadAge is how long rows or a transaction may be open. Meanwhile they read an old state
	// of the database, and the WAL cannot be reset. Zero means no limit. Rows and transactions
	// that are open for longer are ended as with TxTimeout.
	//
	// TxTimeout and MaxReadAge may be noticed late, by an eighth of their duration. A log line
	// and an event report each exceeded limit before anything is interrupted. The error is a
	// [*TimeLimitError]. If the program has SQLite's own connection, from Raw, its call is
	// interrupted, but the connection is not taken away.
	MaxReadAge time.Duration

	// TrackStacks records the stack of each caller that acquires a connection. That costs some
	// microseconds each. LeakAfter implies it.
	TrackStacks bool

	// DirtyPolicy selects what happens to a connection that is given back with an open transaction.
	// Zero means [DirtyRepair].
	Dirty DirtyPolicy

	// HealthInterval is how often the pool checks its health by itself. Zero means never.
	HealthInterval time.Duration

	// JournalSizeLimit is how many bytes a WAL or a kept journal may have after its content has
	// been moved to the database. Zero means 64 MiB, negative means any number. To empty it, set
	// the pragma journal_size_limit to 0.
	//
	// The pool keeps a WAL in use within twice this limit; the package documentation says how
	// that affects readers and writers. For that, less than 64 pages count as 64 pages, and a
	// pragma of 0 or a negative limit as 64 MiB.
	JournalSizeLimit int64

	// Pragmas are applied to every connection, in addition to those of Path and those that
	// follow from other fields. They take precedence over the latter; see [driver.Config].
	// Pragmas that are stored in the file, such as user_version, are applied only by the
	// writer.
	Pragmas []driver.Pragma

	// Init and Term, if not nil, are called for every new connection of every lane, and before a
	// connection is closed; see [driver.Config]. Use Init for everything that all connections
	// need: functions, collations, attached files.
	Init, Term func(*sqlite3.Conn) error

	// Compat is the driver whose data source names Path may use and whose behavior the
	// connections imitate; see [driver.Compat]. A _compat in Path takes precedence. The pool's
	// own settings remain, except foreign_keys, which is then on only if it is requested.
	Compat driver.Compat

	// MapError is called with every error before database/sql gets it; see
	// [driver.Config].MapError. [Pool.WithTx] retries after an error that is sqlite3.BUSY when it
	// comes out of MapError.
	MapError func(error) error

	// StatementCache is how many prepared statements each connection caches. Zero means
	// [driver.DefaultStatementCache], negative means none.
	StatementCache int

	// MemoryLimit is how many bytes SQLite may allocate for each connection, including the pool's
	// own. Zero means [driver.DefaultMemoryLimit]. A negative number, less than 1 MiB or more
	// than 4 GiB is refused. A limit in a call's context (sqlite3.WithMaxMemory) is ignored,
	// because other calls use the connection too.
	MemoryLimit int64

	// Interceptors wrap every connection's calls. The first one is outermost, and tracing is
	// inside all of them.
	Interceptors []sqlmw.Interceptor

	// Tracing makes the spans. Nil means [tracing.Default].
	Tracing *tracing.Tracer

	// Recorder records every event, in addition to the pool's own log. Events of a call are
	// passed on the call's goroutine, all others on a separate one. Nil means none.
	Recorder driver.Recorder

	// Events is how many events the pool's log keeps. Zero means [DefaultEvents].
	Events int

	// Logger receives the pool's log lines, on a separate goroutine. A call waits for its line
	// for at most 20 milliseconds. Nil means [slog.Default] at the time when the pool is opened.
	Logger *slog.Logger

	// LifecycleLevel is the level of the log lines that say that the pool has been opened and
	// closed. Zero means [slog.LevelInfo]. [slog.LevelDebug] is for programs with many pools;
	// warnings and errors keep their levels.
	LifecycleLevel slog.Level

	// Hooks are called when connections are opened, acquired, released and closed.
	Hooks Hooks
}

// Synchronous is how commits reach the disk.
//
// Without a WAL, a commit deletes the journal. FULL syncs the database but not the directory.
// So after a power failure the journal may reappear and undo the commit: in a test with 60
// simulated power failures, 10 lost the latest commit. EXTRA syncs the directory too. In WAL
// mode, both do the same.
// https://sqlite.org/pragma.html#pragma_synchronous
type Synchronous int

const (
	// SynchronousDefault means SynchronousFull in WAL mode and SynchronousExtra without a WAL.
	SynchronousDefault Synchronous = iota

	// SynchronousFull puts every commit on the disk in WAL mode. Without a WAL, a power failure
	// may undo the latest commit.
	SynchronousFull

	// SynchronousOff lets the operating system decide when to write. If that crashes, the
	// database may be corrupt.
	SynchronousOff

	// SynchronousNormal syncs less. In WAL mode, a power failure may undo the latest commits.
	SynchronousNormal

	// SynchronousExtra puts every commit on the disk, with and without a WAL.
	SynchronousExtra
)

var synchronousNames = []string{"default", "full", "off", "normal", "extra"}

// String returns SQLite's keyword for the setting.
func (s Synchronous) String() string { return nameOf("Synchronous", int(s), synchronousNames) }

// CommitSync selects how commits reach the disk with [SynchronousFull] in WAL mode. With each of
// them, a commit that has returned without an error is on the disk: a power failure does not undo
// it.
//
// Commits can share syncs on Linux, if the file system is this machine's, the VFS is "os",
// locking_mode is not exclusive, and there are no Interceptors, which would see the end of a call
// before its commit is on the disk. See the package documentation.
type CommitSync int

const (
	// CommitSyncDefault means CommitSyncShared where commits can share syncs.
	CommitSyncDefault CommitSync = iota

	// CommitSyncShared lets the next transaction begin while the disk writes the last one, and
	// syncs once for all that wait. Readers of the pool wait, before their first row, until what
	// they see is on the disk. Other processes may see a commit earlier.
	CommitSyncShared

	// CommitSyncSharedEarly is CommitSyncShared, but readers do not wait. After a power failure, a
	// commit may be gone that was seen, though it had not returned yet.
	CommitSyncSharedEarly

	// CommitSyncSolo lets SQLite sync each commit before the next transaction may begin.
	CommitSyncSolo
)

var commitSyncNames = []string{"default", "shared", "shared-early", "solo"}

// String returns the keyword for a DSN.
func (s CommitSync) String() string { return nameOf("CommitSync", int(s), commitSyncNames) }

// DirtyPolicy selects what happens to a connection that is given back with an open transaction. Only
// a transaction that a query began can be left open, because database/sql ends its own. In
// every case, an event and a log line report it.
type DirtyPolicy int

const (
	DirtyRepair  DirtyPolicy = iota // the transaction is rolled back
	DirtyDiscard                    // the connection is closed, which rolls back the transaction
	DirtyFail                       // as DirtyRepair, and the pool's next statement gets a DirtyError
)

var dirtyNames = []string{"repair", "discard", "fail"}

// String returns the keyword for a DSN.
func (d DirtyPolicy) String() string { return nameOf("DirtyPolicy", int(d), dirtyNames) }

func nameOf(kind string, n int, names []string) string {
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return fmt.Sprintf("%s(%d)", kind, n)
}

const (
	defaultMinConns       = 1
	defaultMaxConns       = 10
	defaultAcquireTimeout = 30 * time.Second
	defaultIdleTimeout    = 600 * time.Second
	defaultMaxLifetime    = 1800 * time.Second
	defaultLifetimeJitter = 0.1
	defaultBusyTimeout    = 5 * time.Second
)

// never is what every negative duration becomes in a resolved Config.
const never = time.Duration(-1)

// InMemory returns the configuration of an in-memory database: one connection, no WAL, and no
// closing before the pool is closed.
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

// Validate returns an error that lists everything that is wrong with the configuration, or nil.
// The error wraps [ErrInvalidConfig]. For problems of Path or Pragmas, it also wraps package
// driver's error. Validate opens nothing. An unset field is never a problem: its default
// follows the other fields.
func (c Config) Validate() error {
	_, err := c.plan()
	return err
}

// plan returns the plan for c.
func (c Config) plan() (*plan, error) {
	dsn, ps := c.parsePath()
	return newPlan(c, dsn, ps)
}

// parsePath parses Path. If that fails, the DSN is nil and the problems are the reasons.
func (c Config) parsePath() (*driver.DSN, problems) {
	var ps problems
	switch {
	case c.Path == "" && c.Compat == driver.CompatNone: // to other drivers it is a temporary database
		ps.add("Path is empty: name a file, or use InMemory() for a database in memory")
		return nil, ps
	case strings.ContainsRune(c.Path, 0):
		ps.add("Path holds a NUL byte, at which SQLite would cut it off: leave it out")
		return nil, ps
	}
	foreign := "" // the first key of the pool in Path
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

// String returns the configuration for people: Path without its parameters, and Pragmas without
// values that may be secrets.
func (c Config) String() string {
	type fields Config // fields has no String method
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

// problems are the errors of a configuration.
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

// fields adds the problems of all fields of c except Path.
func (ps *problems) fields(c Config) {
	ps.counts(c)
	if n := int(c.Synchronous); n < 0 || n >= len(synchronousNames) {
		ps.add("Synchronous is %d: use SynchronousDefault, SynchronousOff, SynchronousNormal, SynchronousFull or SynchronousExtra", n)
	}
	if n := int(c.CommitSync); n < 0 || n >= len(commitSyncNames) {
		ps.add("CommitSync is %d: use CommitSyncDefault, CommitSyncShared, CommitSyncSharedEarly or CommitSyncSolo", n)
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

// durations adds the problems of c's durations. said is c with the settings of Path and
// Pragmas.
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

// A configError holds all problems of a configuration.
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

// Unwrap returns ErrInvalidConfig and the problems.
func (e *configError) Unwrap() []error {
	return slices.Concat([]error{ErrInvalidConfig}, e.problems)
}
