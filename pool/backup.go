package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// backupStep is how many pages are copied before a backup's context is asked: a
// megabyte of pages of 4 KiB, which takes milliseconds.
const backupStep = 256

// BackupOptions says how [Pool.BackupTo] makes a copy. The zero value is what
// [Pool.Backup] does.
type BackupOptions struct {
	// Replace allows a regular file of that name, which is replaced once the copy
	// is complete and on the disk. Zero means that there must be none.
	Replace bool
}

// Backup copies the main database to a new file, as it is at one moment, while
// the pool is in use. It is [Pool.BackupTo] without options.
func (p *Pool) Backup(ctx context.Context, path string) error {
	return p.BackupTo(ctx, path, BackupOptions{})
}

// BackupTo copies the main database to a file, as it is at one moment, while the
// pool is in use. ctx may end it between any two megabytes or so.
//
// Beside readers, the copy is made by a connection of its own, for which nobody
// waits: writers go on, and what they write grows the WAL until the backup is
// over. Where the pool has one connection for everything, the copy is made in its
// turn, and the others wait. Shutdown waits for a backup, and takes its connection
// away when it is to wait no more. A [Holder] of it that ctx gives no name, by
// [WithOwner], has the name Backup.
//
// The file of that name is the whole copy or what was there before, at every
// moment, and also after a crash or a power failure. The copy is written under
// another name in the same directory, a dot, the name, ".backup-" and a suffix, and
// synced; then it gets its name, and the directory is synced. It is on the disk
// when BackupTo returns nil. The copy has the permissions of the database's file, as
// far as the umask allows. Where the file system has no hard links, another process
// that makes a file of that name in the last moment may lose it. Windows syncs no
// directories.
//
// It fails with [fs.ErrExist] if there is anything of that name, unless
// opts.Replace allows it, or a journal or WAL beside it; with [errors.ErrUnsupported]
// if the database is in a VFS other than the operating system's, which may encrypt
// what the copy would not; with ctx's error, [ErrClosed] or SQLite's. It never
// replaces a file that a pool of this process has open. A backup that fails removes
// what it has made; one that is killed leaves only the file of the other name, which
// a later backup to the same name removes: once the process that it names has ended,
// if that ran on the same machine since the same boot and in the same container; and
// else an hour after the file was written last.
//
// For a copy every hour, which is the same file each time:
//
//	err := p.BackupTo(ctx, "/backup/app.db", pool.BackupOptions{Replace: true})
//
// and for one file each time, a name with the time: Backup(ctx,
// "/backup/app-"+time.Now().UTC().Format("20060102T150405Z")+".db").
func (p *Pool) BackupTo(ctx context.Context, path string, opts BackupOptions) error {
	if err := p.backup(ctx, path, opts); err != nil {
		return fmt.Errorf("pool: backup: %w", redact.Error(err))
	}
	return nil
}

func (p *Pool) backup(ctx context.Context, path string, opts BackupOptions) (err error) {
	if p.plan.mayWantKey() {
		name, _ := p.plan.dsn.Param("vfs")
		return fmt.Errorf("%w: the database is in the VFS %q: use Raw, and the copy's own URI", errors.ErrUnsupported, redact.Value(name))
	}
	if path == "" {
		return fmt.Errorf("%w: the path is empty", fs.ErrInvalid)
	}
	// So that no name is one of SQLite's own, as ":memory:" is.
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := vacant(path, opts.Replace); err != nil {
		return err
	}
	c, done, err := p.leaseForCopy(ctx)
	if err != nil {
		return err
	}
	defer func() { done() }()
	t, err := newCopy(path, p.permissions())
	if err != nil {
		return err
	}
	defer t.discard()
	c.setDefaultOwner("Backup")
	pages, err := c.copyTo(ctx, t.temporary)
	if err != nil {
		return err
	}
	if !c.lane.reads { // nobody is to wait for the disk, too
		done()
		done = func() {}
	}
	if err := t.complete(pages); err != nil {
		return err
	}
	return t.publish(opts.Replace)
}

// ownedBy names what a connection is leased for, if the program has not.
func (c *conn) setDefaultOwner(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease.owner == "" {
		c.lease.owner = name
	}
}

