package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// checkpointPatience is how long a complete checkpoint waits for readers and writers that block
// it. It is short because the checkpoint holds the writer's turn.
const checkpointPatience = 250 * time.Millisecond

// A CheckpointResult is the result of a checkpoint, as SQLite counts it.
type CheckpointResult struct {
	Frames int           // pages in the WAL since its reset; 0 after a complete truncate
	Moved  int           // of Frames, those that are in the database now
	Busy   bool          // the checkpoint is incomplete, because another connection blocked it
	Took   time.Duration // duration, without the wait for the turn
}

// Checkpoint moves the content of the WAL to the database. mode says how far:
//
//   - sqlite3.CHECKPOINT_PASSIVE moves everything that no reader needs in the WAL. It waits for
//     no other connection.
//   - sqlite3.CHECKPOINT_FULL waits for readers of older states, and moves everything.
//   - sqlite3.CHECKPOINT_RESTART also waits for all readers of the WAL, so that the next writer
//     starts at its beginning.
//   - sqlite3.CHECKPOINT_TRUNCATE also truncates the WAL.
//
// Any other mode is refused. If there are readers, a passive checkpoint runs on a connection of
// its own, and writers go on. The other modes hold the writer's turn. If there are readers, a
// passive checkpoint has done most of the work before. They wait at most a quarter of a second
// for connections that block them, whatever the busy timeout is.
//
// A blocked checkpoint is not an error; see [CheckpointResult]. [Stats].OldestReader and
// [Pool.Holders] show what may have blocked it, unless it is another process. A failed
// checkpoint makes the pool's health degraded until one succeeds.
//
// Checkpoint fails with [ErrNoWAL], or as an acquire does. ctx limits all waits.
// https://sqlite.org/c3ref/wal_checkpoint_v2.html
func (p *Pool) Checkpoint(ctx context.Context, mode sqlite3.CheckpointMode) (CheckpointResult, error) {
	if mode < sqlite3.CHECKPOINT_PASSIVE || mode > sqlite3.CHECKPOINT_TRUNCATE {
		return CheckpointResult{}, fmt.Errorf("pool: checkpoint: the mode is %d: use CHECKPOINT_PASSIVE, CHECKPOINT_FULL, CHECKPOINT_RESTART or CHECKPOINT_TRUNCATE", mode)
	}
	if mode == sqlite3.CHECKPOINT_PASSIVE || p.forReaders().Reads() {
		r, err := p.checkpointBeside(ctx)
		if err != nil || mode == sqlite3.CHECKPOINT_PASSIVE {
			return r, err
		}
	}
	c, err := leased(p.lanes.writer.Acquire(ctx, nil))
	if err != nil {
		return CheckpointResult{}, err
	}
	defer c.release()
	return c.checkpoint(ctx, mode)
}

// checkpointBeside runs a passive checkpoint while writers go on, on a separate connection if
// possible.
func (p *Pool) checkpointBeside(ctx context.Context) (CheckpointResult, error) {
	c, done, err := p.leaseForCopy(ctx)
	if err != nil {
		return CheckpointResult{}, err
	}
	defer done()
	return c.checkpoint(ctx, sqlite3.CHECKPOINT_PASSIVE)
}

func (c *conn) checkpoint(ctx context.Context, mode sqlite3.CheckpointMode) (r CheckpointResult, err error) {
	c.SetDefaultOwner("Checkpoint")
	began := time.Now()
	// SQLite waits for locks for the connection's busy timeout, but checks the context while
	// waiting. It does not check it while it copies pages.
	patience, cancel := context.WithTimeout(ctx, checkpointPatience)
	defer cancel()
	raw := c.SQLite()
	old := raw.SetInterrupt(&leaseContext{Context: patience, conn: c})
	defer raw.SetInterrupt(old)
	err = c.runStoppable(ctx, func() error {
		if err := c.pool.sameFile(); err != nil {
			return err
		}
		if err := inspect.ReadPage(raw); err != nil { // or SQLite may not know of the WAL yet
			return err
		}
		r.Frames, r.Moved, err = raw.WALCheckpoint("main", mode)
		return err
	})
	r.Took = time.Since(began)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if stopped := c.Stopped(); err != nil && stopped != nil {
		err = stopped
	}
	switch {
	case errors.Is(err, sqlite3.BUSY), errors.Is(err, sqlite3.INTERRUPT): // patience has ended
		r.Busy = true
	case err != nil:
		c.pool.wals.Checkpointed(err)
		return CheckpointResult{}, fmt.Errorf("pool: checkpoint: %w", err)
	case r.Frames < 0:
		return CheckpointResult{}, ErrNoWAL
	default:
		c.pool.wals.Checkpointed(nil)
	}
	r.Frames, r.Moved = max(r.Frames, 0), max(r.Moved, 0) // negative if unknown
	r.Busy = r.Busy || r.Moved < r.Frames
	return r, nil
}
