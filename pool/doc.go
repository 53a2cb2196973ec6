// Package pool is a pool of connections to an SQLite database, below
// [database/sql]: one connection writes, others read, who waits is served in the
// order of coming, and every wait, use and failure is accounted for.
//
//	p, err := pool.Open(ctx, pool.Config{Path: "app.db"})
//	defer p.Close()
//	db := p.DB() // a *sql.DB like any other
//
// or, without another line of the program changed, as the driver [Name]:
//
//	import _ "github.com/sqlitemw/sqlitemw/pool"
//
//	db, err := sql.Open("sqlitemw-pool", "file:app.db?_pool_max=8&_pool_acquire_timeout=10s")
//
// whose pool is opened by the first call and closed by db.Close; [Of] finds it.
// A DSN is one of package driver's, with keys for fields of [Config]: _pool_name,
// _pool_min, _pool_max, _pool_max_waiters, _pool_events, _pool_acquire_timeout,
// _pool_idle_timeout, _pool_max_lifetime, _pool_lifetime_jitter,
// _pool_busy_timeout, _pool_validate_after, _pool_keepalive, _pool_leak_after,
// _pool_statement_timeout, _pool_tx_timeout, _pool_max_read_age,
// _pool_health_interval, _pool_must_exist, _pool_wal, _pool_synchronous,
// _pool_journal_size_limit, _pool_memory_limit and _pool_dirty. Config has the others, and a [Driver]
// of the program's own has a Config. A _pool_name that looks like it has parameters is
// refused. What an error or a log line shows of a DSN is as package driver says, and
// names in it are quoted.
//
// Every connection has foreign keys on, synchronous FULL (without a WAL: EXTRA), a busy
// timeout of 5 seconds and a journal size limit of 64 MiB, and a file is in WAL mode,
// unless Config or its Path says otherwise. [Manager] keeps several pools.
//
// # Lanes
//
// A file in WAL mode has two lanes: the writer, which is one connection, and
// readers, up to MaxConns-1 of them, which cannot write. Each has a queue; that of
// the writer is one for all pools of the process that may write to the same file,
// whatever its name. Everything else has one connection for everything, which is a lane
// too; see Config.MaxConns.
//
// A checkout of [Pool.DB] (a call, a Conn or a Tx) takes a connection when it is
// first asked for something, and what that is decides the lane:
//
//	SELECT, VALUES (Query, QueryRow)                 reader
//	WITH (Query, QueryRow)                           reader, if SQLite says that it only reads, else writer
//	either of them, if it names last_insert_rowid,
//	changes, total_changes, temp, sqlite_temp_schema,
//	sqlite_temp_master or a pragma_ function, or if
//	another statement follows                        writer
//	INSERT, REPLACE, UPDATE, DELETE, also RETURNING  writer
//	PRAGMA, ATTACH, BEGIN, DDL, whatever else        writer
//	Exec, of any text but an empty one               writer
//	EXPLAIN, EXPLAIN QUERY PLAN                      as what is explained
//	Prepare                                          reader, if preparing the text cannot execute it; then each call as above
//	BeginTx with ReadOnly and LevelDefault           reader
//	any other BeginTx                                writer, whose lock it takes at once
//	Ping                                             reader
//	(*sql.Conn).Raw, once Raw() is called            writer
//
// Texts are read before anything is prepared, because to prepare a PRAGMA is to
// execute it. A text that is misread fails on a reader, with sqlite3.READONLY: it
// does not write there.
//
// What a text does not show, SQLite says when a reader prepares it, once for each text and
// schema. A query of a view over last_insert_rowid(), changes() or total_changes() is the
// writer's. So is one that names what only the writer has, a function say, by Config.Init
// or Config.Hooks.AfterConnect. In a transaction that only reads, neither is.
//
// A reader that a query of [Pool.Reader] or of a transaction that only reads has changed, or
// may have, is closed when it is given back: by a PRAGMA with a value, ATTACH or DETACH, a
// temporary object, a transaction left open, or Raw. On readers, query_only stays on.
// SQLite tells of such queries by an authorizer that the pool sets on readers. If Config.Init
// or AfterConnect sets one itself, that stays, and the pool looks for changes after each use
// in which something was prepared, which takes 0.1 ms.
//
// Once a checkout has had the writer, it stays there until
// it ends; while it does nothing, and has neither a transaction nor rows open, others
// may write. [Pool.Reader] and [Pool.Writer] are the same, but of one lane.
//
// A query sees what was committed before it began. One on a reader does not see
// what a transaction that is still open has written.
//
// # What changes against "sqlitemw"
//
//	db.Begin       takes the write lock at once, as there, but waits for it in the queue, first come, first served. There it waits in
//	               SQLite, for the busy timeout and in no order. For a transaction that only reads, use BeginTx with
//	               sql.TxOptions{ReadOnly: true}: it has a reader. A _txlock in Path wins
//	db.Stats       counts shells, which is what database/sql has for connections here: a shell costs next to nothing, and takes a
//	               connection only while it is used. Ask [Pool.Stats]
//	errors         of an acquire come from the first call that needs a connection, and not from db.Conn
//	SetMaxOpenConns, SetMaxIdleConns, SetConnMaxLifetime, SetConnMaxIdleTime
//	               are of shells. SetMaxOpenConns puts database/sql's queue, which is served at random and has no timeout, in front
//	               of the pool's: leave it alone, and set Config.MaxConns
//	one lane       is one connection: a query while rows are open, or outside of an open transaction, waits for itself, until
//	               AcquireTimeout. So it is with MaxConns 1, and in memory
//	readers        are let in beyond MaxConns where those there are wait for each other, as nested queries do: up to 128, and on 32
//	               bits as many as may use 512 MiB, in all pools together; see Config.MemoryLimit
//	session state  what a program sets by PRAGMA, ATTACH or temporary objects is the writer's, for all who come after, and stays until
//	               it is undone: a warning is logged, and an event recorded. Of DB, a PRAGMA does not reach the readers. Once a text
//	               has attached a file or made a temporary object, queries of DB go to the writer too, until it is detached or dropped;
//	               once Raw() of a *sql.Conn was called, until [Pool.Reset]. What all connections are to have belongs into Config.Init and Config.Pragmas
//	transactions   that a text begins (Exec of BEGIN) must end in the same checkout, of db.Conn: what is left open is rolled back, and
//	               logged as an error; see Config.Dirty
//	last_insert_rowid()
//	               and changes() are of the writer, which others may have used since: use sql.Result, RETURNING, or a transaction
//	functions      of the program's find by (*sqlite3.Conn).GetInterrupt a context with the caller's values and end, not the very same
//	Prepare        prepares the text and keeps it, not the statement: each connection prepares it when it comes to it, and keeps it
//	               (Config.StatementCache). What fails then is the text: its error is in no errors.Join, and if what it is of is gone,
//	               the query fails, and not its first row. Rows outlive it
//	Raw            of a *sql.Conn has a Raw method as package driver's, for the writer, which panics with an [*AcquireError] if there is
//	               none to be had, and none of the methods of *sqlite3.Conn. [Pool.Raw] takes a context and returns an error
//	db.Close       of DB, Reader and Writer closes that database alone; [Pool.Close] closes all
//
// # Opening
//
// Connections are opened on goroutines of the pool's own, with the values of the context
// of the call that one is opened for, and not its end. A call whose context ends, or that
// has waited for AcquireTimeout, returns then, with an [*AcquireError], and gives its turn
// to the next; what it has begun is finished, and serves whoever comes next. So does the
// opening of the pool by the first calls of a database of sql.Open. An opening that takes
// longer than five seconds is kept out of the way: the next call begins another. A panic of
// Init or of a hook is the panic of the call that waits; if none does, it is logged, and an
// event once the pool is open.
//
// # Limits of time
//
// Config.StatementTimeout bounds a statement, Config.TxTimeout a transaction, and
// Config.MaxReadAge what is read, and so keeps the WAL from being begun anew. When one is
// over, a log line and an event say so, the call that is under way is interrupted, and its
// error, and that of every later one, is a [*TimeLimitError], which names the setting. A
// transaction or reading is taken away although the program asks for nothing: it is
// rolled back, its turn is the next one's, and its connection is closed when the program
// gives it back. What a statement outside of a transaction has written is written, if only
// its rows are left to be read (RETURNING). Who has SQLite's own connection, by Raw or for a
// savepoint, keeps it until it is given back, and its calls fail.
//
// # Errors
//
// [Open] fails with [ErrInvalidConfig], [ErrNotFound], an [*OpenError] or
// [ErrHealthCheck]. A call that gets no connection has an [*AcquireError], which
// says who has them, for how long and for what, how many wait, and what the cause
// seems to be: it is [ErrAcquireTimeout], [ErrQueueFull] (Config.MaxWaiters),
// [ErrClosed] or the context's error, also while a connection is being opened, and for the writer also sqlite3.BUSY, so that
// a program which knows what to do about a locked database does it. [WithOwner]
// gives the holders names. Errors of SQLite are given to the program as they are.
//
// A panic in a call passes to the program as with package driver, whose rules hold: the
// connection is closed, its turn is free, and the checkout answers
// [driver.ErrPanicked].
//
// [Pool.WithTx] tries a transaction again for which SQLite says BUSY, because
// another process writes.
//
// # Events, statistics and logs
//
// [Pool.Events] has the latest events: each connect, acquire, release and close
// with its durations and reason, and each timeout, cancel, refuse, leak (with
// Config.LeakAfter), dirty, session, busy, reset, health, file-lost, failing,
// recovered, panic, time-limit, warning and shutdown. [Pool.Subscribe]
// gives them as they come, as a channel or a range, [Pool.LogEvents] writes them to
// a slog.Logger, and Config.Recorder is called with each. No one waits for who is
// too slow: what is lost to a subscriber is counted.
//
// [Pool.Stats] sums up, [Pool.Holders] says who has connections now. Spans and
// metrics are package tracing's: the acquire span has the wait in the queue, and
// db.client.connection.wait_time, pending_requests and timeouts are measured.
//
// # Health and upkeep
//
// [Pool.HealthCheck] reads a page on a connection of its own, and looks whether
// the database, its -wal and its -shm are still the files that the pool has opened, and
// as long as SQLite takes them to be; [Pool.Health] has what it found, and
// Config.HealthInterval has the pool check itself. Besides, from the moment that one of
// these begins until it ends, the pool is degraded, and says why:
//
//	write       SQLite cannot write: the disk or a quota is full, a write or a sync fails, or the file
//	            system can only be read. It ends when a write succeeds
//	checkpoint  what is in the WAL cannot be moved to the database. The pool tries again after 100 ms, then
//	            after twice as long each time, up to 10 s, and in HealthCheck
//	wal         the WAL is beyond Config.JournalSizeLimit, and cannot be begun anew: the reason names the
//	            connection that has read for long, its owner, last query and trace, if it is in a pool of
//	            this process
//
// When it begins and when it ends, there is one log line, and one event, failing and
// recovered, with that reason. A failed commit is still reported to its caller.
//
// # The WAL
//
// A goroutine of the pool moves what is in the WAL to the database, once there are
// 1000 pages of it (later 750), while the writer goes on. Then a commit is held at its
// end, after the transaction is durable, so that no other comes between while the rest
// is moved and the next writer begins the WAL anew; up to the limit, that takes a few
// milliseconds, or is left for later. From Config.JournalSizeLimit on, the commit is
// held until readers have ended, so that the WAL stays within twice the limit, as long
// as nobody reads for longer than a second and no transaction writes more than the
// limit. Under a reader of a pool of this process that has read for longer, nothing
// waits; the WAL grows, and the pool is degraded. Of readers elsewhere the pool does not
// know how long they have read: it waits for them a second or so, and then again after 10
// seconds, 20, and so on, up to 5 minutes. The context of the call ends its wait.
//
// A WAL whose file is longer than 1000 pages, or its limit, is cut when nothing has been
// committed for a second: SQLite's own checkpoints leave it so long, too.
//
// With one connection for everything, the commit moves the WAL itself, as with SQLite's
// own checkpoints. Set the pragma wal_autocheckpoint, in Path or Config.Pragmas, to have
// SQLite do it, or to 0 for nobody, as Litestream wants: the pool then runs no checkpoint
// by itself, and tells only that the WAL is beyond its limit. A hook that a program sets
// by (*sqlite3.Conn).WALHook takes the place of the pool's. All this is of the main
// database: files that are attached are moved as SQLite does it.
//
// [Pool.Checkpoint] moves the WAL when the program says so.
//
// # Durability
//
// A commit is on the disk when it returns, and survives a power failure: the default
// of Config.Synchronous is FULL in WAL mode, and EXTRA without a WAL, where FULL does not
// sync the directory, and a journal that comes back undoes the latest commit. A copy
// by [Pool.Backup] or [Pool.BackupTo] is on the disk when that returns, and its name is
// never that of a part. For a copy that is made again and again under the same name:
//
//	for range time.Tick(time.Hour) {
//		err := p.BackupTo(ctx, "/backup/app.db", pool.BackupOptions{Replace: true})
//		...
//	}
//
// # Connections
//
// A goroutine closes connections that were idle for longer than
// IdleTimeout or are older than MaxLifetime, and keeps MinConns open. A database in
// memory is kept by a connection of the pool's own. [Pool.Resize] changes MaxConns,
// and [Pool.Reset] has all connections opened anew.
//
// If one of the three files is lost, health is down, a file-lost event and a log line say
// which and how, and every call fails with [driver.ErrFileLost] (see package driver, The
// file). Nothing repairs that but to close the pool and open it again, at the same path if
// a backup was put there: [Manager.Add] and [Manager.OpenPrimary] do both.
//
// # Functions of the program's
//
// Init, Term, hooks, the Recorder, loggers and what is behind Config.Tracing are called on
// the goroutine of a call where a call leads to them: there, a panic passes to the program,
// and a function that blocks keeps its caller, and may keep a turn.
//
// The pool calls them on goroutines of its own to keep MinConns open, to close what is idle
// or old, to check health, to move the WAL, to write lines and events, and in Shutdown.
//
//   - A panic is recovered there. It is an event (panic, with the function's name as its
//     reason), Stats.Panics counts it, and it is logged with its stack, once for each
//     function. A connection that was to be opened is tried again later; one that was to be
//     closed is closed. In Shutdown, the panic of a hook or of Term passes to the caller in
//     the end, when all is closed.
//   - A function that does not return delays no acquire, release or Shutdown. The pool's own
//     goroutine waits five seconds for BeforeConnect and BeforeClose: then the connection
//     fails, or is closed all the same. Init, Term and AfterConnect have the connection in
//     hand and keep it. One goroutine is in each function at most: others do not call it and
//     have a [*BlockedError], a health check among them. Shutdown names the function in
//     [ShutdownError].Blocked.
//
// Events of the pool's own goroutines are handed to the Recorder on one more, with all
// events that follow until the Recorder has had those, so that their order is kept. Lines are
// handed to Config.Logger in the same way; a call waits for its line, but 20 milliseconds at
// most. There is room for 1024 of each; the log says how many lines were lost.
//
// # Shutdown
//
// [Pool.Shutdown] refuses new acquires and those that wait, waits for what is in
// use as long as its context allows, and takes away what is left, of which it
// tells in a [*ShutdownError], as of what has not returned. Readers are closed first; the writer runs PRAGMA
// optimize, and removes the WAL if nobody else has the file. [Pool.Close] is
// Shutdown with ten seconds; so is db.Close of a database of sql.Open.
//
// # Where it runs
//
//	Linux, macOS                   two lanes
//	Windows                        two lanes
//	FreeBSD and the other BSDs,
//	illumos, -tags sqlite3_flock   two lanes; other processes must use the same kind of locks
//	-tags sqlite3_dotlk            two lanes; no other process may use the file in WAL mode
//	others, as js and wasip1       one lane: there is no shared memory for a WAL; no file locks either, so that Path must say nolock=1
//	32 bits                        as above
//	network file systems           not safe in WAL mode, which the pool cannot see: set DisableWAL, which is one lane, for a file that is
//	                               in WAL mode also the pragma journal_mode(delete), and use the file from one machine
//
// # Watching a database of "sqlitemw"
//
// [Observe] tells what becomes of the connections of a database that was opened
// with sql.Open("sqlitemw", ...):
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
// The pool is database/sql's there. A driver sees when a connection is opened,
// handed out, given back and closed, and so those events and the times in use
// are exact, but for a connection that database/sql opened in the background,
// whose acquire is its first call. How long a caller waited for a connection
// is seen by database/sql alone, which counts waits and sums their lengths:
// Stats has both, and no event pretends to know more.
//
// The acquire of a connection that had to be opened for it took as long as its
// connect: do not add the two up.
//
// An [EventLog] is a driver.Recorder, and may be given to driver.Config, so
// that it misses nothing from the first connection on:
//
//	var log pool.EventLog
//	sql.Register("mine", &driver.Driver{Config: driver.Config{Recorder: &log}})
package pool
