// Package pool watches the connections of a database: what happened to each of
// them, and how the pool stands.
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
// # What is exact, and what cannot be known
//
// The pool is database/sql's. A driver sees when a connection is opened,
// handed out, given back and closed, and so those events and the times in use
// are exact, but for a connection that database/sql opened in the background,
// whose acquire is its first call. How long a caller waited for a connection
// is seen by database/sql alone, which counts waits and sums their lengths:
// Stats has both, and no event pretends to know more.
//
// The acquire of a connection that had to be opened for it took as long as its
// connect: do not add the two up.
//
// # Recording without a *sql.DB
//
// An [EventLog] is a driver.Recorder, and may be given to driver.Config, so
// that it misses nothing from the first connection on:
//
//	var log pool.EventLog
//	sql.Register("mine", &driver.Driver{Config: driver.Config{Recorder: &log}})
package pool
