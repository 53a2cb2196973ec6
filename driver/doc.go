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
//	_txlock    immediate (default), deferred, exclusive or concurrent: how Begin begins
//	_timefmt   auto, sqlite, rfc3339, or another format of sqlite3.TimeFormat: how times are written and read
//	_memory_limit
//	           Config.MemoryLimit, in bytes; it wins over that
//
// As in the plain driver, since its v0.37.0, Begin takes the write lock unless
// _txlock says otherwise, and waits for it as long as the busy timeout says. A
// read-only transaction (sql.TxOptions) takes no lock, whatever _txlock says. On a
// connection with the pragma query_only, Begin takes none by default. An isolation
// level wins over _txlock: serializable is immediate, linearizable exclusive.
//
// The parameters of mattn/go-sqlite3 and modernc.org/sqlite are honoured where
// they mean something here; a _pragma wins over them, and a _timefmt:
//
//	_auto_vacuum _vacuum, _busy_timeout _timeout, _cache_size,         the pragma of that name, by its
//	_case_sensitive_like _cslike, _foreign_keys _fk,                   long or its short name; the short
//	_ignore_check_constraints, _journal_mode _journal,                 one wins, and the first of two
//	_locking_mode _locking, _query_only, _recursive_triggers _rt,
//	_secure_delete, _synchronous _sync, _writable_schema
//	_txlock                    in any case of letters; without it Begin is immediate, as said above, and
//	                           in both of those drivers deferred: a program that relies on that says so
//	_stmt_cache_size           Config.StatementCache; 0 for none
//	_time_format               sqlite, or datetime, which writes UTC: how times are written; all forms are read
//	_time_integer_format       unix, unix_milli, unix_micro or unix_nano: the same
//	_dqs                       1: a name in double quotes that nothing has is a string; 0 (default): it is an error
//	_defensive                 1: SQLITE_DBCONFIG_DEFENSIVE
//	_inttotime=1, _texttotime=1, _mutex=no or full, _error_rc, _defer_fk=0    as it is here anyway
//
// and refused with a reason, and what to do instead, where they do not: _loc and
// _timezone (times are read as they were written), _inttotime=0, _texttotime=0,
// _auth..., and _defer_foreign_keys or _defer_fk=1, which is for one transaction.
// All that is wrong with a DSN is in one error. [ParseDSN] checks a DSN without opening
// anything, and tells which file it names and what it sets.
//
// A memory database with cache=shared is one for all connections of the process
// that name it, as with SQLite's shared cache, which this build has not: it is
// kept by the memdb VFS. On a file cache=shared is refused.
//
// What a DSN asks for without effect, pragmas without a busy timeout, and a second connection
// to a database in memory that each has for itself, are an event of [KindWarning] and a line of
// [Config].Logger, once.
//
// Any other parameter is refused, unless the DSN names a VFS that may want it,
// and so are parameters behind a name that is no URI, and names that begin with
// "FILE:" or "sqlite:": SQLite would ignore the one, and make the others part of
// the file's name. So are a control character in a URI, an escaped NUL, a flag that SQLite
// would take for off, and a file's name of more than 1024 bytes, for which the engine panics.
// The errors are [ErrDSN], as is that of opening a connection with a mode, a cache or a VFS
// that there is not.
//
// # Programs of other drivers
//
// A program of github.com/mattn/go-sqlite3 opens [NameMattn], "sqlitemw-mattn", and one of
// modernc.org/sqlite [NameModernc], "sqlitemw-modernc", with the DSN that it has. [Config].Compat
// and a parameter _compat=mattn or _compat=modernc do the same. Then these are that driver's:
//
//	DSN            plain names with parameters, URIs, percent signs, the order and precedence of parameters, and which are
//	               ignored: each of those is an event of [KindWarning] and a log line, once. cache=shared on a file is left out
//	defaults       mattn: busy timeout 5 s, synchronous normal; modernc: no busy timeout; both: Begin takes no lock,
//	               foreign_keys off, trusted_schema on, names in double quotes that nothing has are strings
//	pragmas        one that SQLite does not know, or keeps otherwise, is a warning
//	times          written in that driver's form; read in every form that SQLite and the three drivers have written, from columns
//	               declared DATE, DATETIME or TIMESTAMP: with mattn also from numbers, Julian days among them, with modernc from
//	               numbers with _inttotime. Texts in other columns stay texts
//	types          of values scanned into an any, and ColumnType
//	isolation      every level is accepted: SQLite's transactions are serializable
//	statements     texts of several statements, with arguments: mattn shares them out, modernc gives all to each; left over ones
//	               are ignored. LastInsertId is that of the connection
//	errors         their text: "UNIQUE constraint failed: t.a" (mattn), "constraint failed: UNIQUE constraint failed: t.a (2067)"
//	               (modernc). [errors.Is] and [errors.As] find ncruces/go-sqlite3's codes, and [Code] returns numbers. As JSON, mattn's have
//	               Code and ExtendedCode, and modernc's have a method Code() int. A call whose context has ended returns ctx.Err()
//
// These differ still:
//
//	types of errors   errors.As for sqlite3.Error of mattn's or *sqlite.Error of modernc's finds nothing: use [Code], or let
//	                  [Config].MapError return what the program looks for
//	ReadOnly          a transaction with sql.TxOptions{ReadOnly: true} cannot write; with those drivers it can
//	_pragma           a value that SQLite would take for another is refused, and so is one that is more than a number, a word or a
//	                  text in quotes, as several statements are
//	vfs               unix-excl, unix-none and unix-dotfile are not there
//	modules           fts3, fts4, geopoly, dbstat and sqlite_dbpage are not there; fts5 and rtree are packages of
//	                  ncruces/go-sqlite3's to be imported
//	_auth...          is refused: this build of SQLite has no user authentication
//	functions         mattn's ConnectHook and RegisterFunc, modernc's RegisterFunction and RegisterScalarFunction are
//	                  [Config].Init: func(c *sqlite3.Conn) error { return c.CreateFunction(...) }
//	collations        RegisterCollation and RegisterCollationUtf8 are CreateCollation there
//	extensions        of C cannot be loaded: SQLite runs here without C
//	Raw               gives a [Conn], and not the driver's own connection
//	query, modernc    a text of several statements has the rows of the last
//
// # Secrets in data source names
//
// A DSN may hold a key, and a mistyped one may hold it in any place. No error, event, span,
// metric, log line or String has more of it than the name of the file, the names of
// parameters and pragmas, and the beginning of a value that is a word of letters or a number:
// "..." stands for the rest, and for what mixes letters and digits. A name that looks like
// another system's DSN (postgres://user:password@host, user:password@tcp(host)/db,
// password=...) is cut there, also as db.namespace. An error of SQLite, of the plain driver or
// of the operating system that would show more is replaced by its code. Names in error texts
// are quoted as %q does, so that none breaks a line of a log.
//
// # Pragmas
//
// The pragmas of the DSN and of [Config] are applied to every connection, in
// an order that works (a key; busy_timeout; locking_mode; page_size, encoding
// and auto_vacuum; journal_mode; all others as written; query_only), and each
// is read back after Config.Init has run. A pragma that SQLite does not know,
// or answers with another value than was asked, fails the connection with a
// [*PragmaError]; but where SQLite documents that answer (journal_mode of a database in
// memory, mmap_size and threads of a build without), it is an event of [KindWarning]. For the same pragma, the DSN wins over Config, and the last
// in the DSN over those before it.
//
// As in the plain driver, the busy timeout is one minute, unless the DSN has
// any _pragma at all: then it is what that says, else zero. Pragmas in Config
// do not turn it off.
//
// # Differences from the plain driver
//
//	DSN            mattn's and modernc's parameters are honoured; unknown parameters, parameters of a name that is no URI, other schemes,
//	               a _timefmt that would lose the time, malformed pragmas, an escaped NUL and a name that is too long are
//	               refused, in OpenConnector
//	cache=shared   shares a memory database; the plain driver ignores it
//	pragmas        ordered and read back, as said above; a value that is no plain value is refused
//	opening        a file that is no database, or cannot be read, fails to open, not at the first query
//	               (not checked if the DSN names a vfs that may want a key first, and gives none)
//	keys           an error of a file that may be encrypted names the file and what may be wrong, around the plain driver's own
//	               an error of opening is an *OpenError, which names the file, around SQLite's, or around its code where
//	               SQLite's error would show a key
//	mode=rw, rwc   a database that can only be read, as that of a read-only vfs, fails to open
//	journal_mode   is tried again until the busy timeout is over where SQLite says BUSY at once
//	Ping           reads the file's header; the plain driver's does nothing
//	transactions   the connection of a transaction whose context ended is kept; database/sql discards the plain driver's
//	empty text     Query and Prepare of a text without a statement do nothing; in the plain driver they panic
//	schema changes show at once to queries; in the plain driver a query of a statement that is older than the change, or on a
//	               connection that has not seen it, fails once or tells old column names
//	several        a text of several statements ends where its context ends; the plain driver may execute the others.
//	statements     (*sqlite3.Error).SQL begins at the error; the plain driver counts from the text's beginning what
//	               SQLite counts from the statement's
//	queries        begin at the first question for columns or a row; in the plain driver, for a row. One that writes, as INSERT with
//	               RETURNING does, is executed by Query; the plain driver does not write at all if no row is asked for. The error
//	               comes from the first question, or from Close
//	Conn.Stmts     lists no statement that the connection keeps
//	sick files     a connection whose file turns out corrupt or cut short, or cannot be read or written (IOERR), is closed when it is
//	               released
//	lost files     a database that is removed, replaced, emptied or moved while it is open fails every call with ErrFileLost, until
//	               the *sql.DB is closed; see The file
//	later          connections after the first open the first one's file or none, wherever the working directory is by then, and
//	               do not make one that is missing
//	two names      a file that is open is not opened by another name, as a hard link is: see OtherNameError
//	closing        a statement that was never closed does not keep its connection and file open
//	panics         a connection through which a panic passed is closed at once; see below
//	db.Driver()    is *Driver
//	savepoints     the name that driver.Savepoint makes up holds another function's name
//	Details        with tracing.Config.Details, a busy handler waits for locks in the busy timeout's place, as long and as the plain
//	               driver's does, except while a call's text names busy_timeout, and from when the program takes SQLite's own connection
//	               (Raw, and the methods of *sqlite3.Conn that set either) until it releases its own: then the timeout is back, waits are
//	               not measured, and the connection reads PRAGMA busy_timeout before its next call. So what a program asks is answered
//	               truly, but to a view of pragma_busy_timeout. A handler of the program's stays, and is not measured.
//	               Where the system can wait for a lock of the WAL (macOS, Windows), SQLite polls instead
//
// # The file
//
// A database is three files: the database itself, its -wal and its -shm. SQLite goes on
// with those that it has open when others take their names, and what it writes then is
// lost, or written over what is there now. So a file has an identity: what the operating
// system says of the handle that SQLite has. It is compared with what the names lead to
// before and after a connection is opened, by Ping, before a transaction's or statement's
// success is returned, and when a connection is released; but not again for a millisecond,
// or for 500 times as long as it took, up to a second, so that a program that writes
// without pause may write for that long before it knows.
//
// What one connection notices is a fact of the file: every next call on every connection
// of this process that has it open fails with [ErrFileLost] before it writes, a commit is
// rolled back, and no connection is opened. The loss is for good, also if the file comes
// back: others may have written to it meanwhile. To go on, close the *sql.DB, and open it
// again: it then has what is at the name now, such as a backup that was put there.
//
// When the last connection is closed, what is in the WAL is written to the database only
// if that is still there. The -wal and -shm of a database that has been removed or replaced
// are removed, so that SQLite does not take them for those of the file that comes in its
// place; if the database still has another name, as one that was moved, the WAL is kept
// under its name with "-lost1" appended.
//
// A database or -wal that another process cuts short is found out by SQLite, by Ping or by
// the health check of a pool. Until then calls may succeed, and what they write behind the
// cut is lost.
//
// A file that cannot be looked at, because of its permissions, say, is not lost; Ping returns
// the reason. Files of a VFS other than the operating system's are not looked after, nor are
// those that are attached.
//
// # Statements
//
// Each connection keeps the statements it has prepared ([Config]), and uses them
// again for a call with the same text: half the time of a short query is its
// preparation. A query takes its first step when the program first asks for its
// columns or a row, so that columns are those of the rows even when another
// connection or process has changed the schema since. [Connector.CacheStats]
// counts what became of statements. The texts of what is kept take 2 MiB at most for
// each connection, and 64 MiB for the process.
//
// # Panics
//
// A function of the program's that SQLite calls may panic, and SQLite itself does, in
// Go, when it gets no memory. The panic passes to the program as it is; but the state
// of the connection is not known then, and the statement that it cut off is half
// executed. The plain driver goes on with that connection, and may commit the half.
// Here:
//
//   - The connection is closed before the panic reaches the program. What it had not
//     committed is rolled back, the transaction included, and its locks are free. Hooks
//     and other callbacks are not called meanwhile, and Term is called, but cannot
//     execute anything.
//   - Every later call on it, as on a transaction that the program still has, fails at
//     once with [ErrPanicked]. Rows.Close, Rollback and Conn.Close return it and do not
//     panic, so that database/sql lets go of the connection. While rows beside those
//     that panicked are open, SQLite's memory is kept until they are closed.
//   - Where SQLite itself cannot close, because a statement of its own exec was cut off,
//     or a BLOB is open, it is cut off as by the end of its process; the close event
//     then has an error.
//   - A panic while a query is prepared comes from the first question for its columns or
//     a row, with the stack of that; else database/sql would keep the connection, and
//     Rollback would wait for it for ever.
//   - For the same reason a panic is an error, a [*PanicError], in Exec of a statement
//     that was prepared by a transaction or a *sql.Conn, in BeginTx and PingContext of a
//     *sql.Conn, in Rows.Close within a transaction, and in Stmt.Close; and on
//     goroutines of database/sql's own, where no program could recover it: when a
//     context ends, or an idle connection expires, or is opened for a call that waits.
//
// After a panic in Begin, Commit, Rollback, Ping or the Exec of any other prepared
// statement, database/sql counts the connection as open and in use for ever, as with
// the plain driver: with SetMaxOpenConns, there is one less.
//
// A connection for which the system has no memory fails to open, with an
// [*OpenError] that is sqlite3.NOMEM.
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
