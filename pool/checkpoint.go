package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// ErrNoWAL is returned by [Pool.Checkpoint] for a database that has no WAL.
var ErrNoWAL = errors.New("pool: the database has no WAL")

// checkpointPatience is how long a checkpoint that is to be complete waits for who
// is in the way: the writer's turn is held meanwhile.
const checkpointPatience = 250 * time.Millisecond

// A CheckpointResult is what a checkpoint has come to, as SQLite counts.
type CheckpointResult struct {
	Frames int           // in the WAL: pages written since it was last begun anew; 0 after a truncate that was not busy
	Moved  int           // of them, in the database by now
	Busy   bool          // not all was done that was asked, because somebody was in the way
	Took   time.Duration // in the turn in which that was done
}

// Checkpoint moves what is in the WAL to the database, as far as this mode goes:
//
//	sqlite3.CHECKPOINT_PASSIVE   what no reader still needs otherwise; waits for nobody
//	sqlite3.CHECKPOINT_FULL      all of it, once readers of older states are through
//	sqlite3.CHECKPOINT_RESTART   the same, and waits for all readers of the WAL, so that the next writer begins it anew
//	sqlite3.CHECKPOINT_TRUNCATE  the same, and cuts the file
//
// Any other mode is refused. Where there are readers beside the writer, a passive one
// runs on a connection of its own, and writers go on. The others run in the writer's
// turn, after a passive one of that kind has done the most of it; and they wait for a
// quarter of a second at most for who is in the way, whatever the busy timeout is. A
// checkpoint that finds somebody in the way is no failure: see [CheckpointResult];
// [Stats].OldestReader and [Pool.Holders] tell who that may be, if it is not another
// process. One that fails makes the pool's health degraded, until one succeeds.
//
// It fails with [ErrNoWAL], and as an acquire does; ctx bounds all waits.
// https://sqlite.org/c3ref/wal_checkpoint_v2.html
func (p *Pool) Checkpoint(ctx context.Context, mode sqlite3.CheckpointMode) (CheckpointResult, error) {
	if mode < sqlite3.CHECKPOINT_PASSIVE || mode > sqlite3.CHECKPOINT_TRUNCATE {
		return CheckpointResult{}, fmt.Errorf("pool: checkpoint: the mode is %d: use CHECKPOINT_PASSIVE, CHECKPOINT_FULL, CHECKPOINT_RESTART or CHECKPOINT_TRUNCATE", mode)
	}
	if mode == sqlite3.CHECKPOINT_PASSIVE || p.forReaders().reads {
		r, err := p.checkpointBeside(ctx)
		if err != nil || mode == sqlite3.CHECKPOINT_PASSIVE {
			return r, err
		}
	}
	c, err := p.writer.acquire(ctx)
	if err != nil {
		return CheckpointResult{}, err
	}
	defer c.lane.release(c)
	return c.checkpoint(ctx, mode)
}

// checkpointBeside moves what can be moved while writers go on, on a connection of its
// own where there can be one.
func (p *Pool) checkpointBeside(ctx context.Context) (CheckpointResult, error) {
	c, done, err := p.leaseForCopy(ctx)
	if err != nil {
		return CheckpointResult{}, err
	}
	defer done()
	return c.checkpoint(ctx, sqlite3.CHECKPOINT_PASSIVE)
}

func (c *conn) checkpoint(ctx context.Context, mode sqlite3.CheckpointMode) (r CheckpointResult, err error) {
	c.setDefaultOwner("Checkpoint")
	began := time.Now()
	// SQLite waits for locks as the connection is set up to, but asks its context
	// each time. To copy pages it does not ask.
	patience, cancel := context.WithTimeout(ctx, checkpointPatience)
	defer cancel()
	raw := c.SQLite()
	old := raw.SetInterrupt(&leaseContext{Context: patience, conn: c})
	defer raw.SetInterrupt(old)
	err = c.runStoppable(ctx, func() error {
		if err := c.lane.pool.sameFile(); err != nil {
			return err
		}
		if err := readPage(raw); err != nil { // or it may not know yet that there is a WAL
			return err
		}
		r.Frames, r.Moved, err = raw.WALCheckpoint("main", mode)
		return err
	})
	r.Took = time.Since(began)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if stopped := c.stopped.Load(); err != nil && stopped != nil {
		err = *stopped
	}
	switch {
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.INTERRUPT): // patience is over
		r.Busy = true
	case err != nil:
		c.lane.pool.checkpointed(err)
		return CheckpointResult{}, fmt.Errorf("pool: checkpoint: %w", err)
	case r.Frames < 0:
		return CheckpointResult{}, ErrNoWAL
	default:
		c.lane.pool.checkpointed(nil)
	}
	r.Frames, r.Moved = max(r.Frames, 0), max(r.Moved, 0) // unknown if it had not begun
	r.Busy = r.Busy || r.Moved < r.Frames
	return r, nil
}
