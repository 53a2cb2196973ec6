package pool

import (
	"errors"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver"
)

// The tests of the specification for a configuration. They follow its code as closely as Go
// allows.

func planOf(t *testing.T, cfg Config) *plan {
	t.Helper()
	p, err := cfg.plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func effective(t *testing.T, cfg Config) Config {
	t.Helper()
	return planOf(t, cfg).config
}

func TestSpecDefaults(t *testing.T) {
	cfg := Config{Path: "app.db"}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg = effective(t, cfg)
	if cfg.MinConns != 1 || cfg.MaxConns != 10 || cfg.AcquireTimeout != 30*time.Second ||
		cfg.IdleTimeout != 600*time.Second || cfg.MaxLifetime != 1800*time.Second ||
		cfg.DisableWAL || cfg.Synchronous != SynchronousFull || cfg.BusyTimeout != 5*time.Second || cfg.MustExist {
		t.Errorf("%+v", cfg)
	}
}

func TestSpecInMemory(t *testing.T) {
	cfg := InMemory()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg.MaxConns != 1 || !cfg.DisableWAL {
		t.Errorf("%+v", cfg)
	}
	if cfg = effective(t, cfg); cfg.MaxConns != 1 || !cfg.DisableWAL || cfg.IdleTimeout >= 0 || cfg.MaxLifetime >= 0 {
		t.Errorf("the effective configuration is %+v", cfg)
	}
}

func TestSpecValidation(t *testing.T) {
	err := Config{Path: ":memory:", MinConns: 10, MaxConns: 5}.Validate()
	if !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("%v", err)
	}
}

func TestSpecBuilder(t *testing.T) {
	cfg := Config{Path: ":memory:", MaxConns: 5, DisableWAL: true}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if cfg = effective(t, cfg); cfg.Path != ":memory:" || cfg.MaxConns != 5 || !cfg.DisableWAL {
		t.Errorf("%+v", cfg)
	}
}

// TestValidateRefuses checks that the error of a refused value says the field, the value and
// the remedy.
func TestValidateRefuses(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		says []string
	}{
		{Config{}, []string{"Path", "empty", "InMemory()"}},
		{Config{Path: "a\x00b"}, []string{"Path", "NUL", "leave it out"}},
		{Config{Path: "file:a%00b"}, []string{"Path", "NUL", "leave it out"}},
		{Config{Path: "a.db?mode=ro"}, []string{"Path", "write file:a.db?..."}},
		{Config{Path: "file:a.db?_pragma=journal_mode(wall)"}, []string{"Path", "journal_mode", "wal"}},
		{Config{Path: "file:a.db?_pool_max=3"}, []string{"Path", "_pool_max", "sql.Open", "field"}},
		{Config{Path: "file:a.db?mode=rwc", MustExist: true}, []string{"MustExist", "mode=rwc", "mode=rw,"}},
		{Config{Path: "a", MinConns: -1}, []string{"MinConns", "-1", "use 0"}},
		{Config{Path: "a", MaxConns: -2}, []string{"MaxConns", "-2", "use 0"}},
		{Config{Path: "a", MaxWaiters: -3}, []string{"MaxWaiters", "-3", "use 0"}},
		{Config{Path: "a", Events: -4}, []string{"Events", "-4", "use 0"}},
		{Config{Path: "a", MinConns: 10, MaxConns: 5}, []string{"MinConns is 10", "MaxConns, 5:", "at most 5", "at least 10"}},
		{Config{Path: "a", MinConns: 11}, []string{"MinConns is 11", "MaxConns, 10 by default", "at most 10", "at least 11"}},
		{Config{Path: "a", BusyTimeout: 2 * time.Second, AcquireTimeout: 2 * time.Second}, []string{"BusyTimeout is 2s", "AcquireTimeout, 2s", "half"}},
		{Config{Path: "file:a?_pragma=busy_timeout(3000)", AcquireTimeout: 2 * time.Second}, []string{"BusyTimeout is 3s", "Path or Pragmas", "AcquireTimeout, 2s"}},
		{Config{Path: "a", Pragmas: []driver.Pragma{{Name: "busy_timeout", Value: "3000"}}, AcquireTimeout: 2 * time.Second}, []string{"BusyTimeout is 3s", "AcquireTimeout, 2s"}},
		{Config{Path: "a", BusyTimeout: math.MaxInt64, AcquireTimeout: never}, []string{"BusyTimeout", "use 596h31m23.647s at most"}},
		{Config{Path: "a", IdleTimeout: time.Hour, MaxLifetime: time.Minute}, []string{"IdleTimeout is 1h", "MaxLifetime, 1m", "at most that"}},
		{Config{Path: "a", Synchronous: 5}, []string{"Synchronous is 5", "SynchronousExtra"}},
		{Config{Path: "a", Synchronous: -1}, []string{"Synchronous is -1"}},
		{Config{Path: "a", Dirty: 3}, []string{"Dirty is 3", "DirtyFail"}},
		{Config{Path: "a", LifetimeJitter: math.NaN()}, []string{"LifetimeJitter is NaN", "fraction"}},
		{Config{Path: "a", LifetimeJitter: 1.5}, []string{"LifetimeJitter is 1.5", "up to 1"}},
		{Config{Path: "a", LifetimeJitter: math.Inf(1)}, []string{"LifetimeJitter is +Inf", "up to 1"}},
		{Config{Path: "a", Pragmas: []driver.Pragma{{Name: "cache_size", Value: "9"}, {Name: "foreign_keys", Value: "maybe"}}}, []string{"Pragmas[1]", "foreign_keys", "on or off"}},
		{Config{Path: "a", Interceptors: []sqlmw.Interceptor{nil}}, []string{"Interceptors[0]", "nil", "leave it out"}},
	} {
		err := tc.cfg.Validate()
		if !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%+v: %v", tc.cfg, err)
			continue
		}
		for _, s := range tc.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%v\ndoes not say %q", err, s)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("a single error takes several lines: %v", err)
		}
	}
}

