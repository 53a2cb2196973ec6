package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// Options are the options for opening a database. They mean the same for every contender.
type Options struct {
	Synchronous string // SyncNormal or SyncFull
	Conns       int    // maximum number of connections, and of idle ones
}

// The durabilities of a commit, as SQLite's PRAGMA synchronous names them.
const (
	SyncNormal = "normal" // a power failure may undo the last commits
	SyncFull   = "full"   // a commit that returned is on the disk
)

// A setting is a pragma that every contender sets in its own way.
type setting struct {
	name, value string
	reads       string // what SQLite returns once it is set
}

// settings returns the settings of o. They determine the durability of a commit and the waits
// for locks.
func (o Options) settings() []setting {
	sync := setting{"synchronous", SyncNormal, "1"}
	if o.Synchronous == SyncFull {
		sync = setting{"synchronous", SyncFull, "2"}
	}
	return []setting{
		// First, because the change to WAL needs a lock that another connection may
		// hold.
		{"busy_timeout", strconv.Itoa(busyTimeout), strconv.Itoa(busyTimeout)},
		{"journal_mode", "wal", "wal"},
		sync,
		{"foreign_keys", "on", "1"},
	}
}

// busyTimeout is in milliseconds. Five seconds is the default of mattn's driver.
const busyTimeout = 5000

// uri returns the file's name as a URI with the parameters.
func uri(file string, params url.Values) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(file), RawQuery: params.Encode()}
	return u.String()
}

// pragmaURI returns the DSN for drivers that accept any pragma as _pragma. more are further
// parameters, or nil.
func pragmaURI(file string, o Options, more url.Values) string {
	params := url.Values{}
	maps.Copy(params, more)
	for _, s := range o.settings() {
		params.Add("_pragma", s.name+"("+s.value+")")
	}
	return uri(file, params)
}

// pragmas returns the statements for drivers that accept no pragma in a DSN.
func (o Options) pragmas() []string {
	var list []string
	for _, s := range o.settings() {
		list = append(list, "PRAGMA "+s.name+" = "+s.value)
	}
	return list
}

// verifySettings reads the settings back from every connection of the pool. It acquires all of
// them first, so that it reads each once.
func verifySettings(ctx context.Context, db Database, o Options) (err error) {
	conns, err := acquireAll(ctx, db, o)
	if err != nil {
		return fmt.Errorf("verify settings: take a connection: %w", err)
	}
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Release())
		}
	}()
	for _, c := range conns {
		for _, s := range o.settings() {
			var got string
			if err := c.Row(ctx, "PRAGMA "+s.name, []any{&got}); err != nil {
				return fmt.Errorf("verify settings: read %s: %w", s.name, err)
			}
			if !strings.EqualFold(got, s.reads) {
				return fmt.Errorf("verify settings: %s is %s, want %s", s.name, got, s.reads)
			}
		}
	}
	return nil
}

// acquireAll acquires the maximum number of connections of db.
func acquireAll(ctx context.Context, db Database, o Options) (conns []Conn, err error) {
	if db, ok := db.(interface {
		AcquireAll(context.Context) ([]Conn, error)
	}); ok {
		return db.AcquireAll(ctx) // the connections differ in their roles
	}
	for range max(1, o.Conns) {
		c, err := db.Acquire(ctx)
		if err != nil {
			for _, c := range conns {
				err = errors.Join(err, c.Release())
			}
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}
