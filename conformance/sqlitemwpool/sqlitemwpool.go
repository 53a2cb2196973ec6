// Package sqlitemwpool says for package conformance where a pool of this module
// differs from the plain driver, on purpose and documented.
package sqlitemwpool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	"github.com/sqlitemw/sqlitemw/pool"
)

// Engine returns the plain driver with the settings that a pool has by itself,
// where a case does not say others: so that what is compared is the pool. All
// calls return the same one.
var Engine = sync.OnceValue(func() *conformance.Engine {
	plain := ncruces.Engine()
	return &conformance.Engine{
		Name:     "plain",
		Open:     func(dsn string) (*sql.DB, error) { return plain.Open(withWAL(dsn)) },
		Hook:     plain.Hook,
		Classify: plain.Classify,
		Cases:    plain.Cases,
		DSN: func(path string, s conformance.Settings) string {
			// The last of several is in force.
			s.Pragmas = append([]string{fmt.Sprintf("busy_timeout(%d)", busy), "foreign_keys(1)"}, s.Pragmas...)
			return plain.DSN(path, s)
		},
	}
})

// withWAL has the database in WAL mode where a pool would. It is set last, as a
// pool does: the size of pages is for a file that is not in WAL mode.
func withWAL(dsn string) string {
	for _, not := range []string{"journal_mode", "mode=ro", "mode=memory", "immutable", "locking_mode", "query_only", ":memory:", "vfs=", "#"} {
		if strings.Contains(dsn, not) {
			return dsn
		}
	}
	if len(dsn) <= len("file:") || !strings.HasPrefix(dsn, "file:") {
		return dsn
	}
	sign := "?"
	if strings.Contains(dsn, "?") {
		sign = "&"
	}
	return dsn + sign + "_pragma=journal_mode(wal)"
}

// Open opens a database as sql.Open does by the name "sqlitemw-pool". A call waits
// for a connection as long as a slow machine may take to open one: for cases that
// never wait for themselves.
func Open(dsn string) (*sql.DB, error) { return open(dsn, time.Minute, time.Minute) }

// OpenHasty is Open for cases that wait for themselves, which are among the
// [Deviations]: an acquire, and what closes the database, give up soon, unless
// the case has SQLite wait for longer.
func OpenHasty(dsn string) (*sql.DB, error) {
	return open(dsn, 2*busy*time.Millisecond, busy*time.Millisecond)
}

func open(dsn string, acquire, shutdown time.Duration) (*sql.DB, error) {
	cfg := pool.Config{AcquireTimeout: acquire, Logger: slog.New(slog.DiscardHandler)}
	c, err := (&pool.Driver{Config: cfg}).OpenConnector(dsn)
	if errors.Is(err, pool.ErrInvalidConfig) {
		cfg.AcquireTimeout = 0
		c, err = (&pool.Driver{Config: cfg}).OpenConnector(dsn)
	}
	if err != nil {
		return nil, err
	}
	b := &bounded{Connector: c, shutdown: shutdown}
	b.db = sql.OpenDB(b)
	return b.db, nil
}

// bounded gives its pool a time for what is in use when it is closed.
type bounded struct {
	driver.Connector
	db       *sql.DB
	shutdown time.Duration
}

func (b *bounded) Close() error {
	if p := pool.Of(b.db); p != nil {
		ctx, cancel := context.WithTimeout(context.Background(), b.shutdown)
		defer cancel()
		_ = p.Shutdown(ctx) // which Close then returns the result of
	}
	return b.Connector.(io.Closer).Close()
}

// busy is how long a connection waits for others, in milliseconds, where a case
// does not say.
const busy = 100

// Own reports whether a pool executes a text for itself: it looks at what a
// program may have changed of the connection that writes.
func Own(sql string) bool {
	switch sql {
	case "PRAGMA journal_mode", "PRAGMA database_list", "SELECT count(*) FROM sqlite_temp_schema",
		"PRAGMA synchronous", "PRAGMA foreign_keys", "PRAGMA ignore_check_constraints", "PRAGMA recursive_triggers":
		return true
	}
	return false
}

// Unplayed are cases that cannot be played, and why: a program waits for itself,
// and so for as long as it may; or the plain driver has the settings of a pool, and
// does not do what the case needs.
var Unplayed = map[string]string{
	"cancellation/waiting for a lock":          "one writer: who comes second is not executing anything yet, and what it would execute does not cancel it",
	"pragmas/exclusive locking":                "WAL: the plain driver cannot set it where another connection has the file for itself",
	"transactions/commit that is kept waiting": "one writer: the second transaction does not begin while the first is there to keep it waiting",
	"transactions/two writers":                 "one writer: the second transaction does not begin",
	"transactions/left open":                   "texts that begin: the transaction is rolled back, so that Begin goes well and has the only connection that database/sql may have",
}

// The reasons for deviations. The manual of package pool has a chapter on each.
const (
	oneWriter  = "one writer: who has it in memory, or has left something in force on it, keeps it, and others wait"
	busyError  = "one writer: who waits in vain is told so by an AcquireError, which is sqlite3.BUSY"
	ctx        = "contexts: SQLite runs with one of the pool's own, which has the caller's values and end"
	textsBegin = "texts that begin: a transaction that a text began is rolled back with its checkout"
	closes     = "close: db.Close closes the pool, and takes away what is in use in the end"
	shells     = "connections are shells: what database/sql keeps of them, or for how long, is not what the pool does"
	statements = "statements are texts: each use of one is an execution of its text, which others do not disturb"
	raw        = "Raw: a shell has no methods of SQLite's connection but by Raw, which is the writer's"
	memory     = "memory: a connection has as much as Config.MemoryLimit says, for it serves many contexts"
	readers    = "readers: no text makes one write"
	changes    = "schema changes show at once, on all connections"
	settings   = "settings: those of the pool"
	ofDriver   = "package driver: "
)

