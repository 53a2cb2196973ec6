package pool

import (
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver"
)

// TestSources checks the DSN of each lane.
func TestSources(t *testing.T) {
	const reads = "_txlock=deferred&_pragma=query_only%281%29"
	for _, tc := range []struct {
		cfg                  Config
		writer, reader, file string
	}{
		{Config{Path: "app.db"}, "file:app.db?_txlock=immediate", "file:app.db?mode=ro&" + reads, "app.db"},
		{Config{Path: "./a b%.db"}, "file:./a b%25.db?_txlock=immediate", "file:./a b%25.db?mode=ro&" + reads, "./a b%.db"},
		{Config{Path: "/tmp/what?#.db"}, "file:///tmp/what%3f%23.db?_txlock=immediate", "file:///tmp/what%3f%23.db?mode=ro&" + reads, "/tmp/what?#.db"},
		{Config{Path: "//x/y\n"}, "file:////x/y%0a?_txlock=immediate", "file:////x/y%0a?mode=ro&" + reads, "//x/y\n"},
		{Config{Path: `C:\Users\a b\app.db`}, `file:C:\Users\a b\app.db?_txlock=immediate`, `file:C:\Users\a b\app.db?mode=ro&` + reads, `C:\Users\a b\app.db`},
		{Config{Path: `\\host\share\app.db`}, `file:\\host\share\app.db?_txlock=immediate`, `file:\\host\share\app.db?mode=ro&` + reads, `\\host\share\app.db`},
		{Config{Path: "a", MustExist: true}, "file:a?mode=rw&_txlock=immediate", "file:a?mode=ro&" + reads, "a"},
		{Config{Path: "file:a%20b?mode=rwc&psow=0#x"}, "file:a%20b?mode=rwc&psow=0&_txlock=immediate#x", "file:a%20b?psow=0&mode=ro&" + reads + "#x", "a b"},
		{Config{Path: "file:a?mode=rw", MustExist: true}, "file:a?mode=rw&_txlock=immediate", "file:a?mode=ro&" + reads, "a"},
		{Config{Path: "file://localhost/a?_txlock=Exclusive&_timefmt=sqlite"}, "file://localhost/a?_txlock=exclusive&_timefmt=sqlite", "file://localhost/a?mode=ro&_txlock=deferred&_timefmt=sqlite&_pragma=query_only%281%29", "/a"},
		{Config{Path: "file:a?"}, "file:a?_txlock=immediate", "file:a?mode=ro&" + reads, "a"},
		{Config{Path: "file:a?_pragma=journal_mode(wal)&_journal=wal&_pragma=user_version(3)&_pragma=cache_size(9)&_pragma=query_only(0)&_pragma=synchronous"},
			"file:a?_txlock=immediate&_pragma=journal_mode%28wal%29&_pragma=user_version%283%29&_pragma=cache_size%289%29&_pragma=query_only%280%29",
			"file:a?mode=ro&_txlock=deferred&_pragma=cache_size%289%29&_pragma=query_only%281%29", "a"},
		{Config{Path: "file:a?mode=ro"}, "file:a?mode=ro&_txlock=immediate", "", "a"},
		{Config{Path: "file:a?_query_only=1"}, "file:a?_pragma=query_only%281%29", "", "a"},
		{Config{Path: "a", Pragmas: []driver.Pragma{{Name: "query_only", Value: "on"}}}, "file:a", "", "a"},
		{Config{Path: "file:a?immutable=1", MustExist: true}, "file:a?immutable=1&mode=ro&_txlock=immediate", "", "a"},
		{Config{Path: "file:/a?vfs=memdb&_fk=0"}, "file:/a?vfs=memdb&_txlock=immediate&_pragma=foreign_keys%280%29", "", ""},
		{Config{Path: "file::memory:?cache=shared", MustExist: true}, "file:///:memory:?_txlock=immediate&mode=memory&cache=shared", "", ""},
		{Config{Path: "file:a?mode=memory&cache=shared"}, "file:///a?_txlock=immediate&mode=memory&cache=shared", "", ""},
	} {
		p := planOf(t, tc.cfg)
		reader := ""
		if p.readers > 0 {
			reader = p.reader.dsn.Text()
		}
		if writer := p.writer.dsn.Text(); writer != tc.writer || reader != tc.reader || p.dsn.File() != tc.file || p.dsn.Memory() != (tc.file == "") {
			t.Errorf("%q: memory %t\nwriter %s\nreader %s\nfile %q", tc.cfg.Path, p.dsn.Memory(), writer, reader, p.dsn.File())
		}
	}
}

