package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestClosedFacade checks that the pool continues when the program closes the *sql.DB of DB,
// Reader or Writer: the methods of the pool work, and DB, Reader and Writer return a new one.
func TestClosedFacade(t *testing.T) {
	var lines logged
	p, l := pooled(t, pool.Config{Logger: logger(&lines)})
	facades := map[string]func() *sql.DB{"DB": p.DB, "Reader": p.Reader, "Writer": p.Writer}
	must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	for name, of := range facades {
		db := of()
		if db != of() {
			t.Errorf("%s is another value each time", name)
		}
		for range 2 {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Ping(); err == nil {
			t.Errorf("%s works although it is closed", name)
		}
		again := of()
		if again == db || again != of() || pool.Of(again) != p {
			t.Errorf("%s is not a new *sql.DB", name)
		}
		if n := mustScan[int](t, again, "SELECT a FROM t"); n != 1 {
			t.Error(name, n)
		}
	}
	for name, use := range map[string]func(ctx context.Context) error{
		"Acquire":      func(ctx context.Context) error { return released(p.Acquire(ctx)) },
		"AcquireRead":  func(ctx context.Context) error { return released(p.AcquireRead(ctx)) },
		"AcquireWrite": func(ctx context.Context) error { return released(p.AcquireWrite(ctx)) },
		"TryAcquire": func(ctx context.Context) error {
			c, ok, err := p.TryAcquire(ctx)
			if !ok {
				return errors.Join(err, errors.New("not available"))
			}
			return released(c, err)
		},
		"WithTx":      func(ctx context.Context) error { return p.WithTx(ctx, nil, func(*sql.Tx) error { return nil }) },
		"Raw":         func(ctx context.Context) error { return p.Raw(ctx, func(*sqlite3.Conn) error { return nil }) },
		"HealthCheck": p.HealthCheck,
		"Backup":      func(ctx context.Context) error { return p.Backup(ctx, filepath.Join(t.TempDir(), "b.db")) },
	} {
		if err := use(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := lines.count("the program has closed"); n != 1 || !lines.has("the program has closed", "NewDB", "still open") {
		t.Errorf("%d lines", n)
	}
	if e := l.last(driver.KindWarning); l.count(driver.KindWarning) != 1 || e.Reason != driver.ReasonDatabaseClosed {
		t.Errorf("%d warnings, the last is %+v", l.count(driver.KindWarning), e)
	}
}

// released closes a checkout.
func released(c *pool.Conn, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// TestFacadeClosedInTransaction checks that a transaction of WithTx, a checkout and rows outlive
// the *sql.DBs that the program can close.
func TestFacadeClosedInTransaction(t *testing.T) {
	p, _ := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t(a)")
	c, err := p.AcquireRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		if err := errors.Join(p.DB().Close(), p.Reader().Close(), p.Writer().Close()); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO t VALUES (1)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := mustScan[int](t, c, "SELECT count(*) FROM t"); n != 1 {
		t.Error(n)
	}
}

// TestNewDB checks that closing a *sql.DB of NewDB closes nothing else, and that Shutdown closes
// those that are open.
func TestNewDB(t *testing.T) {
	var lines logged
	p, l := pooled(t, pool.Config{Logger: logger(&lines)})
	must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	db, left := p.NewDB(), p.NewDB()
	if db == p.DB() || db == left || pool.Of(db) != p {
		t.Error("NewDB does not return a new *sql.DB of the pool")
	}
	must(t, db, "INSERT INTO t VALUES (2)")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(); err == nil {
		t.Error("a closed *sql.DB works")
	}
	for _, db := range []*sql.DB{p.DB(), left, p.NewDB()} {
		if n := mustScan[int](t, db, "SELECT count(*) FROM t"); n != 2 {
			t.Error(n)
		}
	}
	if lines.count("has closed") != 0 || l.count(driver.KindWarning) != 0 {
		t.Error("closing it causes a warning")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for name, db := range map[string]*sql.DB{"that was left": left, "after Shutdown": p.NewDB(), "DB": p.DB(), "Reader": p.Reader()} {
		if err := db.Ping(); err == nil || err.Error() != left.Ping().Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if lines.count("has closed") != 0 {
		t.Error("Shutdown causes a warning")
	}
}

// TestFacadesClosedConcurrently closes *sql.DBs while others use the pool: methods of the pool
// never fail, and nothing is left open.
func TestFacadesClosedConcurrently(t *testing.T) {
	p, _ := pooled(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t(a)")
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 25 {
				p.DB().Close()
				p.Reader().Close()
				db := p.NewDB()
				if err := db.Ping(); err != nil {
					t.Error(err)
				}
				db.Close()
			}
		})
		users.Go(func() {
			for range 25 {
				err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error { return released(p.AcquireRead(t.Context())) })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
}
