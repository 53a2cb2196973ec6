package pool

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A checkpointer moves what is in the WAL to the database while the writer goes on,
// by a connection of its own. SQLite does it by itself, but in the commit that finds
// the WAL long, and there everybody who waits for the writer waits for the disk.
//
// That alone does not shorten the WAL: the next writer begins it anew only if all of
// it was moved and nobody reads from it at that instant, which a busy database does
// not have. So once most is moved, the next commit is held at its end, when all is
// done but its return: what has come since is moved, readers are waited for, and
// then the WAL is begun anew. How long that may take depends on the WAL's length; see
// restart.
//
// A WAL that is not kept short would become longer with each commit, and a commit that
// makes the file longer takes about twice as long to sync.
type checkpointer struct {
	pool        *Pool
	ctx         context.Context // until stop
	cancel      context.CancelFunc
	job         *job
	started     atomic.Bool
	due         chan struct{}
	heldCommits chan *heldCommit
	probes      chan chan struct{}

	// What commits look at.
	length   atomic.Int64  // of the WAL after the latest commit, in pages
	commits  atomic.Uint64 // counts them
	next     atomic.Int64  // the length from which on a commit wakes the goroutine
	holdNext atomic.Bool   // the next commit is to be held
	noHold   atomic.Bool   // no commit is held, however long the WAL is
	open     atomic.Bool   // there is a connection
	resting  atomic.Bool   // until a commit wakes it

	mu   sync.Mutex
	conn driver.PoolConn

	// Of the goroutine alone.
	jobCtx       context.Context // ctx, as the goroutine has it
	seenCommits  uint64          // commits, at the latest look
	idleTicks    int             // looks since that have found no other
	noHoldUntil  time.Time       // no commit is asked to be held before
	heldFor      time.Duration   // for how long commits have been, since the WAL was begun anew
	outsideUntil time.Time       // no commit is held before, because somebody outside of the pools was in the way
	outsideWait  time.Duration   // how long that was
	retry        time.Time       // no checkpoint before, because one has failed
	backOff      time.Duration   // how long that was
}

