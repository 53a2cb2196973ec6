package pool

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// A failure is a kind of operation of the pool that fails, from its first error until it
// succeeds again. Meanwhile the pool's health is degraded. An event and a log line report its
// begin and its end.
type failure struct {
	since time.Time
	last  time.Time
	count int    // number of errors since
	why   string // for people; without values of the program
}

// The kinds of failures.
const (
	failedWrite = iota
	failedCheckpoint
	failedWAL
	failureKinds
)

var failureReasons = [failureKinds]driver.Reason{driver.ReasonWrite, driver.ReasonCheckpoint, driver.ReasonWAL}

// failures are the current failures of a pool.
type failures struct {
	mu  sync.Mutex // guards now, and changes of on
	now [failureKinds]*failure

	on     [failureKinds]atomic.Bool // whether now is set; read without mu
	writes atomic.Uint64             // how many failures of writes have begun
}

// A cause is the reason of a failure, for events and logs.
type cause struct {
	why    string // for people
	status string // see [driver.Event].Err
	conn   driver.ConnID
	lane   wrap.Lane
	trace  trace.TraceID
	holder *reading // the reading that blocks; nil if unknown
}

// recordFailure records that an operation of this kind has failed.
func (p *Pool) recordFailure(kind int, c cause) {
	now := time.Now()
	p.base.failures.mu.Lock()
	f := p.base.failures.now[kind]
	begins := f == nil
	if begins {
		f = &failure{since: now}
		p.base.failures.now[kind] = f
		p.base.failures.on[kind].Store(true)
		if kind == failedWrite {
			p.base.failures.writes.Add(1)
		}
	}
	f.count++
	f.last, f.why = now, c.why
	p.base.failures.mu.Unlock()
	if !begins {
		return
	}
	e := driver.Event{Time: now, Kind: driver.KindFailing, Reason: failureReasons[kind], Err: c.status, Conn: c.conn, Lane: c.lane, Trace: c.trace, Background: kind != failedWrite}
	attrs := []any{"file", p.fileName(), "error", c.why}
	if h := c.holder; h != nil {
		e.Holder, e.Trace = h.Conn, h.Trace
		attrs = append(attrs, "holder", h.Conn, "lane", h.Lane, "reads", h.lasted, "owner", h.Owner, "last", h.Last, "trace", h.Trace)
	}
	p.recorder.Record(e)
	p.core.HealthMayChange(kind != failedWrite)
	p.logger.Error("pool: "+failureNames[kind].begins, attrs...)
}

// recordSuccess records that an operation of this kind has succeeded, which ends its failure.
func (p *Pool) recordSuccess(kind int) {
	if !p.base.failures.on[kind].Load() {
		return
	}
	p.base.failures.mu.Lock()
	f := p.base.failures.now[kind]
	p.base.failures.now[kind] = nil
	p.base.failures.on[kind].Store(false)
	p.base.failures.mu.Unlock()
	if f == nil {
		return
	}
	now := time.Now()
	took := now.Sub(f.since)
	p.recorder.Record(driver.Event{Time: now, Kind: driver.KindRecovered, Reason: failureReasons[kind], Duration: took, Background: kind != failedWrite})
	p.core.HealthMayChange(kind != failedWrite)
	p.logger.Info("pool: "+failureNames[kind].ends, "file", p.fileName(), "after", took, "failures", f.count)
}

var failureNames = [failureKinds]struct{ begins, ends string }{
	failedWrite:      {"writes fail", "writes succeed again"},
	failedCheckpoint: {"checkpoints fail", "checkpoints succeed again"},
	failedWAL:        {"the WAL is longer than its limit", "the WAL is within its limit again"},
}

// reasons returns the descriptions of the current failures for [Pool.Health].
func (p *Pool) reasons() []string {
	now := time.Now()
	p.base.failures.mu.Lock()
	defer p.base.failures.mu.Unlock()
	var list []string
	for kind, f := range p.base.failures.now {
		if f == nil {
			continue
		}
		span := now.Sub(f.since).Round(time.Millisecond)
		switch kind {
		case failedWrite:
			list = append(list, fmt.Sprintf("writes to %q fail, %d in the last %v: %s", p.fileName(), f.count, span, f.why))
		case failedCheckpoint:
			text := fmt.Sprintf("checkpoints of %q fail, %d in the last %v: %s", p.fileName(), f.count, span, f.why)
			if n := p.wals.Stats().Bytes; n > 0 {
				text += "; the WAL has " + bytesOf(n)
				if limit := p.wals.Limit(); n > limit && p.cfg.JournalSizeLimit >= 0 {
					text += ", more than its limit, " + bytesOf(limit) + " (Config.JournalSizeLimit)"
				}
			}
			list = append(list, text)
		case failedWAL:
			list = append(list, fmt.Sprintf("the WAL of %q has %s, for %v more than its limit, %s (Config.JournalSizeLimit): %s",
				p.fileName(), bytesOf(p.wals.Stats().Bytes), span, bytesOf(p.wals.Limit()), f.why))
		}
	}
	return list
}

