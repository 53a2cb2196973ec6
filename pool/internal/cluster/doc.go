// Package cluster pools the connections to the servers of a replicated database, over package
// core. It is what pool/dqlite and pool/postgres have in common. It knows the roles of servers, but
// no engine, no driver and no SQL: those are in its [Config].
//
// # Lanes
//
// The writer lane has connections to the primary, Config.MaxConns of them. The reader lane, if
// there is one, has connections to the standbys, or further ones to the primary; see [Readers]. A
// checkout of a *sql.DB leases a connection of one of them at its first call.
//
// # Servers
//
// A roster asks every server for its role, on a connection of its own, once in each
// Config.CheckInterval, and at once when a connection breaks. It decides which server is the
// primary. A new connection is asked too, before it is used. The connections to a server that is no
// longer the primary are taken away: their running calls end, and later ones fail with
// [ErrDemoted].
//
// Files in reading order: open.go, settings.go, engine.go, facade.go, shellcalls.go, stmt.go,
// shell.go, dial.go, replay.go, gate.go, conn.go, calls.go, pool.go, roster.go, election.go,
// server.go, texts.go, config.go and errors.go.
package cluster