func newCheckpointer(p *Pool) *checkpointer {
	c := &checkpointer{pool: p, due: make(chan struct{}, 1), heldCommits: make(chan *heldCommit), probes: make(chan chan struct{}), job: p.guard.newJob("the checkpointer")}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// start begins the goroutine, which stop ends.
func (c *checkpointer) start() {
	if c == nil {
		return
	}
	c.pool.guard.start(c.ctx, c.job, c.run)
	c.started.Store(true)
}

// stop ends the goroutine, which closes its connection, and waits for it as long as
// ctx allows. It reports whether it has ended.
func (c *checkpointer) stop(ctx context.Context) bool {
	if c == nil {
		return true
	}
	c.cancel()
	return c.job.ended(ctx)
}

// soft is the length from which on the WAL is moved, and begun anew where that is soon
// done. Once there is a connection for it, it is less than SQLite's, so that a WAL that
// grows slowly, because each commit is synced, is begun anew before it is longer than
// it is without a checkpointer: to make the file longer is what is slow.
func (c *checkpointer) softLimit() int64 {
	pages := int64(checkpointPages)
	if c.open.Load() {
		pages = checkpointPages * 3 / 4
	}
	return min(pages, c.hardLimit()/2)
}

// hard is the length from which on each commit is held until the WAL is begun anew, so
// that it stays within twice its limit: what is held has been written, and may be as
// much again.
func (c *checkpointer) hardLimit() int64 { return c.pool.walPages(c.pool.walLimit()) }

// committed is called at the end of each commit, with the WAL's length.
func (c *checkpointer) committed(raw *sqlite3.Conn, pages int64) {
	c.commits.Add(1)
	if before := c.length.Swap(pages); pages < before { // it was begun anew
		c.next.Store(c.softLimit())
	}
	switch {
	case pages < c.softLimit():
	case c.holdNext.Load(), pages >= c.hardLimit() && !c.noHold.Load():
		c.hold(raw)
	case pages >= c.next.Load():
		c.wake()
	}
}

// wake has the goroutine move what is in the WAL.
func (c *checkpointer) wake() {
	c.next.Store(c.length.Load() + c.softLimit())
	c.resting.Store(false)
	select {
	case c.due <- struct{}{}:
	default: // it is already
	}
}

// knows reports whether commits have told that the WAL is beyond its limit.
func (c *checkpointer) isOverLimit() bool { return c.length.Load() >= c.hardLimit() }

// lookEvery is how often the goroutine looks, while there is something to look after,
// and idleLooks how many looks must find no commit for the pool to be idle: a second.
// After a minute of that, it looks more seldom.
const (
	tickEvery          = 250 * time.Millisecond
	truncateAfterTicks = 4
	slowAfterTicks     = 240
	slowTickEvery      = 2 * time.Second
)

func (c *checkpointer) run(ctx context.Context) {
	c.jobCtx = ctx
	defer c.close()
	timer := time.NewTimer(tickEvery) // a process before may have left a WAL
	defer timer.Stop()
	for {
		var do func()
		select {
		case <-ctx.Done():
			return
		case <-c.due:
			do = func() { c.withConn(c.move) }
		case p := <-c.heldCommits:
			do = func() {
				defer close(p.done)
				c.withConn(func() { c.resetWAL(p) })
			}
		case done := <-c.probes:
			c.retry = time.Time{}
			do = func() {
				defer close(done)
				c.withConn(c.move)
			}
		case <-timer.C:
			do = c.tick
		}
		_ = c.pool.guard.protect(c.job.name, do) // a panic costs this work alone
		switch {
		case !c.needsTicks():
			timer.Stop()
		case c.idleTicks >= slowAfterTicks:
			timer.Reset(slowTickEvery)
		default:
			timer.Reset(tickEvery)
		}
	}
}

// watches reports whether there is something to look after although no commit comes:
// a failure that is to end by itself, or a file that is longer than it need be.
func (c *checkpointer) needsTicks() bool {
	return !c.resting.Load() && (c.noHold.Load() || c.pool.failing() || c.isLong())
}

// isLong reports whether the WAL's file is longer than SQLite's own checkpoints leave
// it.
func (c *checkpointer) isLong() bool {
	return c.pool.wal().Bytes > min(c.pool.walBytes(checkpointPages), c.pool.walLimit())
}

func (c *checkpointer) tick() {
	if n := c.commits.Load(); n != c.seenCommits {
		c.seenCommits, c.idleTicks = n, 0
	} else {
		c.idleTicks++
	}
	if c.idleTicks >= truncateAfterTicks && c.isLong() {
		c.withConn(c.truncate)
	} else if c.noHold.Load() || c.pool.failing() {
		c.withConn(c.move)
	}
}

// work does something with the connection, which it opens if there is none.
func (c *checkpointer) withConn(f func()) {
	if !c.ensureConn() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resting.Load() || c.conn == nil {
		return
	}
	defer func() {
		if c.conn != nil && c.conn.Wrapped().Ended() { // a panic has passed
			c.closeLocked()
		}
	}()
	c.conn.Wrapped().Use(f)
}

// ready opens the connection, if there is none. The mutex is not held meanwhile, since
// Init may never return.
func (c *checkpointer) ensureConn() bool {
	if c.resting.Load() || time.Now().Before(c.retry) {
		return false
	}
	c.mu.Lock()
	open := c.conn != nil
	c.mu.Unlock()
	if open {
		return true
	}
	conn, err := c.pool.upkeep.Dial(c.jobCtx, nil)
	if err != nil {
		if c.pool.checkpointed(err) == checkpointFailed {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.startBackOff()
		}
		return false
	}
	markBackground(c.jobCtx, conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.open.Store(true)
	if c.resting.Load() { // close has come meanwhile
		c.closeLocked()
	}
	return true
}

// checkpoint is one of SQLite's, which waits for nobody. One that is not done may have
// moved something all the same.
func (c *checkpointer) checkpoint(mode sqlite3.CheckpointMode) (frames, moved int, outcome checkpointOutcome) {
	raw := c.conn.SQLite()
	old := raw.SetInterrupt(c.jobCtx)
	defer raw.SetInterrupt(old)
	err := c.pool.sameFile()
	if err == nil {
		err = raw.BusyTimeout(0) // who is in the way is waited for by restart, if by anybody
	}
	if err == nil {
		err = readPage(raw) // or it may not know yet that there is a WAL
	}
	if err == nil {
		runtime.Gosched()
		frames, moved, err = raw.WALCheckpoint("main", mode)
	}
	outcome = c.pool.checkpointed(err)
	switch outcome {
	case checkpointDone:
		c.backOff = 0
	case checkpointFailed:
		c.startBackOff()
	}
	return frames, moved, outcome
}

// backsOff has the next checkpoint wait, and no commit wait for one.
func (c *checkpointer) startBackOff() {
	c.noHold.Store(true)
	c.holdNext.Store(false)
	c.backOff = min(max(2*c.backOff, firstCheckpointBackOff), maxCheckpointBackOff)
	c.retry = time.Now().Add(c.backOff)
	c.closeLocked() // the file may be another
}

// move moves what is in the WAL while the writer goes on, and then asks for the next
// commit to be held, unless that was done just now.
func (c *checkpointer) move() {
	frames, moved, outcome := c.checkpoint(sqlite3.CHECKPOINT_PASSIVE)
	if outcome != checkpointDone {
		return
	}
	c.next.Store(int64(frames) + c.softLimit())
	yields := !c.mayHold()
	c.noHold.Store(yields)
	if yields && moved < frames {
		c.pool.checkWALLength(int64(frames))
		return
	}
	c.holdNext.Store(int64(frames) >= c.softLimit() && !time.Now().Before(c.noHoldUntil))
}

// mayHold reports whether a commit may be held: not while it would wait for a reader
// who reads for long.
func (c *checkpointer) mayHold() bool {
	if oldest := c.pool.oldestReading(); oldest != nil && oldest.lasted >= longRead {
		return false
	}
	return !time.Now().Before(c.outsideUntil)
}

// cut empties a WAL whose file has become longer than it need be, while nobody writes.
func (c *checkpointer) truncate() {
	c.move()
	l := c.pool.writer
	if c.conn == nil || !c.mayHold() || !l.tryTurn() {
		return
	}
	defer l.releaseTurn(false)
	if c.commits.Load() != c.seenCommits {
		return // there is one who writes, after all
	}
	if _, _, outcome := c.checkpoint(sqlite3.CHECKPOINT_TRUNCATE); outcome == checkpointDone {
		c.recordReset(0)
	}
}

// tryTurn takes the turn to write if nobody waits for it, and nobody has it but a
// checkout that asks for nothing.
func (l *lane) tryTurn() bool {
	if l.queue.try() {
		return true
	}
	l.pool.file.takeOfferedTurn(l.queue.count().released)
	return l.queue.try()
}

// probe has a checkpoint that fails be tried now, and waits for it.
func (c *checkpointer) probe(ctx context.Context) {
	if c == nil || !c.started.Load() || !c.pool.failures.on[failedCheckpoint].Load() {
		return
	}
	done := make(chan struct{})
	select {
	case c.probes <- done:
	case <-ctx.Done():
		return
	case <-c.ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
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
	c.resting.Store(true)
	c.closeLocked()
}

func (c *checkpointer) closeLocked() {
	if c.conn != nil {
		_ = c.conn.Wrapped().CloseFor(wrap.ReasonPoolClosed)
		c.conn = nil
		c.open.Store(false)
	}
}
