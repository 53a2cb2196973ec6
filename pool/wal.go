package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// SQLite calls a hook after each commit with the length of the WAL. The hook decides
// when the WAL is checkpointed, and by which connection.
// https://sqlite.org/c3ref/wal_hook.html

// A walKeeper selects how the WAL is kept short.
type walKeeper int

const (
	// keptBySQLite: wal_autocheckpoint is a number of pages. SQLite uses its own hook.
	keptBySQLite walKeeper = iota

	// keptOutside: wal_autocheckpoint is off, because another program, such as Litestream, runs
	// checkpoints. The hook only checks the length.
	keptOutside

	// keptByCommits: there is one connection for everything. A commit that finds the WAL long
	// runs a checkpoint, as with SQLite's own hook.
	keptByCommits

	// keptByCheckpointer: there are readers beside the writer.
	keptByCheckpointer
)

// walKeeper returns how the WAL is kept short. It returns keptBySQLite if there is no WAL to
// keep.
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

// checkpointPages is the length of the WAL at which it is checkpointed: SQLite's default.
// https://sqlite.org/c3ref/wal_autocheckpoint.html
const checkpointPages = 1000

// minLimitPages is the smallest limit in use. With a smaller one, most of the time would be
// spent on checkpoints.
const minLimitPages = 64

// walLimit returns how many bytes the WAL may have. It returns the default if the limit is
// negative, or zero, which means that the WAL is emptied.
func (p *Pool) walLimit() int64 {
	limit := p.cfg.JournalSizeLimit
	if limit <= 0 {
		limit = defaultJournalSizeLimit
	}
	return max(limit, p.walBytes(minLimitPages))
}

// walBytes returns how many bytes of the WAL so many pages take.
func (p *Pool) walBytes(pages int64) int64 {
	return walHeader + pages*(max(p.base.pageSize, smallestPage)+frameHeader)
}

// walPages returns how many pages fit into so many bytes of the WAL.
func (p *Pool) walPages(bytes int64) int64 {
	return max(bytes-walHeader, 0) / (max(p.base.pageSize, smallestPage) + frameHeader)
}

// smallestPage is SQLite's smallest page size. It is used until the page size is known.
const smallestPage = 512

// A walHook is the hook of the connections that write.
type walHook struct {
	pool         *Pool
	keeper       walKeeper
	checkpointer *checkpointer // nil unless keeper is keptByCheckpointer
	checks       *core.Job     // of the WAL's length
	retry        atomic.Int64  // keptByCommits: no checkpoint before, after a failed one; Unix nanoseconds
	wait         time.Duration
}

// install returns an init that installs the hook before it calls the program's. If the program
// sets a hook too, that one replaces the pool's.
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

// committed is called after each commit. A failed checkpoint does not make the commit fail, as
// with SQLite's own hook.
func (h *walHook) committed(raw *sqlite3.Conn, schema string, pages int) error {
	p := h.pool
	switch {
	case schema != "main":
		if h.keeper != keptOutside && pages >= checkpointPages {
			_, _, _ = raw.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE)
		}
	case h.keeper == keptByCheckpointer:
		p.wals.checkpointer.committed(raw, int64(pages))
	case h.keeper == keptByCommits && int64(pages) >= min(checkpointPages, p.walPages(p.walLimit())):
		h.checkpoint(raw)
	default:
		p.checkWALLength(int64(pages))
	}
	return nil
}

// checkpoint runs a checkpoint on the connection that has committed.
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
			frames = 0 // the next commit resets it
		}
		p.checkWALLength(int64(frames))
	}
}

// A failed checkpoint is retried after a tenth of a second. Each further time, that doubles, up
// to ten seconds. A retry costs an attempt to write one page.
const (
	firstCheckpointBackOff = 100 * time.Millisecond
	maxCheckpointBackOff   = 10 * time.Second
)

// A checkpointOutcome is the outcome of a checkpoint. One that is blocked or canceled has
// neither succeeded nor failed.
type checkpointOutcome int

const (
	checkpointDone checkpointOutcome = iota
	checkpointBlocked
	checkpointFailed
)

// checkpointed records the outcome of a checkpoint.
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

// statusOf returns how events describe an error: its code, or else its type.
func statusOf(err error) string {
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		return strconv.Itoa(int(code))
	}
	return fmt.Sprintf("%T", err)
}

// checkWALLength records whether a WAL with so many pages in use is within its limit.
func (p *Pool) checkWALLength(pages int64) {
	if p.base.pageSize == 0 { // the pool is being opened
		return
	}
	if p.walBytes(pages) <= p.walLimit() || p.cfg.JournalSizeLimit < 0 {
		p.recordSuccess(failedWAL)
	} else if !p.base.failures.on[failedCheckpoint].Load() {
		// Otherwise that failure reports the reason and the length.
		p.recordFailure(failedWAL, p.checkpointBlocker())
	}
}

// checkpointBlocker returns the probable cause of a WAL that cannot be reset.
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

// longRead is how long a reader may read and still make checkpoints, and so writers, wait for
// it. The pool promises to keep the WAL within twice its limit while no reader reads for
// longer.
const longRead = time.Second

// watchWAL checks a WAL that may be too long, if no commits do so or none come any more. With
// keptByCommits, it runs the checkpoint that a commit would run, because whatever blocked the
// last one may be gone.
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
	bounded, cancel := context.WithTimeout(ctx, core.EngineTimeout)
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

// walMayExceedLimit reports whether the WAL's file exceeds its limit, and the checkpointer does
// not already look after it.
func (p *Pool) walMayExceedLimit() bool {
	if p.base.path == "" || p.wals.keeper == keptByCheckpointer && p.wals.checkpointer.isOverLimit() {
		return false
	}
	beyond := p.wal().Bytes > p.walLimit()
	if !beyond {
		p.recordSuccess(failedWAL)
	}
	return beyond
}

// checkWAL checks how much of the WAL is in use, with a connection that no caller uses.
func (p *Pool) checkWAL(raw *sqlite3.Conn) {
	if !p.walMayExceedLimit() {
		return
	}
	frames, moved, err := raw.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	switch {
	case err != nil || frames < 0: // unknown: a read-only connection cannot find out
	case moved == frames: // the next writer resets it
		p.recordSuccess(failedWAL)
	default:
		p.checkWALLength(int64(frames))
	}
}

// walHeader and frameHeader are the sizes of a WAL's header and of the header of each frame.
// https://sqlite.org/fileformat2.html#walformat
const (
	walHeader   = 32
	frameHeader = 24
)

// wal returns the size of the WAL's file.
func (p *Pool) wal() WALStats {
	if p.base.path == "" {
		return WALStats{}
	}
	info, err := os.Stat(p.base.path + "-wal")
	if err != nil || info.Size() < walHeader {
		return WALStats{}
	}
	return WALStats{Bytes: info.Size(), Frames: (info.Size() - walHeader) / (p.base.pageSize + frameHeader)}
}
