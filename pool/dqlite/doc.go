// Package dqlite pools the connections of a program to a dqlite cluster: SQLite, replicated by Raft.
// Writes wait in a fair queue for the only connection that writes, so that none finds the database
// locked by another one of the program. Spans, events, holders, waiters and the live page are those of
// package pool.
//
// It uses the program's own driver, which needs a C library:
//
//	d, err := dqlitedriver.New(store) // github.com/canonical/go-dqlite/driver
//	if err != nil {
//		log.Fatal(err)
//	}
//	connector, err := d.OpenConnector("shop")
//	if err != nil {
//		log.Fatal(err)
//	}
//	p, err := dqlite.Open(ctx, dqlite.Config{Connector: connector, Database: "shop"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer p.Close()
//	db := p.DB() // a *sql.DB
//
// # Lanes
//
// dqlite's leader serves everything, reads too, and its database has one writer at a time. A second
// connection that writes gets the error "database is locked" at once: dqlite does not wait. So the pool
// has one connection that writes, and up to Config.MaxReaders that only read, all of them to the
// leader.
//
//   - [Pool.DB] sends a single SELECT to a reader, and read-only transactions too. All else goes to the
//     writer, also a query that begins with WITH, or that calls last_insert_rowid, changes or
//     total_changes.
//   - [Pool.Reader] and [Pool.Writer] use one lane for everything.
//
// A read shows every commit that was acknowledged before it, because the same node serves both.
//
// A checkout of a *sql.DB, such as a *sql.Conn, keeps its connection until it ends. Once it has the
// writer, it keeps that. Prepared statements of the program are queries that are executed again on the
// connection of each call.
//
// The queue is of this process. Programs on other machines that write to the same database lock it for
// each other.
//
// # Another leader
//
// The driver finds the leader when it opens a connection. The pool learns of another leader when a
// connection breaks, and by asking once a second (Config.CheckInterval). Then it replaces all its
// connections. While there is no leader, one caller of each lane waits for it, for at most
// Config.FailoverTimeout, and all others wait in the queue behind it. After that they fail with
// [ErrNoLeader].
//
// A leader that is stopped but not dead, such as a suspended virtual machine, answers nothing and
// closes nothing. A call on it ends with its context. The driver's COMMIT and ROLLBACK have no
// context: give the driver a dial function whose connections have a timeout (WithDialFunc).
//
// # What the pool tells
//
// An event of [wrap.KindFailing] with [ReasonLeader] says that there is no leader, and
// [wrap.KindRecovered] says that there is one again, and how long that took. [Pool.Health] is down
// without a leader. The pool is a core.View, so that package pool/page shows it.
//
// The types of statistics, holders, errors of acquires and so on are those of package pool/core.
package dqlite
