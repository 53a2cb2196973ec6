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
	pool    *Pool
	ctx     context.Context // until stop
	cancel  context.CancelFunc
	job     *job
	started atomic.Bool
	due     chan struct{}
	pauses  chan *pause
	probes  chan chan struct{}

	// What commits look at.
	length  atomic.Int64  // of the WAL after the latest commit, in pages
	commits atomic.Uint64 // counts them
	next    atomic.Int64  // the length from which on a commit wakes the goroutine
	asks    atomic.Bool   // the next commit is to be held
	yields  atomic.Bool   // no commit is held, however long the WAL is
	open    atomic.Bool   // there is a connection
	rests   atomic.Bool   // until a commit wakes it

	mu   sync.Mutex
	conn driver.PoolConn

	// Of the goroutine alone.
	own      context.Context // ctx, as the goroutine has it
	seen     uint64          // commits, at the latest look
	idle     int             // looks since that have found no other
	notAsked time.Time       // no commit is asked to be held before
	held     time.Duration   // for how long commits have been, since the WAL was begun anew
	alone    time.Time       // no commit is held before, because somebody outside of the pools was in the way
	aloneFor time.Duration   // how long that was
	retry    time.Time       // no checkpoint before, because one has failed
	backOff  time.Duration   // how long that was
}

