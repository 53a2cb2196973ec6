// Package postgres pools the connections of a program to PostgreSQL: to a primary and to its hot
// standbys. Callers wait in a fair queue, writes go to the primary, reads go to standbys where the
// program asks for that, and the pool follows a failover. Spans, events, holders, waiters and the
// live page are those of package pool.
//
// It uses the program's own driver, such as pgx:
//
//	func connector(dsn string) driver.Connector {
//		cfg, err := pgx.ParseConfig(dsn)
//		if err != nil {
//			log.Fatal(err)
//		}
//		return stdlib.GetConnector(*cfg)
//	}
//
//	p, err := postgres.Open(ctx, postgres.Config{Servers: []postgres.Server{
//		{Name: "db1", Connector: connector("postgres://app@db1/app")},
//		{Name: "db2", Connector: connector("postgres://app@db2/app")},
//	}})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer p.Close()
//	db := p.DB() // a *sql.DB
//
// # Lanes
//
// The writer lane has up to Config.MaxConns connections to the primary. The reader lane has up to
// Config.MaxReaders connections to the standbys, if there is more than one server.
//
//   - [Pool.DB] uses the primary. Only a read-only transaction (sql.TxOptions.ReadOnly) is on a
//     standby, unless it is serializable, which a hot standby cannot be.
//   - [Pool.Reader] uses a standby for everything. The standby refuses writes.
//   - [Pool.Writer] uses the primary for everything.
//
// If no standby can be used, readers use the primary, where they can write. So Reader says what the
// program wants, and does not protect the data.
//
// A checkout of a *sql.DB, such as a *sql.Conn, keeps its connection until it ends. Once it is on the
// primary, it stays there. Prepared statements of the program are queries that are executed again on
// the connection of each call. The statement caches of drivers, such as pgx's, work as before.
//
// # Reading what was written
//
// A standby shows a commit a little later than the primary. With Config.ReadYourWrites, a reader waits
// until its standby has replayed every write of this pool that ended before the read began. Writes
// pay nothing for that. A reader that comes after writes asks the primary for pg_current_wal_lsn,
// on a connection of the pool's own, and its standby for pg_last_wal_replay_lsn, until that is as
// far. If the standby takes longer than Config.ReplayTimeout, the read goes to the primary. Writes of
// other programs, and commits with synchronous_commit=off, are not waited for.
//
// # Failover
//
// The pool asks every server for its role once a second (Config.CheckInterval), and at once when a
// connection breaks. It asks each new connection too. So a connection that a proxy or a DNS name has
// led to another server is refused.
//
// While there is no primary, callers that need a new connection wait for one, for at most
// Config.FailoverTimeout. Then they fail with [ErrNoPrimary]. All others wait in the queue behind
// them. When there is a primary again, the waiters go on with it.
//
// When another server is the primary, the pool takes away the connections to the old one. A call that
// is running there ends with [ErrDemoted], and so does every later call of its transaction. Whether
// the server has done what the call asked for is then unknown. The pool repeats no call.
//
// Who promotes a standby is not the pool's affair. That is the operator's, or that of a tool such as
// Patroni, and so is it to make sure that the old primary has stopped before (fencing). What the pool
// can know is this:
//
//   - A promotion starts a new timeline. Of two primaries, the one with the newer timeline is used.
//     The other one is refused as long as the pool lives, also if it is alone.
//   - Two primaries with the same timeline were promoted independently of each other. Nothing tells
//     which one is right. Neither is used, and acquires fail with [ErrTwoPrimaries] until one of them
//     has stopped.
//   - A server with another system identifier belongs to another cluster. It is never used.
//
// A commit that was acknowledged survives a promotion only if it was on the standby: use a
// synchronous standby (synchronous_standby_names) and synchronous_commit=on. Promoting an
// asynchronous standby loses commits, and nothing in this package can prevent that.
//
// A primary that is stopped but not dead, such as a suspended virtual machine, answers nothing and
// closes nothing. Calls that are running there end when a newer primary is known, or with their
// contexts. Give every call a context that ends.
//
// # What the pool tells
//
// An event of [wrap.KindFailing] with [ReasonPrimary] says that there is no primary, and
// [wrap.KindRecovered] says that there is one again, and how long that took. [ReasonStandby] and
// [ReasonReplay] say that readers use the primary. [Pool.Health] is down without a primary, and
// degraded if a server cannot be used. [Pool.Settings] has the current primary and standbys. The pool
// is a core.View, so that package pool/page shows it.
//
// The types of statistics, holders, errors of acquires and so on are those of package pool/core.
package postgres
