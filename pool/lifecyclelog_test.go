package pool_test

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestOpenLogLine checks what the log line of an opened pool says.
func TestOpenLogLine(t *testing.T) {
	pragma := func(name, value string) []driver.Pragma { return []driver.Pragma{{Name: name, Value: value}} }
	file := map[string]any{"lanes": 2.0, "max": 10.0, "min": 1.0, "one_lane": nil, "journal_mode": "wal", "synchronous": "full",
		"busy_timeout": 5e9, "acquire_timeout": 30e9}
	for name, tc := range map[string]struct {
		cfg    func(path string) pool.Config
		differ map[string]any // from file
	}{
		"default": {func(path string) pool.Config { return pool.Config{Path: path} }, nil},
		"name":    {func(path string) pool.Config { return pool.Config{Path: path, Name: "orders"} }, map[string]any{"pool": "orders"}},
		"MaxConns": {func(path string) pool.Config {
			return pool.Config{Path: path, MaxConns: 1, AcquireTimeout: -1, BusyTimeout: -1, Synchronous: pool.SynchronousNormal}
		}, map[string]any{"lanes": 1.0, "max": 1.0, "one_lane": "MaxConns is 1", "acquire_timeout": "never", "busy_timeout": "never", "synchronous": "normal"}},
		"DisableWAL": {func(path string) pool.Config {
			return pool.Config{Path: path, DisableWAL: true}
		}, map[string]any{"lanes": 1.0, "one_lane": "DisableWAL", "journal_mode": "delete", "synchronous": "extra"}},
		"journal mode": {func(path string) pool.Config {
			return pool.Config{Path: path, Pragmas: pragma("journal_mode", "TRUNCATE")}
		}, map[string]any{"lanes": 1.0, "one_lane": "journal_mode=truncate", "journal_mode": "truncate", "synchronous": "extra"}},
		"exclusive": {func(path string) pool.Config {
			return pool.Config{Path: path, Pragmas: pragma("locking_mode", "exclusive")}
		}, map[string]any{"lanes": 1.0, "one_lane": "locking_mode=exclusive"}},
		"read-only": {func(path string) pool.Config {
			return pool.Config{Path: "file:" + path + "?_pragma=query_only(1)"}
		}, map[string]any{"lanes": 1.0, "one_lane": "read-only", "journal_mode": "delete", "synchronous": "extra"}},
	} {
		t.Run(name, func(t *testing.T) {
			notes := newNotebook(nil)
			path := filepath.Join(t.TempDir(), "a.db")
			cfg := tc.cfg(filepath.ToSlash(path))
			cfg.Logger = slog.New(notes)
			p, err := pool.Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			line := notes.read(t)[0]
			if line["msg"] != "pool: open" || line["level"] != "INFO" {
				t.Fatalf("the first line is %v", line)
			}
			for key, want := range file {
				if other, ok := tc.differ[key]; ok {
					want = other
				}
				if line[key] != want {
					t.Errorf("%s is %v, want %v", key, line[key], want)
				}
			}
			if name, ok := tc.differ["pool"]; ok && line["pool"] != name {
				t.Errorf("pool is %v", line["pool"])
			}
			if f, _ := line["file"].(string); runtime.GOOS == "linux" && f != path {
				t.Errorf("file is %q, want %q", f, path)
			}
		})
	}
	notes := newNotebook(nil)
	memory := pool.InMemory()
	memory.Logger = slog.New(notes)
	p, _ := pooled(t, memory)
	if line := notes.read(t)[0]; line["file"] != p.Name() || line["one_lane"] != "the database is in memory" || line["journal_mode"] != "memory" {
		t.Errorf("in memory: %v", line)
	}
}

// TestLifecycleLevel checks the level of the lines of opening and closing a pool, and that
// warnings keep theirs.
func TestLifecycleLevel(t *testing.T) {
	for name, tc := range map[string]struct {
		base   pool.Config
		params string
		want   string
	}{
		"default":            {pool.Config{}, "", "INFO"},
		"_pool_log=off":      {pool.Config{}, "?_pool_log=off", "DEBUG"},
		"_pool_log=on":       {pool.Config{LifecycleLevel: slog.LevelDebug}, "?_pool_log=on", "INFO"},
		"LifecycleLevel":     {pool.Config{LifecycleLevel: slog.LevelDebug}, "", "DEBUG"},
		"LifecycleLevel 'W'": {pool.Config{LifecycleLevel: slog.LevelWarn}, "", "WARN"},
	} {
		t.Run(name, func(t *testing.T) {
			notes := newNotebook(nil)
			tc.base.Logger = slog.New(notes)
			connector, err := (&pool.Driver{Config: tc.base}).OpenConnector("file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "a.db")) + tc.params)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(connector)
			must(t, db, "CREATE TEMP TABLE t(a)") // causes a warning
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			levels := make(map[string]any)
			warned := false
			for _, line := range notes.read(t) {
				message := line["msg"].(string)
				levels[message] = line["level"]
				warned = warned || line["level"] == "WARN" && strings.Contains(message, "session state")
			}
			if levels["pool: open"] != tc.want || levels["pool: closed"] != tc.want || !warned {
				t.Errorf("%v, want %s", levels, tc.want)
			}
		})
	}
}
