// Package tracing turns database calls into OpenTelemetry spans, metrics and log records.
//
// It makes one span for each call that a program makes through database/sql. It follows the
// stable database conventions (https://opentelemetry.io/docs/specs/semconv/db/, schema
// 1.43.0). It knows no engine: a [Source] gives it the system's name and classifies the
// engine's errors.
//
// # Spans
//
// Each call of the program is a span of kind CLIENT. Its parent is the span in the context
// that the program passed to the call. Its name is:
//
//	db.Exec, db.Query, tx.…, stmt.…   db.query.summary, such as "SELECT orders"
//	db.Prepare                        "PREPARE SELECT orders"
//	db.BeginTx, Commit, Rollback      "BEGIN", "COMMIT", "ROLLBACK"
//	db.Ping                           "PING"
//
// A call that fails before it gets a connection never reaches the driver, so it has no span.
// That includes a call whose context ends while it waits for a connection, or before it
// starts. If the driver knows why, the call is measured: see Metrics.
//
// The span of a query runs until its rows are exhausted, closed or failed. Until then, the
// engine works on the query.
//
// Spans of kind INTERNAL show the life of a connection. They have the names of package wrap's
// events:
//
//	connect   a connection is opened and configured; a child of the acquire that needs it
//	acquire   a connection is handed to a call
//	close     a connection is closed; a trace of its own, linked to the connect span
//
// These spans are made only under a sampled span of the program. A connection that is opened
// in the background has none, so it starts no trace of its own.
//
// # Attributes
//
//	db.system.name             every span
//	db.namespace               every span
//	server.address             every span of an open connection whose server is known, as by
//	                           Describe of package wrap; acquire and connect get it at the end
//	server.port                the same, unless it is the system's default port
//	db.query.summary           queries and prepares
//	db.query.text              queries and prepares; see QueryText
//	db.operation.name          PREPARE, BEGIN, COMMIT, ROLLBACK, PING
//	db.response.status_code    failures: the engine's most specific code
//	error.type                 failures; see below
//	db.response.returned_rows  queries, if Config.ReturnedRows is set
//	sqlitemw.engine.duration   queries: seconds inside the engine, without the caller's own
//	                           time between rows
//	sqlitemw.sync.duration     commits of package pool: seconds until the commit was on the disk
//	sqlitemw.call.attempt      calls that database/sql makes again, after
//	                           database/sql/driver.ErrBadConn: the number of the attempt, from 2
//	sqlitemw.transaction.id    all calls of a transaction that BeginTx began, from BEGIN to
//	                           COMMIT or ROLLBACK; a call in another trace is linked to BEGIN
//	sqlitemw.connection.id     every span of an open connection
//	sqlitemw.connection.new    acquire: whether the connection was opened for it
//	sqlitemw.connection.lane   acquire in a pool with lanes: writer or reader
//
//	sqlitemw.acquire.queue_position    acquire that waited in package pool's queue: the place in
//	                                   the queue where the wait began, from 1
//	sqlitemw.acquire.wait              acquire that waited there: seconds until its turn
//	sqlitemw.connection.close_reason   close
//	sqlitemw.connect.pragmas           connect: the names of the applied pragmas, in order
//	sqlitemw.connect.pragmas.duration  connect: seconds to apply the pragmas and read them back
//
// Samplers see the attributes that are known when a span starts, with two exceptions.
// sqlitemw.transaction.id is always set at the end. sqlitemw.connection.id is set at the end
// of queries, of BEGIN and of calls in a transaction. If Details is set, it is set at the end
// of every call. These spans get other attributes at the end anyway, and one more there costs
// less. If the connection's server is known, it is set at the start, with that.
//
// With [Config].Details, the driver of SQLite adds to each exec and query what SQLite
// counted: sqlite.fullscan_steps, sqlite.sorts, sqlite.autoindex_rows and sqlite.vm_steps,
// each if it is not zero, sqlite.memory_used (bytes of the prepared statements) and
// sqlite.read_only. It adds the following to every call that waited for SQLite's locks or did
// not get them:
//
//	sqlite.busy.wait     seconds of waiting, including the call's rows and their closing
//	sqlite.busy.retries  number of further attempts to get the lock
//	sqlite.busy.reason   a call that ended with BUSY: the cause, see below
//	sqlite.busy.holder   sqlitemw.connection.id of the lock's holder, if it is known
//
// sqlite.busy.reason is one of:
//
//   - "this process": another connection of this process has the lock.
//   - "other process": no connection of this process is known to have the lock.
//   - "snapshot": the transaction has read data that another transaction has changed since.
//     The transaction must be begun again.
//   - "recovery": another process is recovering the database after a crash.
//   - "timeout": the operating system timed out.
//   - "this connection": a statement of the same connection is still running.
//
// error.type is the first of these that applies:
//
//   - what Source.Classify has set as Type
//   - context.Canceled or context.DeadlineExceeded, if the caller's own context ended the
//     call
//   - the engine's code, equal to db.response.status_code
//   - "panic"
//   - "rows not closed", for a query whose rows were garbage-collected without being closed
//   - the name of an error of the network, as in ECONNREFUSED, ECONNRESET or EPIPE
//   - the name of a variable that the error wraps: net.ErrClosed, io.ErrUnexpectedEOF (also for
//     io.EOF), io.ErrClosedPipe, sql.ErrNoRows, sql.ErrTxDone, sql.ErrConnDone, driver.ErrBadConn
//     or driver.ErrSkip
//   - "timeout", if the network took too long and not the caller's context ended the call
//   - the Go type of the error
//
// # Metrics
//
// The [Config]'s MeterProvider, or the global one, measures calls and connections, traced or
// not:
//
//	db.client.operation.duration      s             histogram; per call, as long as its span
//	db.client.response.returned_rows  {row}         histogram; per query
//	db.client.connection.count        {connection}  up-down counter, by
//	                                                db.client.connection.state: idle or used
//	db.client.connection.create_time  s             histogram
//	db.client.connection.use_time     s             histogram; from acquire to release
//
// A pool that knows its waiters, such as package pool's, adds the following. A driver below
// database/sql's own pool cannot see them.
//
//	db.client.connection.wait_time         s             histogram; per acquire
//	db.client.connection.pending_requests  {request}     up-down counter
//	db.client.connection.timeouts          {timeout}     counter
//	db.client.connection.max               {connection}  up-down counter
//	db.client.connection.idle.min          {connection}  up-down counter
//	db.client.connection.idle.max          {connection}  up-down counter
//
// Such a pool also adds its statistics. They are read when the provider collects.
//
//	sqlitemw.pool.status                   {pool}        up-down counter, by sqlitemw.pool.state:
//	                                                     ok, degraded, down or unknown
//	sqlitemw.wal.size                      By            up-down counter; the file
//	sqlitemw.wal.limit                     By            up-down counter; of the content
//	sqlitemw.wal.frame.count               {frame}       up-down counter; that fit into the file
//	sqlitemw.wal.oldest_reader.age         s             gauge; of the use of the connection
//	sqlitemw.wal.checkpoints               {checkpoint}  counter, by
//	                                                     sqlitemw.wal.checkpoint.outcome: done
//	                                                     or failed
//	sqlitemw.wal.syncs                     {sync}        counter
//	sqlitemw.wal.synced_commits            {commit}      counter
//	sqlitemw.wal.sync.time                 s             counter
//	sqlitemw.busy.failures                 {call}        counter, by sqlite.busy.reason, which
//	                                                     may also be "outside the pools"
//	sqlitemw.statement_cache.lookups       {lookup}      counter, by
//	                                                     sqlitemw.statement_cache.result: hit or
//	                                                     miss
//	sqlitemw.statement_cache.evictions     {statement}   counter
//	sqlitemw.connection.leaks              {leak}        counter
//	sqlitemw.connection.leaked.count       {connection}  up-down counter; not yet given back
//	sqlitemw.connection.dirty_releases     {release}     counter
//	sqlitemw.connection.overflows          {connection}  counter
//	sqlitemw.pool.exceeded_time_limits     {time_limit}  counter
//	sqlitemw.pool.panics                   {panic}       counter
//
// Pools of one file with the same name have the same series: counts are sums, sizes and ages are
// the largest.
//
// A call that gets no connection is measured in db.client.operation.duration, with its error.type
// and the db.operation.name ACQUIRE, because its query is not known: if no connection could be
// opened for it, or if package pool gave it none. A call whose context ends while it waits in
// database/sql is not known to the driver. A connection that cannot be opened in the background is
// for the longest waiter, and is measured likewise.
//
// Metrics of calls have db.system.name, db.namespace, and db.query.summary or
// db.operation.name; a prepare has both. They have server.address and server.port as their spans
// do, for at most 64 servers of a database. Failures also have error.type and
// db.response.status_code. Metrics of connections have db.client.connection.pool.name. No
// label contains a query or a value. Each database has at most 1000 different summaries as
// labels. Exemplars lead to the spans of calls. Config.MetricAttributes adds attributes of the
// caller's context to the metrics of calls and acquires.
//
// # Logs
//
// [Config] can emit failed calls as OpenTelemetry log records
// (db.client.operation.exception). It can also log failed and slow calls to a
// [log/slog.Logger].
//
// # Statements
//
// With Config.Statements, the package keeps statistics of each statement: see [Statement]. They need
// neither a provider nor a logger. Calls of one statement are those of one database whose queries
// differ only in literals, comments and white space, in the length of lists after IN, and in the
// number of rows after VALUES. Upper and lower case differ. BEGIN, COMMIT and ROLLBACK are statements,
// too; preparing one is not a call of it. [Tracer.Statements] returns all of them, sorted by their
// total time, the longest first. The [Default] Tracer has no statistics.
//
// When there are more statements than Config.Statements, those with the fewest calls, an eighth of
// all, are added to one statement with the Text "others". So no call is lost. For a system whose
// SQL the package does not read, a statement is the first keyword of a query: see [Source].
//
// With Config.SlowCall, too, package pool takes the plan of each slow statement after the slow call,
// on a reader, when one is idle and no caller waits. A pool with one lane takes no plans. The plan,
// and what makes it slow in words, is in [Statement].Plan. It is logged once when it is taken, and in
// the lines of later slow calls. If the schema has changed, the pool takes the plan again, at the
// latest after 30 seconds.
//
// # What is never recorded
//
// Spans, metrics and logs never contain:
//
//   - arguments, unless Config.LogArgument shows them in the log
//   - literals and comments of a query, but for one of SQLite that binds arguments, which is
//     shown as written; see [QueryTextSafe]
//   - in a query of SQLite without arguments, a name in double quotes where a value is expected;
//     and wherever a string may stand, if the connection accepts double-quoted strings
//   - in a query of MySQL, a name in double quotes, and all after a string whose end depends on
//     the server's mode; see below
//   - the value of a PRAGMA, or of a setting that SET changes
//   - the file and the key of an ATTACH
//   - the text of an error, because it may quote any of these; the status description is the
//     engine's fixed text for its code
//
// Of a system whose SQL the package does not read, no query is shown: see [Source].
//
// # Summaries
//
// A summary is the operations of a query and their tables, as written and in the order of the
// query: "INSERT archive SELECT orders". Common table expressions, aliases and columns are not part
// of it. It has at most 255 characters.
//
// For PostgreSQL and MySQL, the targets of other statements are listed, too: "CALL close_month",
// "TRUNCATE TABLE orders", "COPY orders", "SHOW CREATE TABLE orders", "SET search_path". Names that
// programs make up for one connection are not: those of savepoints, cursors, prepared statements
// and channels.
//
// # Modes of a server
//
// A query does not say in which mode its server is. Where the mode decides what a literal is, the
// package shows what no mode takes as a literal:
//
//   - In double quotes, MySQL expects a string, or a name if ANSI_QUOTES is set. It is never
//     shown, and a table with such a name is not in the summary.
//   - A backslash before a quote ends a string or does not. MySQL's NO_BACKSLASH_ESCAPES and
//     PostgreSQL's standard_conforming_strings decide. A query with such a string ends with "?"
//     in place of its first literal.
//   - MySQL executes the content of /*! comments */ or does not. It is never shown. If it
//     contains quotes or comments, the query ends as above.
//   - If a query is not valid UTF-8, a byte in it may be half of a character. It ends before the
//     first character that is not ASCII.
//
// # Memory
//
// The package keeps the attributes that it builds from a query for the next call of the same
// query. A database keeps at most 512 queries, each of at most 16 KiB, and at most 4 MiB in
// all. A connection keeps at most 256 KiB, and the process 96 MiB.
//
// # Compatibility
//
// From the first release on, what is exported here keeps its name and its meaning within a major
// version, as Go's own promise says (https://go.dev/doc/go1compat). Texts of errors and log lines
// may change. Nothing has been released yet.
package tracing
