package pool_test

import (
	"bytes"
	"database/sql"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestLitestreamWarning checks that a pool that runs checkpoints in a database that Litestream
// replicates warns of that, once for each open, and that no other pool does.
func TestLitestreamWarning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	warned := func(cfg pool.Config) bool {
		t.Helper()
		var log bytes.Buffer
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		events := p.Events()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		byEvent := slices.ContainsFunc(events, func(e driver.Event) bool {
			return e.Kind == driver.KindWarning && e.Reason == driver.ReasonLitestream
		})
		if n := strings.Count(log.String(), "set _pragma=wal_autocheckpoint(0)"); (n == 1) != byEvent || n > 1 {
			t.Errorf("event %v, but %d log lines: %s", byEvent, n, &log)
		}
		return byEvent
	}
	if warned(pool.Config{Path: path}) {
		t.Error("a warning without Litestream")
	}
	if _, err := db.Exec("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)"); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []pool.Config{{Path: path}, {Path: path, MaxConns: 1}, {Path: "file:" + path + "?_pragma=wal_autocheckpoint(1000)"}} {
		if !warned(cfg) {
			t.Errorf("no warning of %+v", cfg)
		}
	}
	for _, cfg := range []pool.Config{{Path: "file:" + path + "?_pragma=wal_autocheckpoint(0)"}, {Path: "file:" + path + "?mode=ro"}} {
		if warned(cfg) {
			t.Errorf("a warning of %+v", cfg)
		}
	}
}
