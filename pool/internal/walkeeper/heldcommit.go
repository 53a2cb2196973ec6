package walkeeper

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A WAL that is longer than checkpointPages but within its limit is reset only if that is
// quick. Readers of single rows finish within shortPause. After a pause, there is none for
// pausesBetween times as long. So pauses cost writers at most a twentieth of their time.
//
// From the limit on, the commit waits for readers, for longPause each: first for those that
// read pages not yet moved, then for those that have begun since. longPause is LongRead plus
// the delay that a loaded machine may have.
const (
	shortPause    = 5 * time.Millisecond
	pausesBetween = 20
	longPause     = LongRead + 100*time.Millisecond
)

// Between two attempts to reset the WAL, the checkpointer waits as long as readers of single
// rows take, and then longer.
const (
	firstPoll = 200 * time.Microsecond
	maxPoll   = 5 * time.Millisecond
)

// If a connection outside the pools has blocked the reset for that long, no commit is held for
// ten seconds. Each further time, that doubles, up to five minutes.
const (
	firstOutsideWait = 10 * time.Second
	maxOutsideWait   = 5 * time.Minute
)

// hold holds the commit that the connection has just made. It returns when the WAL has been
// reset, when it cannot be, or when the call's context ends.
func (c *checkpointer) hold(raw *sqlite3.Conn) {
	if raw.TxnState("main") != sqlite3.TXN_NONE {
		c.wake() // rows of this connection are open, so hold would wait for itself
		return
	}
	if !c.started.Load() {
		return
	}
	c.commits.resting.Store(false)
	c.host.PauseWriter() // readers may use its processor
	defer c.host.ResumeWriter()
	p := &heldCommit{done: make(chan struct{}), gone: make(chan struct{})}
	ctx := raw.GetInterrupt()
	timer := time.NewTimer(3 * longPause) // two for readers, one for a running checkpoint
	defer timer.Stop()
	select {
	case c.heldCommits <- p:
	case <-ctx.Done():
		return
	case <-timer.C:
		return
	case <-c.ctx.Done():
		return
	}
	select {
	case <-p.done:
		return
	case <-ctx.Done():
	case <-timer.C:
	}
	close(p.gone)
	<-p.done // a running checkpoint would block the next writer
}

// resetWAL makes the next writer start at the beginning of the WAL, while a commit is held.
func (c *checkpointer) resetWAL(p *heldCommit) {
	began := time.Now()
	patient := c.commits.length.Load() >= c.hardLimit() && !c.commits.noHold.Load()
	var all time.Time // when everything was moved
	for wait := firstPoll; ; wait = min(2*wait, maxPoll) {
		frames, moved, outcome := c.checkpoint(sqlite3.CHECKPOINT_RESTART)
		now := time.Now()
		took := now.Sub(began)
		switch outcome {
		case Done:
			c.recordReset(took)
			return
		case Failed:
			return
		}
		if all.IsZero() && frames > 0 && moved == frames {
			all = now
		}
		switch {
		case !c.mayHold():
			c.giveUpReset()
			return
		case !patient && took >= shortPause:
			c.commits.holdNext.Store(false)
			c.loop.noHoldUntil = now.Add(pausesBetween * took)
			return
		case patient && (all.IsZero() && took >= longPause || !all.IsZero() && now.Sub(all) >= longPause || c.loop.heldFor+took >= 3*longPause):
			c.loop.outsideWait = min(max(2*c.loop.outsideWait, firstOutsideWait), maxOutsideWait)
			c.loop.outsideUntil = now.Add(c.loop.outsideWait)
			c.giveUpReset()
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.gone:
			timer.Stop()
			c.loop.heldFor += took
			return
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// giveUpReset lets commits go on although the WAL exceeds its limit, and reports that.
func (c *checkpointer) giveUpReset() {
	c.commits.holdNext.Store(false)
	c.commits.noHold.Store(true)
	c.size.checkLength(c.host, c.commits.length.Load())
}

// recordReset records that the next writer starts at the beginning of the WAL, or that the WAL
// is empty. took is how long the commit was held.
func (c *checkpointer) recordReset(took time.Duration) {
	c.commits.holdNext.Store(false)
	c.commits.noHold.Store(false)
	c.commits.length.Store(0)
	c.commits.next.Store(c.softLimit())
	c.loop.noHoldUntil = time.Now().Add(pausesBetween * took)
	c.loop.heldFor, c.loop.outsideWait, c.loop.outsideUntil = 0, 0, time.Time{}
	c.host.Fits()
}
