package litestream

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A setting says which program runs checkpoints.
type setting struct {
	name    string
	pragmas []driver.Pragma
}

var (
	// defaults are the pool's default settings: the pool's checkpointer and Litestream run
	// checkpoints.
	defaults = setting{"defaults", nil}
	// leave leaves the checkpoints to Litestream.
	leave = setting{"wal_autocheckpoint=0", []driver.Pragma{{Name: "wal_autocheckpoint", Value: "0"}}}
)

// each runs a test with each setting.
func each(t *testing.T, test func(t *testing.T, s setting)) {
	for _, s := range []setting{defaults, leave} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// A watch is a pool's log and events, as far as they report a problem.
type watch struct {
	advised bool // the pool advises to leave the checkpoints to Litestream, if it knows of it

	mu       sync.Mutex // guards the fields below
	log      bytes.Buffer
	problems []driver.Event
	advice   uint64 // how often it did
}

// open opens a pool on a file. At the end of the test, it closes the pool, and fails the test if
// the pool has reported anything.
func open(t *testing.T, s setting, path string) *pool.Pool {
	t.Helper()
	w := &watch{advised: s.pragmas == nil}
	p, err := pool.Open(t.Context(), pool.Config{
		Path:     path,
		Pragmas:  s.pragmas,
		Logger:   slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Recorder: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close(t, p) })
	if cfg := p.Config(); cfg.Synchronous != pool.SynchronousFull {
		t.Errorf("synchronous is %v", cfg.Synchronous)
	}
	return p
}

// close checks the pool and closes it.
func (w *watch) close(t *testing.T, p *pool.Pool) {
	if !p.Closed() {
		if err := p.HealthCheck(context.Background()); err != nil || p.Health().Health != pool.HealthOK {
			t.Errorf("health: %+v, %v", p.Health(), err)
		}
		if s := p.Stats(); s.CheckpointsFailed+s.Busy+s.Timeouts+s.SessionChanges+s.Warnings > w.advices() {
			t.Errorf("stats: %+v", s)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.log.Len() > 0 {
		t.Errorf("the pool has logged:\n%s", &w.log)
	}
	for _, e := range w.problems {
		t.Errorf("event: %+v", e)
	}
}

func (w *watch) advices() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.advice
}

// Write implements [io.Writer] for the log.
func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.advised && bytes.Contains(b, []byte("Litestream replicates the database")) {
		return len(b), nil
	}
	return w.log.Write(b)
}

// Record implements [driver.Recorder].
func (w *watch) Record(e driver.Event) {
	switch e.Kind {
	case driver.KindFailing, driver.KindFileLost, driver.KindWarning, driver.KindBusy, driver.KindPanic, driver.KindDirty, driver.KindLeak:
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.advised && e.Reason == driver.ReasonLitestream {
		w.advice++
		return
	}
	w.problems = append(w.problems, e)
}

// walSalt returns the salt of the WAL's header, which changes when the WAL is reset. It is empty
// without a WAL. To open the WAL drops no lock, because SQLite's locks are on the other files.
func walSalt(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path + "-wal")
	if err != nil {
		return ""
	}
	defer f.Close()
	header := make([]byte, 32)
	if n, _ := f.Read(header); n < len(header) {
		return ""
	}
	return string(header[16:24])
}

func walBytes(path string) int64 {
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

func newPath(t *testing.T) string { return filepath.Join(t.TempDir(), "app.db") }
