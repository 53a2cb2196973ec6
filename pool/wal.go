package pool

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Who moves what is in the WAL to the database, and how long it may be meanwhile, is
// decided after each commit, by a hook that SQLite calls with the length of the WAL.
// https://sqlite.org/c3ref/wal_hook.html

// A walKeeper keeps the WAL short.
type walKeeper int

const (
	// keptBySQLite: wal_autocheckpoint is set to a number of pages. There is no hook:
	// SQLite has its own.
	keptBySQLite walKeeper = iota

	// keptByNobody: wal_autocheckpoint is off, for something else to do it, as
	// Litestream. The hook only looks.
	keptOutside

	// keptByCommits: there is one connection for everything, and the commit that finds
	// the WAL long moves it, as with SQLite's own hook.
	keptByCommits

	// keptByCheckpointer: there are readers beside the writer.
	keptByCheckpointer
)

// walKeeper returns who keeps the WAL short, if there is one.
func (p *plan) walKeeper() walKeeper {
	auto, said := p.pragma("wal_autocheckpoint")
	switch pages, _ := auto.Int(); {
	case p.readOnly || p.dsn.Memory() || said && pages > 0:
		return keptBySQLite
	case said:
		return keptOutside
	case p.readers > 0:
		return keptByCheckpointer
	}
	return keptByCommits
}

// checkpointPages is how long the WAL becomes before it is moved: SQLite's own number.
// https://sqlite.org/c3ref/wal_autocheckpoint.html
const checkpointPages = 1000

// fewestPages is the shortest limit that is kept: with a shorter one, most of the time
// would go into checkpoints.
const minLimitPages = 64

// walLimit returns how many bytes the WAL may have. With a limit of zero, which has it
// emptied, or none, what is used is the default.
func (p *Pool) walLimit() int64 {
	limit := p.cfg.JournalSizeLimit
	if limit <= 0 {
		limit = defaultJournalSizeLimit
	}
	return max(limit, p.walBytes(minLimitPages))
}

// walBytes is how many bytes so many pages take in the WAL.
func (p *Pool) walBytes(pages int64) int64 {
	return walHeader + pages*(max(p.pageSize, smallestPage)+frameHeader)
}

// walPages is how many pages take so many bytes.
func (p *Pool) walPages(bytes int64) int64 {
	return max(bytes-walHeader, 0) / (max(p.pageSize, smallestPage) + frameHeader)
}

// smallestPage is for a pool that does not know its pages' size yet.
const smallestPage = 512

// A walHook is what commits of the connections that write tell.
type walHook struct {
	pool   *Pool
	keeper walKeeper
	retry  atomic.Int64 // keptByCommits: no checkpoint before, in Unix nanoseconds, because one has failed
	wait   time.Duration
}

// before returns an init that has the hook set before the program's own. A hook of the
// program's takes its place, and what that does is then what is done.
func (h *walHook) install(init func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	if h.keeper == keptBySQLite {
		return init
	}
	return func(raw *sqlite3.Conn) error {
		raw.WALHook(h.committed)
		if init == nil {
			return nil
		}
		return init(raw)
	}
}

// committed is called after each commit. A checkpoint that fails is no reason for the
// commit to fail, as with SQLite's own hook.
func (h *walHook) committed(raw *sqlite3.Conn, schema string, pages int) error {
	p := h.pool
	switch {
	case schema != "main":
		if h.keeper != keptOutside && pages >= checkpointPages {
			_, _, _ = raw.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE)
		}
	case h.keeper == keptByCheckpointer:
		p.checkpoints.committed(raw, int64(pages))
	case h.keeper == keptByCommits && int64(pages) >= min(checkpointPages, p.walPages(p.walLimit())):
		h.checkpoint(raw)
	default:
		p.checkWALLength(int64(pages))
	}
	return nil
}

// checkpoint moves what is in the WAL by the connection that has committed.
func (h *walHook) checkpoint(raw *sqlite3.Conn) {
	p := h.pool
	if h.retry.Load() > time.Now().UnixNano() {
		return
	}
	err := p.sameFile()
	frames, moved := 0, 0
	if err == nil {
		frames, moved, err = raw.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	}
	switch p.checkpointed(err) {
	case checkpointFailed:
		h.wait = min(max(2*h.wait, firstCheckpointBackOff), maxCheckpointBackOff)
		h.retry.Store(time.Now().Add(h.wait).UnixNano())
	case checkpointDone:
		h.wait = 0
		if h.retry.Store(0); moved == frames {
			frames = 0 // the next commit begins it anew
		}
		p.checkWALLength(int64(frames))
	}
}