// TestPrivateMemory checks that a private in-memory database gets a name of its own, a new one
// for each plan.
func TestPrivateMemory(t *testing.T) {
	for path, rest := range map[string]string{
		":memory:":                              "",
		"file:":                                 "",
		"file::memory:?_pragma=cache_size(9)#x": "",
		"file:a?mode=memory&psow=1":             "psow=1&",
		"file:a?vfs=memdb":                      "",
		"file:/a?vfs=memdb&mode=memory":         "",
		"file:a?vfs=memdb&cache=shared":         "",
	} {
		cfg := Config{Path: path, MaxConns: 5, MustExist: true}
		p, again := planOf(t, cfg), planOf(t, cfg)
		name, ok := strings.CutPrefix(p.writer.dsn.Text(), "file:///:memory:/")
		if !ok || !p.dsn.Memory() || p.dsn.File() != "" || p.readers != 0 || p.writer.dsn.Text() == again.writer.dsn.Text() {
			t.Errorf("%s: %s", path, p.writer.dsn.Text())
			continue
		}
		_, params, _ := strings.Cut(name, "?")
		params, _, _ = strings.Cut(params, "#")
		params, _, _ = strings.Cut(params, "&_pragma")
		if want := rest + "vfs=memdb&_txlock=immediate"; params != want {
			t.Errorf("%s: %s, want %s", path, params, want)
		}
		if got := p.config.Name; got != ":memory:" {
			t.Errorf("%s is named %s", path, got)
		}
	}
}

// TestOtherVFSIsNotRead checks that the pool reads no file of another VFS before Config.Init.
// The VFS may need a key that Config.Init sets.
func TestOtherVFSIsNotRead(t *testing.T) {
	for _, sync := range []Synchronous{SynchronousDefault, SynchronousFull, SynchronousNormal} {
		p := planOf(t, Config{Path: "file:a?vfs=other", Synchronous: sync})
		got := slices.ContainsFunc(p.writer.config.Pragmas, func(p driver.Pragma) bool { return p.Name == "synchronous" || p.Name == "journal_mode" })
		if got || p.dsn.File() != "" || p.readers != 0 {
			t.Errorf("%+v: file %q, %d readers", p.writer, p.dsn.File(), p.readers)
		}
	}
}

// TestOtherVFSSettingsApplyAfterInit checks that the settings for another VFS apply once
// Config.Init has run.
func TestOtherVFSSettingsApplyAfterInit(t *testing.T) {
	vfs.Register("pool-test-sync", vfs.Find("os"))
	t.Cleanup(func() { vfs.Unregister("pool-test-sync") }) // after the connections are closed
	for sync, want := range map[Synchronous]int64{SynchronousDefault: 3, SynchronousFull: 2, SynchronousNormal: 1} {
		calls := 0
		src := planOf(t, Config{
			Path: driver.FileURI(filepath.Join(t.TempDir(), "a.db")) + "?vfs=pool-test-sync", Synchronous: sync,
			Init: func(*sqlite3.Conn) error { calls++; return nil },
		})
		if got := settingsOf(t, src.writer); got.sync != want || calls == 0 {
			t.Errorf("%v: synchronous is %d, want %d; Init was called %d times", sync, got.sync, want, calls)
		}
	}
}

// settings are the settings that SQLite reports for a connection.
type settings struct {
	busy, sync, limit, foreignKeys, queryOnly int64
	journal                                   string
}

