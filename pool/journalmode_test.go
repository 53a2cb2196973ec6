package pool_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// inWAL creates a database in WAL mode, with one row, and returns its path.
func inWAL(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.db")
	p, err := pool.Open(t.Context(), pool.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (7)")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDisableWALRefusesWAL checks that a file in WAL mode is refused with DisableWAL, before
// anything is changed, however the pool is opened.
func TestDisableWALRefusesWAL(t *testing.T) {
	initialized := false
	for name, open := range map[string]func(path string) error{
		"Open": func(path string) error {
			_, err := pool.Open(t.Context(), pool.Config{Path: path, DisableWAL: true, MaxConns: 1, Init: func(*sqlite3.Conn) error { initialized = true; return nil }})
			return err
		},
		"Open with pragmas": func(path string) error {
			_, err := pool.Open(t.Context(), pool.Config{Path: "file:" + path + "?_pragma=user_version(9)&_pragma=journal_mode&mode=rw", DisableWAL: true})
			return err
		},
		"must exist": func(path string) error {
			_, err := pool.Open(t.Context(), pool.Config{Path: path, DisableWAL: true, MustExist: true})
			return err
		},
		"sql.Open": func(path string) error { return pingOf(t, pool.Name, "file:"+path+"?_pool_wal=off") },
		"mattn":    func(path string) error { return pingOf(t, pool.NameMattn, path+"?_pool_wal=off&_busy_timeout=100") },
		"modernc":  func(path string) error { return pingOf(t, pool.NameModernc, "file:"+path+"?_pool_wal=0") },
		"Manager": func(path string) error {
			var m pool.Manager
			defer m.Close(t.Context())
			_, err := m.Add(t.Context(), "a", pool.Config{Path: path, DisableWAL: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := inWAL(t)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			err = open(path)
			if !errors.Is(err, pool.ErrInvalidConfig) {
				t.Fatal(err)
			}
			for _, part := range []string{"DisableWAL", "WAL mode", filepath.Base(path), "journal_mode", "leave DisableWAL out"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\ndoes not say %q", err, part)
				}
			}
			if initialized {
				t.Error("Init was called")
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Error("the file has changed", err)
			}
		})
	}
}

func pingOf(t *testing.T, name, dsn string) error {
	t.Helper()
	db, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return db.Ping()
}

// TestDisableWALMode checks the journal mode with DisableWAL where it is not refused.
func TestDisableWALMode(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  func(path string) pool.Config
		want string
	}{
		"pragma in Path": {func(path string) pool.Config {
			return pool.Config{Path: "file:" + path + "?_pragma=journal_mode(delete)", DisableWAL: true}
		}, "delete"},
		"pragma in Pragmas": {func(path string) pool.Config {
			return pool.Config{Path: path, DisableWAL: true, Pragmas: []driver.Pragma{{Name: "journal_mode", Value: "truncate"}}}
		}, "truncate"},
		"_journal_mode of mattn": {func(path string) pool.Config {
			return pool.Config{Path: path + "?_journal_mode=PERSIST", DisableWAL: true, Compat: driver.CompatMattn}
		}, "persist"},
		"read-only": {func(path string) pool.Config {
			return pool.Config{Path: "file:" + path + "?mode=ro", DisableWAL: true}
		}, "wal"},
		"new file":  {func(path string) pool.Config { return pool.Config{Path: path + ".new.db", DisableWAL: true} }, "delete"},
		"in memory": {func(string) pool.Config { return pool.InMemory() }, "memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := pooled(t, tc.cfg(inWAL(t)))
			if mode := mustScan[string](t, p.DB(), "PRAGMA journal_mode"); mode != tc.want {
				t.Errorf("the journal mode is %s, want %s", mode, tc.want)
			}
			inForce := p.Config()
			inForce.Recorder = nil // it counts the connections of p
			again, err := pool.Open(t.Context(), inForce)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestDisableWALExcludes checks that settings and pools that contradict DisableWAL are refused.
func TestDisableWALExcludes(t *testing.T) {
	for _, params := range []string{"", "?_pragma=journal_mode(delete)"} {
		t.Run("params "+strings.Trim(params, "?()"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			for name, cfg := range map[string]pool.Config{
				"Path":    {Path: "file:" + path + "?_pragma=journal_mode(WAL)", DisableWAL: true},
				"Pragmas": {Path: path, DisableWAL: true, Pragmas: []driver.Pragma{{Name: "journal_mode", Value: "wal"}}},
				"mattn":   {Path: path + "?_journal=wal", DisableWAL: true, Compat: driver.CompatMattn},
			} {
				if err := cfg.Validate(); !errors.Is(err, pool.ErrInvalidConfig) || !strings.Contains(err.Error(), "journal_mode") || !strings.Contains(err.Error(), "leave one of them out") {
					t.Errorf("%s: %v", name, err)
				}
			}
			p, _ := pooled(t, pool.Config{Path: "file:" + path + params, DisableWAL: true})
			must(t, p.DB(), "CREATE TABLE t(a)")
			if _, err := pool.Open(t.Context(), pool.Config{Path: path}); !errors.Is(err, pool.ErrInvalidConfig) || !strings.Contains(err.Error(), "DisableWAL") {
				t.Error(err)
			}
			pooled(t, pool.Config{Path: "file:" + path + params, DisableWAL: true})
			if mode := mustScan[string](t, p.DB(), "PRAGMA journal_mode"); mode != "delete" {
				t.Errorf("the journal mode is %s", mode)
			}
			if params != "" {
				return // the pragma converts the file again
			}
			must(t, p.DB(), "PRAGMA journal_mode=wal") // as another process could
			if err := p.HealthCheck(t.Context()); err != nil || p.Health().Health != pool.HealthDegraded || !strings.Contains(strings.Join(p.Health().Reasons, ""), "DisableWAL") {
				t.Errorf("%v, %+v", err, p.Health())
			}
		})
	}
}