// A checkpoint that has failed is tried again after a tenth of a second, and then after
// twice as long each time, up to ten seconds: it costs an attempt to write one page.
const (
	firstCheckpointBackOff = 100 * time.Millisecond
	maxCheckpointBackOff   = 10 * time.Second
)

// What a checkpoint has come to. That somebody is in its way, or that it was to end,
// is neither success nor failure.
type checkpointOutcome int

const (
	checkpointDone checkpointOutcome = iota
	checkpointBlocked
	checkpointFailed
)

// checkpointed notes what a checkpoint has come to.
func (p *Pool) checkpointed(err error) checkpointOutcome {
	if err == nil {
		p.recordSuccess(failedCheckpoint)
		return checkpointDone
	}
	for _, other := range []error{sqlite3.BUSY, sqlite3.LOCKED, sqlite3.INTERRUPT, context.Canceled, context.DeadlineExceeded, ErrClosed} {
		if errors.Is(err, other) {
			return checkpointBlocked
		}
	}
	p.recordFailure(failedCheckpoint, cause{why: p.describeErr(err), status: statusOf(err)})
	return checkpointFailed
}

// statusOf is what events say of an error: its code, or else its type.
func statusOf(err error) string {
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		return strconv.Itoa(int(code))
	}
	return fmt.Sprintf("%T", err)
}

// lookAtLength notes whether a WAL of so many pages, in use, is within its limit.
func (p *Pool) checkWALLength(pages int64) {
	if p.pageSize == 0 { // while the pool is being opened
		return
	}
	if p.walBytes(pages) <= p.walLimit() || p.cfg.JournalSizeLimit < 0 {
		p.recordSuccess(failedWAL)
	} else if !p.failures.on[failedCheckpoint].Load() { // which tells why, and how long the WAL is
		p.recordFailure(failedWAL, p.checkpointBlocker())
	}
}

// inTheWayOfCheckpoints tells who is.
func (p *Pool) checkpointBlocker() cause {
	oldest := p.oldestReading()
	if oldest != nil && oldest.lasted >= longRead {
		return cause{why: oldest.String(), holder: oldest}
	}
	if p.wals.keeper == keptOutside {
		return cause{why: "wal_autocheckpoint is off, and no other program has moved it to the database"}
	}
	return cause{why: "another process, or a connection outside the pools, has been reading or writing for long"}
}

// longReading is how long a reader may read for a checkpoint to wait for it, and so
// to have writers wait: as long as the WAL is promised to stay within twice its limit.
const longRead = time.Second

// watchWAL looks at a WAL that may be too long where no commit tells of it, or none comes
// any more. Where commits move what is in it, it does that in their place: what the last
// of them had in its way may be gone.
func (p *Pool) watchWAL(ctx context.Context) {
	if p.wals.keeper == keptByCommits {
		did, _ := p.withIdleWriter(ctx, false, func(c *conn) error {
			p.wals.checkpoint(c.SQLite())
			return nil
		})
		if did {
			return
		}
	}
	bounded, cancel := context.WithTimeout(ctx, sqliteTimeout)
	defer cancel()
	_ = p.withOwnConn(bounded, func(c driver.PoolConn) error {
		raw := c.SQLite()
		old := raw.SetInterrupt(bounded)
		defer raw.SetInterrupt(old)
		if err := readPage(raw); err != nil {
			return err
		}
		p.checkWAL(raw)
		return nil
	})
}

// mayBeBeyond reports whether the WAL's file is longer than its limit, and nothing else
// looks after that.
func (p *Pool) walMayExceedLimit() bool {
	if p.path == "" || p.wals.keeper == keptByCheckpointer && p.checkpoints.isOverLimit() {
		return false
	}
	beyond := p.wal().Bytes > p.walLimit()
	if !beyond {
		p.recordSuccess(failedWAL)
	}
	return beyond
}

// lookAtWAL looks how much of the WAL is in use, with a connection that is no user's.
func (p *Pool) checkWAL(raw *sqlite3.Conn) {
	if !p.walMayExceedLimit() {
		return
	}
	frames, moved, err := raw.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	switch {
	case err != nil || frames < 0: // it cannot be known: a connection that only reads is not told
	case moved == frames: // the next writer begins it anew
		p.recordSuccess(failedWAL)
	default:
		p.checkWALLength(int64(frames))
	}
}
