package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// The doors are the ways in which a program opens a database. doorPlain is the plain driver:
// campaigns use it to show that they can fail.
const (
	doorDriver = "sqlitemw"
	doorDSN    = "sqlitemw-pool"
	doorPool   = "pool.Open"
	doorPlain  = "sqlite3"
)

// productDoors are the doors through which nothing may be lost.
var productDoors = []string{doorDriver, doorDSN, doorPool}

// A handle is an open database, opened through any door.
type handle struct {
	door string
	path string
	db   *sql.DB
	pool *pool.Pool // nil for "sqlitemw" and "sqlite3"
}

// openHandle opens a database with at least one connection, in WAL mode unless cfg has
// DisableWAL. A door that takes a DSN uses only DisableWAL, BusyTimeout, MaxConns and
// HealthInterval of cfg.
func openHandle(ctx context.Context, door, path string, cfg pool.Config) (*handle, error) {
	h := &handle{door: door, path: path}
	if door == doorPool {
		cfg.Path = path
		p, err := openPool(ctx, cfg)
		if err != nil {
			return nil, err
		}
		h.pool, h.db = p, p.DB()
		return h, nil
	}
	values := url.Values{}
	busy := max(cfg.BusyTimeout.Milliseconds(), 0)
	if busy == 0 {
		busy = 10_000
	}
	mode := "wal"
	if cfg.DisableWAL {
		mode = "delete"
	}
	switch door {
	case doorDSN:
		values.Set("_pool_busy_timeout", fmt.Sprintf("%dms", busy))
		if cfg.DisableWAL {
			values.Set("_pool_wal", "false")
		}
		if cfg.HealthInterval > 0 {
			values.Set("_pool_health_interval", cfg.HealthInterval.String())
		}
		if cfg.MaxConns > 0 {
			values.Set("_pool_max", fmt.Sprint(cfg.MaxConns))
		}
	default:
		values.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busy))
		values.Add("_pragma", fmt.Sprintf("journal_mode(%s)", mode))
		values.Set("_txlock", "immediate")
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: values.Encode()}
	db, err := sql.Open(door, dsn.String())
	if err != nil {
		return nil, err
	}
	if door != doorDSN && cfg.MaxConns > 0 {
		db.SetMaxOpenConns(cfg.MaxConns)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	h.db, h.pool = db, pool.Of(db)
	return h, nil
}

// close closes the database as a program would. If the door supports a context, it uses ctx.
func (h *handle) close(ctx context.Context) error {
	if h.door == doorPool {
		return h.pool.Shutdown(ctx)
	}
	return h.db.Close()
}

// checkpoint copies the WAL into the database.
func (h *handle) checkpoint(ctx context.Context, mode sqlite3.CheckpointMode) error {
	if h.pool != nil {
		_, err := h.pool.Checkpoint(ctx, mode)
		return err
	}
	name := map[sqlite3.CheckpointMode]string{sqlite3.CHECKPOINT_PASSIVE: "PASSIVE", sqlite3.CHECKPOINT_TRUNCATE: "TRUNCATE"}[mode]
	var busy, frames, moved int
	return h.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+name+")").Scan(&busy, &frames, &moved)
}

// backup copies the database to a new file.
func (h *handle) backup(ctx context.Context, path string) error {
	if h.pool != nil {
		return h.pool.Backup(ctx, path)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	return h.raw(ctx, func(c *sqlite3.Conn) error { return c.Backup("main", dsn.String()) })
}

// raw calls f with SQLite's own connection. If there is a writer connection, it uses that one.
func (h *handle) raw(ctx context.Context, f func(*sqlite3.Conn) error) error {
	if h.pool != nil {
		return h.pool.Raw(ctx, f)
	}
	c, err := h.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(dc any) error { return f(dc.(interface{ Raw() *sqlite3.Conn }).Raw()) })
}

// The pools of "sqlitemw-pool" log to slog.Default, also in children.
func init() { slog.SetDefault(slog.New(slog.DiscardHandler)) }

// lost reports whether an error says that the database's file is lost.
func lost(err error) bool { return errors.Is(err, driver.ErrFileLost) }
