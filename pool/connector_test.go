package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestOpeningPoolRespectsContexts checks that a call that comes while another one opens the
// pool waits no longer than its context. Closing the database ends the opening.
func TestOpeningPoolRespectsContexts(t *testing.T) {
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
			t.Error("the pool exists already")
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

// TestOpeningPoolServesLaterCalls checks a pool whose opening takes longer than any call waits.
// It is opened once, and in the end it is open. A panic reaches one caller.
func TestOpeningPoolServesLaterCalls(t *testing.T) {
	opened := 0
	d := &pool.Driver{Config: pool.Config{Init: func(*sqlite3.Conn) error {
		opened++
		time.Sleep(150 * time.Millisecond)
		if opened == 1 {
			panic("at first")
		}
		return nil
	}, Logger: slog.New(slog.DiscardHandler)}}
	path := t.TempDir() + "/test.db"
	synctest.Test(t, func(t *testing.T) {
		c, err := d.OpenConnector("file:" + path)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		var said []string
		for range 12 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			func() {
				defer func() {
					if v := recover(); v != nil {
						said = append(said, fmt.Sprint(v))
					}
				}()
				switch err := db.PingContext(ctx); {
				case errors.Is(err, context.DeadlineExceeded):
					said = append(said, "late")
				case err != nil:
					t.Error(err)
				default:
					said = append(said, "ok")
				}
			}()
			cancel()
		}
		if want := []string{"late", "at first", "late", "ok"}; !slices.Equal(slices.Compact(said), want) {
			t.Errorf("the calls returned %q, want %q", said, want)
		}
	})
}

// TestDriverDuringOpening checks that a program may call Driver at any time.
func TestDriverDuringOpening(t *testing.T) {
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
