// Package core pools the connections of any engine. It knows no database: package pool is the
// SQLite engine over it. A program that uses SQLite needs package pool, not this one. This one
// is for authors of engines, and for what reads the state of pools, such as a status page. It
// makes no promise of compatibility yet.
//
// # Parts
//
// A [Pool] has one or more [Lane]s. A lane lends connections of one kind, such as writers or
// readers. Each caller takes a turn of the lane's [Queue], first come, first served, and with
// the turn a connection. What a lane lends is a [Session] of the [Engine]. A session embeds a
// [Conn], in which the lane keeps its own records.
//
// Files in reading order: config.go, engine.go and view.go say what goes in and out. queue.go
// has turns, and turn.go those that their holders offer to others. conn.go has the record of a
// connection and of its use. lane.go lends, opening.go opens, release.go takes back. stall.go
// and graph.go deal with callers that wait for each other, acquireerror.go says why a caller
// got nothing. pool.go, health.go, maintain.go and shutdown.go are about all lanes of a pool.
// stats.go, eventlog.go and log.go report. guard.go and mailbox.go keep functions of the program
// that panic or block away from the pool. observe.go is for databases that database/sql pools.
//
// # Locks
//
// In this order; a goroutine that holds one of them takes only later ones:
//
//   - Pool.end.mu: the end of the pool
//   - the lock of the list of all pools of the process
//   - Lane.mu: the connections of a lane
//   - Queue.mu: turns and waiters
//   - Conn.mu: the use of a connection
//   - healthState.mu, guard.mu, the mutexes of mailbox, counters and EventLog: leaves
//
// No lock is held while a function of the program or of the engine is called, with these
// exceptions, which must not block: [Session.Kept] is called with Lane.mu held, and
// [Session.Activity] with Conn.mu.
package core
