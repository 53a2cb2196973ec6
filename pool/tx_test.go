package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// openOwn opens a pool. When the test ends, it closes the pool and checks that nothing is left
// open.
func openOwn(t testing.TB, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func execOn(t testing.TB, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func intOf(t testing.TB, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// foreignConn opens a connection that belongs to no pool and waits for no lock.
func foreignConn(t testing.TB, path string) *sqlite3.Conn {
	t.Helper()
	c, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.BusyTimeout(0); err != nil {
		t.Fatal(err)
	}
	return c
}

func foreignExec(t testing.TB, c *sqlite3.Conn, query string) {
	t.Helper()
	if err := c.Exec(query); err != nil {
		t.Errorf("foreign connection: %s: %v", query, err)
	}
}

// atRelease is a Recorder that calls f at the n-th release after begun is set.
type atRelease struct {
	n     int64
	f     func()
	begun atomic.Bool
	seen  atomic.Int64
}

func (r *atRelease) Record(e driver.Event) {
	if r.begun.Load() && e.Kind == driver.KindRelease && r.seen.Add(1) == r.n {
		r.f()
	}
}

// TestWithTxCommits checks that the changes of f are committed, and that the transaction has
// the given options.
func TestWithTxCommits(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	calls := 0
	err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		calls++
		execOn(t, tx, "CREATE TABLE t(a)")
		execOn(t, tx, "INSERT INTO t VALUES (1)")
		return nil
	})
	if err != nil || calls != 1 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
	err = p.WithTx(t.Context(), &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (2)")
		return err
	})
	if !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("a write of a read-only transaction: %v", err)
	}
	if err := p.WithTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSnapshot}, nil); err == nil {
		t.Error("an isolation level that SQLite does not have is accepted")
	}
}

// TestWithTxRollsBack checks that an error of f is returned unchanged, and that no change of f
// stays.
func TestWithTxRollsBack(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	execOn(t, p.DB(), "CREATE TABLE t(a)")
	own := errors.New("own")
	if err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		execOn(t, tx, "INSERT INTO t VALUES (1)")
		return own
	}); err != own {
		t.Errorf("got %v, want f's own error", err)
	}
	func() {
		defer func() {
			if recover() != "f" {
				t.Error("the panic does not reach the caller")
			}
		}()
		p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
			execOn(t, tx, "INSERT INTO t VALUES (2)")
			panic("f")
		})
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
			execOn(t, tx, "INSERT INTO t VALUES (3)")
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	if h := p.Holders(); len(h) != 0 {
		t.Errorf("still held: %v", h)
	}
	if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows stay", n)
	}
}

// TestWithTxWaitsForALock checks that the transaction is tried again while another connection
// has the write lock. f is called only once.
func TestWithTxWaitsForALock(t *testing.T) {
	cfg := fileConfig(t)
	cfg.BusyTimeout = -1 // SQLite returns BUSY immediately
	r := &atRelease{n: 3}
	cfg.Recorder = r
	p := openOwn(t, cfg)
	execOn(t, p.DB(), "CREATE TABLE t(a)")
	other := foreignConn(t, cfg.Path)
	foreignExec(t, other, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
	r.f = func() { foreignExec(t, other, "COMMIT") }
	r.begun.Store(true)
	calls := 0
	if err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		calls++
		_, err := tx.Exec("INSERT INTO t SELECT max(a) + 1 FROM t")
		return err
	}); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if n := r.seen.Load(); n != 4 {
		t.Errorf("%d tries, want three that fail and one more", n)
	}
	if n := intOf(t, p.DB(), "SELECT max(a) FROM t"); n != 2 {
		t.Errorf("the last row is %d", n)
	}
}

// TestWithTxWaitsForAnotherProcess checks the same with a lock of another process.
func TestWithTxWaitsForAnotherProcess(t *testing.T) {
	cfg := fileConfig(t)
	cfg.BusyTimeout = -1
	r := &atRelease{n: 2}
	cfg.Recorder = r
	p := openOwn(t, cfg)
	execOn(t, p.DB(), "CREATE TABLE t(a)")

	other := exec.Command(os.Args[0], "-test.run=^TestHoldLock$")
	other.Env = append(os.Environ(), "POOL_TEST_HOLD="+cfg.Path)
	other.Stderr = os.Stderr
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("locked"))); err != nil {
		t.Fatal(err)
	}
	r.f = func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		if err := other.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	}
	r.begun.Store(true)
	if err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t SELECT max(a) + 1 FROM t")
		return err
	}); err != nil {
		t.Error(err)
	}
	if n := intOf(t, p.DB(), "SELECT max(a) FROM t"); n != 2 {
		t.Errorf("the last row is %d", n)
	}
}