// Deviations are the differences of the driver "sqlitemw-pool" from the plain
// driver, by the cases that show them.
var Deviations = map[string]string{
	"DSN/foreign parameter":            ofDriver + "unknown parameters are refused",
	"DSN/immutable, to be written":     ofDriver + "a database that can only be read fails to open",
	"DSN/fragment":                     settings,
	"DSN/memory ":                      "DSN: an empty name is refused",
	"DSN/memory :memory:":              oneWriter,
	"DSN/memory file:":                 oneWriter,
	"DSN/memory file::memory:":         oneWriter,
	"DSN/memory file:name mode=memory": oneWriter,
	"DSN/open does not":                settings,
	"DSN/plain a name.db":              settings,
	"DSN/plain a#b.db":                 settings,
	"DSN/plain a%20b.db":               settings,
	"DSN/plain größe-数据.db":            settings,
	"DSN/plain plain.db":               settings,

	"cancellation/before ping":                     ofDriver + "Ping reads the file",
	"cancellation/before prepared":                 statements,
	"cancellation/between statements":              ofDriver + "a text ends where its context ends",
	"cancellation/context of exec":                 ctx,
	"cancellation/context of exec with arguments":  ctx,
	"cancellation/context of prepared exec":        ctx,
	"cancellation/context of prepared query":       ctx,
	"cancellation/context of query":                ctx,
	"cancellation/context of query with arguments": ctx,
	"cancellation/context of rows":                 ctx,
	"cancellation/context of transaction":          ctx,
	"cancellation/context of trigger":              ctx,

	"concurrency/closed while in use":  closes,
	"concurrency/closed while waiting": closes,

	"errors/attach":                 statements,
	"errors/busy":                   busyError,
	"errors/busy snapshot":          busyError,
	"errors/no database":            ofDriver + "an error of opening is an *OpenError, which names the file",
	"errors/no directory":           ofDriver + "an error of opening is an *OpenError, which names the file",
	"errors/no transaction":         statements,
	"errors/panic in a transaction": "panics: a connection through which a panic passed is closed, and its transaction rolled back",
	"errors/panic, connection":      "panics: a connection through which a panic passed is closed",

	"exec/nothing": "an empty text is nobody's: it tells nothing of what was done before",
	"exec/several statements, of which one fails": ofDriver + "(*sqlite3.Error).SQL begins at the error",

	"query/an insert, not read": ofDriver + "a query of a statement that writes executes it",
	"query/returning, not read": ofDriver + "a query of a statement that writes executes it",

	"lifecycle/a connection goes back":                       textsBegin,
	"lifecycle/a function's context":                         ctx,
	"lifecycle/connection's statement closed with rows open": statements,
	"lifecycle/database closed before a connection":          closes,
	"lifecycle/database closed before a transaction":         closes,
	"lifecycle/database closed before rows":                  closes,
	"lifecycle/every caller's context":                       ctx,
	"lifecycle/executed with rows open":                      statements,
	"lifecycle/max memory":                                   memory,
	"lifecycle/none idle":                                    shells,
	"lifecycle/short lives":                                  shells,
	"lifecycle/statement of a connection":                    oneWriter,
	"lifecycle/two rows of one statement":                    statements,

	"pragmas/busy timeout": busyError,
	"pragmas/none":         settings,

	"query/a change and a statement of all columns":        changes,
	"query/a change and a statement that is not concerned": statements,
	"query/a change by another connection":                 changes,
	"query/a change rolled back":                           textsBegin,
	"query/a table dropped by another connection":          oneWriter,
	"query/maintenance":                                    "rows without ORDER BY come as the connection that reads has them, with the statistics that it knows",
	"query/no columns":                                     textsBegin,

	"raw/context":                   ctx,
	"raw/found by BusyTimeout":      raw,
	"raw/found by Exec and Prepare": raw,
	"raw/found by GetAutocommit":    raw,
	"raw/found by Limit":            raw,
	"raw/found by Savepoint":        raw,
	"raw/found by SetInterrupt":     raw,
	"raw/found by Stmts":            raw,
	"raw/function":                  oneWriter,
	"raw/methods":                   raw,
	"raw/statements":                statements,

	"savepoints/driver.Savepoint's name": ofDriver + "the name that driver.Savepoint makes up holds another function's name",

	"transactions/begin by default":                 busyError,
	"transactions/begin deferred":                   busyError,
	"transactions/begin exclusive":                  busyError,
	"transactions/begin immediate":                  busyError,
	"transactions/context ends, connection":         ofDriver + "the connection of a transaction whose context ended is kept",
	"transactions/left open and closed":             textsBegin,
	"transactions/level Default":                    busyError,
	"transactions/level Linearizable":               busyError,
	"transactions/level Linearizable, read-only":    busyError,
	"transactions/level Serializable":               busyError,
	"transactions/level Serializable, read-only":    busyError,
	"transactions/read-only, turned by the program": readers,
	"transactions/read-only refuses":                statements,
}
