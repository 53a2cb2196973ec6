package pool

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
)

// A walHost is the pool for its WAL's keeper.
type walHost struct{ *Pool }

var _ walkeeper.Host = walHost{}

// Dial implements [walkeeper.Host].
func (h walHost) Dial(ctx context.Context) (driver.PoolConn, error) {
	c, err := h.lanes.upkeep.Dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	inBackground(ctx, c)
	if _, _, err := h.joinSyncs(c); err != nil {
		c.Lease().CloseFor(wrap.ReasonOther)
		return nil, err
	}
	return c, nil
}

// WithIdleWriter implements [walkeeper.Host].
func (h walHost) WithIdleWriter(ctx context.Context, f func(*sqlite3.Conn)) bool {
	did, _ := h.withIdleWriter(ctx, false, func(c *conn) error {
		f(c.SQLite())
		return nil
	})
	return did
}

// WithOwnConn implements [walkeeper.Host].
func (h walHost) WithOwnConn(ctx context.Context, f func(*sqlite3.Conn) error) error {
	return h.withOwnConn(ctx, func(c driver.PoolConn) error { return f(c.SQLite()) })
}

// TryTurn implements [walkeeper.Host].
func (h walHost) TryTurn() bool { return h.lanes.writer.TryTurn() }

// ReleaseTurn implements [walkeeper.Host].
func (h walHost) ReleaseTurn() { h.lanes.writer.ReleaseTurn() }

// PauseWriter implements [walkeeper.Host].
func (h walHost) PauseWriter() { h.routing.steps.LeaveWriter() }

// ResumeWriter implements [walkeeper.Host].
func (h walHost) ResumeWriter() { h.routing.steps.EnterWriter() }

// SameFile implements [walkeeper.Host].
func (h walHost) SameFile() error { return h.sameFile() }

// LongestReading implements [walkeeper.Host].
func (h walHost) LongestReading() time.Duration {
	if oldest := h.oldestReading(); oldest != nil {
		return oldest.lasted
	}
	return 0
}

// Checkpointed implements [walkeeper.Host].
func (h walHost) Checkpointed(err error) {
	if err == nil {
		h.base.checkpoints.Add(1)
		h.core.Succeed(failedCheckpoint)
		return
	}
	h.base.failedCheckpoints.Add(1)
	h.recordFailure(failedCheckpoint, core.FailureCause{Why: h.describeErr(err), Status: statusOf(err)})
}

// TooLong implements [walkeeper.Host].
func (h walHost) TooLong() { h.recordFailure(failedWAL, h.checkpointBlocker()) }

// Fits implements [walkeeper.Host].
func (h walHost) Fits() { h.core.Succeed(failedWAL) }

// CheckpointsFail implements [walkeeper.Host].
func (h walHost) CheckpointsFail() bool { return h.core.Fails(failedCheckpoint) }

// Failing implements [walkeeper.Host].
func (h walHost) Failing() bool { return h.core.Failing() }

// checkpointBlocker returns the probable cause of a WAL that cannot be reset.
func (p *Pool) checkpointBlocker() core.FailureCause {
	oldest := p.oldestReading()
	if oldest != nil && oldest.lasted >= walkeeper.LongRead {
		return core.FailureCause{Why: oldest.String(), Holder: &oldest.Holder, Reads: oldest.lasted}
	}
	if p.wals.Kind() == walkeeper.Outside {
		return core.FailureCause{Why: "wal_autocheckpoint is off, and no other program has moved it to the database"}
	}
	return core.FailureCause{Why: "another process, or a connection outside the pools, has been reading or writing for long"}
}

// statusOf returns how events describe an error: its code, or else its type.
func statusOf(err error) string {
	if _, code, ok := driver.Code(err); ok {
		return strconv.Itoa(code)
	}
	return fmt.Sprintf("%T", err)
}
