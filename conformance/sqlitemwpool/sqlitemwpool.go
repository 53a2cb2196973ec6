// Package sqlitemwpool lists, for package conformance, the intended and documented differences
// between a pool of this module and the plain driver.
package sqlitemwpool

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance"
	"github.com/sqlitemw/sqlitemw/conformance/ncruces"
	"github.com/sqlitemw/sqlitemw/pool"
)

// Engine returns the plain driver with the default settings of a pool, unless a case sets
// others. The comparison then shows only the pool's own differences. All calls return the same
// engine.
var Engine = sync.OnceValue(func() *conformance.Engine {
	plain := ncruces.Engine()
	return &conformance.Engine{
		Name:     "plain",
		Open:     func(dsn string) (*sql.DB, error) { return plain.Open(withWAL(dsn)) },
		Hook:     plain.Hook,
		Classify: plain.Classify,
		Cases:    plain.Cases,
		DSN: func(path string, s conformance.Settings) string {
			// Of several pragmas with one name, the last applies.
			s.Pragmas = append([]string{fmt.Sprintf("busy_timeout(%d)", busy), "foreign_keys(1)"}, s.Pragmas...)
			return plain.DSN(path, s)
		},
	}
})

// withWAL adds WAL mode to the DSN if a pool would use it. WAL mode is set last, as a pool
// does, because the page size can only be set on a file that is not in WAL mode.
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

// Open opens a database as sql.Open with the name "sqlitemw-pool" does. A call waits for a
// connection as long as a slow machine may take to open one: one minute. Use it for cases in
// which no call waits for a connection that its own goroutine holds.
func Open(dsn string) (*sql.DB, error) { return open(dsn, time.Minute, time.Minute) }

// OpenHasty is Open for cases in which a call waits for a connection that its own goroutine
// holds. These are among the [Deviations]. Acquire and Shutdown have short timeouts, unless the
// case sets a longer busy timeout.
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

// bounded shuts its pool down with a timeout for what is in use.
type bounded struct {
	driver.Connector
	db       *sql.DB
	shutdown time.Duration
}

func (b *bounded) Close() error {
	if p := pool.Of(b.db); p != nil {
		ctx, cancel := context.WithTimeout(context.Background(), b.shutdown)
		defer cancel()
		_ = p.Shutdown(ctx) // Close then returns its result
	}
	return b.Connector.(io.Closer).Close()
}

// busy is the busy timeout, in milliseconds, if a case sets none. It is short, because many
// cases wait for it in vain.
const busy = 100

// Own reports whether sql is a query that a pool executes for itself. With these it checks what
// a program may have changed on the writer connection.
func Own(sql string) bool {
	if pragma, ok := strings.CutPrefix(sql, "PRAGMA "); ok {
		return slices.Contains(ownPragmas, pragma)
	}
	for _, query := range []string{"name FROM sqlite_temp_schema WHERE type", "name FROM sqlite_temp_schema ORDER", "name FROM pragma_function_list", "name, narg FROM pragma_function_list",
		"name FROM pragma_module_list", "name FROM pragma_collation_list"} {
		if strings.HasPrefix(sql, "SELECT "+query) {
			return true
		}
	}
	return sql == "SELECT 'a' LIKE 'A'" || strings.HasPrefix(sql, "SELECT name FROM ") && strings.Contains(sql, ".sqlite_schema AS a WHERE type IN")
}

var ownPragmas = strings.Fields(`journal_mode database_list analysis_limit automatic_index busy_timeout cache_size cache_spill
	cell_size_check checkpoint_fullfsync count_changes defer_foreign_keys empty_result_callbacks foreign_keys full_column_names
	fullfsync hard_heap_limit ignore_check_constraints journal_size_limit legacy_alter_table locking_mode max_page_count
	query_only read_uncommitted recursive_triggers reverse_unordered_selects secure_delete short_column_names
	soft_heap_limit synchronous temp_store threads trusted_schema wal_autocheckpoint writable_schema`)

