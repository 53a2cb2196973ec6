package walkeeper

import (
	"context"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// committed is called at the end of each commit with the length of the WAL in pages.
func (c *checkpointer) committed(raw *sqlite3.Conn, pages int64) {
	c.commits.count.Add(1)
	if before := c.commits.length.Swap(pages); pages < before { // it has been reset
		c.commits.next.Store(c.softLimit())
	}
	switch {
	case pages < c.softLimit():
	case c.commits.holdNext.Load(), pages >= c.hardLimit() && !c.commits.noHold.Load():
		c.hold(raw)
	case pages >= c.commits.next.Load():
		c.wake()
	}
}

// start starts the goroutine. stop ends it.
func (c *checkpointer) start() {
	if c == nil {
		return
	}
	c.guard.Start(c.ctx, c.job, c.run)
	c.started.Store(true)
}

// stop ends the goroutine, which closes its connection. It waits as long as ctx allows, and
// reports whether the goroutine has ended.
func (c *checkpointer) stop(ctx context.Context) bool {
	if c == nil {
		return true
	}
	c.cancel()
	return c.job.Ended(ctx)
}

// The goroutine looks after the WAL every tickEvery, as long as needsTicks. After
// truncateAfterTicks ticks without a commit (one second), it may truncate the file. After
// slowAfterTicks (one minute), it ticks every slowTickEvery.
const (
	tickEvery          = 250 * time.Millisecond
	truncateAfterTicks = 4
	slowAfterTicks     = 240
	slowTickEvery      = 2 * time.Second
)

func (c *checkpointer) run(ctx context.Context) {
	c.loop.jobCtx = ctx
	defer c.close()
	timer := time.NewTimer(tickEvery) // an earlier process may have left a WAL
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
			c.loop.retry = time.Time{}
			do = func() {
				defer close(done)
				c.withConn(c.move)
			}
		case <-timer.C:
			do = c.tick
		}
		_ = c.guard.Protect(c.job.Name(), do) // a panic ends only this piece of work
		switch {
		case !c.needsTicks():
			timer.Stop()
		case c.loop.idleTicks >= slowAfterTicks:
			timer.Reset(slowTickEvery)
		default:
			timer.Reset(tickEvery)
		}
	}
}

// needsTicks reports whether there is work even if no commit comes: a failure that may end by
// itself, or a file that is longer than necessary.
func (c *checkpointer) needsTicks() bool {
	return !c.commits.resting.Load() && (c.commits.noHold.Load() || c.host.Failing() || c.isLong())
}

// isLong reports whether the WAL's file is longer than SQLite's own checkpoints leave it.
func (c *checkpointer) isLong() bool {
	return c.size.Stats().Bytes > min(c.size.bytes(checkpointPages), c.size.Limit())
}

func (c *checkpointer) tick() {
	if n := c.commits.count.Load(); n != c.loop.seenCommits {
		c.loop.seenCommits, c.loop.idleTicks = n, 0
	} else {
		c.loop.idleTicks++
	}
	if c.loop.idleTicks >= truncateAfterTicks && c.isLong() {
		c.withConn(c.truncate)
	} else if c.commits.noHold.Load() || c.host.Failing() {
		c.withConn(c.move)
	}
}

// move runs a checkpoint while the writer goes on. Then it asks to hold the next commit, if the
// WAL is long enough and no commit was held just now.
func (c *checkpointer) move() {
	frames, moved, outcome := c.checkpoint(sqlite3.CHECKPOINT_PASSIVE)
	if outcome != Done {
		return
	}
	c.commits.next.Store(int64(frames) + c.softLimit())
	yields := !c.mayHold()
	c.commits.noHold.Store(yields)
	if yields && moved < frames {
		c.size.checkLength(c.host, int64(frames))
		return
	}
	c.commits.holdNext.Store(int64(frames) >= c.softLimit() && !time.Now().Before(c.loop.noHoldUntil))
}

// truncate empties a WAL whose file is longer than necessary, if no connection writes.
func (c *checkpointer) truncate() {
	c.move()
	if c.conn == nil || !c.mayHold() || !c.host.TryTurn() {
		return
	}
	defer c.host.ReleaseTurn()
	if c.commits.count.Load() != c.loop.seenCommits {
		return // a connection has written after all
	}
	if _, _, outcome := c.checkpoint(sqlite3.CHECKPOINT_TRUNCATE); outcome == Done {
		c.recordReset(0)
	}
}

// probe retries a failing checkpoint now, and waits for it.
func (c *checkpointer) probe(ctx context.Context) {
	if c == nil || !c.started.Load() || !c.host.CheckpointsFail() {
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
