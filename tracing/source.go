package tracing

// A Source describes one database to a Tracer. It comes from the package that knows the
// engine.
type Source struct {
	// System is db.system.name, a value from the conventions' list such as "sqlite". Empty
	// means "other_sql".
	//
	// It selects the dialect in which queries are read. The package knows the SQL of "sqlite",
	// of "postgresql" and "cockroachdb", and of "mysql" and "mariadb". A query of these has a
	// summary, and a text without its literals. Only SQLite's may be shown as written; see
	// [QueryTextSafe]. Of any other system, no query is shown, and a summary is only the first
	// keyword of the query, if SQLite has it, too.
	System string

	// Namespace is db.namespace: for SQLite, the database's file as the DSN names it. If
	// empty, there is no such attribute.
	Namespace string

	// Pool is db.client.connection.pool.name. Empty means [Config].PoolName, or else the
	// Namespace, or else the System. The last two get a suffix, as in "app.db#2", if another
	// pool of the process has that name.
	Pool string

	// Classify classifies an error that is not nil, on the goroutine of the call. If Classify
	// is nil, all errors have the zero ErrorClass.
	Classify func(error) ErrorClass
}

// An ErrorClass is what spans, metrics and logs may show of an error. It contains nothing of
// the error's own text, which may quote the program's data.
type ErrorClass struct {
	// Type is error.type, for errors that the package does not know, such as a variable of the
	// driver: "mysql.ErrInvalidConn" for that error of go-sql-driver/mysql. It must have few
	// different values, and contain nothing of the error's text. Empty means that the package
	// chooses; its documentation says how.
	Type string

	// StatusCode is db.response.status_code: the engine's most specific code. Empty means
	// that the error is not the engine's.
	StatusCode string

	// Description is the engine's fixed text for the code.
	Description string

	// Interrupted says that the engine reports an interrupted call with this error. If the
	// caller's context has ended, that interrupted the call.
	Interrupted bool

	// Sick says that the connection cannot recover from this error and should be closed.
	Sick bool
}
