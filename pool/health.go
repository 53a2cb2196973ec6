package pool

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// HealthCheck reads a page of the database and checks that the database is as configured. It
// returns nil if the pool is ok or degraded; [Pool.Health] says which, and why. Otherwise the
// error is [ErrHealthCheck] or [ErrClosed].
//
// The check runs on a connection of its own, which is opened with the pragmas of all
// connections and verifies them. So it never waits behind callers. It takes at most five
// seconds, or as long as ctx allows.
//
// On the writer, it checks whether the program has changed pragmas there, but only if the
// writer is not in use. If only one connection can open the database (locking_mode=exclusive),
// the whole check uses that connection. While it is in use, the last result stays valid.
//
// Several goroutines may call HealthCheck. One of them checks; the others wait as long as their
// contexts allow.
func (p *Pool) HealthCheck(ctx context.Context) error { return p.core.HealthCheck(ctx) }

// examine runs one check.
func (p *Pool) examine(ctx context.Context) HealthReport {
	r := HealthReport{Health: HealthOK}
	down := func(err error) HealthReport {
		r.Health, r.Err = HealthDown, err
		r.Reasons = append(r.Reasons, p.logErr(err))
		return r
	}
	degraded := func(format string, args ...any) {
		r.Health = HealthDegraded
		r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
	}
	switch err := p.checkFile(); {
	case errors.Is(err, driver.ErrFileLost):
		return down(err)
	case err != nil:
		degraded("%v", err)
	}
	err := p.withOwnConn(ctx, func(c driver.PoolConn) error {
		raw := c.SQLite()
		old := raw.SetInterrupt(ctx)
		defer raw.SetInterrupt(old)
		if err := inspect.ReadPage(raw); err != nil {
			return err
		}
		if err := p.checkSize(c); err != nil {
			return err
		}
		mode, ok := inspect.JournalMode(raw)
		if want := !p.cfg.DisableWAL && p.lanes.readers != nil; ok && want && mode != "wal" {
			degraded("the journal mode is %s, not wal: there is one lane", mode)
		}
		if ok && mode == "wal" && p.plan.forbidsWAL {
			degraded("the journal mode is wal, although DisableWAL is true: another connection has changed it")
		}
		if mode == "wal" {
			p.wals.Check(raw)
		}
		return nil
	})
	if errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT) {
		// The new connection cannot read the file. An open connection may know why.
		_, lost := p.withIdleWriter(ctx, false, func(c *conn) error { return p.checkSize(c) })
		if errors.Is(lost, driver.ErrFileLost) {
			err = lost
		}
	}
	switch {
	case err == errInUse: // the last result stays valid
		return p.core.LastHealth()
	case err == nil:
	case errors.Is(err, sqlite3.BUSY) && !errors.Is(ctx.Err(), context.Canceled):
		degraded("the database was locked by another connection for longer than a check waits")
	default:
		return down(err)
	}
	if p.writePragmasDiffer(ctx) {
		degraded("the writer does not check what it should: a query has changed foreign_keys, ignore_check_constraints or recursive_triggers on it")
	}
	for _, l := range p.core.Lanes() {
		if n := l.Count(); n.Extra > 0 {
			degraded("%d readers are open beyond the limit: some wait for each other", n.Extra)
		}
	}
	return r
}

// checkSize checks that the files are as long as SQLite expects.
func (p *Pool) checkSize(c driver.PoolConn) error {
	err := c.CheckSize()
	if err != nil {
		p.recordFileLost(err)
	}
	return err
}

// writePragmasDiffer reports whether the program has changed a pragma that affects the writes
// of all callers. It returns false if the writer is in use.
func (p *Pool) writePragmasDiffer(ctx context.Context) (changed bool) {
	if p.routing.changed.Load() {
		_, _ = p.withIdleWriter(ctx, false, func(c *conn) error {
			changed = c.session.affectWrites()
			return nil
		})
	}
	return changed
}
