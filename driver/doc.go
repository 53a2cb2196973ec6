// Package driver registers the [database/sql] driver "sqlitemw": SQLite by
// github.com/ncruces/go-sqlite3, with connections that are configured and
// checked, traced by OpenTelemetry, and accounted for.
//
//	import _ "github.com/sqlitemw/sqlitemw/driver"
//
//	db, err := sql.Open("sqlitemw", "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)")
//
// A program that used "sqlite3" changes that one word. Where the DSN and
// [Config] say nothing, nothing else changes.
//
// # Data source names
//
// A DSN is what ncruces/go-sqlite3/driver takes: a file's name, or a "file:"
// URI (https://sqlite.org/uri.html) with SQLite's own parameters (mode, vfs,
// immutable, ...) and these:
//
//	_pragma    name(value) or name=value; may be repeated; see below
//	_txlock    deferred (default), immediate, exclusive or concurrent: how Begin begins
//	_timefmt   auto, sqlite, rfc3339, or another format of sqlite3.TimeFormat: how times are written and read
//
// The parameters of mattn/go-sqlite3 and modernc.org/sqlite are honoured where
// they mean something here; a _pragma wins over them, and a _timefmt:
//
//	_auto_vacuum _vacuum, _busy_timeout _timeout, _cache_size,         the pragma of that name, by its
//	_case_sensitive_like _cslike, _foreign_keys _fk,                   long or its short name; the short
//	_ignore_check_constraints, _journal_mode _journal,                 one wins, and the first of two
//	_locking_mode _locking, _query_only, _recursive_triggers _rt,
//	_secure_delete, _synchronous _sync, _writable_schema
//	_txlock                    in any case of letters
//	_stmt_cache_size           Config.StatementCache; 0 for none
//	_time_format               sqlite, or datetime, which writes UTC
//	_time_integer_format       unix, unix_milli, unix_micro or unix_nano
//	_inttotime=1, _texttotime=1, _dqs=0, _mutex=no or full, _error_rc, _defer_fk=0    as it is here anyway
//
// and refused with a reason, and what to do instead, where they do not: _loc and
// _timezone (times are read as they were written), _dqs=1, _inttotime=0,
// _texttotime=0, _auth..., _defensive, and _defer_foreign_keys or _defer_fk=1,
// which is for one transaction.
//
// A memory database with cache=shared is one for all connections of the process
// that name it, as with SQLite's shared cache, which this build has not: it is
// kept by the memdb VFS. On a file cache=shared is refused.
//
// Any other parameter is refused, unless the DSN names a VFS that may want it,
// and so are parameters behind a name that is no URI, and names that begin with
// "FILE:" or "sqlite:": SQLite would ignore the one, and make the others part of
// the file's name. The errors are [ErrDSN].
//
// # Pragmas
//
// The pragmas of the DSN and of [Config] are applied to every connection, in
// an order that works (a key; busy_timeout; locking_mode; page_size, encoding
// and auto_vacuum; journal_mode; all others as written; query_only), and each
// is read back after Config.Init has run. A pragma that SQLite does not know,
// or answers with another value than was asked, fails the connection with a
// [*PragmaError]. For the same pragma, the DSN wins over Config, and the last
// in the DSN over those before it.
//
// As in the plain driver, the busy timeout is one minute, unless the DSN has
// any _pragma at all: then it is what that says, else zero. Pragmas in Config
// do not turn it off.
//
// # Differences from the plain driver
//
//	DSN            mattn's and modernc's parameters are honoured; unknown parameters, parameters of a name that is no URI, other schemes,
//	               a _timefmt that would lose the time and malformed pragmas are refused, in OpenConnector
//	cache=shared   shares a memory database; the plain driver ignores it
//	pragmas        ordered and read back, as said above; a value that is no plain value is refused
//	opening        a file that is no database, or cannot be read, fails to open, not at the first query
//	               (not checked if the DSN names a vfs that may want a key first)
//	               an error of opening is an *OpenError, which names the file, around SQLite's
//	mode=rw, rwc   a database that can only be read, as that of a read-only vfs, fails to open
//	journal_mode   is tried again until the busy timeout is over where SQLite says BUSY at once
//	Ping           reads the file's header; the plain driver's does nothing
//	transactions   the connection of a transaction whose context ended is kept; database/sql discards the plain driver's
//	empty text     Query and Prepare of a text without a statement do nothing; in the plain driver they panic
//	schema changes show at once to what only reads; in the plain driver a query of a statement that is older than the change, or on a
//	               connection that has not seen it, fails once or tells old column names
//	several        a text of several statements ends where its context ends; the plain driver may execute the others.
//	statements     (*sqlite3.Error).SQL begins at the error; the plain driver counts from the text's beginning what
//	               SQLite counts from the statement's
//	queries        begin at the first question for columns or a row; in the plain driver, for a row
//	Conn.Stmts     lists no statement that the connection keeps
//	sick files     a connection whose file turns out corrupt, cut short, removed, replaced or emptied is closed when it is released;
//	               a file is looked after by its name, once a second at most, and by Ping, whose error is then ErrFileLost
//	closing        a statement that was never closed does not keep its connection and file open
//	panics         a connection through which a panic passed is closed when it is released
//	db.Driver()    is *Driver
//	savepoints     the name that driver.Savepoint makes up holds another function's name
//	Details        with tracing.Config.Details, a busy handler waits for locks in the busy timeout's place, as long and as the plain
//	               driver's does, except while a call's text names busy_timeout, and from when the program takes SQLite's own connection
//	               (Raw, and the methods of *sqlite3.Conn that set either) until it releases its own: then the timeout is back, waits are
//	               not measured, and the connection reads PRAGMA busy_timeout before its next call. So what a program asks is answered
//	               truly, but to a view of pragma_busy_timeout. A handler of the program's stays, and is not measured.
//	               Where the system can wait for a lock of the WAL (macOS, Windows), SQLite polls instead
//
// # Statements
//
// Each connection keeps the statements it has prepared ([Config]), and uses them
// again for a call with the same text: half the time of a short query is its
// preparation. A query takes its first step when the program first asks for its
// columns or a row, so that columns are those of the rows even when another
// connection or process has changed the schema since. [Connector.CacheStats]
// counts what became of statements.
//
// # Cancellation
//
// A call whose context ends returns SQLite's own error, as in the plain driver:
// errors.Is(err, sqlite3.INTERRUPT), or BUSY if it was waiting for a lock, but
// not context.Canceled. To tell that from any other interrupt, ask ctx.Err().
// A query that is cancelled while it is asked for its columns, which is when it
// begins, is closed by database/sql, which then says ctx.Err() itself.
//
// # The connection
//
// (*sql.Conn).Raw gives a [Conn], which is also ncruces' driver.Conn, and has
// all methods of *sqlite3.Conn, so that backups, blobs, hooks and functions
// work as on the plain driver.
package driver