// source leases what a backup reads from, or a checkpoint beside the writer runs
// on. done ends the lease.
func (p *Pool) leaseForCopy(ctx context.Context) (c *conn, done func(), err error) {
	if l := p.forReaders(); l.reads {
		if c, err = l.acquireOwn(ctx); err != nil {
			return nil, nil, err
		}
		return c, func() { l.releaseOwn(c) }, nil
	}
	if c, err = p.writer.acquire(ctx); err != nil {
		return nil, nil, err
	}
	return c, func() { c.lane.release(c) }, nil
}

// acquireOwn leases a connection beyond those of the lane, which is opened for
// this one use, of the pool itself: nobody's turn is spent on it.
func (l *lane) acquireOwn(ctx context.Context) (*conn, error) {
	if l.refusing.Load() {
		return nil, l.refuse(ctx, ErrClosed)
	}
	a := l.pool.upkeep.Acquisition(ctx, l.name)
	l.addOwn(1)
	lent := false
	defer func() {
		if !lent {
			a.Panicked(ctx) // unless it has failed
			l.addOwn(-1)
			l.pool.wakeDrain() // for a Shutdown that has seen it opening
		}
	}()
	c, err := l.dialFrom(ctx, l.pool.upkeep, a.Opening())
	if err != nil {
		a.Failed(ctx, err, false)
		return nil, err
	}
	now := time.Now()
	owner := ownerOf(ctx)
	c.Wrapped().Lend(ctx, a, l.name, now)
	lent = true
	c.beginLease(owner, now)
	return c, nil
}

func (l *lane) releaseOwn(c *conn) {
	defer l.pool.wakeDrain() // deferred, for a panic in a hook
	defer l.addOwn(-1)
	now := time.Now()
	if leaked, held := c.endLease(now); leaked {
		l.pool.recordLeakEnd(c, held)
	}
	c.Wrapped().Retire(wrap.ReasonOther)
	c.Wrapped().TakeBack(now)
	l.close(c, wrap.ReasonOther)
}

// owns counts connections that acquireOwn has leased: readers are not too many for
// them.
func (l *lane) addOwn(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ownConns += n
}

// copyTo copies the main database to a file, and returns how many pages it has. One
// read transaction stands around the whole: without it, each write of others' would
// have the copy begin again.
func (c *conn) copyTo(ctx context.Context, path string) (pages int, err error) {
	raw := c.SQLite()
	old := raw.SetInterrupt(&leaseContext{Context: ctx, conn: c})
	defer raw.SetInterrupt(old)
	c.lease.tx.Store(true)
	defer c.lease.tx.Store(false)
	err = c.runStoppable(ctx, func() error { return begin(raw) })
	if err != nil {
		return 0, err
	}
	defer func() {
		if c.Wrapped().Panicked() {
			return // it is closed
		}
		raw.SetInterrupt(context.Background())
		if endErr := raw.Exec("ROLLBACK"); err == nil {
			err = endErr
		}
	}()
	// The file has no name yet by which anybody would use it, and is synced when it
	// is complete: it needs neither a journal nor SQLite's syncs.
	to := driver.FileURI(path) + "?_pragma=journal_mode(off)&_pragma=synchronous(off)"
	var b *sqlite3.Backup
	err = c.runStoppable(ctx, func() error {
		b, err = raw.BackupInit("main", to)
		return err
	})
	if err != nil {
		return 0, err
	}
	for done := false; !done && err == nil; {
		err = c.runStoppable(ctx, func() error {
			if err := c.lane.pool.sameFile(); err != nil {
				return err
			}
			done, err = b.Step(backupStep)
			return err
		})
	}
	pages = b.PageCount()
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	return pages, err
}

// begin begins a transaction that reads, and has it read.
func begin(raw *sqlite3.Conn) error {
	if err := raw.Exec("BEGIN"); err != nil {
		return err
	}
	err := readPage(raw)
	if err != nil {
		_ = raw.Exec("ROLLBACK")
	}
	return err
}

// inSteps does something inside SQLite, unless it is to end here.
func (c *conn) runStoppable(ctx context.Context, f func() error) (err error) {
	if err := c.Enter(); err != nil {
		return err
	}
	defer c.Leave()
	err = ctx.Err()
	if err == nil {
		c.Wrapped().Use(func() { err = f() })
	}
	if stopped := c.stopped.Load(); err != nil && stopped != nil {
		return *stopped // and not that it was interrupted
	}
	return err
}