func newCheckpointer(p *Pool) *checkpointer {
	c := &checkpointer{pool: p, due: make(chan struct{}, 1), pauses: make(chan *pause), probes: make(chan chan struct{}), job: p.guard.newJob("the checkpointer")}
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
func (c *checkpointer) soft() int64 {
	pages := int64(checkpointPages)
	if c.open.Load() {
		pages = checkpointPages * 3 / 4
	}
	return min(pages, c.hard()/2)
}

// hard is the length from which on each commit is held until the WAL is begun anew, so
// that it stays within twice its limit: what is held has been written, and may be as
// much again.
func (c *checkpointer) hard() int64 { return c.pool.walPages(c.pool.walLimit()) }

// committed is called at the end of each commit, with the WAL's length.
func (c *checkpointer) committed(raw *sqlite3.Conn, pages int64) {
	c.commits.Add(1)
	if before := c.length.Swap(pages); pages < before { // it was begun anew
		c.next.Store(c.soft())
	}
	switch {
	case pages < c.soft():
	case c.asks.Load(), pages >= c.hard() && !c.yields.Load():
		c.hold(raw)
	case pages >= c.next.Load():
		c.wake()
	}
}

// wake has the goroutine move what is in the WAL.
func (c *checkpointer) wake() {
	c.next.Store(c.length.Load() + c.soft())
	c.rests.Store(false)
	select {
	case c.due <- struct{}{}:
	default: // it is already
	}
}

// knows reports whether commits have told that the WAL is beyond its limit.
func (c *checkpointer) knows() bool { return c.length.Load() >= c.hard() }

// lookEvery is how often the goroutine looks, while there is something to look after,
// and idleLooks how many looks must find no commit for the pool to be idle: a second.
// After a minute of that, it looks more seldom.
const (
	lookEvery   = 250 * time.Millisecond
	idleLooks   = 4
	seldomAfter = 240
	lookSeldom  = 2 * time.Second
)

func (c *checkpointer) run(ctx context.Context) {
	c.own = ctx
	defer c.close()
	timer := time.NewTimer(lookEvery) // a process before may have left a WAL
	defer timer.Stop()
	for {
		var do func()
		select {
		case <-ctx.Done():
			return
		case <-c.due:
			do = func() { c.work(c.move) }
		case p := <-c.pauses:
			do = func() {
				defer close(p.over)
				c.work(func() { c.restart(p) })
			}
		case done := <-c.probes:
			c.retry = time.Time{}
			do = func() {
				defer close(done)
				c.work(c.move)
			}
		case <-timer.C:
			do = c.look
		}
		_ = c.pool.guard.protect(c.job.name, do) // a panic costs this work alone
		switch {
		case !c.watches():
			timer.Stop()
		case c.idle >= seldomAfter:
			timer.Reset(lookSeldom)
		default:
			timer.Reset(lookEvery)
		}
	}
}

// watches reports whether there is something to look after although no commit comes:
// a failure that is to end by itself, or a file that is longer than it need be.
func (c *checkpointer) watches() bool {
	return !c.rests.Load() && (c.yields.Load() || c.pool.failing() || c.isLong())
}

// isLong reports whether the WAL's file is longer than SQLite's own checkpoints leave
// it.
func (c *checkpointer) isLong() bool {
	return c.pool.wal().Bytes > min(c.pool.walBytes(checkpointPages), c.pool.walLimit())
}

func (c *checkpointer) look() {
	if n := c.commits.Load(); n != c.seen {
		c.seen, c.idle = n, 0
	} else {
		c.idle++
	}
	if c.idle >= idleLooks && c.isLong() {
		c.work(c.cut)
	} else if c.yields.Load() || c.pool.failing() {
		c.work(c.move)
	}
}

// work does something with the connection, which it opens if there is none.
func (c *checkpointer) work(f func()) {
	if !c.ready() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rests.Load() || c.conn == nil {
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
func (c *checkpointer) ready() bool {
	if c.rests.Load() || time.Now().Before(c.retry) {
		return false
	}
	c.mu.Lock()
	open := c.conn != nil
	c.mu.Unlock()
	if open {
		return true
	}
	conn, err := c.pool.upkeep.Dial(c.own, nil)
	if err != nil {
		if c.pool.checkpointed(err) == checkpointFailed {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.backsOff()
		}
		return false
	}
	inJob(c.own, conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.open.Store(true)
	if c.rests.Load() { // close has come meanwhile
		c.closeLocked()
	}
	return true
}

// checkpoint is one of SQLite's, which waits for nobody. One that is not done may have
// moved something all the same.
func (c *checkpointer) checkpoint(mode sqlite3.CheckpointMode) (frames, moved int, outcome checkpointOutcome) {
	raw := c.conn.SQLite()
	old := raw.SetInterrupt(c.own)
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
		c.backsOff()
	}
	return frames, moved, outcome
}

// backsOff has the next checkpoint wait, and no commit wait for one.
func (c *checkpointer) backsOff() {
	c.yields.Store(true)
	c.asks.Store(false)
	c.backOff = min(max(2*c.backOff, firstCheckpointBackOff), mostCheckpointBackOff)
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
	c.next.Store(int64(frames) + c.soft())
	yields := !c.mayHold()
	c.yields.Store(yields)
	if yields && moved < frames {
		c.pool.lookAtLength(int64(frames))
		return
	}
	c.asks.Store(int64(frames) >= c.soft() && !time.Now().Before(c.notAsked))
}

// mayHold reports whether a commit may be held: not while it would wait for a reader
// who reads for long.
func (c *checkpointer) mayHold() bool {
	if oldest := c.pool.oldestReading(); oldest != nil && oldest.reads >= longReading {
		return false
	}
	return !time.Now().Before(c.alone)
}

// cut empties a WAL whose file has become longer than it need be, while nobody writes.
func (c *checkpointer) cut() {
	c.move()
	l := c.pool.writer
	if c.conn == nil || !c.mayHold() || !l.tryTurn() {
		return
	}
	defer l.give(false)
	if c.commits.Load() != c.seen {
		return // there is one who writes, after all
	}
	if _, _, outcome := c.checkpoint(sqlite3.CHECKPOINT_TRUNCATE); outcome == checkpointDone {
		c.begunAnew(0)
	}
}

// tryTurn takes the turn to write if nobody waits for it, and nobody has it but a
// checkout that asks for nothing.
func (l *lane) tryTurn() bool {
	if l.queue.try() {
		return true
	}
	l.pool.file.takeParked(l.queue.count().given)
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
	c.rests.Store(true)
	c.closeLocked()
}

func (c *checkpointer) closeLocked() {
	if c.conn != nil {
		_ = c.conn.Wrapped().CloseFor(wrap.ReasonPoolClosed)
		c.conn = nil
		c.open.Store(false)
	}
}
