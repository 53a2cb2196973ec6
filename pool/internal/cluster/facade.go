package cluster

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// facades are the *sql.DBs over a pool, one for each lane that they use. They are opened at their
// first use.
type facades struct {
	mu       sync.Mutex // guards the fields below
	open     map[wrap.Lane]*sql.DB
	closed   bool // the pool has been closed, and so are they
	reported bool // the program has closed a facade, and that has been reported
}

// idleShells is how many idle shells a facade keeps. Keeping a shell costs almost nothing; creating
// one costs more.
const idleShells = 256

// facade returns the *sql.DB that uses only the lane pinned, or all lanes if that is LaneNone.
func (p *Pool) facade(pinned wrap.Lane) *sql.DB {
	p.facades.mu.Lock()
	db := p.facades.open[pinned]
	if db == nil {
		db = sql.OpenDB(&connector{p, pinned})
		db.SetMaxIdleConns(idleShells)
		if p.facades.open == nil {
			p.facades.open = make(map[wrap.Lane]*sql.DB)
		}
		p.facades.open[pinned] = db
	}
	closed := p.facades.closed
	p.facades.mu.Unlock()
	if closed {
		db.Close()
	}
	return db
}

// facadeClosed forgets a facade that has been closed. If the program has closed it, the next call
// for it opens another.
func (p *Pool) facadeClosed(pinned wrap.Lane) {
	p.facades.mu.Lock()
	byProgram := !p.facades.closed && !p.Closed()
	report := byProgram && !p.facades.reported
	if byProgram {
		delete(p.facades.open, pinned)
		p.facades.reported = true
	}
	p.facades.mu.Unlock()
	if report {
		p.core.Recorder().Record(wrap.Event{Time: time.Now(), Kind: wrap.KindWarning, Reason: wrap.ReasonDatabaseClosed})
		p.core.Logger().Warn("pool: the program has closed a *sql.DB of the pool, whose calls now fail; the pool is still open, and DB, Reader and Writer return a new *sql.DB")
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

// A connector makes the shells of a facade.
type connector struct {
	pool   *Pool
	pinned wrap.Lane
}

var (
	_ driver.Connector = &connector{}
	_ io.Closer        = &connector{}
)

// Connect makes a shell.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	if c.pool.Closed() {
		return nil, core.ErrClosed
	}
	return &shell{pool: c.pool, pinned: c.pinned}, nil
}

// Driver returns a driver that opens nothing by name.
func (c *connector) Driver() driver.Driver { return facadeDriver{} }

// Close is called by (*sql.DB).Close.
func (c *connector) Close() error {
	c.pool.facadeClosed(c.pinned)
	return nil
}

type facadeDriver struct{}

var errNoName = errors.New("pool: a database of servers has no name: use Open")

// Open implements [driver.Driver].
func (facadeDriver) Open(string) (driver.Conn, error) { return nil, errNoName }
