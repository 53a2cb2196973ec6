package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// Who comes while another opens the pool waits no longer than its context, and the
// close of the database gives the opening up.
func TestOpeningHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &pool.Driver{Config: pool.Config{Hooks: pool.Hooks{BeforeConnect: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}}}
		c, err := d.OpenConnector("file:" + t.TempDir() + "/test.db")
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		first := make(chan error, 1)
		go func() { first <- db.Ping() }()
		synctest.Wait()
		if pool.Of(db) != nil {
			t.Error("there is a pool already")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := db.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second call: %v", err)
		}
		began := time.Now()
		if err := db.Close(); err != nil || time.Since(began) > 0 {
			t.Errorf("close: %v after %v", err, time.Since(began))
		}
		if err := <-first; !errors.Is(err, pool.ErrClosed) {
			t.Errorf("the first call: %v", err)
		}
	})
}

// A program may ask for the driver at any time.
func TestDriverWhileThePoolIsOpened(t *testing.T) {
	db, err := sql.Open(pool.Name, "file:"+t.TempDir()+"/test.db")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	done := make(chan error, 1)
	go func() { done <- db.Ping() }()
	for {
		db.Driver()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}
