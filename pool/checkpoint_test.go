package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

var complete = []sqlite3.CheckpointMode{sqlite3.CHECKPOINT_FULL, sqlite3.CHECKPOINT_RESTART, sqlite3.CHECKPOINT_TRUNCATE}

func walBytes(t testing.TB, p *pool.Pool) int64 {
	t.Helper()
	info, err := os.Stat(p.Config().Path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestCheckpointPassive checks that a passive checkpoint moves the frames that no reader needs,
// while another caller holds the writer.
func TestCheckpointPassive(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	frames := p.Stats().Pages.Frames
	w, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Release()
	r, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_PASSIVE)
	if err != nil || r.Busy || r.Frames != int(frames) || r.Moved != r.Frames || r.Frames == 0 {
		t.Errorf("%+v, %v, with %d frames", r, err, frames)
	}
}

// TestCheckpointComplete checks that the other modes run in the writer's turn, use no reader,
// and move all frames.
func TestCheckpointComplete(t *testing.T) {
	for _, most := range []int{1, 2} {
		for _, mode := range complete {
			cfg := fileConfig(t)
			cfg.MaxConns = most
			p := openOwn(t, cfg)
			execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			if most > 1 {
				reader, err := p.AcquireRead(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer reader.Release()
			}
			r, err := p.Checkpoint(t.Context(), mode)
			if err != nil || r.Busy || r.Moved != r.Frames || (r.Frames == 0) != (mode == sqlite3.CHECKPOINT_TRUNCATE) {
				t.Errorf("%d connections, mode %d: %+v, %v", most, mode, r, err)
			}
			before := walBytes(t, p)
			if (before == 0) != (mode == sqlite3.CHECKPOINT_TRUNCATE) {
				t.Errorf("%d connections, mode %d: the WAL has %d bytes", most, mode, before)
			}
			if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != 1 {
				t.Errorf("%d rows", n)
			}

			w, err := p.AcquireWrite(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := p.Checkpoint(ctx, mode); !errors.Is(err, context.Canceled) {
				t.Errorf("%d connections, mode %d, while a caller writes: %v", most, mode, err)
			}
			w.Release()
		}
	}
}

// TestCheckpointReportsBlockingReader checks that a checkpoint soon reports a reader of an old
// snapshot that blocks it. The writer's busy timeout does not change.
func TestCheckpointReportsBlockingReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	synctest.Test(t, func(t *testing.T) {
		p := openOwn(t, pool.Config{Path: path})
		execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
		reader, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Rollback()
		if n := intOf(t, reader, "SELECT count(*) FROM t"); n != 1 {
			t.Errorf("%d rows", n)
		}
		execOn(t, p.DB(), "INSERT INTO t VALUES (2)")

		r, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_PASSIVE)
		if err != nil || !r.Busy || r.Moved >= r.Frames || r.Moved == 0 || r.Took != 0 {
			t.Errorf("passive: %+v, %v", r, err)
		}
		for _, mode := range complete {
			began := time.Now()
			r, err := p.Checkpoint(t.Context(), mode)
			if err != nil || !r.Busy || r.Moved >= r.Frames {
				t.Errorf("mode %d: %+v, %v", mode, r, err)
			}
			if took := time.Since(began); took < 200*time.Millisecond || took > 300*time.Millisecond || r.Took > took {
				t.Errorf("mode %d: it took %v, but reports %v", mode, took, r.Took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := p.Checkpoint(ctx, sqlite3.CHECKPOINT_RESTART); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sqlite3.BUSY) {
			t.Errorf("a context that ends during the checkpoint: %v", err)
		}
		if n := intOf(t, p.Writer(), "PRAGMA busy_timeout"); n != 5000 {
			t.Errorf("the writer's busy timeout is now %d", n)
		}
		if n := intOf(t, reader, "SELECT count(*) FROM t"); n != 1 {
			t.Errorf("the reader sees %d rows", n)
		}

		if err := reader.Commit(); err != nil {
			t.Fatal(err)
		}
		if r, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); err != nil || r.Busy {
			t.Errorf("without the reader: %+v, %v", r, err)
		}
		if n := walBytes(t, p); n != 0 {
			t.Errorf("the WAL has %d bytes", n)
		}
	})
}

// TestCheckpointKeepsBusyHandler checks that a checkpoint calls the program's busy handler only
// while it waits for readers itself, and that the handler stays installed.
func TestCheckpointKeepsBusyHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	synctest.Test(t, func(t *testing.T) {
		p := openOwn(t, pool.Config{Path: path})
		execOn(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
		asked := 0
		if err := p.Raw(t.Context(), func(c *sqlite3.Conn) error {
			return c.BusyHandler(func(context.Context, int) bool {
				asked++
				time.Sleep(10 * time.Millisecond)
				return true
			})
		}); err != nil {
			t.Fatal(err)
		}
		reader, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Rollback()
		intOf(t, reader, "SELECT count(*) FROM t")
		execOn(t, p.DB(), "INSERT INTO t VALUES (2)")
		for range 2 {
			asked = 0
			if r, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_RESTART); err != nil || !r.Busy || asked < 20 || asked > 30 {
				t.Errorf("%+v, %v, the handler was called %d times", r, err, asked)
			}
		}
	})
}

// TestCheckpointWithoutWAL checks the result without a WAL: there are no frames to move, and
// the error says so.
func TestCheckpointWithoutWAL(t *testing.T) {
	journal := fileConfig(t)
	journal.DisableWAL = true
	for name, cfg := range map[string]pool.Config{"journal": journal, "memory": pool.InMemory()} {
		p := openOwn(t, cfg)
		for _, mode := range append(complete, sqlite3.CHECKPOINT_PASSIVE) {
			if r, err := p.Checkpoint(t.Context(), mode); !errors.Is(err, pool.ErrNoWAL) || r != (pool.CheckpointResult{}) {
				t.Errorf("%s, mode %d: %+v, %v", name, mode, r, err)
			}
		}
	}
}

// TestCheckpointRefuses checks that an unknown mode and a closed pool are refused.
func TestCheckpointRefuses(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	for _, mode := range []sqlite3.CheckpointMode{-1, 4} {
		if _, err := p.Checkpoint(t.Context(), mode); err == nil {
			t.Errorf("mode %d is not refused", mode)
		}
	}
	p.Close()
	for _, mode := range append(complete, sqlite3.CHECKPOINT_PASSIVE) {
		if _, err := p.Checkpoint(t.Context(), mode); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("mode %d: %v", mode, err)
		}
	}
}