// TestHoldLock is the other process: it holds the write lock until its input ends.
func TestHoldLock(t *testing.T) {
	path := os.Getenv("POOL_TEST_HOLD")
	if path == "" {
		t.Skip("only TestWithTxWaitsForAnotherProcess runs it")
	}
	c := foreignConn(t, path)
	foreignExec(t, c, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
	fmt.Print("locked")
	io.Copy(io.Discard, os.Stdin)
	foreignExec(t, c, "COMMIT")
}

// TestWithTxGivesUp checks that the tries end if the lock stays. The error is SQLite's, and
// contains the number of tries.
func TestWithTxGivesUp(t *testing.T) {
	cfg := fileConfig(t)
	cfg.BusyTimeout = -1
	synctest.Test(t, func(t *testing.T) {
		r := &atRelease{}
		cfg.Recorder = r
		p := openOwn(t, cfg)
		other := foreignConn(t, cfg.Path)
		foreignExec(t, other, "BEGIN IMMEDIATE")
		r.begun.Store(true)
		began := time.Now()
		err := p.WithTx(t.Context(), nil, func(*sql.Tx) error {
			t.Error("f is called without a transaction")
			return nil
		})
		if !errors.Is(err, sqlite3.BUSY) || !strings.Contains(err.Error(), "6 tries") || r.seen.Load() != 6 {
			t.Errorf("%d tries, %v", r.seen.Load(), err)
		}
		if took := time.Since(began); took == 0 || took > 100*time.Millisecond {
			t.Errorf("it paused for %v in all", took)
		}
	})
}

// TestWithTxRetriesBusySnapshot checks BUSY_SNAPSHOT: another connection has written since f
// read. Waiting does not help, so f is called again. No update is lost.
func TestWithTxRetriesBusySnapshot(t *testing.T) {
	cfg := fileConfig(t)
	path := cfg.Path
	cfg.Path = "file:" + cfg.Path + "?_txlock=deferred"
	p := openOwn(t, cfg)
	execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	other := foreignConn(t, path)
	calls := 0
	var codes []error
	if err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		calls++
		a := intOf(t, tx, "SELECT a FROM t")
		if calls == 1 {
			foreignExec(t, other, "UPDATE t SET a = a + 10")
		}
		_, err := tx.Exec("UPDATE t SET a = ?", a+100)
		codes = append(codes, err)
		if err != nil {
			return fmt.Errorf("f: %w", err)
		}
		return nil
	}); err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if !errors.Is(codes[0], sqlite3.BUSY_SNAPSHOT) {
		t.Errorf("the first call got %v", codes[0])
	}
	if n := intOf(t, p.DB(), "SELECT a FROM t"); n != 111 {
		t.Errorf("a is %d: an update is lost", n)
	}
}

// TestWithTxRetriesCommit checks a commit that a reader blocks, which is possible without a
// WAL. The whole transaction is tried again and takes effect once.
func TestWithTxRetriesCommit(t *testing.T) {
	cfg := fileConfig(t)
	cfg.BusyTimeout = -1
	cfg.DisableWAL = true
	r := &atRelease{n: 1}
	cfg.Recorder = r
	p := openOwn(t, cfg)
	execOn(t, p.DB(), "CREATE TABLE t(a)")
	other := foreignConn(t, cfg.Path)
	foreignExec(t, other, "BEGIN; SELECT * FROM t")
	r.f = func() { foreignExec(t, other, "COMMIT") }
	r.begun.Store(true)
	calls := 0
	if err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		calls++
		_, err := tx.Exec("INSERT INTO t VALUES (1)")
		return err
	}); err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestWithTxKeepsTheLastError checks that after the last try, the error still wraps the error
// of f.
func TestWithTxKeepsTheLastError(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	calls := 0
	err := p.WithTx(t.Context(), nil, func(tx *sql.Tx) error {
		calls++
		return fmt.Errorf("call %d: %w", calls, sqlite3.BUSY_SNAPSHOT)
	})
	if calls != 6 || !errors.Is(err, sqlite3.BUSY_SNAPSHOT) || !errors.Is(err, sqlite3.BUSY) || !strings.Contains(err.Error(), "6 tries: call 6") {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestWithTxEndsWithItsContext checks that WithTx tries no longer after its context has
// ended. The returned error wraps both errors.
func TestWithTxEndsWithItsContext(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := p.WithTx(ctx, nil, func(tx *sql.Tx) error {
		calls++
		cancel()
		return sqlite3.BUSY
	})
	if calls != 1 || !errors.Is(err, sqlite3.BUSY) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 tries") {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// TestWithTxDoesNotRetryTheQueue checks that WithTx does not try again after AcquireTimeout in
// the pool's own queue, because that is not a lock of SQLite.
func TestWithTxDoesNotRetryTheQueue(t *testing.T) {
	cfg := fileConfig(t)
	cfg.AcquireTimeout = time.Second
	synctest.Test(t, func(t *testing.T) {
		p := openOwn(t, cfg)
		held, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Release()
		began := time.Now()
		err = p.WithTx(t.Context(), nil, func(*sql.Tx) error {
			t.Error("f is called without a transaction")
			return nil
		})
		var failure *pool.AcquireError
		if !errors.As(err, &failure) || !errors.Is(err, pool.ErrAcquireTimeout) || !errors.Is(err, sqlite3.BUSY) {
			t.Errorf("error %v", err)
		}
		if took, n := time.Since(began), p.Stats().Timeouts; n != 1 || took != cfg.AcquireTimeout {
			t.Errorf("%d timeouts in %v", n, took)
		}
	})
}

// TestWithTxOfClosedPool checks that a closed pool returns ErrClosed.
func TestWithTxOfClosedPool(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	p.Close()
	if err := p.WithTx(t.Context(), nil, nil); !errors.Is(err, pool.ErrClosed) {
		t.Errorf("error %v", err)
	}
}
