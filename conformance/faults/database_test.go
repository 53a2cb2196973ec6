package faults

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"

	_ "github.com/sqlitemw/sqlitemw/driver" // "sqlitemw"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A database describes how a child opens a database.
type database struct {
	Driver      string           // "sqlitemw"; empty for a pool
	Journal     string           // of a pool; empty for WAL
	Synchronous pool.Synchronous // of a pool
	CommitSync  pool.CommitSync  // of a pool
	Off         bool             // synchronous is OFF, whatever the other fields say; this is a liar
}

// sharesSyncs reports whether it is a pool whose commits share syncs.
func (d database) sharesSyncs() bool {
	return d.Driver == "" && d.Journal == "" && !d.Off && d.CommitSync != pool.CommitSyncSolo && d.Synchronous == pool.SynchronousDefault
}

// commitSync returns the name of the CommitSync that the pool must have, or an empty string if it
// is no pool.
func (d database) commitSync() string {
	switch {
	case d.Driver != "":
		return ""
	case !d.sharesSyncs():
		return pool.CommitSyncSolo.String()
	case d.CommitSync == pool.CommitSyncDefault:
		return pool.CommitSyncShared.String()
	}
	return d.CommitSync.String()
}

// open opens the database. The pool is nil if Driver is set.
func (d database) open(ctx context.Context, path string) (*sql.DB, *pool.Pool, error) {
	return d.openWith(ctx, path, pool.Config{MaxConns: 4})
}

// openWith is open with cfg.
func (d database) openWith(ctx context.Context, path string, cfg pool.Config) (*sql.DB, *pool.Pool, error) {
	params := url.Values{}
	switch {
	case d.Off:
		params.Add("_pragma", "synchronous(off)")
	case d.Driver != "": // its default for a WAL is NORMAL, as in the plain driver
		params.Add("_pragma", "synchronous(full)")
	}
	if d.Driver != "" {
		params.Add("_pragma", "busy_timeout(30000)")
		params.Add("_pragma", "journal_mode(wal)")
		for _, p := range cfg.Pragmas {
			params.Add("_pragma", p.Name+"("+p.Value+")")
		}
		params.Add("_txlock", "immediate")
	}
	if d.Journal != "" {
		params.Add("_pragma", "journal_mode("+d.Journal+")")
	}
	cfg.Path = path
	if len(params) > 0 {
		cfg.Path = (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: params.Encode()}).String()
	}
	if d.Driver != "" {
		db, err := sql.Open(d.Driver, cfg.Path)
		if err != nil {
			return nil, nil, err
		}
		db.SetMaxOpenConns(cfg.MaxConns) // connections wait for each other with busy_timeout
		if err := db.PingContext(ctx); err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		return db, nil, nil
	}
	cfg.Synchronous, cfg.CommitSync = d.Synchronous, d.CommitSync
	cfg.DisableWAL = d.Journal != ""
	p, err := openPool(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return p.DB(), p, nil
}

// openPool opens a pool. It discards the pool's log unless cfg has a Logger.
func openPool(ctx context.Context, cfg pool.Config) (*pool.Pool, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return pool.Open(ctx, cfg)
}
