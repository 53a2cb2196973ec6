package pool

import (
	"context"
	"errors"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
	"github.com/sqlitemw/sqlitemw/pool/internal/walsync"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// This file waits for the disk where commits share syncs; see package walsync. Each commit of a
// call is waited for: by its shell, after it has let the next transaction begin, or by Settle.
// Commits elsewhere, such as in Raw and in Config.Init, are synced by SQLite.

// A syncState is what a connection knows of syncs. Only its holder uses it.
type syncState struct {
	file  *walsync.File // its WAL; nil if its commits do not share syncs
	group *walsync.Group
	joins bool // it has entered WAL mode, and opens the WAL in the next call

	// Of the current call.
	defers  bool         // the sync of a commit may be deferred
	byShell bool         // the shell waits for it
	endsUse bool         // the checkout ends when the rows of the call are closed
	ticket  uint64       // of a commit whose sync was deferred; 0 if there is none
	pending *pendingSync // for the shell

	saw bool // the open write transaction has shown what may not be on the disk
}

var _ wrap.Settler = &conn{}

// joinSyncs makes the commits of a connection that has opened the WAL share syncs, if they can.
func (c *conn) joinSyncs() error {
	c.sync.file, c.sync.group = nil, nil
	if !c.reads && c.initial.pragmas.Value("synchronous") != "2" {
		return nil
	}
	file, group, err := c.pool.joinSyncs(c)
	if group != nil {
		c.sync.file, c.sync.group = file, group
	}
	c.sync.joins = c.sync.joins && file == nil
	return err
}

// rejoinSyncs prepares for joinSyncs after the journal mode may have changed, and so the WAL.
func (c *conn) rejoinSyncs(wal bool) {
	if !c.reads {
		c.sync.file, c.sync.joins = nil, wal && c.pool.plan.sharesSyncs()
	}
}

// joinSyncs returns the WAL of a connection and the group that it has joined, or nil.
func (p *Pool) joinSyncs(c driver.PoolConn) (file *walsync.File, group *walsync.Group, err error) {
	c.Lease().Use(func() {
		if f, ok := c.WAL().(*walsync.File); ok {
			file = f
			group, err = f.Join(p.lanes.writes.LoseWAL)
		}
	})
	return file, group, err
}

// mayDefer reports whether the sync of a commit by this query may be deferred.
func (c *conn) mayDefer(t *route.Query) bool {
	if c.sync.joins && t.Marks&route.Journal == 0 {
		_ = c.joinSyncs() // until it succeeds, SQLite syncs the commits
	}
	return t.Marks&(route.Pragma|route.Journal) == 0 && c.syncsAsConfigured()
}

// deferCommit prepares for the end of a transaction, whose commit the shell waits for.
func (c *conn) deferCommit(ctx context.Context) {
	c.sync.byShell = true
	c.sync.defers = c.syncsAsConfigured()
	c.lease.calls = ctx
}

// takePending returns the commit of the last call that the shell must wait for, or nil.
func (c *conn) takePending() *pendingSync {
	p := c.sync.pending
	c.sync.pending, c.sync.byShell = nil, false
	return p
}

// syncsAsConfigured reports whether the connection's commits share syncs, and the program has not
// changed how SQLite syncs.
func (c *conn) syncsAsConfigured() bool {
	return c.sync.file != nil && !c.session.stale && len(c.session.pragmas) == 0
}

// begin begins a use of the connection.
func (s *syncState) begin() { s.defers, s.byShell, s.endsUse, s.saw = false, false, false, false }

// enter and leave enclose a call of the engine.
func (s *syncState) enter() {
	if s.file != nil && s.defers {
		s.file.Defer()
	}
}

func (s *syncState) leave() {
	if s.file == nil {
		return
	}
	if ticket := s.file.Deferred(); ticket != 0 {
		s.ticket = ticket
	}
}

// Settle implements [wrap.Settler].
func (c *conn) Settle(call *instrument.Call, err error) error {
	ticket := c.sync.ticket
	c.sync.ticket = 0
	saw := uint64(0)
	if c.sync.saw && c.SQLite().GetAutocommit() {
		c.sync.saw = false
		saw = c.sync.file.Seen() // not later than ticket, if there is one
	}
	if ticket == 0 && saw == 0 {
		call.EndKept(nil)
		return err
	}
	p := &pendingSync{pool: c.pool, group: c.sync.group, ticket: max(ticket, saw), call: call, reads: ticket == 0}
	if c.sync.byShell {
		c.sync.pending = p
		return err
	}
	return p.wait(c.lease.calls, err)
}

// CloseRows implements [wrap.Settler].
func (c *conn) CloseRows() { c.sync.enter() }

// RowsClosed implements [wrap.Settler].
func (c *conn) RowsClosed(call *instrument.Call, err error) (finish func() error) {
	c.sync.leave()
	ticket := c.sync.ticket
	if ticket == 0 {
		return nil
	}
	c.sync.ticket = 0
	ctx, p := c.lease.calls, &pendingSync{pool: c.pool, group: c.sync.group, ticket: ticket, call: call}
	s := c.shell.Load()
	if s == nil || !c.sync.endsUse {
		return func() error { return p.wait(ctx, err) }
	}
	return func() error {
		s.endUse(p)
		return p.wait(ctx, err)
	}
}

// Show implements [wrap.Settler].
func (c *conn) Show() error {
	if c.sync.file == nil || c.pool.cfg.CommitSync != CommitSyncShared || c.sync.file.Seen() == 0 {
		return nil
	}
	if !c.reads {
		if t := c.doing.last.Load(); t == nil || !t.Selects {
			return nil // its own commit, which is later, will be waited for
		}
		if !c.SQLite().GetAutocommit() {
			// All writers would wait for the disk. The transaction waits when it ends.
			c.sync.saw = true
			return nil
		}
	}
	return c.waitFor(c.lease.calls, c.sync.file.Seen())
}

// waitForSeen waits until all that the connection has read is on the disk, if readers wait.
func (c *conn) waitForSeen(ctx context.Context) error {
	if c.sync.file == nil || c.pool.cfg.CommitSync != CommitSyncShared {
		return nil
	}
	return c.waitFor(ctx, c.sync.file.Seen())
}

// waitForAll waits until all commits are on the disk, if readers wait. It is for Raw, whose reads
// the pool does not see.
func (c *conn) waitForAll(ctx context.Context) error {
	if c.sync.file == nil || c.pool.cfg.CommitSync != CommitSyncShared {
		return nil
	}
	return c.waitFor(ctx, c.sync.group.Issued())
}

func (c *conn) waitFor(ctx context.Context, ticket uint64) error {
	made, err := c.sync.group.Wait(ctx, ticket)
	c.pool.recordSync(made, err)
	if err != nil {
		return c.pool.notSynced(err)
	}
	return nil
}

// A pendingSync is a commit that is not known to be on the disk yet, for a call that must wait for it.
type pendingSync struct {
	pool   *Pool
	group  *walsync.Group
	ticket uint64
	call   *instrument.Call // that has committed; nil if it has no span

	reads    bool // the call has not committed, but its transaction has shown the commit
	detached bool // its connection has been given back
}

// detach calls giveBack, which gives back the commit's connection.
func (p *pendingSync) detach(giveBack func()) {
	p.call.Detach()
	p.group.Retain()
	p.detached = true
	done := false
	defer func() {
		if !done { // a hook has panicked
			p.group.Release()
			p.call.EndKept(wrap.ErrPanicked)
		}
	}()
	giveBack()
	done = true
}

// wait waits until the commit is on the disk, and ends its call. It returns err, the error of the
// call, or that of the wait. A nil pendingSync does nothing.
func (p *pendingSync) wait(ctx context.Context, err error) error {
	if p == nil {
		return err
	}
	began := time.Now()
	made, failed := p.group.Wait(ctx, p.ticket)
	if p.detached {
		p.group.Release()
	}
	p.call.Synced(time.Since(began))
	p.pool.recordSync(made, failed)
	if failed != nil {
		failed = p.pool.notSynced(failed)
		if !p.reads {
			failed = &CommitError{failed}
		}
	}
	p.call.EndKept(failed)
	switch {
	case failed == nil:
		return err
	case err == nil:
		return failed
	}
	return errors.Join(err, failed)
}

// recordSync records a sync that a call has made.
func (p *Pool) recordSync(made walsync.Sync, err error) {
	if made.Took == 0 {
		return
	}
	e := driver.Event{Time: time.Now(), Kind: driver.KindSync, Duration: made.Took, Commits: made.Commits}
	if err != nil {
		e.Err = "1034" // sqlite3.IOERR_FSYNC
	}
	p.recorder.Record(e)
}

// notSynced returns the error of a failed sync for the program, and reports the loss. It returns any other
// error of a wait as it is.
func (p *Pool) notSynced(err error) error {
	if lost := p.lanes.writes.FileLost(); lost != nil {
		p.recordFileLost(lost)
		return lost
	}
	return err
}

// recordNotSynced reports the loss if a sync by SQLite has failed with err.
func (p *Pool) recordNotSynced(err error) {
	if errors.Is(err, sqlite3.IOERR_FSYNC) && p.plan.sharesSyncs() {
		_ = p.notSynced(err)
	}
}
