package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
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
	joins bool // it has entered WAL mode, and has not opened the WAL yet

	// Of the current call.
	defers  bool         // the sync of a commit may be deferred
	byShell bool         // the shell waits for it
	endsUse bool         // the checkout ends when the rows of the call are closed
	ticket  uint64       // of a commit whose sync was deferred; 0 if there is none
	pending *pendingSync // for the shell
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
		c.inspect(func() { _ = inspect.ReadPage(c.SQLite()) }) // which opens the WAL
		_ = c.joinSyncs()                                      // until it succeeds, SQLite syncs the commits
	}
	return t.Marks&(route.Pragma|route.Journal) == 0 && c.syncsAsConfigured()
}

// deferCommit prepares for the end of a transaction, whose commit the shell waits for.
func (c *conn) deferCommit() {
	c.sync.byShell = true
	c.sync.defers = c.syncsAsConfigured()
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
func (s *syncState) begin() { s.defers, s.byShell, s.endsUse = false, false, false }

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
func (c *conn) Settle(ctx context.Context, call *instrument.Call, err error) error {
	p := c.pendingSync(call)
	switch {
	case p == nil:
		call.EndKept(nil)
		return err
	case c.sync.byShell:
		c.sync.pending = p
		return err
	}
	return p.wait(ctx, err)
}

// CloseRows implements [wrap.Settler].
func (c *conn) CloseRows() { c.sync.enter() }

// RowsClosed implements [wrap.Settler].
func (c *conn) RowsClosed(ctx context.Context, call *instrument.Call, err error) (finish func() error) {
	c.sync.leave()
	if c.sync.ticket == 0 { // Show has waited for what others have committed
		return nil
	}
	p := c.pendingSync(call)
	if ctx.Err() != nil {
		// database/sql may be closing the rows for that reason. It would drop the error.
		ctx = context.WithoutCancel(ctx)
	}
	s := c.shell.Load()
	if s == nil || !c.sync.endsUse {
		return func() error { return p.wait(ctx, err) }
	}
	return func() error {
		s.endUse(p)
		return p.wait(ctx, err)
	}
}

// pendingSync returns what a call that has ended must wait for, or nil: for its commit, or for what
// it has shown of others' commits.
func (c *conn) pendingSync(call *instrument.Call) *pendingSync {
	ticket, own := c.sync.ticket, c.sync.ticket != 0
	c.sync.ticket = 0
	if !own && c.showsAtOnce() {
		ticket = c.sync.file.Seen()
	}
	if ticket == 0 {
		return nil
	}
	return &pendingSync{pool: c.pool, group: c.sync.group, ticket: ticket, call: call, reads: !own}
}

// showsAtOnce reports whether what the connection returns now must be on the disk before the program
// gets it. A transaction that writes waits at its end instead, because all writers would wait for the
// disk.
func (c *conn) showsAtOnce() bool {
	if !c.readersWait() || c.sync.file.Seen() == 0 {
		return false
	}
	return c.reads || c.SQLite().GetAutocommit() && c.SQLite().TxnState("main") != sqlite3.TXN_WRITE
}

// Show implements [wrap.Settler].
func (c *conn) Show(ctx context.Context) error {
	if c.sync.ticket != 0 || !c.showsAtOnce() {
		return nil // or Settle waits for its own commit
	}
	return c.waitFor(ctx, c.sync.file.Seen())
}

// readersWait reports whether what the connection reads must be on the disk before it is shown.
func (c *conn) readersWait() bool {
	return c.sync.file != nil && c.pool.cfg.CommitSync == CommitSyncShared
}

// waitForSeen waits until all that the connection has read is on the disk, if readers wait.
func (c *conn) waitForSeen(ctx context.Context) error {
	if !c.readersWait() {
		return nil
	}
	return c.waitFor(ctx, c.sync.file.Seen())
}

// waitForAll waits until all commits are on the disk, if readers wait. It is for Raw, whose reads
// the pool does not see.
func (c *conn) waitForAll(ctx context.Context) error {
	if !c.readersWait() {
		return nil
	}
	return c.waitFor(ctx, c.sync.group.Issued())
}

func (c *conn) waitFor(ctx context.Context, ticket uint64) error {
	if c.sync.group.Settled(ticket) {
		return nil
	}
	_, err := c.pool.waitForDisk(ctx, c.sync.group, ticket)
	if err != nil && !errors.Is(err, driver.ErrFileLost) {
		err = fmt.Errorf("pool: waiting until what has been read is on the disk: %w", err)
	}
	return err
}

// waitForDisk waits for a ticket of the group. It returns the time that took.
func (p *Pool) waitForDisk(ctx context.Context, group *walsync.Group, ticket uint64) (time.Duration, error) {
	p.base.syncWaits.Add(1)
	defer p.base.syncWaits.Add(-1)
	began := time.Now()
	made, err := group.Wait(ctx, ticket)
	took := time.Since(began)
	p.recordSync(made, err)
	if err != nil {
		err = p.notSynced(err)
	}
	return took, err
}

// A pendingSync is a commit that is not known to be on the disk yet, for a call that must wait for it.
type pendingSync struct {
	pool   *Pool
	group  *walsync.Group
	ticket uint64
	call   *instrument.Call // that has committed; nil if it has no span

	reads    bool // it is the commit of another call, which the call has shown
	detached bool // its connection has been given back
}

// detach calls giveBack, which gives back the connection of the call. On a goroutine of
// database/sql, the pool recovers and reports a panic of a hook.
func (p *pendingSync) detach(giveBack func()) {
	p.call.Detach()
	p.group.Retain()
	p.detached = true
	done := false
	defer func() {
		if done {
			return
		}
		if wrap.OnOwnGoroutine() {
			_ = p.pool.guard.RecordPanic(p.pool.places.afterRelease, recover())
			return
		}
		p.group.Release()
		p.call.EndKept(wrap.ErrPanicked)
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
	took, failed := p.pool.waitForDisk(ctx, p.group, p.ticket)
	if p.detached {
		p.group.Release()
	}
	p.call.Synced(took)
	if failed != nil && !p.reads {
		failed = &CommitError{failed}
	}
	p.call.EndKept(failed)
	switch {
	case failed == nil, err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	case err == nil:
		return failed
	}
	return errors.Join(err, failed)
}

// recordSync records a sync that a call has made. With a coarse clock, it may have taken no time.
func (p *Pool) recordSync(made walsync.Sync, err error) {
	if made == (walsync.Sync{}) {
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