func settingsOf(t *testing.T, s source) (set settings) {
	t.Helper()
	c, err := s.dsn.NewConnector(s.config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer db.Close()
	for pragma, to := range map[string]any{
		"busy_timeout": &set.busy, "synchronous": &set.sync, "journal_size_limit": &set.limit,
		"foreign_keys": &set.foreignKeys, "query_only": &set.queryOnly, "journal_mode": &set.journal,
	} {
		if err := db.QueryRow("PRAGMA " + pragma).Scan(to); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

// TestEffectiveSettings checks that the effective settings are those that SQLite reports. A DSN
// parameter overrides a pragma of Config, and a pragma overrides a field.
func TestEffectiveSettings(t *testing.T) {
	one := func(name, value string) []driver.Pragma { return []driver.Pragma{{Name: name, Value: value}} }
	for i, tc := range []struct {
		cfg  Config
		want settings // of the writer
	}{
		{Config{}, settings{5000, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Synchronous: SynchronousNormal, BusyTimeout: 1500 * time.Microsecond, JournalSizeLimit: -1}, settings{2, 1, -1, 1, 0, "wal"}},
		{Config{Synchronous: SynchronousExtra, BusyTimeout: -1, JournalSizeLimit: 1}, settings{0, 3, 1, 1, 0, "wal"}},
		{Config{Synchronous: SynchronousOff, DisableWAL: true}, settings{5000, 0, 64 << 20, 1, 0, "delete"}},
		{Config{DisableWAL: true}, settings{5000, 3, 64 << 20, 1, 0, "delete"}},
		{Config{DisableWAL: true, Synchronous: SynchronousFull}, settings{5000, 2, 64 << 20, 1, 0, "delete"}},
		{Config{DisableWAL: true, Pragmas: one("synchronous", "full")}, settings{5000, 2, 64 << 20, 1, 0, "delete"}},
		{Config{MaxConns: 1}, settings{5000, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Path: "?vfs=memdb"}, settings{5000, 2, 64 << 20, 1, 0, "memory"}},
		{Config{Path: "?_pragma=busy_timeout(7)&_pragma=synchronous(1)&_pragma=journal_size_limit(0)&_fk=0"}, settings{7, 1, 0, 0, 0, "wal"}},
		{Config{Path: "?_timeout=7&_busy_timeout=8&_sync=0"}, settings{7, 0, 64 << 20, 1, 0, "wal"}},
		{Config{Path: "?_pragma=synchronous&_pragma=busy_timeout&_pragma=foreign_keys"}, settings{5000, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Path: "?_pragma=MAIN.synchronous='normal'", Pragmas: one("synchronous", "extra"), Synchronous: SynchronousOff}, settings{5000, 1, 64 << 20, 1, 0, "wal"}},
		{Config{Pragmas: one("main.synchronous", "1"), Synchronous: SynchronousExtra}, settings{5000, 1, 64 << 20, 1, 0, "wal"}},
		{Config{Pragmas: one("busy_timeout", "0x10")}, settings{16, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Pragmas: one("foreign_keys", "off")}, settings{5000, 2, 64 << 20, 0, 0, "wal"}},
		{Config{Pragmas: one("journal_mode", "truncate")}, settings{5000, 3, 64 << 20, 1, 0, "truncate"}},
		{Config{Pragmas: one("journal_mode", "")}, settings{5000, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Pragmas: one("cache_size", "99")}, settings{5000, 2, 64 << 20, 1, 0, "wal"}},
		{Config{Path: "?_pragma=query_only(on)"}, settings{5000, 3, 64 << 20, 1, 1, "delete"}},
		{Config{Path: "?vfs=memdb", Synchronous: SynchronousNormal}, settings{5000, 1, 64 << 20, 1, 0, "memory"}},
	} {
		cfg := tc.cfg
		cfg.Path = driver.FileURI(filepath.Join(t.TempDir(), "a b.db")) + cfg.Path
		src := planOf(t, cfg)
		got := settingsOf(t, src.writer)
		if got != tc.want {
			t.Errorf("%d: writer %+v, want %+v", i, got, tc.want)
		}
		force := src.config
		busy := int64((max(force.BusyTimeout, 0) + time.Millisecond - 1) / time.Millisecond)
		sync := map[Synchronous]int64{SynchronousOff: 0, SynchronousNormal: 1, SynchronousFull: 2, SynchronousExtra: 3}[force.Synchronous]
		if got.busy != busy || got.sync != sync || got.limit != force.JournalSizeLimit || (got.journal == "wal") == force.DisableWAL {
			t.Errorf("%d: writer %+v, effective %+v", i, got, force)
		}
		if src.readers == 0 {
			continue
		}
		tc.want.queryOnly = 1
		if got := settingsOf(t, src.reader); got != tc.want {
			t.Errorf("%d: reader %+v, want %+v", i, got, tc.want)
		}
	}
}

// TestReaderOnlyReads checks that Begin on a reader asks for no write lock, whatever the DSN
// says about transactions. A reader writes nothing and creates no file.
func TestReaderOnlyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	src := planOf(t, Config{Path: "file:" + path + "?_txlock=exclusive", Pragmas: []driver.Pragma{{Name: "user_version", Value: "7"}}})
	open := func(s source) *sql.DB {
		c, err := s.dsn.NewConnector(s.config)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		t.Cleanup(func() { db.Close() })
		return db
	}
	reader := open(src.reader)
	if err := reader.Ping(); !errors.Is(err, sqlite3.CANTOPEN) {
		t.Errorf("without a file: %v", err)
	}
	writer := open(src.writer)
	if _, err := writer.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	tx, err := writer.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	read, err := reader.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Rollback()
	var version, n int
	if err := read.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != 7 {
		t.Errorf("version %d, %v", version, err)
	}
	if err := read.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Error(err)
	}
	if _, err := read.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.READONLY) {
		t.Errorf("%v", err)
	}
}