// TestValidateKeepsTheCause checks that the error of a configuration wraps the errors of
// package driver, and does not show the secrets of a DSN.
func TestValidateKeepsTheCause(t *testing.T) {
	err := Config{Path: "file:a?_pragma=textkey(s3cr3t)&bogus=1"}.Validate()
	if !errors.Is(err, driver.ErrDSN) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("%v", err)
	}
	var pragma *driver.PragmaError
	err = Config{Path: "a", Pragmas: []driver.Pragma{{Name: "synchronous", Value: "s3cr3t"}}}.Validate()
	if !errors.As(err, &pragma) || pragma.Name != "synchronous" {
		t.Errorf("%v", err)
	}
}

// TestValidateReportsAllErrors checks that one error reports everything that is wrong.
func TestValidateReportsAllErrors(t *testing.T) {
	err := Config{MinConns: -1, MaxConns: -1, Dirty: 9, Synchronous: 9, LifetimeJitter: 2,
		IdleTimeout: 2, MaxLifetime: 1, Pragmas: []driver.Pragma{{Name: "foreign_keys", Value: "maybe"}}}.Validate()
	lines := strings.Split(err.Error(), "\n\t")
	if len(lines) != 9 || lines[0] != ErrInvalidConfig.Error()+":" {
		t.Errorf("%d lines: %v", len(lines), err)
	}
	for i, field := range []string{"", "Path", "MinConns", "MaxConns", "Synchronous", "Dirty", "LifetimeJitter", "Pragmas", "IdleTimeout"} {
		if !strings.HasPrefix(lines[i], field) {
			t.Errorf("line %d is not about %s: %s", i, field, lines[i])
		}
	}
}

