package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// The parameters of variants must reach the driver: without them, a variant would be measured as
// what it is not.
func TestParametersReachTheDriver(t *testing.T) {
	o := Options{Synchronous: SyncFull, Conns: 4}
	file := filepath.Join(t.TempDir(), "a.db")
	if _, err := openPoolWith("_pool_no_such=1")(t.Context(), file, o); err == nil || !strings.Contains(err.Error(), "_pool_no_such") {
		t.Errorf("the pool accepts an unknown parameter: %v", err)
	}
	db, err := openPoolWith("_pool_max_waiters=7")(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	p := db.(*poolDatabase).pool
	if c := p.Config(); c.MaxWaiters != 7 || c.MaxConns != 4 || c.Synchronous != pool.SynchronousFull {
		t.Errorf("the pool has %d waiters, %d connections and synchronous %v", c.MaxWaiters, c.MaxConns, c.Synchronous)
	}
	if err := db.Close(); err != nil || !p.Closed() {
		t.Errorf("close: %v; closed: %v", err, p.Closed())
	}

	if _, err := openNcrucesWith("_txlock=no-such")(t.Context(), file, o); err == nil {
		t.Error("the bare driver accepts an unknown _txlock")
	}
	// Two immediate transactions exclude each other, and two deferred ones do not.
	for params, want := range map[string]bool{"_txlock=immediate": true, "_txlock=deferred": false} {
		db, err := openNcrucesWith(params)(t.Context(), file, o)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Transact(t.Context(), func(Queryer) error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			return db.Transact(ctx, func(Queryer) error { return nil })
		})
		if locked := err != nil; locked != want {
			t.Errorf("with %q, the second transaction is locked out: %v (%v)", params, locked, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestVariantsRunOnlyWhereTheyAreNamed(t *testing.T) {
	all := newContenders(t)
	for _, w := range workloads() {
		for _, c := range w.among(all) {
			if named := len(w.Only) > 0; c.Variant && !named {
				t.Errorf("%s runs on %s", w.Name, c.Name)
			}
		}
		for _, name := range w.Only {
			if byName(all, name) == nil {
				t.Errorf("%s: there is no contender %q", w.Name, name)
			}
		}
	}
	c := byName(all, "ncruces-immediate-10")
	if got := c.options(Options{Conns: 32}).Conns; got != 10 {
		t.Errorf("%s has %d connections, want 10", c.Name, got)
	}
	if got := c.options(Options{Conns: 1}).Conns; got != 1 {
		t.Errorf("%s has %d connections, want 1", c.Name, got)
	}
}
