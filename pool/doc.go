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
// _pool_health_interval, _pool_must_exist, _pool_wal, _pool_synchronous,
// _pool_journal_size_limit and _pool_dirty. Config has the others, and a [Driver]
// of the program's own has a Config.
//
// Every connection has foreign keys on, synchronous FULL, a busy timeout of 5
// seconds and a journal size limit of 64 MiB, and a file is in WAL mode, unless
// Config or its Path says otherwise. [Manager] keeps several pools.
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
// does not write there. Once a checkout has had the writer, it stays there until
// it ends; while it does nothing, and has neither a transaction nor rows open, others
// may write. [Pool.Reader] and [Pool.Writer] are the same, but of one lane.
//
// A query sees what was committed before it began. One on a reader does not see
// what a transaction that is still open has written.
//
// # What changes against "sqlitemw"
//
//	db.Begin       takes the write lock at once, in its turn, so that no other writer can come between what it reads and what it
//	               writes. For a transaction that only reads, use BeginTx with sql.TxOptions{ReadOnly: true}: it has a reader.
//	               A _txlock in Path wins
//	db.Stats       counts shells, which is what database/sql has for connections here: a shell costs next to nothing, and takes a
//	               connection only while it is used. Ask [Pool.Stats]
//	errors         of an acquire come from the first call that needs a connection, and not from db.Conn
//	SetMaxOpenConns, SetMaxIdleConns, SetConnMaxLifetime, SetConnMaxIdleTime
//	               are of shells. SetMaxOpenConns puts database/sql's queue, which is served at random and has no timeout, in front
//	               of the pool's: leave it alone, and set Config.MaxConns
//	one lane       is one connection: a query while rows are open, or outside of an open transaction, waits for itself, until
//	               AcquireTimeout. So it is with MaxConns 1, and in memory
//	readers        are let in beyond MaxConns where those there are wait for each other, as nested queries do
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
// # Errors
//
// [Open] fails with [ErrInvalidConfig], [ErrNotFound], an [*OpenError] or
// [ErrHealthCheck]. A call that gets no connection has an [*AcquireError], which
// says who has them, for how long and for what, how many wait, and what the cause
// seems to be: it is [ErrAcquireTimeout], [ErrQueueFull] (Config.MaxWaiters),
// [ErrClosed] or the context's error, and for the writer also sqlite3.BUSY, so that
// a program which knows what to do about a locked database does it. [WithOwner]
// gives the holders names. Errors of SQLite are given to the program as they are.
//
// [Pool.WithTx] tries a transaction again for which SQLite says BUSY, because
// another process writes.
//
// # Events, statistics and logs
//
// [Pool.Events] has the latest events: each connect, acquire, release and close
// with its durations and reason, and each timeout, cancel, refuse, leak (with
// Config.LeakAfter), dirty, session, busy, reset, health and shutdown. [Pool.Subscribe]
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
// the file is still the same; [Pool.Health] has what it found, and
// Config.HealthInterval has the pool check itself. [Pool.Backup] copies the
// database while it is in use, and [Pool.Checkpoint] empties its WAL into it.
//
// A goroutine of the pool moves what is in the WAL to the database, once there are
// 1000 pages of it, while the writer goes on; where the WAL has come to
// Config.JournalSizeLimit all the same, the next commit does it, as SQLite's own
// checkpoints. Set the pragma wal_autocheckpoint to have SQLite do it as ever.
//
// Another closes connections that were idle for longer than
// IdleTimeout or are older than MaxLifetime, and keeps MinConns open. A database in
// memory is kept by a connection of the pool's own. [Pool.Resize] changes MaxConns,
// and [Pool.Reset] has all connections opened anew.
//
// # Shutdown
//
// [Pool.Shutdown] refuses new acquires and those that wait, waits for what is in
// use as long as its context allows, and takes away what is left, of which it
// tells in a [*ShutdownError]. Readers are closed first; the writer runs PRAGMA
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
//	network file systems           not safe in WAL mode, which the pool cannot see: set DisableWAL, which is one lane, and use the file
//	                               from one machine
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
