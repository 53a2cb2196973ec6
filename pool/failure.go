package pool

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// The kinds of failures.
const (
	failedWrite = iota
	failedCheckpoint
	failedWAL
)

var failureKinds = []core.FailureKind{
	failedWrite:      {Reason: driver.ReasonWrite, Begins: "writes fail", Ends: "writes succeed again", InCalls: true},
	failedCheckpoint: {Reason: driver.ReasonCheckpoint, Begins: "checkpoints fail", Ends: "checkpoints succeed again"},
	failedWAL:        {Reason: driver.ReasonWAL, Begins: "the WAL is longer than its limit", Ends: "the WAL is within its limit again"},
}

// recordFailure records that an operation of this kind has failed.
func (p *Pool) recordFailure(kind int, c core.FailureCause) {
	c.File = p.fileName()
	p.core.Fail(kind, c)
}

// Reasons implements [core.Engine]. It describes the current failures.
func (e engine) Reasons() []string {
	now := time.Now()
	var list []string
	for _, f := range e.core.Failures() {
		span := now.Sub(f.Since).Round(time.Millisecond)
		switch f.Kind {
		case failedWrite:
			list = append(list, fmt.Sprintf("writes to %q fail, %d in the last %v: %s", e.fileName(), f.Count, span, f.Why))
		case failedCheckpoint:
			text := fmt.Sprintf("checkpoints of %q fail, %d in the last %v: %s", e.fileName(), f.Count, span, f.Why)
			if n := e.wals.Stats().Bytes; n > 0 {
				text += "; the WAL has " + bytesOf(n)
				if limit := e.wals.Limit(); n > limit && e.cfg.JournalSizeLimit >= 0 {
					text += ", more than its limit, " + bytesOf(limit) + " (Config.JournalSizeLimit)"
				}
			}
			list = append(list, text)
		case failedWAL:
			list = append(list, fmt.Sprintf("the WAL of %q has %s, for %v more than its limit, %s (Config.JournalSizeLimit): %s",
				e.fileName(), bytesOf(e.wals.Stats().Bytes), span, bytesOf(e.wals.Limit()), f.Why))
		}
	}
	return list
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
	if errors.As(err, &code) {
		text += inspect.CallOf(code)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text += ": " + errno.Error()
	}
	return strings.TrimPrefix(text, "sqlite3: ")
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
	p.recordFailure(failedWrite, core.FailureCause{Why: p.describeErr(err), Status: c.Lease().Status(err), Conn: c.ID(), Lane: c.lane.Name(), Trace: id})
	c.countWrites()
}

// countWrites records how many pages the connection has written so far.
func (c *conn) countWrites() (n int64) {
	n, _, _ = c.SQLite().Status(sqlite3.DBSTATUS_CACHE_WRITE, false)
	c.writes.pagesWritten, c.writes.writtenAtFailure = n, c.pool.core.FailuresBegun(failedWrite)
	return n
}

// checkWrites ends the failure of writes if the connection has written pages since the last
// check, without a recorded error. While no writes fail, it costs one atomic load.
func (c *conn) checkWrites() {
	p := c.pool
	if c.reads || !p.core.Fails(failedWrite) {
		return
	}
	known, before := c.writes.writtenAtFailure == p.core.FailuresBegun(failedWrite), c.writes.pagesWritten
	if now := c.countWrites(); known && now > before {
		p.core.Succeed(failedWrite)
	}
}
