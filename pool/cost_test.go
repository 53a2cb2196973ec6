package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// This file measures how much a checkout costs beyond a checkout of database/sql. Both are
// measured by (*sql.DB).Conn, over a driver that does nothing, and over a pool. In the pool, a
// connection is also leased and released.

// noDriver is a driver whose connections do nothing and cost nothing.
type noDriver struct{}

type noConn struct{}

var (
	_ driver.Connector       = noDriver{}
	_ driver.SessionResetter = noConn{}
	_ driver.Validator       = noConn{}
)

func (d noDriver) Connect(context.Context) (driver.Conn, error) { return noConn{}, nil }
func (d noDriver) Driver() driver.Driver                        { return nil }
func (noConn) Prepare(string) (driver.Stmt, error)              { return nil, errors.ErrUnsupported }
func (noConn) Begin() (driver.Tx, error)                        { return nil, errors.ErrUnsupported }
func (noConn) Close() error                                     { return nil }
func (noConn) ResetSession(context.Context) error               { return nil }
func (noConn) IsValid() bool                                    { return true }

// checkouts returns a function that checks out a connection of database/sql's own pool and
// releases it. It uses Raw with a function that does nothing. lanes has functions that do the
// same for each lane.
func checkouts(t testing.TB) (own func(), lanes map[string]func()) {
	ctx := context.Background()
	base := sql.OpenDB(noDriver{})
	t.Cleanup(func() { base.Close() })
	own = func() {
		c, err := base.Conn(ctx)
		if err == nil {
			err = c.Raw(func(any) error { return nil })
		}
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := pool.Open(ctx, pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	of := func(acquire func(context.Context) (*pool.Conn, error)) func() {
		return func() {
			c, err := acquire(ctx)
			if err == nil {
				err = c.Release()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return own, map[string]func(){"reader": of(p.AcquireRead), "writer": of(p.AcquireWrite)}
}

func TestAcquireAllocations(t *testing.T) {
	own, lanes := checkouts(t)
	base := testing.AllocsPerRun(1000, own)
	for name, lease := range lanes {
		if n := testing.AllocsPerRun(1000, lease); n > base+2 {
			t.Errorf("%s: %v allocations; a checkout of database/sql has %v", name, n, base)
		}
	}
}

// BenchmarkAcquire measures both side by side and reports the difference.
func BenchmarkAcquire(b *testing.B) {
	own, lanes := checkouts(b)
	for name, lease := range lanes {
		b.Run(name, func(b *testing.B) {
			var took [2]time.Duration
			const turns = 100
			for b.Loop() {
				for i, f := range []func(){own, lease} {
					began := time.Now()
					for range turns {
						f()
					}
					took[i] += time.Since(began)
				}
			}
			n := float64(b.N * turns)
			b.ReportMetric(float64(took[0])/n, "ns/own")
			b.ReportMetric(float64(took[1])/n, "ns/lease")
			b.ReportMetric(float64(took[1]-took[0])/n, "ns/more")
			b.ReportMetric(0, "ns/op")
		})
	}
}
