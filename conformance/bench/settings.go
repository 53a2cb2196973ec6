package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// Options is how a database is opened. It means the same to every contender.
type Options struct {
	Synchronous string // "normal" or "full"
	Conns       int    // connections the pool may have, and may keep idle
}

// A setting is a pragma that every contender is given in its own way.
type setting struct {
	name, value string
	reads       string // what SQLite answers once it is set
}

// settings returns those of o. They are all that decides what a commit is
// worth and who waits for whom.
func (o Options) settings() []setting {
	sync := setting{"synchronous", "normal", "1"}
	if o.Synchronous == "full" {
		sync = setting{"synchronous", "full", "2"}
	}
	return []setting{
		// First, as the change to WAL needs a lock that another connection may hold.
		{"busy_timeout", strconv.Itoa(busyTimeout), strconv.Itoa(busyTimeout)},
		{"journal_mode", "wal", "wal"},
		sync,
		{"foreign_keys", "on", "1"},
	}
}

// busyTimeout is in milliseconds.
const busyTimeout = 5000

// uri is the file's name as a URI, with the given parameters.
func uri(file string, params url.Values) string {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(file), RawQuery: params.Encode()}
	return u.String()
}

// pragmaURI is the DSN of the drivers that take any pragma as _pragma.
func pragmaURI(file string, o Options) string {
	params := url.Values{}
	for _, s := range o.settings() {
		params.Add("_pragma", s.name+"("+s.value+")")
	}
	return uri(file, params)
}

// pragmas are statements for those that take none in a DSN.
func (o Options) pragmas() []string {
	var list []string
	for _, s := range o.settings() {
		list = append(list, "PRAGMA "+s.name+" = "+s.value)
	}
	return list
}

// verifySettings reads the settings back from every connection of the pool, all
// taken out at once so that none is asked twice.
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

// acquireAll takes as many connections as db may have.
func acquireAll(ctx context.Context, db Database, o Options) (conns []Conn, err error) {
	if db, ok := db.(interface {
		AcquireAll(context.Context) ([]Conn, error)
	}); ok {
		return db.AcquireAll(ctx) // they are not all alike
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
