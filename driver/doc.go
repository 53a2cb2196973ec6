// Package driver registers the [database/sql] driver "sqlitemw". It is SQLite by
// github.com/ncruces/go-sqlite3, with connections that are configured, checked, traced by
// OpenTelemetry and recorded.
//
//	import _ "github.com/sqlitemw/sqlitemw/driver"
//
//	dsn := "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)"
//	db, err := sql.Open("sqlitemw", dsn)
//
// A program that used "sqlite3" changes only that word. Unless the DSN or [Config] says
// otherwise, nothing else changes. "The plain driver" means the driver of
// ncruces/go-sqlite3 in this documentation.
//
// # Data source names
//
// A data source name (DSN) is what ncruces/go-sqlite3/driver accepts: a file name, or a
// "file:" URI (https://sqlite.org/uri.html). A URI takes SQLite's own parameters (mode,
// vfs, immutable, ...) and these:
//
//   - _pragma: name(value) or name=value. It may be repeated; see Pragmas.
//   - _txlock: immediate (default), deferred, exclusive or concurrent. It sets how Begin
//     begins a transaction.
//   - _timefmt: auto, sqlite, rfc3339, or another format of sqlite3.TimeFormat. It sets how
//     times are written and read.
//   - _memory_limit: a number of bytes. It takes precedence over Config.MemoryLimit.
//
// Begin takes the write lock, as the plain driver has done since v0.37.0, unless _txlock
// says otherwise. It waits for the lock until the busy timeout. Three settings take
// precedence:
//
//   - A read-only transaction (sql.TxOptions) takes no lock, whatever _txlock says.
//   - On a connection with the pragma query_only, Begin takes no lock by default.
//   - An isolation level takes precedence over _txlock: serializable is immediate, and
//     linearizable is exclusive.
//
// Parameters of mattn/go-sqlite3 and modernc.org/sqlite are honored if they have a meaning
// here. A _pragma takes precedence over them, and so does a _timefmt. These parameters set
// the pragma with their long or short name:
//
//	_auto_vacuum _vacuum                 _locking_mode _locking
//	_busy_timeout _timeout               _query_only
//	_cache_size                          _recursive_triggers _rt
//	_case_sensitive_like _cslike         _secure_delete
//	_foreign_keys _fk                    _synchronous _sync
//	_ignore_check_constraints            _writable_schema
//	_journal_mode _journal
//
// The short name takes precedence, and of two values of the same name the first. The other
// parameters of those drivers are:
//
//   - _txlock, in any letter case. Without it, Begin is immediate, as described above. In
//     both of those drivers it is deferred. A program that relies on deferred must set it.
//   - _stmt_cache_size: Config.StatementCache; 0 for none.
//   - _time_format: sqlite, or datetime, which writes UTC. It sets how times are written.
//     All forms are read.
//   - _time_integer_format: unix, unix_milli, unix_micro or unix_nano. It also sets how
//     times are written. All forms are read.
//   - _dqs: with 1, a name in double quotes that matches nothing is a string. With 0
//     (default), it is an error.
//   - _defensive: 1 sets SQLITE_DBCONFIG_DEFENSIVE.
//   - _inttotime=1, _texttotime=1, _mutex=no or full, _error_rc and _defer_fk=0 are
//     accepted. They have no effect, because they ask for what always applies here.
//
// Parameters that have no meaning here are refused. The error says why, and what to do
// instead. These are _loc and _timezone (times are read as they were written),
// _inttotime=0, _texttotime=0 and _auth.... Also refused are _defer_foreign_keys=1 and
// _defer_fk=1, because they apply to one transaction only.
//
// One error lists all problems of a DSN. [ParseDSN] checks a DSN without opening a file,
// and returns the file that it names and the settings that it makes.
//
// All connections of the process that name the same in-memory database with cache=shared
// share one database, as with SQLite's shared cache. This build of SQLite has no shared
// cache, so the VFS memdb holds the database. On a file, cache=shared is refused.
//
// Each of these causes an event of [KindWarning] and a line of [Config].Logger, once:
//
//   - a setting in a DSN that has no effect;
//   - pragmas without a busy timeout;
//   - a second connection to an in-memory database that each connection has for itself.
//
// The following are refused too, because SQLite would ignore them or make them part of the
// file name:
//
//   - any other parameter, unless the DSN names a VFS, which may use it;
//   - parameters after a name that is not a URI;
//   - names that begin with "FILE:" or "sqlite:".
//
// A control character in a URI, an escaped NUL, and a flag that SQLite would treat as off
// are refused. So is a file name longer than 1024 bytes, on which the engine panics. All
// these errors are [ErrDSN]. So is the error of opening a connection with a mode, a cache
// or a VFS that does not exist.
//
// # Programs of other drivers
//
// A program written for github.com/mattn/go-sqlite3 opens [NameMattn], "sqlitemw-mattn",
// with its existing DSN. A program written for modernc.org/sqlite opens [NameModernc],
// "sqlitemw-modernc". [Config].Compat and the parameter _compat=mattn or _compat=modernc do
// the same. The connections then imitate that driver in these respects:
//
//   - DSN: plain names with parameters, URIs, percent signs, and the order and precedence
//     of parameters. Parameters that the driver ignores are ignored. Each of them causes an
//     event of [KindWarning] and a log line, once. cache=shared on a file is left out.
//   - Defaults: mattn has a busy timeout of 5 s and synchronous normal. modernc has no busy
//     timeout. With both, Begin takes no lock, foreign_keys is off and trusted_schema is
//     on. Names in double quotes that match nothing are strings.
//   - Pragmas: one that SQLite does not know, or keeps at another value, causes a warning.
//   - Times are written in that driver's form. From columns declared DATE, DATETIME or
//     TIMESTAMP they are read in every form that SQLite and the three drivers have written.
//     With mattn, these columns may also hold numbers, including Julian days. With modernc,
//     they may hold numbers if _inttotime is set. Text in other columns stays text.
//   - Types: those of values scanned into an any, and those of ColumnType.
//   - Isolation: every level is accepted, because SQLite's transactions are serializable.
//   - Statements: queries of several statements, with arguments. mattn distributes the
//     arguments among the statements; modernc gives all arguments to each. Surplus
//     arguments are ignored. LastInsertId is that of the connection.
//   - Errors have that driver's text: "UNIQUE constraint failed: t.a" (mattn), or
//     "constraint failed: UNIQUE constraint failed: t.a (2067)" (modernc). [errors.Is] and
//     [errors.As] find the codes of ncruces/go-sqlite3, and [Code] returns numbers. As
//     JSON, mattn's errors have Code and ExtendedCode. modernc's errors have a method
//     Code() int. A call whose context has ended returns ctx.Err().
//
// These differences remain:
//
//   - Error types: errors.As does not find mattn's sqlite3.Error or modernc's
//     *sqlite.Error. Use [Code], or let [Config].MapError return what the program looks
//     for.
//   - ReadOnly: a transaction with sql.TxOptions{ReadOnly: true} cannot write. With those
//     drivers it can.
//   - _pragma: a value that SQLite would treat as another value is refused. So is one that
//     is not just a number, a word or a quoted string, such as several statements.
//   - VFSs: unix-excl, unix-none and unix-dotfile do not exist.
//   - Modules: fts3, fts4, geopoly, dbstat and sqlite_dbpage do not exist. For fts5 and
//     rtree, import the packages of ncruces/go-sqlite3.
//   - _auth... is refused, because this build of SQLite has no user authentication.
//   - Functions: instead of mattn's ConnectHook and RegisterFunc, and modernc's
//     RegisterFunction and RegisterScalarFunction, use [Config].Init: func(c *sqlite3.Conn)
//     error { return c.CreateFunction(...) }
//   - Collations: instead of RegisterCollation and RegisterCollationUtf8, call
//     CreateCollation in Config.Init.
//   - Extensions written in C cannot be loaded, because SQLite runs here without C.
//   - Raw passes a [Conn], not the driver's own connection.
//   - Query with modernc: a query of several statements returns the rows of the last one.
//   - Memory: SQLite may use 256 MiB for each connection. A query that needs more fails with
//     "out of memory", and its connection is closed. _memory_limit=4294967296 allows 4 GiB.
//   - Stack: some large queries fail as too complex, and their connection is closed: a
//     compound SELECT of 180 terms or more, an expression of 220 nested functions or 340
//     operators or more. A column whose name has a million bytes panics.
//     (In "sqlitemw", as in ncruces/go-sqlite3, all of these panic.)
//   - A user who may not write a WAL database cannot read it, even while another process has
//     it open.
//   - PRAGMA database_list returns a name for an in-memory database that connections share.
//   - The pool: a call waits for the writer as long as _pool_acquire_timeout, 30 seconds,
//     and not as long as the busy timeout. A file that cannot be written needs mode=ro.
//
// # Secrets in data source names
//
// A DSN may hold a key, and a mistyped DSN may hold it anywhere. So errors, events, spans,
// metrics, log lines and String methods show only these parts of a DSN:
//
//   - the file name;
//   - the names of parameters and pragmas;
//   - the beginning of a value that is a word of letters or a number.
//
// "..." stands for the rest, and for anything that mixes letters and digits. A name that
// looks like another system's DSN (postgres://user:password@host,
// user:password@tcp(host)/db, password=...) is cut there, also in db.namespace. An error of
// SQLite, the plain driver or the operating system that would show more is replaced by its
// code. Error texts quote names as %q does, so that no name breaks a log line.
//
// # Pragmas
//
// The pragmas of the DSN and of [Config] are applied to every connection, in an order that
// works: keys; busy_timeout; locking_mode; page_size, encoding and auto_vacuum;
// journal_mode; all others as written; query_only. After Config.Init, each pragma is read
// back.
//
// The connection fails with a [*PragmaError] if SQLite does not know a pragma, or returns
// another value than requested. Where SQLite documents that other value, there is only an
// event of [KindWarning]. That is the case for journal_mode of an in-memory database, and
// for mmap_size and threads in a build without them.
//
// For the same pragma, the DSN takes precedence over Config. In the DSN, the last one takes
// precedence.
//
// As in the plain driver, the busy timeout is one minute. But if the DSN has any _pragma,
// the busy timeout is what that sets, or else zero. Pragmas in Config do not turn it off.
//
// # Differences from the plain driver
//
// Opening:
//
//   - DSN: parameters of mattn and modernc are honored. OpenConnector refuses unknown
//     parameters, parameters of a name that is not a URI, and other schemes. It refuses a
//     _timefmt that would lose the time, malformed pragmas, an escaped NUL, and a name that
//     is too long.
//   - cache=shared shares an in-memory database. The plain driver ignores it.
//   - Pragmas are ordered and read back, as described above. A value that is not a plain
//     value is refused.
//   - A file that is not a database, or cannot be read, fails to open; in the plain driver,
//     the first query fails. This is not checked if the DSN names a VFS that may need a
//     key, and sets none.
//   - Keys: the error for a file that may be encrypted names the file and the probable
//     cause. It wraps the plain driver's error.
//   - An error of opening is an [*OpenError]. It names the file and wraps SQLite's error,
//     or only its code if SQLite's error would show a key.
//   - mode=rw and mode=rwc: a database that is read-only, as with a read-only VFS, fails to
//     open.
//   - journal_mode is retried until the busy timeout if SQLite returns BUSY immediately.
//   - Later connections open the first connection's file or fail, even if the working
//     directory has changed. They do not create a missing file.
//   - Two names: a file that is open cannot be opened under another name, such as a hard
//     link. See [OtherNameError].
//   - Permissions: -wal, -shm and -journal get those of the database, and its owner, as
//     SQLite's own VFS gives them. In the plain driver they depend on the umask. Those of
//     attached files do here, too. On Linux before 6.6, -shm gets the owner alone.
//   - db.Driver() returns a [*Driver].
//
// Calls:
//
//   - Ping reads the file's header. The plain driver's Ping does nothing.
//   - Transactions: the connection of a transaction whose context has ended is kept. With
//     the plain driver, database/sql discards it.
//   - Empty queries: Query and Prepare without a statement do nothing. In the plain driver
//     they panic.
//   - Schema changes are visible to queries immediately. In the plain driver, a query may
//     fail once or report old column names. That happens if its statement is older than the
//     change, or its connection has not seen it.
//   - Several statements: a query of several statements ends when its context ends. The
//     plain driver may execute the remaining ones. (*sqlite3.Error).SQL begins at the
//     error. SQLite counts the position of the error from the start of its statement; the
//     plain driver counts it from the start of the query.
//   - Queries: a query takes its first step when the program first asks for columns or a
//     row. In the plain driver, it does so when the program asks for a row. Query itself
//     executes a query that writes, such as INSERT with RETURNING. The plain driver does
//     not write at all if the program asks for no row. The error comes when the program
//     first asks for columns or a row, or from Close.
//   - Savepoints: the name that driver.Savepoint makes up contains another function's name.
//
// Connections:
//
//   - Conn.Stmts does not list the statements that the connection caches.
//   - Damaged files: a connection is closed on release if its file is corrupt, cut short,
//     or cannot be read or written (IOERR).
//   - Lost files: a database may be removed, replaced, emptied or moved while it is open.
//     Then every call fails with [ErrFileLost] until the *sql.DB is closed. See The file.
//   - Closing: a statement that was never closed does not keep its connection and file
//     open.
//   - Panics: a connection is closed immediately after a panic has passed through it. See
//     Panics.
//
// With tracing.Config.Details, a busy handler replaces the busy timeout. It waits for locks
// as long and in the same way as the plain driver. The busy timeout is back in two cases,
// so that the program gets true answers:
//
//   - during a call whose query names busy_timeout;
//   - while the program has SQLite's own connection. It gets that from Raw, and from the
//     methods of *sqlite3.Conn that set a busy timeout or handler. It has it until it
//     releases its own connection. Waits are not measured then, and the connection reads
//     PRAGMA busy_timeout before its next call.
//
// Only a view of pragma_busy_timeout gets a wrong answer. A busy handler of the program
// stays installed, and its waits are not measured. Where the system can wait for a lock of
// the WAL (macOS, Windows), SQLite polls instead.
//
// # The file
//
// A database is three files: the database itself, its -wal and its -shm. When others take
// their names, SQLite keeps using the files that it has open. What it then writes is lost,
// or overwrites the new files. So a file has an identity, which is what the operating
// system reports for SQLite's handle. It is compared with the files that the names lead to:
//
//   - before and after a connection is opened, and before it first reads;
//   - by Ping;
//   - before a transaction or statement returns success;
//   - when a connection is released.
//
// After a check, there is none for 500 times as long as the check took. That is at least
// one millisecond and at most one second. So a program that writes without pause may write
// for that long before it notices.
//
// What one connection notices applies to the file. The next call on every connection of
// this process to that file fails with [ErrFileLost] before it writes. A commit is rolled
// back, and no connection is opened. The loss is permanent, even if the file comes back,
// because others may have written to it meanwhile. To continue, close the *sql.DB and open
// it again. It then uses what is at the name now, such as a restored backup.
//
// When the last connection is closed, the WAL is written to the database only if the
// database is still there. The -wal and -shm of a removed or replaced database are removed.
// Otherwise SQLite would use them with the file that takes its place. If the database still
// has another name, for example because it was moved, the WAL is written to it. If that is
// impossible, because another process has it open, say, the WAL is kept, under its own name
// with "-lost1" appended.
//
// If another process cuts a database or -wal short, SQLite, Ping or the health check of a
// pool detects it. Until then calls may succeed, and what they write beyond the cut is
// lost. A -shm that is cut short crashes the process, as it does with the plain driver, or
// is noticed before a new connection reads. Only a cut in the instant between that check
// and the read goes unnoticed, and then rows may be lost.
//
// A file that cannot be checked, for example because of its permissions, is not lost; Ping
// returns the reason. Files of other VFSs than the operating system's are not checked, nor
// are attached files.
//
// # Statements
//
// Each connection caches its prepared statements ([Config]) and reuses them for calls with
// the same query. Preparing takes half the time of a short query. A query takes its first
// step when the program first asks for its columns or a row. So the columns match the rows
// even if another connection or process has changed the schema since.
// [Connector.CacheStats] returns counters of the cache. The cached queries take at most 2
// MiB for each connection and 64 MiB for the process.
//
// # Tests
//
// [Watch] shows each call that has finished: its text, its trace, its rows and SQLite's
// counters, without a Tracer. Package dbtest uses it to fail a test on a full scan, on a
// query in a loop, or on more calls than a budget.
//
// # Panics
//
// A function of the program that SQLite calls may panic. SQLite itself panics, in Go, if it
// cannot allocate memory. The panic passes to the program unchanged. But then the state of
// the connection is unknown, and the statement that it interrupted is half executed. The
// plain driver continues to use that connection, and may commit the half. Here:
//
//   - The connection is closed before the panic reaches the program. What it has not
//     committed is rolled back, including the transaction, and its locks are released.
//     Hooks and other callbacks are not called meanwhile. Term is called, but cannot
//     execute anything.
//   - Every later call on the connection, such as on a transaction that the program still
//     holds, fails immediately with [ErrPanicked]. Rows.Close, Rollback and Conn.Close
//     return it and do not panic, so that database/sql releases the connection. If other
//     rows than those that panicked are open, SQLite's memory is kept until they are
//     closed.
//   - SQLite itself cannot close if a statement of its own exec was interrupted, or a BLOB
//     is open. Then the connection is cut off as by the end of its process, and the close
//     event has an error.
//   - A panic while a query is prepared reaches the program later: when it first asks for
//     columns or a row. It has the original stack. Otherwise database/sql would keep the
//     connection, and Rollback would wait for it forever.
//   - For the same reason, some calls return a panic as an error, a [*PanicError]. These
//     are Exec of a statement prepared by a transaction or a *sql.Conn, and BeginTx and
//     PingContext of a *sql.Conn. Rows.Close in a transaction and Stmt.Close do the same.
//   - On goroutines of database/sql, where no program could recover it, a panic is an error
//     too: when a context ends, or when an idle connection expires or is opened for a
//     waiting call.
//
// A panic may also pass through Begin, Commit, Rollback, Ping, or Exec of any other
// prepared statement. Then database/sql counts the connection as open and in use forever,
// as with the plain driver. With SetMaxOpenConns, one connection less is available.
//
// If the system has no memory for a connection, opening it fails with an [*OpenError] that
// wraps sqlite3.NOMEM.
//
// # Cancellation
//
// A call whose context ends returns SQLite's own error, as in the plain driver.
// errors.Is(err, sqlite3.INTERRUPT) is true, or BUSY if the call was waiting for a lock;
// context.Canceled is not. To distinguish it from any other interrupt, check ctx.Err(). A
// query takes its first step when the program asks for its columns. If it is canceled in
// that step, database/sql closes it and returns ctx.Err() itself.
//
// # The connection
//
// (*sql.Conn).Raw passes a [Conn], which also implements ncruces' driver.Conn. It has all
// methods of *sqlite3.Conn, so that backups, blobs, hooks and functions work as on the
// plain driver.
//
// # Compatibility
//
// From the first release on, what is exported here keeps its name and its meaning within a major
// version, as Go's own promise says (https://go.dev/doc/go1compat). Texts of errors and log lines
// may change. Nothing has been released yet.
package driver
