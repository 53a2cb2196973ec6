package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// These tests check that a turn is taken only from a checkout that runs nothing.

// TestNoTurnIsTakenDuringCommit checks INSERT ... RETURNING. The row is committed when its
// rows are closed, which may take longer than takeTurnAfter.
func TestNoTurnIsTakenDuringCommit(t *testing.T) {
	p, l := pooled(t, pool.Config{BusyTimeout: 5 * time.Millisecond})
	must(t, p.DB(), "CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
	before := l.count(driver.KindConnect)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 6 {
				var id int
				if err := p.DB().QueryRow("INSERT INTO t(a) VALUES (randomblob(1000000)) RETURNING id").Scan(&id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	// A turn may still be taken from a goroutine that gets no processor between two calls.
	if s := p.Stats(); s.TurnsTaken > 8*6/2 {
		t.Errorf("%d turns were taken, and %d connections opened", s.TurnsTaken, l.count(driver.KindConnect)-before)
	}
}

// TestTransactionOfQueryKeepsTurn checks that a transaction begun by a query keeps the
// turn, although the transaction begins only when the rows are read.
func TestTransactionOfQueryKeepsTurn(t *testing.T) {
	p, _ := pooled(t, pool.Config{BusyTimeout: 10 * time.Millisecond})
	must(t, p.DB(), "CREATE TABLE t(a)")
	c, err := p.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rows, err := c.QueryContext(t.Context(), "BEGIN IMMEDIATE")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := p.DB().Exec("INSERT INTO t VALUES (1)")
		done <- err
	}()
	for p.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // much longer than takeTurnAfter
	must(t, c, "INSERT INTO t VALUES (2)")
	must(t, c, "COMMIT")
	if err := <-done; err != nil {
		t.Errorf("the waiter: %v", err)
	}
}

// TestOthersShareOneConnection checks that beside a checkout that keeps a connection and runs
// nothing, all other callers share one more connection.
func TestOthersShareOneConnection(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
	must(t, p.DB(), "CREATE TABLE t(a)")
	c, err := p.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	must(t, c, "INSERT INTO t VALUES (1)")
	before := l.count(driver.KindConnect)
	for range 50 {
		must(t, p.DB(), "INSERT INTO t VALUES (2)")
	}
	if n := l.count(driver.KindConnect) - before; n != 1 {
		t.Errorf("%d connections were opened", n)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if s := p.Stats(); s.Writers != 1 {
		t.Errorf("%d writer connections are open", s.Writers)
	}
}

// TestNoTurnAfterShutdown checks that a checkout that keeps its connection without its turn
// gets ErrClosed after Shutdown. It does not wait for a turn.
func TestNoTurnAfterShutdown(t *testing.T) {
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "CREATE TABLE t(a)")
	c, err := p.DB().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must(t, c, "INSERT INTO t VALUES (1)")
	tx, err := p.DB().Begin() // takes the turn
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var left *pool.ShutdownError
	if err := p.Shutdown(ctx); !errors.As(err, &left) {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := c.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// TestLeaveWALModeAfterCheckpoint checks that the program can leave WAL mode after the
// checkpointer has run.
func TestLeaveWALModeAfterCheckpoint(t *testing.T) {
	p, l := pooled(t, pool.Config{Synchronous: pool.SynchronousOff})
	must(t, p.DB(), "CREATE TABLE t(a)")
	before := l.count(driver.KindConnect)
	for range 10 {
		must(t, p.DB(), "INSERT INTO t VALUES (zeroblob(1000000))")
	}
	for l.count(driver.KindConnect) == before { // until the checkpointer has opened its connection
		time.Sleep(time.Millisecond)
	}
	var mode string
	if err := p.DB().QueryRow("PRAGMA journal_mode = delete").Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("the mode is %q: %v", mode, err)
	}
}

// TestShutdownDuringFailedBackup checks that Shutdown does not wait for a connection that a
// backup failed to open.
func TestShutdownDuringFailedBackup(t *testing.T) {
	connecting, fail := make(chan struct{}), make(chan struct{})
	backup := false
	p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Logger: slog.New(slog.DiscardHandler),
		Hooks: pool.Hooks{BeforeConnect: func(context.Context) error {
			if backup {
				close(connecting)
				<-fail
				return errors.New("no")
			}
			return nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	backup = true
	copied, closed := make(chan error, 1), make(chan error, 1)
	go func() { copied <- p.Backup(context.Background(), filepath.Join(t.TempDir(), "copy.db")) }()
	<-connecting
	go func() { closed <- p.Shutdown(context.Background()) }()
	for !p.Closed() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond) // by now, Shutdown waits or has nothing to wait for
	close(fail)
	if err := <-copied; err == nil {
		t.Error("the backup does not fail")
	}
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("Shutdown does not return")
	}
}

// TestBusyByAnotherPool checks that the busy event of a read-only pool names the connection of
// another pool that blocks it.
func TestBusyByAnotherPool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	p, _ := pooled(t, pool.Config{Path: path, DisableWAL: true})
	must(t, p.DB(), "CREATE TABLE t(a)")
	reads, _ := pooled(t, pool.Config{Path: "file:" + path + "?mode=ro", BusyTimeout: 10 * time.Millisecond})
	c, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	must(t, c, "BEGIN EXCLUSIVE")
	defer must(t, c, "ROLLBACK")
	var n int
	if err := reads.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); !errors.Is(err, sqlite3.BUSY) {
		t.Fatal(err)
	}
	events := reads.Events()
	i := slices.IndexFunc(events, func(e driver.Event) bool { return e.Kind == driver.KindBusy })
	if i < 0 || events[i].Blocker != driver.BlockerThisProcess || events[i].Holder != c.ID() || !events[i].Derived {
		t.Errorf("%+v", events)
	}
}
