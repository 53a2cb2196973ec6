package walkeeper

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// A checkpointer moves the content of the WAL to the database while the writer goes on. It has
// a connection of its own. SQLite's own checkpoints run in the commit that finds the WAL long.
// Then all callers that wait for the writer would wait for the disk.
//
// That alone does not shorten the WAL. The next writer starts at its beginning only if
// everything has been moved and no reader uses the WAL. In a busy database, there is no such
// moment. So once most pages are moved, the next commit is held at its end, when only its
// return is left. Then the checkpointer moves the new pages, waits for readers, and resets the
// WAL. How long that may take depends on the WAL's length; see resetWAL.
//
// Without a reset, the WAL would grow with each commit. A commit that makes the file longer
// takes about twice as long to sync.
type checkpointer struct {
	host        Host
	size        *size
	guard       *core.Guard
	ctx         context.Context // ends in stop
	cancel      context.CancelFunc
	job         *core.Job
	started     atomic.Bool
	due         chan struct{}
	heldCommits chan *heldCommit
	probes      chan chan struct{}

	commits commitState
	loop    loopState

	mu   sync.Mutex // guards conn; held while it is used
	conn driver.PoolConn
}

// A heldCommit is a commit that is held at its end while the WAL is reset. It keeps the
// writer's turn, so that no other commit comes between. Its transaction is complete, and SQLite
// holds no lock for it.
type heldCommit struct {
	done chan struct{} // closed by the checkpointer
	gone chan struct{} // closed by the commit when it stops waiting
}

// A commitState is what commits tell the checkpointer, and what it asks of them.
type commitState struct {
	length   atomic.Int64  // of the WAL after the latest commit, in pages
	count    atomic.Uint64 // number of commits
	next     atomic.Int64  // the length at which a commit wakes the goroutine
	holdNext atomic.Bool   // hold the next commit
	noHold   atomic.Bool   // hold no commit, however long the WAL is
	open     atomic.Bool   // the connection is open
	resting  atomic.Bool   // the connection stays closed until a commit wakes the goroutine
}

// A loopState is used only by the checkpointer's goroutine.
type loopState struct {
	jobCtx       context.Context // the checkpointer's, with the goroutine's job
	seenCommits  uint64          // commits at the latest tick
	idleTicks    int             // ticks since then without a commit
	noHoldUntil  time.Time       // do not set holdNext before
	heldFor      time.Duration   // how long commits have been held since the last reset
	outsideUntil time.Time       // hold no commit before; the blocker was outside the pools
	outsideWait  time.Duration   // the latest wait for outsideUntil
	retry        time.Time       // no checkpoint before, because one has failed
	backOff      time.Duration   // the latest wait for retry
}

func newCheckpointer(host Host, s *size, g *core.Guard) *checkpointer {
	c := &checkpointer{host: host, size: s, guard: g, due: make(chan struct{}, 1), heldCommits: make(chan *heldCommit), probes: make(chan chan struct{}), job: g.NewJob("the checkpointer")}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// softLimit is the length in pages from which on the WAL is moved, and reset if that is quick.
// With a connection open, it is shorter than SQLite's 1000 pages. So a WAL that grows slowly,
// because each commit is synced, is reset before it is longer than without a checkpointer.
// Making the file longer is what is slow.
func (c *checkpointer) softLimit() int64 {
	pages := int64(checkpointPages)
	if c.commits.open.Load() {
		pages = checkpointPages * 3 / 4
	}
	return min(pages, c.hardLimit()/2)
}

// hardLimit is the length in pages from which on each commit is held until the WAL is reset.
// The WAL then stays within twice its limit: the held transaction has been written, and the
// next may be as long again.
func (c *checkpointer) hardLimit() int64 { return c.size.pages(c.size.Limit()) }

// wake makes the goroutine run a checkpoint.
func (c *checkpointer) wake() {
	c.commits.next.Store(c.commits.length.Load() + c.softLimit())
	c.commits.resting.Store(false)
	select {
	case c.due <- struct{}{}:
	default: // already woken
	}
}

// isOverLimit reports whether the WAL exceeded its limit at the latest commit.
func (c *checkpointer) isOverLimit() bool { return c.commits.length.Load() >= c.hardLimit() }

// withConn calls f with c.mu held and the connection open. It opens the connection if
// necessary, and does nothing if that fails.
func (c *checkpointer) withConn(f func()) {
	if !c.ensureConn() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.commits.resting.Load() || c.conn == nil {
		return
	}
	defer func() {
		if c.conn != nil && c.conn.Lease().Ended() { // a panic has passed
			c.closeLocked()
		}
	}()
	c.conn.Lease().Use(f)
}

// ensureConn opens the connection if it is not open, and reports whether it is. It does not
// hold c.mu meanwhile, because Init may never return.
func (c *checkpointer) ensureConn() bool {
	if c.commits.resting.Load() || time.Now().Before(c.loop.retry) {
		return false
	}
	c.mu.Lock()
	open := c.conn != nil
	c.mu.Unlock()
	if open {
		return true
	}
	conn, err := c.host.Dial(c.loop.jobCtx)
	if err != nil {
		if checkpointed(c.host, err) == Failed {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.startBackOff()
		}
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.commits.open.Store(true)
	if c.commits.resting.Load() { // close has been called meanwhile
		c.closeLocked()
	}
	return true
}

// checkpoint runs a checkpoint of SQLite that waits for no other connection. Even if outcome is
// not Done, it may have moved pages.
func (c *checkpointer) checkpoint(mode sqlite3.CheckpointMode) (frames, moved int, outcome Outcome) {
	raw := c.conn.SQLite()
	old := raw.SetInterrupt(c.loop.jobCtx)
	defer raw.SetInterrupt(old)
	err := c.host.SameFile()
	if err == nil {
		err = raw.BusyTimeout(0) // resetWAL does the waiting, if any
	}
	if err == nil {
		err = inspect.ReadPage(raw) // or SQLite may not know of the WAL yet
	}
	if err == nil {
		runtime.Gosched()
		frames, moved, err = raw.WALCheckpoint("main", mode)
	}
	outcome = checkpointed(c.host, err)
	switch outcome {
	case Done:
		c.loop.backOff = 0
	case Failed:
		c.startBackOff()
	}
	return frames, moved, outcome
}

// startBackOff delays the next checkpoint, and lets no commit wait for it.
func (c *checkpointer) startBackOff() {
	c.commits.noHold.Store(true)
	c.commits.holdNext.Store(false)
	c.loop.backOff = min(max(2*c.loop.backOff, firstCheckpointBackOff), maxCheckpointBackOff)
	c.loop.retry = time.Now().Add(c.loop.backOff)
	c.closeLocked() // the file may be another one by then
}

// mayHold reports whether a commit may be held. It may not if it would wait for a reader that
// has been reading for LongRead.
func (c *checkpointer) mayHold() bool {
	if c.host.LongestReading() >= LongRead {
		return false
	}
	return !time.Now().Before(c.loop.outsideUntil)
}

// close closes the connection until a commit wakes the checkpointer. No connection can leave
// WAL mode while it is open.
func (c *checkpointer) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits.resting.Store(true)
	c.closeLocked()
}

func (c *checkpointer) closeLocked() {
	if c.conn != nil {
		_ = c.conn.Lease().CloseFor(wrap.ReasonPoolClosed)
		c.conn = nil
		c.commits.open.Store(false)
	}
}
