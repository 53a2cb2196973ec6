// Package tracing says what a database call looks like in OpenTelemetry.
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
//	sqlitemw.connection.id    every span of an open connection
//	sqlitemw.connection.new   acquire: whether the connection was opened for it
//	sqlitemw.connection.close_reason   close
//
// error.type is context.Canceled or context.DeadlineExceeded when the caller's
// own context ended the call, else the engine's code, equal to
// db.response.status_code, else "panic", else the Go type of the error.
//
// # What is never recorded
//
// Arguments; literals and comments of a text that binds no arguments (one that
// does is shown as it was written: see QueryText); the value of a PRAGMA; the file and key of an ATTACH; the text of an error, which may quote
// any of them (the status description is the engine's fixed text for its code).
package tracing
