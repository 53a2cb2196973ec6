package pool

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A checkpointer moves what is in the WAL to the database while the writer goes
// on. SQLite does it by itself, but in the commit that finds the WAL long enough,
// and there it has everybody wait who waits for the writer, for as long as the disk
// takes. The checkpointer has a connection of its own, from its first work on.
//
// Moved so, the WAL can be begun anew only when all of it was moved at an instant
// at which nobody writes, which a busy database does not have. So where it has
// become much longer, the commit does it after all: then most is done already.
type checkpointer struct {
	pool   *Pool
	cancel context.CancelFunc
	done   sync.WaitGroup
	due    chan struct{}
	moved  atomic.Int64 // how far the WAL was moved last, in pages

	rests atomic.Bool // until a commit asks for it

	mu   sync.Mutex
	conn driver.PoolConn
}

// checkpointPages is how much longer the WAL is to be, each time, for it to be
// moved: SQLite's own number.
// https://sqlite.org/c3ref/wal_autocheckpoint.html
const checkpointPages = 1000

// longest is the length from which on the commit itself moves it: what it may have
// by Config.JournalSizeLimit, or, without a limit, what it may have by default.
func (c *checkpointer) longest() int {
	limit := c.pool.cfg.JournalSizeLimit
	if limit < 0 {
		limit = defaultJournalSizeLimit
	}
	return max(checkpointPages, int(limit/(max(c.pool.pageSize, 512)+frameHeader)))
}

func newCheckpointer(p *Pool) *checkpointer {
	return &checkpointer{pool: p, due: make(chan struct{}, 1)}
}

// start begins the goroutine, which stop ends.
func (c *checkpointer) start() {
	if c == nil {
		return
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.done.Go(func() { c.run(ctx) })
}

// stop ends the goroutine, waits for it and closes its connection.
func (c *checkpointer) stop() {
	if c == nil {
		return
	}
	c.cancel()
	c.done.Wait()
}

// before has every connection that writes watched, before the program's own init.
func (c *checkpointer) before(init func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	return func(raw *sqlite3.Conn) error {
		c.watch(raw)
		if init == nil {
			return nil
		}
		return init(raw)
	}
}

// watch has the commits of a connection tell how long the WAL is. A hook of the
// program's takes its place, and what that does is then what is done.
func (c *checkpointer) watch(raw *sqlite3.Conn) {
	raw.WALHook(func(raw *sqlite3.Conn, schema string, pages int) error {
		switch {
		case pages < checkpointPages:
		case schema != "main" || pages >= c.longest():
			// As SQLite's own hook: a checkpoint that fails is tried again later,
			// and no reason for the commit to fail.
			_, _, _ = raw.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE)
		case c.isDue(int64(pages)):
			c.rests.Store(false)
			select {
			case c.due <- struct{}{}:
			default: // it is already
			}
		}
		return nil
	})
}

// isDue reports whether so much has been added since the WAL was moved last, or, if
// it is shorter by now, since it was begun anew.
func (c *checkpointer) isDue(pages int64) bool {
	moved := c.moved.Load()
	if pages < moved {
		moved = 0
	}
	return pages-moved >= checkpointPages
}

func (c *checkpointer) run(ctx context.Context) {
	defer c.close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		}
		c.checkpoint(ctx)
	}
}

func (c *checkpointer) checkpoint(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rests.Load() {
		return
	}
	if c.conn == nil {
		conn, err := c.pool.readers.connector.Dial(ctx, nil)
		if err != nil {
			return // a later commit asks again, and at last does it itself
		}
		c.conn = conn
	}
	raw := c.conn.SQLite()
	old := raw.SetInterrupt(ctx)
	defer raw.SetInterrupt(old)
	err := readPage(raw) // or it may not know yet that there is a WAL
	if err == nil {
		runtime.Gosched()
		var moved int
		_, moved, err = raw.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		c.moved.Store(int64(moved))
	}
	if err != nil { // the file may be another
		c.closeLocked()
	}
}

// close closes the connection, until a later commit asks for it. Nobody leaves WAL
// mode while it is there.
func (c *checkpointer) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests.Store(true)
	c.closeLocked()
}

func (c *checkpointer) closeLocked() {
	if c.conn != nil {
		_ = c.conn.Wrapped().CloseFor(wrap.ReasonPoolClosed)
		c.conn = nil
	}
}
