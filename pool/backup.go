package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// backupStep is how many pages are copied before a backup's context is asked.
const backupStep = 256

// Backup copies the main database to a new file, as it is at one moment, while
// the pool is in use. ctx may end it between any two megabytes or so.
//
// Beside readers, the copy is made by a connection of its own, for which nobody
// waits: writers go on, and what they write grows the WAL until the backup is
// over. Where the pool has one connection for everything, the copy is made in its
// turn, and the others wait. Shutdown waits for a backup, and takes its connection
// away when it is to wait no more. A [Holder] of it that ctx gives no name, by
// [WithOwner], has the name Backup.
//
// It fails with [fs.ErrExist] if there is anything of that name, or a journal or WAL
// beside it, and touches nothing then; with [errors.ErrUnsupported] if the database
// is in a VFS other than the operating system's, which may encrypt what the copy
// would not; with ctx's error, [ErrClosed] or SQLite's. It then removes what it has
// made. The copy has the permissions of the database's file, as far as the umask
// allows, and is on the disk when Backup returns nil.
func (p *Pool) Backup(ctx context.Context, path string) error {
	if err := p.backup(ctx, path); err != nil {
		return fmt.Errorf("pool: backup: %w", err)
	}
	return nil
}

func (p *Pool) backup(ctx context.Context, path string) (err error) {
	if l := locate(p.cfg.Path); !l.memory() && !l.ofOS() {
		return fmt.Errorf("%w: the database is in the VFS %q: use Raw, and the copy's own URI", errors.ErrUnsupported, l.get("vfs"))
	}
	if path == "" {
		return fmt.Errorf("%w: the path is empty", fs.ErrInvalid)
	}
	// So that no name is one of SQLite's own, as ":memory:" is.
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := vacant(path); err != nil {
		return err
	}
	c, done, err := p.source(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := create(path, p.permissions()); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(path))
		}
	}()
	c.ownedBy("Backup")
	c.lease.tx.Store(true)
	defer c.lease.tx.Store(false)
	return c.copyTo(ctx, path)
}

// ownedBy names what a connection is leased for, if the program has not.
func (c *conn) ownedBy(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease.owner == "" {
		c.lease.owner = name
	}
}

// source leases what a backup reads from. done ends the lease.
func (p *Pool) source(ctx context.Context) (c *conn, done func(), err error) {
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
	a := l.connector.Acquisition(ctx, l.name)
	l.owns(1)
	lent := false
	defer func() {
		if !lent {
			a.Panicked(ctx) // unless it has failed
			l.owns(-1)
			l.pool.released() // for a Shutdown that has seen it opening
		}
	}()
	c, err := l.dial(ctx, a)
	if err != nil {
		a.Failed(ctx, err, false)
		return nil, err
	}
	now := time.Now()
	owner := ownerOf(ctx)
	c.Wrapped().Lend(ctx, a, l.name, now)
	lent = true
	c.begin(owner, now)
	return c, nil
}

func (l *lane) releaseOwn(c *conn) {
	defer l.pool.released() // deferred, for a panic in a hook
	defer l.owns(-1)
	now := time.Now()
	if leaked, held := c.end(now); leaked {
		l.pool.unleaked(c, held)
	}
	c.Wrapped().Retire(wrap.ReasonOther)
	c.Wrapped().TakeBack(now)
	l.close(c, wrap.ReasonOther)
}

// owns counts connections that acquireOwn has leased: readers are not too many for
// them.
func (l *lane) owns(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.own += n
}

// copyTo copies the main database to a file. One read transaction stands around
// the whole: without it, each write of others' would have the copy begin again.
func (c *conn) copyTo(ctx context.Context, path string) (err error) {
	raw := c.SQLite()
	old := raw.SetInterrupt(&within{ctx, c})
	defer raw.SetInterrupt(old)
	err = c.inSteps(ctx, func() error { return begin(raw) })
	if err != nil {
		return err
	}
	defer func() {
		raw.SetInterrupt(context.Background())
		if endErr := raw.Exec("ROLLBACK"); err == nil {
			err = endErr
		}
	}()
	var b *sqlite3.Backup
	err = c.inSteps(ctx, func() error {
		b, err = raw.BackupInit("main", location{uri: true, raw: escape(path)}.render())
		return err
	})
	if err != nil {
		return err
	}
	for done := false; !done && err == nil; {
		err = c.inSteps(ctx, func() error {
			done, err = b.Step(backupStep)
			return err
		})
	}
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	return err
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
func (c *conn) inSteps(ctx context.Context, f func() error) error {
	if err := c.Enter(); err != nil {
		return err
	}
	defer c.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

// besides are the endings of the files that SQLite has beside a database.
var besides = []string{"", "-journal", "-wal", "-shm"}

// vacant reports, by its error, whether there is anything where a copy is to be.
func vacant(path string) error {
	for _, ending := range besides {
		name := path + ending
		switch _, err := os.Lstat(name); {
		case err == nil:
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// create makes an empty file, which SQLite takes for a new database, unless there
// is one.
func create(path string, permissions fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, permissions)
	if err != nil {
		return err
	}
	// Before SQLite opens it: to close it later would drop SQLite's locks.
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// permissions are the database file's: who may not read it may not read a copy.
func (p *Pool) permissions() fs.FileMode {
	if p.path != "" {
		if info, err := os.Stat(p.path); err == nil {
			return info.Mode().Perm()
		}
	}
	return 0o644
}

// remove removes what create and SQLite have made.
func remove(path string) error {
	var errs []error
	for _, ending := range besides {
		if err := os.Remove(path + ending); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