// Unplayed are cases that cannot be played, and why. Either a call would wait for its own
// goroutine until the timeout, or the plain driver with a pool's settings does not do what the
// case needs.
var Unplayed = map[string]string{
	"cancellation/waiting for a lock":          "one writer: the second writer executes nothing yet, so its function does not run and cannot cancel it",
	"pragmas/exclusive locking":                "WAL: the plain driver cannot set it while another connection locks the file exclusively",
	"transactions/commit that is kept waiting": "one writer: the second transaction does not begin while the first is open, so its commit cannot wait",
	"transactions/two writers":                 "one writer: the second transaction does not begin",
	"transactions/left open":                   "queries that begin: the transaction is rolled back, so Begin succeeds and holds the only connection of database/sql",
}

// The reasons for deviations. The documentation of package pool describes each.
const (
	oneWriter  = "one writer: a holder that has an in-memory database, or has left a setting on the connection, keeps it, and others wait"
	busyError  = "one writer: a waiter that times out gets an AcquireError, which matches sqlite3.BUSY"
	ctx        = "contexts: SQLite runs with a context of the pool, which has the caller's values and ends with the caller's"
	textsBegin = "queries that begin: a transaction that a query began is rolled back at the end of its checkout"
	closes     = "close: db.Close closes the pool, and finally takes away connections in use"
	shells     = "connections are shells: how many of them database/sql keeps, and for how long, does not affect the pool"
	statements = "statements are queries: each use executes the query separately, so uses do not disturb each other"
	raw        = "Raw: a shell has the methods of SQLite's connection only through Raw, which passes the writer"
	memory     = "memory: Config.MemoryLimit sets a connection's memory, because the connection serves many contexts"
	readers    = "readers: no query makes a reader write"
	changes    = "schema changes are visible immediately, on all connections"
	settings   = "settings: those of the pool"
	ofDriver   = "package driver: "
)

// Deviations are the differences between the driver "sqlitemw-pool" and the plain driver, by
// the cases that show them.
var Deviations = map[string]string{
	"DSN/foreign parameter":            ofDriver + "unknown parameters are refused",
	"DSN/immutable, to be written":     ofDriver + "a database that is read-only fails to open",
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
	"cancellation/between statements":              ofDriver + "a query ends when its context ends",
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
	"errors/panic in a transaction": "panics: a connection through which a panic has passed is closed, and its transaction rolled back",
	"errors/panic, connection":      "panics: a connection through which a panic has passed is closed",

	"exec/nothing": "an empty query belongs to no connection, so its result reports nothing about earlier statements",
	"exec/several statements, of which one fails": ofDriver + "(*sqlite3.Error).SQL begins at the error",

	"query/an insert, not read": ofDriver + "Query executes a query that writes",
	"query/returning, not read": ofDriver + "Query executes a query that writes",

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
	"query/maintenance":                                    "the order of rows without ORDER BY depends on the statistics that the reading connection has loaded",
	"query/no columns":                                     textsBegin,

	"raw/context":                   ctx,
	"raw/found by BusyTimeout":      raw,
	"raw/found by Exec and Prepare": raw,
	"raw/found by GetAutocommit":    raw,
	"raw/found by Limit":            raw,
	"raw/found by Savepoint":        raw,
	"raw/found by SetInterrupt":     raw,
	"raw/found by Stmts":            raw,
	"raw/methods":                   raw,
	"raw/statements":                statements,

	"savepoints/driver.Savepoint's name": ofDriver + "the name that driver.Savepoint makes up contains another function's name",

	"transactions/begin by default":                 busyError,
	"transactions/begin deferred":                   busyError,
	"transactions/begin exclusive":                  busyError,
	"transactions/begin immediate":                  busyError,
	"transactions/context ends, connection":         ofDriver + "the connection of a transaction whose context has ended is kept",
	"transactions/left open and closed":             textsBegin,
	"transactions/level Default":                    busyError,
	"transactions/level Linearizable":               busyError,
	"transactions/level Linearizable, read-only":    busyError,
	"transactions/level Serializable":               busyError,
	"transactions/level Serializable, read-only":    busyError,
	"transactions/read-only, turned by the program": readers,
	"transactions/read-only refuses":                statements,
}