// TestPlainNames checks that a plain name names a file, whatever characters it contains.
func TestPlainNames(t *testing.T) {
	t.Chdir(t.TempDir())
	names := []string{"a b.db", "per%cent%20.db", "hash#.db", "plus+.db", "ä.db", "a;b&c=d", "[x]@y:z", "1:2.db", "-", "~x", "'q\"", "dot.", "./dot/../x.db"}
	if runtime.GOOS != "windows" {
		names = append(names, "what?.db", `back\slash`, "new\nline", "tab\t", "\x7f", "localhost", "x\xff")
	}
	if err := os.Mkdir("dot", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for _, name := range []string{name, filepath.Join(t.TempDir(), name)} {
			src := planOf(t, Config{Path: name, MaxConns: 2})
			if src.dsn.File() != name {
				t.Errorf("%q: file %q", name, src.dsn.File())
			}
			settingsOf(t, src.writer)
			if info, err := os.Stat(name); err != nil || info.Size() == 0 {
				t.Errorf("%q: %v", name, err)
			}
			settingsOf(t, src.reader) // would not create another one
		}
	}
}

// TestParseDSN checks that each key sets its field, and that everything else stays as it was
// written.
func TestParseDSN(t *testing.T) {
	for _, tc := range []struct {
		dsn  string
		want Config
	}{
		{"app.db", Config{Path: "app.db"}},
		{"", Config{}},
		{"C:\\a_pool_max=3", Config{Path: "C:\\a_pool_max=3"}},
		{"file:a?", Config{Path: "file:a?"}},
		{"file:a?&&mode=ro&#x?_pool_max=3", Config{Path: "file:a?&&mode=ro&#x?_pool_max=3"}},
		{"file:a?_pool_max=3", Config{Path: "file:a", MaxConns: 3}},
		{"file:a?_pool_max=3#x", Config{Path: "file:a#x", MaxConns: 3}},
		{"file:a?_pragma=cache_size%285%29&_pool_min=2&&mode=ro&%5fpool_max=%33&_txlock=exclusive", Config{Path: "file:a?mode=ro&_txlock=exclusive&_pragma=cache_size%285%29", MinConns: 2, MaxConns: 3}},
		{"file:a?_pool_name=my+pool%21", Config{Path: "file:a", Name: "my pool!"}},
		{"file:a?_pool_acquire_timeout=1500ms&_pool_idle_timeout=90s&_pool_max_lifetime=Never&_pool_busy_timeout=-1",
			Config{Path: "file:a", AcquireTimeout: 1500 * time.Millisecond, IdleTimeout: 90 * time.Second, MaxLifetime: never, BusyTimeout: never}},
		{"file:a?_pool_validate_after=5m&_pool_keepalive=1h&_pool_leak_after=-5s&_pool_health_interval=0",
			Config{Path: "file:a", ValidateAfter: 5 * time.Minute, KeepAlive: time.Hour, LeakAfter: never}},
		{"file:a?_pool_lifetime_jitter=0.25&_pool_max_waiters=9&_pool_events=7&_pool_journal_size_limit=1048576",
			Config{Path: "file:a", LifetimeJitter: 0.25, MaxWaiters: 9, Events: 7, JournalSizeLimit: 1 << 20}},
		{"file:a?_pool_lifetime_jitter=-5&_pool_journal_size_limit=-5", Config{Path: "file:a", LifetimeJitter: -1, JournalSizeLimit: -1}},
		{"file:a?_pool_wal=off&_pool_must_exist=on&_pool_dirty=Fail&_pool_synchronous=NORMAL",
			Config{Path: "file:a", DisableWAL: true, MustExist: true, Dirty: DirtyFail, Synchronous: SynchronousNormal}},
		{"file:a?_pool_synchronous=full", Config{Path: "file:a", Synchronous: SynchronousFull}},
		{"file:a?_pool_synchronous=3&_pool_dirty=repair&_pool_wal=1", Config{Path: "file:a", Synchronous: SynchronousExtra}},
	} {
		got, _, ps := parseDSN(tc.dsn, Config{})
		if err := ps.err(); (err != nil) != (tc.dsn == "") || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", tc.dsn, ps, got, tc.want)
		}
	}
	base := Config{Path: "other", MaxConns: 7, MinConns: 2, DisableWAL: true}
	got, _, ps := parseDSN("file:a?_pool_max=3&_pool_wal=on", base)
	if want := (Config{Path: "file:a", MaxConns: 3, MinConns: 2}); len(ps) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("over a base: %v, %+v", ps, got)
	}
}

