package pool

import (
	"database/sql"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// facades are the *sql.DBs over a pool, its facades. Those of which there is one are opened at
// their first use.
type facades struct {
	db, reader, writer facade // of DB, Reader and Writer
	own                struct {
		db, reader, writer facade // for the pool's own methods; the program cannot close them
	}

	mu       sync.Mutex // guards the fields below, and setting a facade
	open     map[*connector]*sql.DB
	closed   bool // no more facades are opened
	reported bool // the program has closed a facade, and that has been reported
}

// A facade is a *sql.DB of which there is one. It is nil before its first use, and after the
// program has closed it.
type facade struct{ atomic.Pointer[sql.DB] }

// DB returns the *sql.DB for all uses. It sends each call to the right lane. It is the same
// value every time, until the program closes it.
//
// Closing it closes only this *sql.DB, not the pool. A warning and an event of
// [driver.KindWarning] report that once. The next call of DB returns a new one, and all other
// methods of the pool work as before. For a library that closes what it is given, use
// [Pool.NewDB]. [Pool.Close] closes all of them.
func (p *Pool) DB() *sql.DB { return p.facade(&p.facades.db, wrap.LaneNone) }

// Reader returns the *sql.DB that uses only readers. Writes fail there with sqlite3.READONLY,
// unless the pool has one lane. Closing it has the effects that [Pool.DB] describes.
func (p *Pool) Reader() *sql.DB { return p.facade(&p.facades.reader, wrap.LaneReader) }

// Writer returns the *sql.DB that sends every call to the writer. Closing it has the effects that
// [Pool.DB] describes.
func (p *Pool) Writer() *sql.DB { return p.facade(&p.facades.writer, wrap.LaneWriter) }

// NewDB returns another *sql.DB for all uses, which works as [Pool.DB] does. It is for libraries
// that close what they are given, such as golang-migrate. Closing it does not close the pool
// and logs nothing.
//
// NewDB opens no connection and does not block. If the caller does not close the *sql.DB,
// Shutdown does. After Shutdown, NewDB returns a closed one.
func (p *Pool) NewDB() *sql.DB {
	p.facades.mu.Lock()
	db, closed := p.openFacade(&connector{opened: p}), p.facades.closed
	p.facades.mu.Unlock()
	if closed {
		db.Close()
	}
	return db
}

// ownDB is [Pool.DB] for the pool's own methods.
func (p *Pool) ownDB() *sql.DB { return p.facade(&p.facades.own.db, wrap.LaneNone) }

// facade returns the *sql.DB of f. It uses only the lane pinned, or all lanes if that is
// LaneNone.
func (p *Pool) facade(f *facade, pinned wrap.Lane) *sql.DB {
	if db := f.Load(); db != nil {
		return db
	}
	p.facades.mu.Lock()
	db, closed := f.Load(), p.facades.closed
	if db == nil {
		db = p.openFacade(&connector{opened: p, pinned: pinned, facade: f})
		f.Store(db)
	}
	p.facades.mu.Unlock()
	if closed {
		db.Close()
	}
	return db
}

// idleShells is how many idle shells a facade keeps. Keeping a shell costs almost nothing;
// creating one costs more.
const idleShells = 256

// openFacade opens a *sql.DB whose shells c makes. The caller holds the mutex. If the pool's
// facades are closed, the caller must close this one, without the mutex.
func (p *Pool) openFacade(c *connector) *sql.DB {
	db := sql.OpenDB(c)
	db.SetMaxIdleConns(idleShells)
	if p.facades.open == nil {
		p.facades.open = make(map[*connector]*sql.DB)
	}
	p.facades.open[c] = db
	return db
}

// facadeClosed forgets the facade of c, which has been closed. If the program has closed a
// *sql.DB of DB, Reader or Writer, the next call of that method opens another.
func (p *Pool) facadeClosed(c *connector) {
	p.facades.mu.Lock()
	delete(p.facades.open, c)
	byProgram := c.facade != nil && !p.facades.closed && !p.Closed()
	report := byProgram && !p.facades.reported
	if byProgram {
		c.facade.Store(nil)
		p.facades.reported = true
	}
	p.facades.mu.Unlock()
	if report {
		p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindWarning, Reason: driver.ReasonDatabaseClosed})
		p.logger.Warn("pool: the program has closed a *sql.DB of the pool, whose calls now fail; the pool is still open, and DB, Reader and Writer return a new *sql.DB; " +
			"for a library that closes what it is given, use NewDB")
	}
}

// closeFacades closes all facades.
func (p *Pool) closeFacades() (err error) {
	p.facades.mu.Lock()
	p.facades.closed = true
	open := slices.Collect(maps.Values(p.facades.open))
	p.facades.mu.Unlock()
	for _, db := range open {
		err = errors.Join(err, db.Close())
	}
	return err
}
