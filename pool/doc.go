// Package pool is a connection pool for SQLite, below [database/sql]. One connection writes,
// the others read. Waiters are served first come, first served. Every wait, use and failure is
// counted and recorded.
//
//	p, err := pool.Open(ctx, pool.Config{Path: "app.db"})
//	defer p.Close()
//	db := p.DB() // a *sql.DB like any other
//
// It is also a driver with the name [Name]. Then only the import and the call of sql.Open
// change:
//
//	import _ "github.com/sqlitemw/sqlitemw/pool"
//
//	db, err := sql.Open("sqlitemw-pool", "file:app.db?_pool_max=8&_pool_acquire_timeout=10s")
//
// The first call on db opens the pool, and db.Close closes it. [Of] returns it.
//
// The DSN is that of package driver, with additional keys for fields of [Config]:
//
//   - size: _pool_min, _pool_max, _pool_max_waiters
//   - timeouts: _pool_acquire_timeout, _pool_idle_timeout, _pool_max_lifetime,
//     _pool_lifetime_jitter, _pool_busy_timeout
//   - limits of time: _pool_statement_timeout, _pool_tx_timeout, _pool_max_read_age
//   - checks: _pool_validate_after, _pool_keepalive, _pool_leak_after, _pool_health_interval
//   - database: _pool_must_exist, _pool_wal, _pool_synchronous, _pool_commit_sync,
//     _pool_journal_size_limit, _pool_memory_limit, _pool_dirty
//   - others: _pool_name, _pool_events, _pool_log
//
// A duration has a unit, as in 30s, 500ms or 5m. A number without a unit is refused. 0 means
// the default, and never or a negative number means never.
//
// The other fields exist only in Config. To set them for sql.Open, register a [Driver] with a
// Config. A _pool_name that looks as if it had parameters is refused. Errors and log lines show
// only the parts of a DSN that package driver lists, and quote names.
//
// By default, every connection has foreign keys on and synchronous FULL (EXTRA without a WAL).
// It has a busy timeout of 5 seconds and a journal size limit of 64 MiB. A file is in WAL mode.
// Config and its Path can change all of that. [Manager] keeps several pools by name;
// [Manager.Open] returns the pool of a name, and opens it at its first use.
//
// # Lanes
//
// A file in WAL mode has two lanes. The writer lane is one connection. The reader lane has up
// to MaxConns-1 connections, which cannot write. Each lane has a queue. All pools of the
// process that may write to the same file share the writer's queue, even if they opened it
// under different names. Every other database has one connection for everything, which is a
// lane too; see Config.MaxConns.
//
// A checkout of [Pool.DB] is a call, a Conn or a Tx. It leases a connection when it first needs
// one. The first request decides the lane:
//
//   - SELECT and VALUES (Query, QueryRow): reader.
//   - WITH (Query, QueryRow): reader if SQLite reports that the statement only reads, else
//     writer.
//   - Any of these: writer, if it names last_insert_rowid, changes, total_changes, temp,
//     sqlite_temp_schema, sqlite_temp_master or a pragma_ function, or if another statement
//     follows.
//   - Any of these: writer, if it names session state of the writer; see below.
//   - INSERT, REPLACE, UPDATE and DELETE, also with RETURNING: writer.
//   - PRAGMA, ATTACH, BEGIN, DDL and everything else: writer.
//   - Exec of any query except an empty one: writer.
//   - EXPLAIN and EXPLAIN QUERY PLAN: the lane of the explained statement.
//   - Prepare: reader, if preparing the query cannot execute it, else writer. Each call of the
//     statement is then routed as above.
//   - BeginTx with ReadOnly and LevelDefault: reader.
//   - Every other BeginTx: writer. It takes SQLite's write lock immediately.
//   - Ping: reader.
//   - (*sql.Conn).Raw: writer, once the program calls Raw() in it.
//
// The pool parses a query before it prepares it, because SQLite executes a PRAGMA while
// preparing it. A query that the pool misreads fails on a reader with sqlite3.READONLY; it
// writes nothing there.
//
// For what the parser cannot see, SQLite decides when a reader prepares the query, once for
// each query and schema. A query of a view over last_insert_rowid(), changes() or
// total_changes() goes to the writer. So does a query that names something that only the writer
// has, such as a function from Config.Init or Config.Hooks.AfterConnect. In a read-only
// transaction, neither does.
//
// A query of [Pool.Reader] or of a read-only transaction can change its reader. That is a
// PRAGMA with a value, ATTACH or DETACH, a temporary object, a transaction left open, or Raw. A
// reader that has changed, or may have, is closed when it is given back. On readers, query_only
// stays on. The pool detects such queries with an authorizer that it sets on readers. If
// Config.Init or AfterConnect sets an authorizer, that one stays. Then the pool compares the
// connection after each use that prepared a statement, which takes 0.1 ms.
//
// A checkout that has leased the writer keeps it until the checkout ends. While it runs nothing
// and has no transaction and no rows open, other callers may write, on another connection. They
// may also write while rows of a SELECT by DB itself are open: no call of such a checkout
// follows. A checkout that has changed foreign_keys, ignore_check_constraints or
// recursive_triggers, or finds it changed, keeps others from writing until it ends. So does one
// that finds a temporary trigger or a pragma that changes all results, and Raw until the next call.
// [Pool.Reader] and [Pool.Writer] work as DB does, but each uses one lane only.
//
// # Session state
//
// Session state is what a program changes on one connection: a PRAGMA, an attached database, a
// temporary object, and what Raw leaves. It is always the writer's. As long as the checkout that
// made it lasts, it is that checkout's own; then the next callers' of the writer. Each change that
// a checkout leaves logs a warning and records an event, if the value differs from the configured
// one. [Pool.Reset] and the end of the connection undo it. The pool keeps at most one idle
// connection with session state, the one that was given back last.
//
// The pool reads what the connection has after each change, and after Raw. Queries of others stay
// on readers, except those that name something that an ended checkout has left there: a temporary
// table or view, an attached database, a table found only there, or a function, and LIKE if
// case_sensitive_like has changed. While a database is attached or Raw has added a collation, the
// writer also gets queries that a reader cannot prepare. All queries go to the writer once a
// checkout has ended that has changed full_column_names, short_column_names, count_changes,
// empty_result_callbacks or reverse_unordered_selects.
//
// A query that names such state waits while another checkout uses its connection. It fails with a
// [*SessionError] if that checkout does nothing for a tenth of a second, because it may wait for
// the query: the query may be within its rows. It also fails so in a transaction that has another
// connection, such as a read-only one. To set something on every connection, use Config.Init and
// Config.Pragmas.
//
// The pool does not see what Raw changes under the same name: a function of Config.Init or a
// collation that is defined again. It does not see a function that Raw defines instead of SQLite's,
// or LIKE, if a view or a generated column uses it, nor hooks and other settings of the connection.
// All of these are the writer's alone, and end with its connection.
//
// A query sees everything that was committed before it began. A query on a reader does not see
// what an open transaction has written.
//
// # Differences from "sqlitemw"
//
//   - A commit returns when it is on the disk, as there, but other processes may see it before
//     that. If the context of an Exec or a transaction ends in between, its error is a
//     [*CommitError], and the commit stands. See Durability.
//   - db.Begin takes the write lock immediately, as there. But it waits for it in the queue,
//     first come, first served. There it waits inside SQLite, for the busy timeout and in no
//     order. For a transaction that only reads, use BeginTx with sql.TxOptions{ReadOnly: true},
//     which takes a reader. A _txlock in Path takes precedence.
//   - db.Stats counts shells, which are the connections that database/sql sees. A shell costs
//     almost nothing, and leases a connection only while it is used. Use [Pool.Stats].
//   - Errors of an acquire come from the first call that needs a connection, not from db.Conn.
//   - SetMaxOpenConns, SetMaxIdleConns, SetConnMaxLifetime and SetConnMaxIdleTime apply to
//     shells. SetMaxOpenConns puts the queue of database/sql before the pool's. That queue is
//     served at random and has no timeout. Do not call it; set Config.MaxConns.
//   - One lane is one connection. This is so with MaxConns 1 and for in-memory databases. A
//     query issued while rows are open, or outside an open transaction, blocks until
//     AcquireTimeout.
//   - Readers that wait for each other, as nested queries do, are let in beyond MaxConns: up to
//     128. On 32-bit systems, they are also limited to 512 MiB in all pools together; see
//     Config.MemoryLimit.
//   - Session state, such as that of PRAGMA and ATTACH, is the writer's, for all later callers,
//     until it is undone. A PRAGMA on DB does not reach the readers.
//   - A transaction begun with Exec of BEGIN must end in the same checkout of db.Conn. If it is
//     left open, it is rolled back and logged as an error; see Config.Dirty.
//   - last_insert_rowid() and changes() return the values of the writer, which other callers
//     may have used since. Use sql.Result, RETURNING or a transaction.
//   - (*sqlite3.Conn).GetInterrupt in a function of the program returns a context with the
//     values and the end of the caller's context. It is not that context itself.
//   - Prepare prepares the query to check it, and keeps the query, not the statement. Each
//     connection prepares the query when it first executes it, and caches the statement
//     (Config.StatementCache). An error is that of the query, and is not joined with others by
//     errors.Join. If a table is gone, the query fails, not its first row. Its rows may be used
//     after the statement is closed.
//   - Raw of a *sql.Conn passes a value with a Raw method, as in package driver, but without
//     the methods of *sqlite3.Conn. The method returns the writer's connection. It panics with
//     an [*AcquireError] if it cannot get it. [Pool.Raw] takes a context and returns an error.
//   - db.Close of DB, Reader and Writer closes only that *sql.DB, with a warning. The pool goes
//     on, and its methods still work. Give libraries that close what they are given
//     [Pool.NewDB]. [Pool.Close] closes all.
//
// # Opening
//
// The pool opens connections on its own goroutines. The context there has the values of the
// caller's context, but does not end with it. A caller whose context ends, or that has waited
// for AcquireTimeout, returns immediately with an [*AcquireError] and releases its turn. The
// connection is still opened, and serves the next caller. The same holds when the first calls
// on a database of sql.Open open its pool.
//
// If an opening takes longer than five seconds, the next call starts another. A panic of Init
// or of a hook is raised in the call that waits for the connection. If no call waits, the panic
// is logged, and recorded as an event once the pool is open.
//
// # Limits of time
//
// Config.StatementTimeout limits a statement, and Config.TxTimeout a transaction.
// Config.MaxReadAge limits how long rows or a transaction stay open, because they keep the WAL
// from being reset. When a limit is exceeded:
//
//   - A log line is written and an event is recorded. Then the running call is interrupted. It
//     fails, and all later calls fail, with a [*TimeLimitError] that names the setting.
//   - A transaction or open rows are ended, even while the program calls nothing. The
//     transaction is rolled back, and its turn goes to the next waiter. Its connection is
//     closed when the program gives it back.
//   - A statement outside a transaction that has written (RETURNING) keeps its changes if only
//     its rows are left to read.
//   - A caller that has SQLite's own connection, from Raw or for a savepoint, keeps it until it
//     gives it back. Its calls fail.
//
// # Errors
//
// [Open] fails with [ErrInvalidConfig], [ErrNotFound], an [*OpenError] or [ErrHealthCheck].
//
// A call that cannot acquire a connection fails with an [*AcquireError]. Its field Holders lists
// the holders of the connections, with times and queries. Cause is the cause, and Advice what the
// program can do about it. Waiting is the number of waiters. The text has all of that:
//
//	var e *pool.AcquireError
//	if errors.As(err, &e) && e.Cause == pool.CauseIdle {
//		log.Println(e.Advice, e.Holders)
//	}
//
// It wraps [ErrAcquireTimeout], [ErrDeadlock], [ErrQueueFull] (Config.MaxWaiters), [ErrClosed] or
// the context's error, also while a connection is being opened. For the writer, it also matches
// sqlite3.BUSY, so that code that handles a locked database handles it. [WithOwner] gives holders
// a name, which is of the process, over all pools: one for each goroutine. Errors of SQLite reach
// the program unchanged.
//
// The cause is what happened during the wait:
//
//   - idle: the holders have not called SQLite for half of the wait or longer. Often the caller is
//     one of them: it has rows or a transaction open, and asks the database instead of the
//     transaction.
//   - leak: the same, and Config.LeakAfter has reported a holder.
//   - cycle: the caller waits for itself, or it and other callers wait for each other, and none
//     has called SQLite. Callers are known by [WithOwner] or by their trace. With owners, the wait
//     ends early, with ErrDeadlock. It does not if something else may end it: Config.TxTimeout,
//     Config.MaxReadAge or the end of the holder's own context.
//   - slow: the holders are inside a statement, or use their connections all the time.
//   - overload: connections are released, but there are too many waiters.
//   - other: another pool of this process has the write lock of the file.
//   - upkeep: a backup or a checkpoint of the pool has the connection. Or no connection is held,
//     and the pool or a hook has the turn.
//   - connect: no connection could be opened.
//   - hook: Config.Hooks.BeforeAcquire refused every connection.
//   - cancelled: the caller's context ended. The holders are those of the wait.
//   - queue full, closed: the call did not wait, or Shutdown ended the wait.
//
// The error of a call that has committed, but whose commit is not known to be on the disk, is a
// [*CommitError]. Do not execute the transaction again without looking.
//
// A panic in a call passes to the program as in package driver, whose rules apply. The
// connection is closed, its turn is released, and the checkout returns [driver.ErrPanicked].
//
// [Pool.WithTx] retries a transaction that fails with BUSY because another process writes.
//
// # Events, statistics and logs
//
// [Pool.Events] returns the latest events:
//
//   - connect, acquire, release and close, each with durations and a reason;
//   - timeout, cancel, refuse, dirty, session, busy, time-limit, and leak and leak-end (with
//     Config.LeakAfter);
//   - sync, of a sync that commits have shared;
//   - health, failing, recovered, file-lost, panic, reset, warning and shutdown.
//
// [Pool.Subscribe] delivers them as they are recorded, through a channel or a range loop.
// [Pool.LogEvents] writes them to a slog.Logger. Config.Recorder is called with each. Slow
// subscribers lose events; the loss is counted.
//
// When a pool is opened, one log line names the file, the lanes, why there is one lane, the
// journal mode, synchronous and the timeouts. When it is closed, there is another line. In a
// program with many pools, Config.LifecycleLevel or _pool_log=off puts both at level Debug.
//
// [Pool.Stats] returns totals. [Pool.Holders] returns the current holders of connections, and
// [Pool.Waiters] the calls that wait for one. [Pool.Settings] returns what differs from the
// defaults, and why there is one lane or two. Package pool/page shows all of it in a browser. Spans
// and metrics are those of package tracing. The acquire span includes the wait in the queue, and
// the pool measures db.client.connection.wait_time, pending_requests and timeouts.
//
// # Health and upkeep
//
// [Pool.HealthCheck] reads a page on a connection of its own. It checks that the database, its
// -wal and its -shm are still the files that the pool has opened. It also checks that they are
// as long as SQLite expects. [Pool.Health] returns the result. With Config.HealthInterval, the
// pool checks itself. In addition, each of these failures makes the pool degraded from its
// begin to its end:
//
//   - write: SQLite cannot write. The disk or a quota is full, a write or a sync fails, or the
//     file system is read-only. It ends when a write succeeds.
//   - checkpoint: the content of the WAL cannot be moved to the database. The pool retries
//     after 100 ms, then after twice as long each time, up to 10 s, and in HealthCheck.
//   - wal: the WAL exceeds Config.JournalSizeLimit and cannot be reset. If a connection of a
//     pool of this process has been reading for long, the reason names it, with its owner, last
//     query and trace.
//
// Its begin and its end each cause one log line and one event, failing and recovered, with that
// reason. A failed commit is still reported to its caller.
//
// # The WAL
//
// Once the WAL has 1000 pages, later 750, a goroutine of the pool moves its content to the
// database (a checkpoint). The writer continues meanwhile. Then the pool holds one commit at
// its end, after the transaction is complete. So no other commit comes between while the rest is
// moved and the WAL is reset: the next writer starts again at its beginning. Below the limit,
// that takes a few milliseconds, or is postponed.
//
// From Config.JournalSizeLimit on, the commit is held until readers have ended. So the WAL
// stays within twice the limit, unless a reader reads for longer than a second or a transaction
// writes more than the limit. Nothing waits for a reader of this process's pools that has read
// for longer: the WAL grows, and the pool is degraded. For readers outside the pools, the pool
// does not know how long they have read. It waits for them about a second, and then again after
// 10 seconds, 20, and so on, up to 5 minutes. The context of the call ends its wait.
//
// When nothing has been committed for a second, a WAL file of more than 1000 pages, or than its
// limit, is truncated. SQLite's own checkpoints, too, leave up to that length.
//
// With one connection for everything, the commit itself runs the checkpoint, as SQLite does by
// default. To let SQLite do it, set the pragma wal_autocheckpoint in Path or Config.Pragmas. To
// leave it to another program, such as Litestream, set it to 0. Then the pool runs no
// checkpoint by itself, and only reports a WAL that exceeds its limit. A hook that the program
// sets with (*sqlite3.Conn).WALHook replaces the pool's. All this applies to the main database;
// attached files are checkpointed as SQLite does it.
//
// [Pool.Checkpoint] runs a checkpoint on request.
//
// # Durability
//
// A commit is on the disk when it returns, and survives a power failure. The default of
// Config.Synchronous is FULL in WAL mode and EXTRA without a WAL. There, FULL does not sync the
// directory, so a deleted journal may reappear and undo the latest commit.
//
// With FULL in WAL mode, commits share syncs, if they can ([CommitSync] says where). When SQLite
// asks for the sync of a commit, the pool defers it. It gives the turn to the next transaction, and
// the call waits. One of the calls that wait syncs the WAL for all of them. None waits for
// company: a call alone syncs at once. So a call returns only after a sync that began when its
// commit was written.
//
//   - A call that has read a page of a commit waits, before it returns or shows its first row,
//     until that commit is on the disk. Calls that have read other pages do not wait. Inside a
//     transaction on the writer, the end of the transaction waits instead. That is so for all
//     pools of the process with this setting. Other processes, Litestream among them, and other
//     connections of this process may see a commit up to one sync earlier.
//   - So readers of rows that are written all the time wait for the disk most of the time. If that
//     is too slow, use CommitSyncSharedEarly, with which readers do not wait, or CommitSyncSolo.
//   - The turn passes on at once after an Exec of a *sql.DB or of its *sql.Stmt, after the end of a
//     *sql.Tx of a *sql.DB, and when rows of RETURNING are closed before their end, as QueryRow does.
//     All other calls keep their connection while they wait, and all calls do beneath a driver
//     that wraps the pool's. Such a wait counts for Config.LeakAfter and Config.MaxReadAge.
//   - Commits in Raw, Config.Init, Config.Term and hooks are synced by SQLite, before it returns.
//     So are those after a PRAGMA synchronous in the same session.
//   - The span of a call lasts until its commit is on the disk. Its attribute sqlitemw.sync.duration
//     is the wait. The connection is released before that.
//   - If a sync fails, the operating system may have dropped what it could not write, and later
//     syncs do not tell. Then every commit that waits fails with a [*CommitError], and every later call
//     on the file in this process with [driver.ErrFileLost]. There is no checkpoint any more, which
//     might copy a hole. Close the database in all processes and open it again: SQLite then reads
//     the WAL with its checksums, and keeps the commits before the first hole. A checkpoint by
//     another process meanwhile cannot be prevented.
//
// A copy by [Pool.Backup] or [Pool.BackupTo] is on the disk when the call returns. An incomplete
// copy never has the copy's name. To replace the same copy again and again:
//
//	for range time.Tick(time.Hour) {
//		err := p.BackupTo(ctx, "/backup/app.db", pool.BackupOptions{Replace: true})
//		...
//	}
//
// # Litestream
//
// Litestream (https://litestream.io) replicates a database from a process of its own. Leave the
// checkpoints to it, and all other settings at their defaults:
//
//	p, err := pool.Open(ctx, pool.Config{Path: "file:app.db?_pragma=wal_autocheckpoint(0)"})
//
// What follows was tested with Litestream 0.5.18:
//
//   - With the pool's own checkpoints, the replica may lose commits of a time in which Litestream
//     does not run. If the WAL is reset twice then, Litestream notices that often, but not always.
//     What it restores then misses commits, without an error, until its next snapshot: by
//     default, that is daily. So let no other program run checkpoints then, and do not call
//     [Pool.Checkpoint]. While Litestream runs, it keeps the WAL from being reset by others.
//     The pool warns when it opens a database with a table of Litestream's, and runs checkpoints.
//   - While Litestream does not run, the WAL grows. Above Config.JournalSizeLimit, the pool's
//     health is degraded until Litestream has caught up. Set no limit below 8 MiB, because
//     Litestream only looks once a second, and runs no checkpoint below 1000 pages.
//   - The WAL is reset if no connection reads it when Litestream's checkpoint ends. So it grows
//     while reads overlap: to over 50 MiB in tests with readers and writers at full speed. If it
//     has 121359 pages, Litestream blocks writers until it is reset.
//   - While Litestream runs, it blocks TRUNCATE checkpoints, which then return Busy. Backup
//     works.
//   - A commit that has returned is on the disk. It is in the replica about a second later.
//   - Litestream reads the file of the WAL. So with any CommitSync or Synchronous, it may replicate
//     a commit whose sync has not ended. If the power fails then, the replica has a commit that has
//     not returned and that the database does not have. Afterwards, other commits take its place
//     in the WAL. Litestream compares the last page, and replicates the whole database if that
//     differs. If it happens to be the same, the replica keeps the other pages of the lost commit.
//
// So after a power failure, and after checkpoints while Litestream did not run, make it replicate
// the whole database before it is started again. "litestream reset" does not.
//
//	litestream replicate -config litestream.yml -once -force-snapshot
//
// # Connections
//
// A goroutine closes connections that have been idle for IdleTimeout or open for MaxLifetime,
// and keeps MinConns open. A connection of the pool's own keeps an in-memory database alive.
// [Pool.Resize] changes MaxConns. [Pool.Reset] replaces all connections by new ones.
//
// If one of the three files is lost, health is down. An event (file-lost) and a log line name
// the file and what has happened to it, and every call fails with [driver.ErrFileLost]; see The
// file in package driver. To continue, close the pool and open it again, at the same path if a
// backup was put there. [Manager.Add] and [Manager.OpenPrimary] do both.
//
// # Functions of the program
//
// The pool calls functions of the program: Init, Term, hooks, the Recorder, loggers, and the
// exporters behind Config.Tracing. If a call of the program leads to them, they run on its
// goroutine. A panic then passes to the program. A function that blocks also blocks its caller,
// and may keep a turn.
//
// The pool also calls them on its own goroutines: to keep MinConns open, to close idle and old
// connections, to check health, to run checkpoints, to write log lines and events, and in
// Shutdown. There:
//
//   - A panic is recovered. It is recorded as an event (panic, with the function's name as its
//     reason) and counted in Stats.Panics. It is logged with its stack, once for each function.
//     A connection that was to be opened is retried later; one that was to be closed is closed.
//     In Shutdown, a panic of a hook or of Term is raised in the caller when everything is
//     closed.
//   - A function that does not return delays no acquire, release or Shutdown. The pool's own
//     goroutine waits five seconds for BeforeConnect and BeforeClose. Then the connection
//     fails, or is closed anyway. Init, Term and AfterConnect use the connection and keep it.
//     At most one goroutine is in each function. Others do not call it and get a
//     [*BlockedError]; a health check may be one of them. Shutdown names the function in
//     [ShutdownError].Blocked.
//
// A separate goroutine passes the events of the pool's own goroutines to the Recorder. It also
// passes all events that follow until the Recorder has had those, so that the order is kept.
// Log lines reach Config.Logger in the same way. A call waits for its line, for at most 20
// milliseconds. There is room for 1024 of each. The log reports how many lines were lost.
//
// # Shutdown
//
// [Pool.Shutdown] refuses new and waiting acquires, and waits for connections in use as long as
// its context allows. Then it takes the remaining ones away. It reports them, and functions
// that have not returned, in a [*ShutdownError]. Readers are closed first. The writer then runs
// PRAGMA optimize, and removes the WAL if no other connection has the file open. [Pool.Close]
// is Shutdown with ten seconds. So is db.Close of a database of sql.Open.
//
// # Platforms
//
//   - Linux, macOS and Windows: two lanes.
//   - FreeBSD and the other BSDs, illumos, and -tags sqlite3_flock: two lanes. Other processes
//     must use the same kind of locks.
//   - -tags sqlite3_dotlk: two lanes. No other process may use the file in WAL mode.
//   - Others, such as js and wasip1: one lane, because there is no shared memory for a WAL.
//     There are no file locks either, so Path must contain nolock=1.
//   - 32 bits: as above.
//   - Network file systems: WAL mode is not safe, and the pool cannot detect them. Set
//     DisableWAL, which means one lane, and use the file from one machine. A file that is in
//     WAL mode is then refused; the pragma journal_mode(delete) converts it.
//
// # Observing a database of "sqlitemw"
//
// [Observe] records the connections of a database that was opened with sql.Open("sqlitemw",
// ...), or with any driver that package driver/wrap wraps:
//
//	db, err := sql.Open("sqlitemw", dsn)
//	obs, err := pool.Observe(ctx, db, pool.ObserveConfig{})
//	defer obs.Close()
//	...
//	for _, e := range obs.Events() {
//		fmt.Println(e.Time, e.Kind, e.Conn, e.Duration)
//	}
//	fmt.Println(obs.Stats().InUse, obs.Stats().LongestUse)
//
// There, the pool is that of database/sql. A driver sees when a connection is opened, acquired,
// released and closed. So these events and the times in use are exact, with one exception: for
// a connection that database/sql opened in the background, the acquire is its first call. Only
// database/sql sees how long a caller waited for a connection. It counts waits and adds up
// their durations. Stats has both; events have no wait.
//
// If a connection had to be opened for an acquire, the acquire takes as long as the connect. Do
// not add the two durations.
//
// An [EventLog] is a driver.Recorder. In a driver.Config, it records everything from the first
// connection on:
//
//	var log pool.EventLog
//	sql.Register("mine", &driver.Driver{Config: driver.Config{Recorder: &log}})
//
// # Compatibility
//
// From the first release on, what is exported here keeps its name and its meaning within a major
// version, as Go's own promise says (https://go.dev/doc/go1compat). Texts of errors and log lines
// may change. Nothing has been released yet.
package pool
