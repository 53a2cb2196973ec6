package pool

import (
	"context"

	"github.com/ncruces/go-sqlite3"
)

// Hooks are functions of the program that the pool calls when connections are opened, acquired,
// released and closed. Nil hooks are not called. Each hook may run on several goroutines at the
// same time, with different connections.
//
// The pool holds no lock while a hook runs, so a hook may call methods of the [Pool], with
// these exceptions:
//
//   - Each hook runs in a turn of a caller. A hook that waits for a connection of the same lane
//     may wait for itself.
//   - AfterRelease and BeforeClose must not call the *sql.DB, because database/sql may hold one
//     of its mutexes.
//   - No hook may call Shutdown or Close, which wait for running hooks.
type Hooks struct {
	// BeforeConnect is called before a connection is opened, on a goroutine of the pool: for
	// MinConns, or for a call, with the values of its context. If it panics, that call panics.
	// The context ends when no call waits for the connection any more and the pool is shut down.
	// An error makes the connection fail.
	BeforeConnect func(ctx context.Context) error

	// AfterConnect is called when a connection is open and configured, after Config.Init. It has
	// the goroutine and the context of BeforeConnect. It must not keep c. An error closes the
	// connection and fails the call.
	AfterConnect func(ctx context.Context, c *sqlite3.Conn) error

	// BeforeAcquire is called before a connection is leased, including new ones. It runs on the
	// goroutine and with the context of the caller. If it returns false, the connection is closed
	// and another is tried, until the context ends or AcquireTimeout has passed.
	BeforeAcquire func(ctx context.Context, c ConnInfo) bool

	// AfterRelease is called when a connection has been given back. It runs on the same
	// goroutine, which may be one of database/sql. If it returns false, the connection is closed.
	AfterRelease func(c ConnInfo) bool

	// BeforeClose is called before a connection that has been leased, or could have been, is
	// closed. It runs on the goroutine that closes the connection: that of a caller that gives
	// it back or finds it too old, one of the pool, or that of Shutdown.
	BeforeClose func(c ConnInfo)
}