// TestParseDSNRefuses checks that the errors in a DSN's pool keys name the key, the value and
// the remedy. One error reports all of them and shows no secret.
func TestParseDSNRefuses(t *testing.T) {
	for dsn, says := range map[string][]string{
		"file:a?_pool_size=3":                                 {`"_pool_size"`, "not known", "_pool_acquire_timeout, ", "_pool_wal"},
		"file:a?_POOL_MAX=3":                                  {`"_POOL_MAX"`, "not known", "_pool_max,"},
		"file:a?_pool_max=3&_pool_max=3":                      {"_pool_max", "more than once", "leave out"},
		"file:a?_pool_max=many":                               {"_pool_max", `"many"`, "whole number"},
		"file:a?_pool_max=-1":                                 {"_pool_max", `"-1"`, "whole number"},
		"file:a?_pool_max":                                    {"_pool_max", `""`, "whole number"},
		"file:a?_pool_max=3;_pragma=textkey(s3cr3t)":          {"_pool_max", "semicolon"},
		"file:a?_pool_max%3Btextkey=s3cr3t":                   {`"_pool_max..."`, "not known"},
		"file:a?_pool_name=":                                  {"_pool_name", `""`, "leave it out"},
		"file:a?_pool_idle_timeout=soon":                      {"_pool_idle_timeout", `"soon"`, "30s", "never"},
		"file:a?_pool_idle_timeout=":                          {"_pool_idle_timeout", `""`, "with a unit", "30s"},
		"file:a?_pool_idle_timeout=9223372037":                {"_pool_idle_timeout", `"9223372037"`, "with a unit"},
		"file:a?_pool_idle_timeout=9223372036854775808":       {"_pool_idle_timeout", "with a unit"},
		"file:a?_pool_idle_timeout=1.5":                       {"_pool_idle_timeout", `"1.5"`, "no unit", "1.5s", "1.5ms"},
		"file:a?_pool_idle_timeout=1m30":                      {"_pool_idle_timeout", "with a unit"},
		"file:a?_pool_lifetime_jitter=NaN":                    {"_pool_lifetime_jitter", `"NaN"`, "fraction"},
		"file:a?_pool_lifetime_jitter=1.1":                    {"_pool_lifetime_jitter", `"1.1"`, "fraction"},
		"file:a?_pool_wal=wal":                                {"_pool_wal", `"wal"`, "on or off"},
		"file:a?_pool_dirty=":                                 {"_pool_dirty", `""`, "repair"},
		"file:a?_pool_synchronous=4":                          {"_pool_synchronous", `"4"`, "extra"},
		"file:a?_pool_journal_size_limit=64MiB":               {"_pool_journal_size_limit", `"64MiB"`, "bytes"},
		"file:a?_pool_min=x&_pool_what=s3cr3t&_pool_events=y": {"_pool_min", "_pool_what", "_pool_events", "\n"},
		"app.db?_pool_max=3":                                  {"write file:app.db?..."},
		"app.db?_pool_max":                                    {"write file:app.db?..."},
		"FILE:app.db?_pool_max=3":                             {"write file:app.db"},
		":memory:?_pool_max=3":                                {"write file::memory:?..."},
	} {
		_, _, ps := parseDSN(dsn, Config{})
		err := ps.err()
		if !errors.Is(err, ErrInvalidConfig) || !errors.Is(err, driver.ErrDSN) {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v\ndoes not say %q", dsn, err, s)
			}
		}
		if strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// TestDSNDurationsNeedUnits checks for every key whose field is a duration: A number without a
// unit is refused, and the error names the key, the value and what to write. Zero, never and
// negative numbers need no unit.
func TestDSNDurationsNeedUnits(t *testing.T) {
	durations := 0
	for key := range dsnKeys {
		d, _, ps := parseDSN("file:a?"+key+"=1h", Config{})
		if ps.err() != nil || reflect.DeepEqual(d, Config{Path: "file:a"}) || d.Name != "" {
			continue // not a duration
		}
		durations++
		for value, says := range map[string][]string{
			"30": {key, `"30"`, "no unit", "30s", "30ms"}, "+5": {key, `"+5"`, "+5s"}, "0.5": {key, `"0.5"`, "0.5s"}, "1h1": {key, "with a unit"},
			"30 s": {key, "with a unit"}, "1e3": {key, "with a unit"}, "": {key, "with a unit"}, "s": {key, "with a unit"}, "forever": {key, "never"},
		} {
			_, err := (&Driver{}).OpenConnector("file:a?" + key + "=" + url.QueryEscape(value))
			if !errors.Is(err, ErrInvalidConfig) || !errors.Is(err, driver.ErrDSN) {
				t.Errorf("%s=%s: %v", key, value, err)
				continue
			}
			for _, s := range says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%s=%s: %v\ndoes not say %q", key, value, err, s)
				}
			}
		}
		for _, value := range []string{"0", "-1", "-30", "never", "1h", "90m", "1.5h"} {
			if _, _, ps := parseDSN("file:a?"+key+"="+value, Config{}); ps.err() != nil {
				t.Errorf("%s=%s: %v", key, value, ps.err())
			}
		}
	}
	if fields := len(durationFields()); durations != fields {
		t.Errorf("%d keys are durations, Config has %d", durations, fields)
	}
}

