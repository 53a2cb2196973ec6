// Package wrap adds tracing and connection events to any [database/sql/driver]. It knows no
// engine and registers no driver.
//
//	connector := wrap.NewConnector(parent, wrap.Config{Source: tracing.Source{System: "postgresql"}})
//	db := sql.OpenDB(connector)
//
// # The path of a call
//
//	database/sql → Conn → sqlmw, with tracing's interceptor → adapter → parent's connection
//
// [Conn] is outside of sqlmw. sqlmw has no hook for a connection's reset, validation and
// close, and it hides optional methods of rows.
//
// The adapter is inside of sqlmw. It implements every optional interface for sqlmw, and does
// what database/sql does where the parent lacks one. If a parent lacks an interface or
// returns [driver.ErrSkip], database/sql would prepare, execute and close in three calls. The
// adapter does that in one call. So one call of the program is one call here, and one span.
//
// Exec and Query are the most frequent calls. If the program has no interceptors of its own,
// they bypass sqlmw and call tracing's interceptor directly.
//
// # Differences from the parent alone
//
//   - When a transaction's context ends, database/sql rolls back and keeps the connection. It
//     would discard a connection of a parent that lacks ResetSession or IsValid.
//   - A connection that a panic passed through is closed when it is released.
//   - A bad argument name is refused before the statement is prepared, not after.
//   - (*sql.Conn).Raw receives a [Conn]. [Raw] passes the parent's connection instead, as the
//     type that the program asks for. (*sql.DB).Driver returns the wrapper's driver.
//   - If the parent's Prepare or statement returns ErrSkip, the program receives an error
//     that wraps ErrSkip.
//
// # Engines that fail over
//
// [Config] has three fields for a server that may stop while its clients go on. All are off by
// default:
//
//   - Describe says which server each connection leads to, for spans and metrics.
//   - Broken lets a dead connection be discarded when it is released, even if the parent cannot
//     say that it is dead.
//   - Once keeps database/sql from repeating a write that the server may have applied. The
//     program gets an [OutcomeError] instead.
//
// For pgx:
//
//	wrap.Config{
//		Source: tracing.Source{System: "postgresql"},
//		Describe: func(c driver.Conn) wrap.Server {
//			cfg := c.(*stdlib.Conn).Conn().Config()
//			return wrap.Server{Address: cfg.Host, Port: int(cfg.Port)}
//		},
//		Broken: func(c driver.Conn) bool { return c.(*stdlib.Conn).Conn().IsClosed() },
//		Once:   true,
//	}
//
// A call that database/sql repeats is a span for each attempt. From the second on, it has the
// number of the attempt.
//
// # Events
//
// A [Recorder] records the events in a connection's life; see [Kind].
//
// # Compatibility
//
// From the first release on, what is exported here keeps its name and its meaning within a major
// version, as Go's own promise says (https://go.dev/doc/go1compat). Texts of errors and log lines
// may change. Nothing has been released yet.
package wrap