// TestDefaultsFitOtherFields checks that the defaults fit the fields that are set.
func TestDefaultsFitOtherFields(t *testing.T) {
	type is struct {
		acquire, busy, idle, life time.Duration
	}
	const second, minute = time.Second, time.Minute
	for _, tc := range []struct {
		cfg  Config
		want is
	}{
		{Config{AcquireTimeout: 2 * second}, is{2 * second, 1 * second, 10 * minute, 30 * minute}},
		{Config{AcquireTimeout: minute}, is{minute, 5 * second, 10 * minute, 30 * minute}},
		{Config{AcquireTimeout: 3 * time.Millisecond}, is{3 * time.Millisecond, time.Millisecond, 10 * minute, 30 * minute}},
		{Config{AcquireTimeout: time.Millisecond}, is{time.Millisecond, never, 10 * minute, 30 * minute}},
		{Config{AcquireTimeout: -5}, is{never, 5 * second, 10 * minute, 30 * minute}},
		{Config{BusyTimeout: 20 * second}, is{40 * second, 20 * second, 10 * minute, 30 * minute}},
		{Config{Path: "file:a?_pragma=busy_timeout(60000)"}, is{2 * minute, minute, 10 * minute, 30 * minute}},
		{Config{Path: "file:a?_pragma=busy_timeout(0)"}, is{30 * second, never, 10 * minute, 30 * minute}},
		{Config{MaxLifetime: 5 * minute}, is{30 * second, 5 * second, 5 * minute, 5 * minute}},
		{Config{MaxLifetime: -5}, is{30 * second, 5 * second, 10 * minute, never}},
		{Config{IdleTimeout: time.Hour}, is{30 * second, 5 * second, time.Hour, time.Hour}},
		{Config{IdleTimeout: -5, BusyTimeout: -5}, is{30 * second, never, never, 30 * minute}},
		{Config{Path: ":memory:", IdleTimeout: minute, MaxLifetime: minute}, is{30 * second, 5 * second, never, never}},
	} {
		if tc.cfg.Path == "" {
			tc.cfg.Path = "a"
		}
		if err := tc.cfg.Validate(); err != nil {
			t.Error(err)
		}
		c := effective(t, tc.cfg)
		if got := (is{c.AcquireTimeout, c.BusyTimeout, c.IdleTimeout, c.MaxLifetime}); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.cfg, got, tc.want)
		}
	}

	c := effective(t, Config{Path: "a", MaxConns: 1, LeakAfter: 1, ValidateAfter: -1, KeepAlive: -1, HealthInterval: -1, JournalSizeLimit: -7, StatementCache: -7, LifetimeJitter: -7})
	if !c.TrackStacks || c.ValidateAfter != 0 || c.KeepAlive != 0 || c.HealthInterval != 0 || c.JournalSizeLimit != -1 ||
		c.StatementCache != -1 || c.LifetimeJitter != -1 || c.MinConns != 1 {
		t.Errorf("%+v", c)
	}
	c = effective(t, Config{Path: "file:dir/a.db?mode=ro&_stmt_cache_size=0&_sync=extra&_pragma=journal_size_limit(0)", Synchronous: SynchronousOff, StatementCache: 9})
	if c.Name != "dir/a.db" || !c.MustExist || c.StatementCache != -1 || c.Synchronous != SynchronousExtra || c.JournalSizeLimit != 0 || !c.DisableWAL {
		t.Errorf("%+v", c)
	}
	if c = effective(t, Config{Path: "a"}); c.LifetimeJitter != 0.1 || c.JournalSizeLimit != 64<<20 || c.Events != DefaultEvents ||
		c.StatementCache != driver.DefaultStatementCache || c.Logger != slog.Default() || c.AcquireTimeout != 30*time.Second {
		t.Errorf("%+v", c)
	}
}

// TestEffectiveConfigCanBeOpened checks that the effective configuration can be opened, and is
// then effective itself.
func TestEffectiveConfigCanBeOpened(t *testing.T) {
	for _, cfg := range []Config{
		InMemory(), {Path: "a"}, {Path: "file:/x?vfs=memdb", MaxConns: 4},
		{Path: "a", AcquireTimeout: -5, IdleTimeout: -5, MaxLifetime: -5, BusyTimeout: -5, LeakAfter: -5, LifetimeJitter: -5, JournalSizeLimit: -5, StatementCache: -5},
		{Path: "a", AcquireTimeout: 1}, {Path: "file:a?_pragma=busy_timeout(0)&_pragma=journal_size_limit(0)&_stmt_cache_size=0&mode=ro"},
		{Path: "a", LeakAfter: 1, MustExist: true, Pragmas: []driver.Pragma{{Name: "synchronous", Value: "1"}}},
	} {
		once := effective(t, cfg)
		if err := once.Validate(); err != nil {
			t.Errorf("%+v: %v", cfg, err)
		}
		if twice := effective(t, once); !reflect.DeepEqual(once, twice) {
			t.Errorf("once:  %+v\ntwice: %+v", once, twice)
		}
		if n, again := planOf(t, cfg).readers, planOf(t, once).readers; n != again {
			t.Errorf("%+v: %d readers, then %d", cfg, n, again)
		}
	}
}

// TestEffectiveConfigIsACopy checks that changing the original configuration does not change the
// effective one.
func TestEffectiveConfigIsACopy(t *testing.T) {
	cfg := Config{Path: "a", Pragmas: []driver.Pragma{{Name: "cache_size", Value: "9"}}, Interceptors: []sqlmw.Interceptor{sqlmw.NullInterceptor{}}}
	force := effective(t, cfg)
	cfg.Pragmas[0].Value, cfg.Interceptors[0] = "10", nil
	if force.Pragmas[0].Value != "9" || force.Interceptors[0] == nil {
		t.Errorf("%+v", force)
	}
}

