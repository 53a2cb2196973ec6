package pool

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A pause is a commit that is held at its end: it has the turn to write, so that no
// other commit comes between while the WAL is begun anew. The transaction is done, and
// SQLite holds no lock for it.
type heldCommit struct {
	done chan struct{} // closed by the checkpointer
	gone chan struct{} // closed by the commit, which waits no more
}

// A WAL that is longer than checkpointPages, but within its limit, is begun anew where
// that is soon done: readers of single rows are through within shortPause. So as to
// cost writers a twentieth of their time at most, a pause is followed by
// pausesBetween times as much without one.
//
// From the limit on, readers are waited for, for longReading and as long as a loaded
// machine may be late, twice: for those who read what has not been moved, and for those
// who have begun since.
const (
	shortPause    = 5 * time.Millisecond
	pausesBetween = 20
	longPause     = longRead + 100*time.Millisecond
)

// Between two attempts to begin the WAL anew, it waits as long as readers of single rows
// take, and then longer.
const (
	firstPoll = 200 * time.Microsecond
	maxPoll   = 5 * time.Millisecond
)

// Who is in the way for that long, and is in no pool of this process, is waited for
// again after ten seconds, and then after twice as long each time, up to five minutes.
const (
	firstOutsideWait = 10 * time.Second
	maxOutsideWait   = 5 * time.Minute
)

// hold holds the commit that has just been made on a connection, until the WAL has been
// begun anew, or cannot be, or the call's context ends.
func (c *checkpointer) hold(raw *sqlite3.Conn) {
	if raw.TxnState("main") != sqlite3.TXN_NONE {
		c.wake() // rows of its own are open, and it would wait for itself
		return
	}
	if !c.started.Load() {
		return
	}
	c.resting.Store(false)
	c.pool.steps.leaveWriter() // readers may have its processor
	defer c.pool.steps.enterWriter()
	p := &heldCommit{done: make(chan struct{}), gone: make(chan struct{})}
	ctx := raw.GetInterrupt()
	timer := time.NewTimer(3 * longPause) // two for readers, and one for what is under way
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
	<-p.done // or a checkpoint that is under way would be in the way of the next writer
}

// restart has the next writer begin the WAL anew, while a commit is held.
func (c *checkpointer) resetWAL(p *heldCommit) {
	began := time.Now()
	patient := c.length.Load() >= c.hardLimit() && !c.noHold.Load()
	var all time.Time // when all was moved
	for wait := firstPoll; ; wait = min(2*wait, maxPoll) {
		frames, moved, outcome := c.checkpoint(sqlite3.CHECKPOINT_RESTART)
		now := time.Now()
		took := now.Sub(began)
		switch outcome {
		case checkpointDone:
			c.recordReset(took)
			return
		case checkpointFailed:
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
			c.holdNext.Store(false)
			c.noHoldUntil = now.Add(pausesBetween * took)
			return
		case patient && (all.IsZero() && took >= longPause || !all.IsZero() && now.Sub(all) >= longPause || c.heldFor+took >= 3*longPause):
			c.outsideWait = min(max(2*c.outsideWait, firstOutsideWait), maxOutsideWait)
			c.outsideUntil = now.Add(c.outsideWait)
			c.giveUpReset()
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.gone:
			timer.Stop()
			c.heldFor += took
			return
		case <-c.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// yield lets commits go on, although the WAL is beyond its limit, and has that be told.
func (c *checkpointer) giveUpReset() {
	c.holdNext.Store(false)
	c.noHold.Store(true)
	c.pool.checkWALLength(c.length.Load())
}

// begunAnew notes that the next writer begins the WAL anew, or that it is empty, after a
// pause of so long.
func (c *checkpointer) recordReset(took time.Duration) {
	c.holdNext.Store(false)
	c.noHold.Store(false)
	c.length.Store(0)
	c.next.Store(c.softLimit())
	c.noHoldUntil = time.Now().Add(pausesBetween * took)
	c.heldFor, c.outsideWait, c.outsideUntil = 0, 0, time.Time{}
	c.pool.recordSuccess(failedWAL)
}
