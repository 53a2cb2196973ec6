// Package core pools the connections of any engine. It knows no database: package pool is the
// SQLite engine over it, and pool/postgres and pool/dqlite are those of PostgreSQL and dqlite. A
// program needs one of these, not this one. This one is for authors of engines, and for what reads
// the state of pools, such as a status page. It makes no promise of compatibility yet.
//
// # Parts
//
// A [Pool] has one or more [Lane]s. A lane lends connections of one kind, such as writers or
// readers. Each caller takes a turn of the lane's [Queue], first come, first served, and with
// the turn a connection. What a lane lends is a [Session] of the [Engine]. A session embeds a
// [Conn], in which the lane keeps its own records.
//
// Each file has one of these nouns, and refers only to files that come later. Files in reading
// order: view.go, observe.go, opener.go, pool.go, shutdown.go, maintain.go, failures.go, check.go,
// acquire.go, taking.go, acquireerror.go, patience.go, cause.go, graph.go, holder.go, snapshot.go,
// stall.go, offer.go, opening.go, dial.go, registry.go, release.go, extra.go, lane.go, conn.go,
// turn.go, shared.go, log.go, stats.go, engine.go, health.go, queue.go, caller.go, mailbox.go,
// guard.go, eventlog.go, config.go and errors.go.
//
// The calls of a use go down: [Lane.Acquire] waits in the queue, takes an idle connection or
// opens one, and lends it; [Lane.Release] takes it back. Maintenance, health checks and the end
// of a pool stand above the lanes. What all of them share is below: the configuration, the
// engine, the log, the statistics, and the guard, which keeps functions of the program that
// panic or block away from the pool.
//
// # Locks
//
// In this order; a goroutine that holds one of them takes only later ones:
//
//   - drain.mu: the beginning of the end
//   - deadlocks: the end of a deadlock
//   - Lane.mu: the connections of a lane
//   - the lock of the list of all lanes of the process
//   - Queue.mu: turns and waiters
//   - Conn.mu: the use of a connection
//   - checker.mu, Guard.mu, and the mutexes of mailbox, counters and EventLog: under these, no
//     other lock is taken
//
// No lock is held while a function of the program or of the engine is called, with these
// exceptions, which must not block: [Session.Kept], LaneConfig.Most, LaneConfig.Running and the
// function of [Lane.CloseIdle] are called with Lane.mu held, [Session.Activity] with Lane.mu and
// Conn.mu, and [Interrupter.Interrupt] with Conn.mu.
package core
