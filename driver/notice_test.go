package driver_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
)

// warnings collects the events and log lines about problems of a DSN.
type warnings struct {
	mu     sync.Mutex
	events []driver.Event
	lines  []string
}

func (w *warnings) Record(e driver.Event) {
	if e.Kind == driver.KindWarning {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *warnings) WithGroup(string) slog.Handler            { return w }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, r.Message)
	return nil
}

// want checks that there is one event and one line, which contains all of says.
func (w *warnings) want(t *testing.T, reason driver.Reason, says ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) != 1 || len(w.lines) != 1 || w.events[0].Reason != reason {
		t.Fatalf("%d events, %d lines: %+v %q", len(w.events), len(w.lines), w.events, w.lines)
	}
	for _, s := range says {
		if !strings.Contains(w.lines[0], s) {
			t.Errorf("%q does not say %q", w.lines[0], s)
		}
	}
}

func (w *warnings) none(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) != 0 || len(w.lines) != 0 {
		t.Errorf("%+v %q", w.events, w.lines)
	}
}

// A DSN with pragmas but without a busy timeout causes one warning, however many
// connections there are.
func TestNoBusyTimeoutIsToldOfOnce(t *testing.T) {
	for _, tc := range []struct {
		params string
		compat driver.Compat
		told   bool
	}{
		{"", driver.CompatNone, false},
		{"?_pragma=foreign_keys(1)", driver.CompatNone, true},
		{"?_fk=1", driver.CompatNone, false}, // the plain driver sees no pragma, and waits for a minute
		{"?_pragma=foreign_keys(1)&_pragma=busy_timeout(0)", driver.CompatNone, false},
		{"?_pragma=foreign_keys(1)&_timeout=10", driver.CompatNone, false},
		{"?_fk=1", driver.CompatMattn, false},
		{"?_fk=1", driver.CompatModernc, true},
		{"?_busy_timeout=0&_fk=1", driver.CompatModernc, false},
	} {
		t.Run(tc.compat.String()+tc.params, func(t *testing.T) {
			w := &warnings{}
			db := open(t, "file:"+filepath.ToSlash(t.TempDir())+"/a.db"+tc.params, driver.Config{Compat: tc.compat, Recorder: w, Logger: slog.New(w)})
			for range 3 {
				c, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
			}
			if tc.told {
				w.want(t, driver.ReasonNoBusyTimeout, "busy_timeout(5000)")
			} else {
				w.none(t)
			}
		})
	}
}

// A second connection to a private in-memory database causes one warning.
func TestPrivateMemoryIsToldOfOnce(t *testing.T) {
	for dsn, told := range map[string]bool{
		":memory:": true, "file::memory:": true, "file:x?mode=memory": true, "file:x?vfs=memdb": true,
		"file::memory:?cache=shared": false, "file:/x?vfs=memdb": false,
	} {
		t.Run(dsn, func(t *testing.T) {
			w := &warnings{}
			db := open(t, dsn, driver.Config{Recorder: w, Logger: slog.New(w)})
			var conns []*sql.Conn
			for range 3 {
				c, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if conns = append(conns, c); len(conns) == 1 {
					w.none(t)
				}
			}
			if told {
				w.want(t, driver.ReasonPrivateMemory, "SetMaxOpenConns(1)")
			} else {
				w.none(t)
			}
		})
	}
}

// Parameters that another driver ignores are ignored here too, with a warning.
func TestForeignParametersWithoutEffectAreToldOf(t *testing.T) {
	file := filepath.ToSlash(t.TempDir()) + "/a.db"
	for _, tc := range []struct {
		dsn    string
		reason driver.Reason
		says   string
	}{
		{"file:" + file + "?cache=shared", driver.ReasonSharedCache, "cache=shared"},
		{file + "?mode=ro", driver.ReasonUnknownParameter, `"mode"`},
		{file + "?_pragma=foreign_keys(1)", driver.ReasonUnknownParameter, `"_pragma"`},
	} {
		w := &warnings{}
		db := open(t, tc.dsn, driver.Config{Compat: driver.CompatMattn, Recorder: w, Logger: slog.New(w)})
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		w.want(t, tc.reason, tc.says)
	}
}
