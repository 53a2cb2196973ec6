// Package wrap puts tracing and an account of connections around any
// [database/sql/driver]. It knows no engine and registers nothing.
//
//	connector := wrap.NewConnector(parent, wrap.Config{Source: tracing.Source{System: "postgresql"}})
//	db := sql.OpenDB(connector)
//
// # The road of a call
//
//	database/sql → Conn → sqlmw, with tracing's interceptor → adapter → the parent's connection
//
// [Conn] stands outside, because sqlmw has no hook for a connection's reset,
// validation and close, and hides what its rows can do. The adapter stands
// inside: it gives sqlmw a connection with every optional interface, doing
// what database/sql does where the parent has none, and it serves a call in
// one go where the parent would have database/sql prepare, execute and close
// (by answering [driver.ErrSkip] or lacking the interface). So one call of the
// program is one call here, and one span. An interceptor of tracing's is asked
// at once for the calls that programs make most, where the program has none of
// its own that sqlmw would have to bring in.
//
// # Differences from the parent alone
//
//	database/sql keeps a connection whose transaction was rolled back, where it
//	would discard one that cannot be reset and validated.
//	A connection through which a panic passed is retired when it is released.
//	An argument's bad name is refused before its statement is prepared, not after.
//	(*sql.Conn).Raw gives a [Conn], whose Parent is the parent's connection; (*sql.DB).Driver is the wrapper's.
//	An ErrSkip that a parent's Prepare or statement returns is another value, that wraps it.
//
// # Events
//
// A [Recorder] is told of each step in a connection's life; see [Kind].
package wrap
