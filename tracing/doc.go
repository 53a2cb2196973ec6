// Package tracing says what a database call looks like in OpenTelemetry: its
// span, its metrics and its logs.
//
// It makes one span for each call a program makes through database/sql,
// follows the stable database conventions
// (https://opentelemetry.io/docs/specs/semconv/db/, schema 1.43.0),
// and knows nothing of any engine: the system's name and the reading of its
// errors are given to it as a [Source].
//
// # Spans
//
// A call of the program is a span of kind CLIENT, whose parent is the span of
// the context that the program gave to the call:
//
//	db.Exec, db.Query, tx.…, stmt.…   db.query.summary, such as "SELECT orders"
//	db.Prepare                        "PREPARE SELECT orders"
//	db.BeginTx, Commit, Rollback      "BEGIN", "COMMIT", "ROLLBACK"
//	db.Ping                           "PING"
//
// A call that fails before it has a connection is none of the driver's, and has
// no span: one that waits for a connection until its context is over, or whose
// context was over before.
//
// The span of a query runs until its rows are exhausted, closed or failed,
// because that is when the engine does the work.
//
// A connection's life is told by spans of kind INTERNAL, named as the events
// of package wrap are:
//
//	connect   opening and configuring a connection, inside the acquire that asked for it
//	acquire   a connection is handed to a call
//	close     a connection is closed: a trace of its own, linked to its connect span
//
// They are made only under a sampled span of the program: a connection dialled in
// the background has none, and so never a trace nobody asked for.
//
// # Attributes
//
//	db.system.name            every span
//	db.namespace              every span
//	db.query.summary          queries and prepares
//	db.query.text             queries and prepares; see QueryText
//	db.operation.name         PREPARE, BEGIN, COMMIT, ROLLBACK, PING
//	db.response.status_code   failures: the engine's most specific code
//	error.type                failures; see below
//	db.response.returned_rows queries, by option
//	sqlitemw.engine.duration  queries: seconds inside the engine, without the caller's own time between rows
//	sqlitemw.transaction.id   all calls of one transaction that BeginTx began, the last included; one of another trace is linked to BEGIN
//	sqlitemw.connection.id    every span of an open connection
//	sqlitemw.connection.new   acquire: whether the connection was opened for it
//	sqlitemw.connection.lane  acquire in a pool with lanes: writer or reader
//	sqlitemw.acquire.queue_position     acquire that waited in a pool of ours: its place when it came, from 1
//	sqlitemw.acquire.wait               the same: seconds until it was its turn
//	sqlitemw.connection.close_reason    close
//	sqlitemw.connect.pragmas            connect: the names of those applied, in their order
//	sqlitemw.connect.pragmas.duration   connect: seconds it took to apply them and read them back
//
// Samplers see whatever is known when a span starts, but for sqlitemw.connection.id
// and sqlitemw.transaction.id of queries and of calls of a transaction: spans that
// are given more at their end have those there, too, since that costs less.
//
// With [Config].Details, the driver of SQLite adds to each exec and query what
// SQLite counted: sqlite.fullscan_steps, sqlite.sorts, sqlite.autoindex_rows and
// sqlite.vm_steps, where there were any, sqlite.memory_used (bytes that the
// prepared statements take) and sqlite.read_only. To every call that had to wait
// for SQLite's locks, or did not get them, it adds:
//
//	sqlite.busy.wait     seconds that it waited, its rows and their closing included
//	sqlite.busy.retries  how often it asked again
//	sqlite.busy.reason   of a call that ended with BUSY, what was in its way: see below
//	sqlite.busy.holder   the sqlitemw.connection.id of whoever was, if that is known
//
// The reason is "this process" where it is another connection of this process,
// and "other process" where none is known to have a lock; "snapshot" where the
// transaction has read what another has changed since, and has to be begun again;
// "recovery" where another process is setting the database right after a crash;
// "timeout" where the operating system gave up; and "this connection" where a
// statement of its own is still under way.
//
// error.type is context.Canceled or context.DeadlineExceeded when the caller's
// own context ended the call, else the engine's code, equal to
// db.response.status_code, else "panic", or "rows not closed" of a query whose
// rows were never closed and have become garbage, else the Go type of the error.
//
// # Metrics
//
// Calls and connections are measured by the [Config]'s MeterProvider, or the
// global one, whether they are traced or not:
//
//	db.client.operation.duration       s             histogram; of each call what its span lasts
//	db.client.response.returned_rows   {row}         histogram; of each query
//	db.client.connection.count         {connection}  up-down counter, by db.client.connection.state: idle or used
//	db.client.connection.create_time   s             histogram
//	db.client.connection.use_time      s             histogram; from acquire to release
//
// and in a pool that knows who waits, which database/sql's driver does not:
//
//	db.client.connection.wait_time          s             histogram; of each acquire
//	db.client.connection.pending_requests   {request}     up-down counter
//	db.client.connection.timeouts           {timeout}     counter
//	db.client.connection.max                {connection}  up-down counter
//	db.client.connection.idle.min           {connection}  up-down counter
//	db.client.connection.idle.max           {connection}  up-down counter
//
// Those of calls have db.system.name, db.namespace, db.query.summary or
// db.operation.name, and for failures error.type and db.response.status_code;
// those of connections db.client.connection.pool.name. No label holds a text or
// a value, and of summaries at most 1000 are told apart for each database.
// Exemplars lead to the spans of calls.
//
// # Logs
//
// [Config] can have calls that fail emitted as OpenTelemetry log records
// (db.client.operation.exception), and those that fail or are slow told to a
// [slog.Logger].
//
// # What is never recorded
//
// Arguments, unless Config.LogArgument has them logged; literals and comments of
// a text that binds no arguments, or has no place for them (one that does is shown
// as it was written: see QueryText); in such a text, a name in double quotes where a value is expected,
// and, if the connection takes double quotes for those of strings, wherever a
// string may stand; the value of a PRAGMA; the file and key of an ATTACH; the text
// of an error, which may quote any of them (the status description is the engine's
// fixed text for its code). Of a system other than SQLite, nothing of such a text
// is recorded but its first keyword: see [Source].
//
// What is built of a text is kept for the next call of it: at most 512 texts of
// 16 KiB each, and 4 MiB, for each database, 256 KiB for each connection, and
// 96 MiB for the process.
package tracing