// TestLanes checks which configurations allow readers beside a writer.
func TestLanes(t *testing.T) {
	wal := func(name, value string) []driver.Pragma { return []driver.Pragma{{Name: name, Value: value}} }
	for _, tc := range []struct {
		cfg   Config
		lanes int
		wal   bool // the pool sets WAL mode
	}{
		{Config{Path: "a"}, 9, true},
		{Config{Path: "a", MaxConns: 2}, 1, true},
		{Config{Path: "a", MaxConns: 1}, 0, true},
		{Config{Path: "a", DisableWAL: true}, 0, false},
		{Config{Path: "file:a?mode=rw&cache=private&psow=1&immutable=0&nolock=off&vfs=os&_pragma=journal_mode(WAL)&_query_only=0"}, 9, true},
		{Config{Path: "file:a?mode=ro"}, 0, false},
		{Config{Path: "file:a?immutable=1"}, 0, false},
		{Config{Path: "file:a?nolock=yes"}, 0, false},
		{Config{Path: "file:a?vfs=other"}, 0, false},
		{Config{Path: "file:a?_pragma=journal_mode(delete)"}, 0, false},
		{Config{Path: "file:a?_pragma=journal_mode(delete)&_pragma=journal_mode=wal"}, 9, true},
		{Config{Path: "file:a?_pragma=journal_mode(delete)&_pragma=journal_mode"}, 0, false},
		{Config{Path: "file:a?_pragma=temp.journal_mode(delete)"}, 9, true},
		{Config{Path: "file:a?_journal=delete&_journal_mode=wal"}, 0, false},
		{Config{Path: "file:a?_journal_mode=wal&_journal=delete"}, 0, false},
		{Config{Path: "file:a?_journal_mode=delete&_pragma=Main.Journal_Mode(%27wal%27)"}, 9, true},
		{Config{Path: "file:a?_pragma=journal_mode(wal)", Pragmas: wal("journal_mode", "delete")}, 9, true},
		{Config{Path: "a", Pragmas: wal("MAIN.journal_mode", "truncate")}, 0, false},
		{Config{Path: "a", Pragmas: wal("journal_mode", "")}, 9, true},
		{Config{Path: "file:a?_pragma=query_only(1)"}, 0, false},
		{Config{Path: "a", Pragmas: wal("query_only", "off")}, 9, true},
		{Config{Path: "file:a?_locking=EXCLUSIVE"}, 0, true},
		{Config{Path: "a", Pragmas: wal("locking_mode", "exclusive")}, 0, true},
		{Config{Path: ":memory:"}, 0, false},
		{Config{Path: "file:"}, 0, false},
		{Config{Path: "file:a?mode=memory"}, 0, false},
		{Config{Path: "file:a?mode=memory&cache=shared"}, 0, false},
		{Config{Path: "file:/a?vfs=memdb", MaxConns: 5}, 0, false},
	} {
		p := planOf(t, tc.cfg)
		if p.readers != tc.lanes || p.config.DisableWAL == tc.wal {
			t.Errorf("%+v: %d readers, DisableWAL %t", tc.cfg, p.readers, p.config.DisableWAL)
		}
	}
}

func TestWords(t *testing.T) {
	for s, want := range map[interface{ String() string }]string{
		SynchronousDefault: "default", SynchronousFull: "full", SynchronousOff: "off", SynchronousNormal: "normal", SynchronousExtra: "extra", Synchronous(7): "Synchronous(7)",
		DirtyRepair: "repair", DirtyDiscard: "discard", DirtyFail: "fail", DirtyPolicy(-1): "DirtyPolicy(-1)",
	} {
		if s.String() != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
}

// TestFunctionsApplyToBothLanes checks that the functions of a configuration are called for
// the connections of both lanes.
func TestFunctionsApplyToBothLanes(t *testing.T) {
	called := 0
	hook := func(*sqlite3.Conn) error { called++; return nil }
	p := planOf(t, Config{Path: "a", Init: hook, Term: hook, StatementCache: 7, Recorder: driver.RecorderFunc(func(driver.Event) { called++ }),
		Interceptors: []sqlmw.Interceptor{sqlmw.NullInterceptor{}}})
	for _, s := range []source{p.writer, p.reader} {
		c := s.config
		_ = c.Init(nil)
		_ = c.Term(nil)
		c.Recorder.Record(driver.Event{})
		if c.StatementCache != 7 || len(c.Interceptors) != 1 {
			t.Errorf("%+v", c)
		}
	}
	if called != 6 {
		t.Errorf("%d calls", called)
	}
}