// failing reports whether there is any failure.
func (p *Pool) failing() bool {
	for kind := range p.base.failures.on {
		if p.base.failures.on[kind].Load() {
			return true
		}
	}
	return false
}

// fileName returns the name of the database for people.
func (p *Pool) fileName() string { return cmp.Or(redact.Name(p.base.path), p.cfg.Name) }

func bytesOf(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// describeErr describes an error with SQLite's text for its code, and with the operating
// system's for its own. Unlike the error's text, they contain no values of the program.
func (p *Pool) describeErr(err error) string {
	if errors.Is(err, driver.ErrFileLost) {
		return driver.ErrFileLost.Error()
	}
	text := p.logErr(err)
	var code sqlite3.ExtendedErrorCode
	if errors.As(err, &code) && failedCalls[code] != "" {
		text += " in a " + failedCalls[code]
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text += ": " + errno.Error()
	}
	return strings.TrimPrefix(text, "sqlite3: ")
}

// failedCalls describe codes for which SQLite has the same text.
var failedCalls = map[sqlite3.ExtendedErrorCode]string{
	sqlite3.IOERR_WRITE:     "write",
	sqlite3.IOERR_FSYNC:     "sync",
	sqlite3.IOERR_DIR_FSYNC: "sync of the directory",
	sqlite3.IOERR_TRUNCATE:  "truncation",
	sqlite3.IOERR_DELETE:    "removal",
	sqlite3.IOERR_READ:      "read",
	sqlite3.IOERR_SHMSIZE:   "change of the size of the shared memory",
}

// cannotWrite reports whether an error on the writer means that SQLite cannot write. A mistake
// of the program does not count.
func (c *conn) cannotWrite(err error) bool {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return false
	}
	switch code.Code() {
	case sqlite3.FULL:
		return true
	case sqlite3.IOERR:
		switch code {
		case sqlite3.IOERR_READ, sqlite3.IOERR_SHORT_READ, sqlite3.IOERR_CORRUPTFS, sqlite3.IOERR_NOMEM:
			return false
		}
		return true
	case sqlite3.READONLY:
		switch code {
		case sqlite3.READONLY_DBMOVED:
			return false // the file is lost
		case sqlite3.ExtendedErrorCode(sqlite3.READONLY):
			// query_only, or mode=ro in Path, causes the same code.
			readOnly, _ := c.SQLite().ReadOnly("main")
			return readOnly && !c.pool.plan.readOnly
		}
		return true
	case sqlite3.CANTOPEN:
		// The file may be a journal. But ATTACH and VACUUM INTO name files of the program.
		t := c.doing.last.Load()
		return t == nil || t.Marks&route.Attach == 0 && !strings.HasPrefix(c.summary(), "VACUUM")
	}
	return false
}

// recordWriteErr records an error of a call on the writer, if it means that SQLite cannot
// write.
func (c *conn) recordWriteErr(err error) {
	if c.reads || !c.cannotWrite(err) {
		return
	}
	p := c.pool
	id := c.Trace()
	p.recordFailure(failedWrite, cause{why: p.describeErr(err), status: c.Lease().Status(err), conn: c.ID(), lane: c.lane.Name(), trace: id})
	c.countWrites()
}

// countWrites records how many pages the connection has written so far.
func (c *conn) countWrites() (n int64) {
	n, _, _ = c.SQLite().Status(sqlite3.DBSTATUS_CACHE_WRITE, false)
	c.writes.pagesWritten, c.writes.writtenAtFailure = n, c.pool.base.failures.writes.Load()
	return n
}

// checkWrites ends the failure of writes if the connection has written pages since the last
// check, without a recorded error. While no writes fail, it costs one atomic load.
func (c *conn) checkWrites() {
	p := c.pool
	if c.reads || !p.base.failures.on[failedWrite].Load() {
		return
	}
	known, before := c.writes.writtenAtFailure == p.base.failures.writes.Load(), c.writes.pagesWritten
	if now := c.countWrites(); known && now > before {
		p.recordSuccess(failedWrite)
	}
}
