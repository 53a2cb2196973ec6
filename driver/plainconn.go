package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
)

// connect opens a connection of the plain driver. The first connection uses the DSN as
// given; later ones are opened only if the first connection's file is still there.
func (c *Connector) connect(ctx context.Context) (driver.Conn, error) {
	if err := c.dsn.checkOpen(); err != nil {
		return nil, err
	}
	name := c.dsn.File()
	if name == "" {
		return c.connectBase(ctx, c.base)
	}
	given, known := c.location.known()
	if !known {
		if info, err := os.Stat(name); err == nil {
			if err := openByOtherName(info, name); err != nil {
				return nil, err
			}
			c.copyModes(info, name)
		}
		base, err := c.forFirst(name)
		if err != nil {
			return nil, err
		}
		conn, err := c.connectBase(ctx, base)
		if c.opensReadOnly(err) {
			return c.connectReadOnly(ctx, c.dsn)
		}
		return conn, err
	}
	if err := c.location.checkName(); err != nil {
		return nil, err
	}
	later, err := c.forLater(given)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(given); err == nil {
		c.copyModes(info, given)
	}
	conn, err := c.connectBase(ctx, later)
	if c.opensReadOnly(err) {
		conn, err = c.connectReadOnly(ctx, c.dsn.later(given))
	}
	if err != nil {
		if lost := c.location.checkName(); lost != nil {
			return nil, lost // lost since the check above
		}
	}
	return conn, err
}

// copyModes gives the files beside a database its permissions before they are opened for
// writing. They may be left from a time when the database had others.
func (c *Connector) copyModes(database os.FileInfo, name string) {
	if c.dsn.mode != "ro" && !c.dsn.On("immutable") {
		copyMode(database, name+"-wal")
		copyMode(database, name+"-shm")
	}
}

// opensReadOnly reports whether the file must be opened again, to be read only. SQLite's own VFS
// does that with a file that the process may not write; the plain driver's does not.
func (c *Connector) opensReadOnly(err error) bool {
	return c.dsn.compat != CompatNone && c.dsn.mode != "ro" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS))
}

func (c *Connector) connectReadOnly(ctx context.Context, d *DSN) (driver.Conn, error) {
	base, err := plainConnector(d.With("mode", "ro").render(c.settings.forBase()))
	if err != nil {
		return nil, err
	}
	return c.connectBase(ctx, base)
}

// connectBase opens a connection of the plain driver. The plain driver applies the key
// pragmas itself, and its error would show them, so connectBase replaces that error.
func (c *Connector) connectBase(ctx context.Context, base driver.Connector) (driver.Conn, error) {
	conn, err := base.Connect(ctx)
	if err == nil {
		return conn, nil
	}
	var failed *sqlite3.Error
	if errors.As(err, &failed) && failed.SQL() != "" {
		var names []string
		for _, p := range c.settings.forBase() {
			names = append(names, shownPragma(p.Name))
		}
		return nil, &PragmaError{Name: strings.Join(names, " or "), Want: "...", Err: failed.ExtendedCode()}
	}
	return nil, err
}

// forFirst returns the plain driver's connector for the first connection to a file.
func (c *Connector) forFirst(name string) (driver.Connector, error) {
	abs, err := filepath.Abs(name) // because the process may change its working directory
	if err != nil {
		return c.base, nil //nolint:nilerr // opens the file by its relative name instead
	}
	return plainConnector(c.dsn.withModeOf(abs).forBase(c.settings.forBase()))
}

// forLater returns the plain driver's connector for all connections after the first.
func (c *Connector) forLater(given string) (driver.Connector, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.later == nil {
		later, err := plainConnector(c.dsn.later(given).withModeOf(given).render(c.settings.forBase()))
		if err != nil {
			return nil, err
		}
		c.later = later
	}
	return c.later, nil
}

// plainConnector returns the plain driver's connector for a DSN of its own.
func plainConnector(dsn string) (driver.Connector, error) {
	base, err := (&sqlite3driver.SQLite{}).OpenConnector(dsn)
	if err != nil {
		return nil, errPlainDriver // err itself would show the DSN
	}
	return base, nil
}