// durationFields returns the names of the durations of a Config.
func durationFields() []string {
	var names []string
	for f := range reflect.TypeFor[Config]().Fields() {
		if f.Type == reflect.TypeFor[time.Duration]() {
			names = append(names, f.Name)
		}
	}
	return names
}

// formatDSN writes a configuration as a DSN. Its Path must be a URI.
func formatDSN(c Config) string {
	path, fragment, _ := strings.Cut(c.Path, "#")
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	add := func(key, value string, is bool) {
		if is {
			path += sep + key + "=" + url.QueryEscape(value)
			sep = "&"
		}
	}
	add("_pool_name", c.Name, c.Name != "")
	add("_pool_min", strconv.Itoa(c.MinConns), c.MinConns != 0)
	add("_pool_max", strconv.Itoa(c.MaxConns), true)
	add("_pool_max_waiters", strconv.Itoa(c.MaxWaiters), c.MaxWaiters != 0)
	add("_pool_events", strconv.Itoa(c.Events), c.Events != 0)
	for key, d := range map[string]time.Duration{
		"_pool_acquire_timeout": c.AcquireTimeout, "_pool_idle_timeout": c.IdleTimeout, "_pool_max_lifetime": c.MaxLifetime,
		"_pool_busy_timeout": c.BusyTimeout, "_pool_validate_after": c.ValidateAfter, "_pool_keepalive": c.KeepAlive,
		"_pool_leak_after": c.LeakAfter, "_pool_health_interval": c.HealthInterval,
	} {
		add(key, d.String(), d != 0)
	}
	add("_pool_lifetime_jitter", strconv.FormatFloat(c.LifetimeJitter, 'g', -1, 64), c.LifetimeJitter != 0)
	add("_pool_journal_size_limit", strconv.FormatInt(c.JournalSizeLimit, 10), c.JournalSizeLimit != 0)
	add("_pool_must_exist", "true", c.MustExist)
	add("_pool_wal", "off", c.DisableWAL)
	add("_pool_dirty", c.Dirty.String(), c.Dirty != 0)
	add("_pool_synchronous", c.Synchronous.String(), c.Synchronous != 0)
	if fragment != "" {
		path += "#" + fragment
	}
	return path
}

