package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/pool/internal/copyfile"
)

// BackupOptions configures [Pool.BackupTo]. The zero value is what [Pool.Backup] uses.
type BackupOptions struct {
	// Replace allows an existing regular file of that name. It is replaced when the copy is
	// complete and on the disk. False means that the file must not exist.
	Replace bool
}

// Backup copies the main database to a new file while the pool is in use. The copy is the state
// at one moment. Backup is [Pool.BackupTo] without options.
func (p *Pool) Backup(ctx context.Context, path string) error {
	return p.BackupTo(ctx, path, BackupOptions{})
}

// BackupTo copies the main database to a file while the pool is in use. The copy is the state
// at one moment. BackupTo checks ctx about once a megabyte.
//
// If there are readers, the copy uses a connection of its own, and no caller waits for it.
// Writers go on, and their changes stay in the WAL until the backup has ended, so the WAL
// grows. If the pool has one connection for everything, the copy holds its turn, and other
// callers wait. Shutdown waits for a backup, and takes its connection away when it must not
// wait any longer. Its [Holder] has the Owner of ctx ([WithOwner]), or else Backup.
//
// The file at path is always either the complete copy or what was there before, also after a
// crash or a power failure. The copy is written to a temporary file in the same directory. Its
// name is a dot, the copy's name, ".backup-" and a suffix. That file is synced and renamed, and
// then the directory is synced. When BackupTo returns nil, the copy is on the disk. Windows
// does not sync directories.
//
// The copy has the permissions of the database file, as far as the umask allows. Without hard
// links in the file system, another process may lose a file that it creates at path at the last
// moment.
//
// BackupTo fails with [fs.ErrExist] if there is a file at path, unless opts.Replace is set. It
// also does if there is a journal or WAL beside it. It fails with [errors.ErrUnsupported] if
// the VFS of the database is not the operating system's. Such a VFS may encrypt the database,
// and the copy would not be encrypted. Otherwise it fails with ctx's error, [ErrClosed] or
// SQLite's. It never replaces a file that a pool of this process has open.
//
// A backup that fails removes its files. A backup that is killed leaves only its temporary
// file. A later backup to the same path removes it, when the process that made it has ended. It
// can know that only for a process on the same machine, of the same boot, in the same
// container. Otherwise it removes the file one hour after the last write to it.
//
// For one file that is replaced every hour:
//
//	err := p.BackupTo(ctx, "/backup/app.db", pool.BackupOptions{Replace: true})
//
// For a new file each time, put the time into the name:
//
//	err := p.Backup(ctx, "/backup/app-"+time.Now().UTC().Format("20060102T150405Z")+".db")
func (p *Pool) BackupTo(ctx context.Context, path string, opts BackupOptions) error {
	if err := p.backup(ctx, path, opts); err != nil {
		if errors.Is(err, sqlite3.INTERRUPT) {
			if ended := ctx.Err(); ended != nil {
				return fmt.Errorf("pool: backup: %w: %w", ended, redact.Error(err))
			}
		}
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
	// An absolute path cannot be one of SQLite's special names, such as ":memory:".
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := copyfile.Vacant(path, opts.Replace, isOpen); err != nil {
		return err
	}
	c, done, err := p.leaseForCopy(ctx)
	if err != nil {
		return err
	}
	defer func() { done() }()
	t, err := copyfile.New(path, p.base.path, isOpen)
	if err != nil {
		return err
	}
	defer t.Discard()
	c.SetDefaultOwner("Backup")
	pages, err := c.copyTo(ctx, t)
	if err == nil {
		err = c.waitForSeen(ctx)
	}
	if err != nil {
		return err
	}
	if !c.reads { // other callers must not wait for the disk too
		done()
		done = func() {}
	}
	if err := t.Complete(pages); err != nil {
		return err
	}
	return t.Publish(opts.Replace)
}

// leaseForCopy leases the connection for a backup, or for a checkpoint beside the writer. done
// ends the lease.
func (p *Pool) leaseForCopy(ctx context.Context) (c *conn, done func(), err error) {
	if l := p.forReaders(); l.Reads() {
		if c, err = leased(l.AcquireOwn(ctx, &dialer{p.lanes.upkeep, p})); err != nil {
			return nil, nil, err
		}
		return c, func() { l.ReleaseOwn(&c.Conn) }, nil
	}
	if c, err = leased(p.lanes.writer.Acquire(ctx, nil)); err != nil {
		return nil, nil, err
	}
	return c, c.release, nil
}

// copyTo copies the main database to a file, and returns its number of pages.
func (c *conn) copyTo(ctx context.Context, t *copyfile.File) (pages int, err error) {
	raw := c.SQLite()
	old := raw.SetInterrupt(&leaseContext{Context: ctx, conn: c})
	defer raw.SetInterrupt(old)
	c.doing.tx.Store(true)
	defer c.doing.tx.Store(false)
	return t.Copy(raw, func(step func() error) error {
		return c.runStoppable(ctx, func() error {
			if err := c.pool.sameFile(); err != nil {
				return err
			}
			return step()
		})
	})
}

// runStoppable calls f inside the step gate. It fails without calling f if ctx has ended or the
// pool has taken the connection away.
func (c *conn) runStoppable(ctx context.Context, f func() error) (err error) {
	if err := c.Enter(); err != nil {
		return err
	}
	defer c.Leave()
	err = ctx.Err()
	if err == nil {
		c.Lease().Use(func() { err = f() })
	}
	if stopped := c.Stopped(); err != nil && stopped != nil {
		return stopped // instead of the error of an interrupt
	}
	return err
}