// FuzzParseDSN checks these properties of every DSN: ParseDSN does not panic. The parsed
// configuration can be written as a DSN that parses to the same. If the configuration is valid,
// package driver accepts the DSNs made of it.
func FuzzParseDSN(f *testing.F) {
	for _, dsn := range []string{
		"", ":memory:", "a.db", "a b%?.db", "app.db?_pool_max=3", "file:", "file:a?", "file:a?&_pool_max=3&#x", "file:a%?_pool_max=%zz",
		"file:///a.db?mode=ro&_pool_name=x+y%26&_pool_min=1&_pool_max=4#_pool_events=1", "file:a?_pool_wal=off&_pool_must_exist=1&_txlock=exclusive",
		"file:a?_pool_acquire_timeout=30s&_pool_idle_timeout=-1&_pool_max_lifetime=never&_pool_busy_timeout=90", "file:a?_pool_busy_timeout=90s", "file:/x?vfs=memdb&_pool_events=9",
		"file:a?_pool_lifetime_jitter=1e-3&_pool_dirty=fail&_pool_synchronous=2&_pool_journal_size_limit=-9", "file:a?_pool_lifetime_jitter=-0x1p-2",
		"file::memory:?cache=shared&_pool_max=5", "file:a?_pragma=journal_mode('wal')&_sync=1&_pragma=main.busy_timeout=5&_pool_leak_after=5h&_pool_keepalive=1us",
		`C:\a b\c.db`, "file:C:\\a", "//x/y", "file:a?_pool_validate_after=1s&_pool_health_interval=1m&_pool_max_waiters=3&mode=memory",
	} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		cfg, parsed, ps := parseDSN(dsn, Config{})
		if err := ps.err(); err != nil {
			if !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("%q: %v", dsn, err)
			}
			return
		}
		if strings.HasPrefix(cfg.Path, "file:") {
			again, reparsed, ps := parseDSN(formatDSN(cfg), Config{})
			again.Path, cfg.Path = "", ""
			if len(ps) > 0 || !reflect.DeepEqual(again, cfg) || reparsed.Text() != parsed.Text() {
				t.Fatalf("%q parses as %+v and %q, and again as %+v and %q: %v", dsn, cfg, parsed.Text(), again, reparsed.Text(), ps)
			}
		}
		p, err := newPlan(cfg, parsed, nil)
		if err != nil {
			if !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("%q: %v", dsn, err)
			}
			return
		}
		force := p.config
		force.Path = parsed.Text()
		again, err := force.plan()
		if err != nil {
			t.Fatalf("%q: effective %+v: %v", dsn, force, err)
		}
		again.config.Path, force.Path = "", ""
		if !reflect.DeepEqual(again.config, force) {
			t.Fatalf("%q: effective %+v, and then %+v", dsn, force, again.config)
		}
	})
}

// TestDSNReportsAllErrors checks that one error reports everything that is wrong with a
// DSN, in the pool's keys and in others.
func TestDSNReportsAllErrors(t *testing.T) {
	_, err := (&Driver{}).OpenConnector("file:a.db?_pool_max=x&_fk=maybe&_nonsense=1")
	for _, s := range []string{"_pool_max", "_fk", "_nonsense"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %s", err, s)
		}
	}
	if !errors.Is(err, ErrInvalidConfig) || !errors.Is(err, driver.ErrDSN) {
		t.Error(err)
	}
}
