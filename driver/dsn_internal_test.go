package driver

import (
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Parsing any name does not panic, and a rendered DSN parses to the same DSN.
func FuzzDSN(f *testing.F) {
	for _, name := range []string{
		"", ":memory:", "a.db", "a b%.db", "file:", "file:a.db", "file:///a.db?mode=ro#x", "file:a.db?_pragma=cache_size(5)&vfs=x",
		"file:a?_pragma=textkey('it''s')&_pragma=b=c", "file:?_txlock=immediate&_timefmt=auto", "file:a?_pragma=main.user_version%3D7",
		"file:a?_fk=1&_stmt_cache_size=3&_time_format=sqlite&_journal=wal", "file:a?_stmt_cache_size=0&nolock=1&_timeout=5&_busy_timeout=7",
		"file::memory:?cache=shared", "file:a%3fb?cache=shared&mode=memory#x", "file:////a?cache=shared&vfs=memdb",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d, err := DSNReader{}.parse(name)
		if err != nil {
			return
		}
		rendered := d.Text()
		again, err := DSNReader{}.parse(rendered)
		if err != nil {
			t.Fatalf("%q renders as %q: %v", name, rendered, err)
		}
		// Other drivers' parameters have become pragmas.
		if want := mergePragmas(d.translated, d.pragmas); !slices.Equal(again.pragmas, want) || len(again.translated) != 0 {
			t.Fatalf("%q renders as %q: pragmas %+v, then %+v", name, rendered, want, again.pragmas)
		}
		size := func(params []string) []string {
			return slices.DeleteFunc(slices.Clone(params), func(p string) bool { return strings.HasPrefix(p, "_stmt_cache_size") })
		}
		if d.uri && again.path != d.path || again.Database() != d.Database() ||
			again.mode != d.mode || again.vfs != d.vfs || again.cache != d.cache || again.tail != d.tail ||
			again.timefmt != d.timefmt || max(again.cacheSize, -1) != max(d.cacheSize, -1) ||
			!slices.Equal(size(again.params), d.params) {
			t.Fatalf("%q renders as %q: %+v, then %+v", name, rendered, d, again)
		}
		if twice := again.Text(); twice != rendered && again.uri {
			t.Fatalf("%q renders as %q, then as %q", name, rendered, twice)
		}
	})
}

// If other drivers have several parameters for one pragma, the same one takes precedence as
// there.
func TestForeignPrecedence(t *testing.T) {
	for name, want := range map[string]string{
		"file:a?_timeout=78&_busy_timeout=5":                               "busy_timeout=78 ",
		"file:a?_busy_timeout=5&_timeout=78":                               "busy_timeout=78 ",
		"file:a?_fk=0&_foreign_keys=1":                                     "foreign_keys=0 ",
		"file:a?_fk=0&_fk=1":                                               "foreign_keys=0 ",
		"file:a?_foreign_keys=0&_foreign_keys=1":                           "foreign_keys=0 ",
		"file:a?_fk=0&_pragma=foreign_keys(1)":                             "foreign_keys=1 ",
		"file:a?_time_format=sqlite&_time_integer_format=unix":             "unix",
		"file:a?_time_integer_format=unix&_time_format=sqlite":             "unix",
		"file:a?_time_integer_format=unix&_timefmt=sqlite":                 "sqlite",
		"file:a?_timefmt=sqlite&_time_integer_format=unix":                 "sqlite",
		"file:a?_time_integer_format=unix&_time_integer_format=unix_milli": "unix",
	} {
		d, err := DSNReader{}.parse(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got strings.Builder
		for _, p := range mergePragmas(d.translated, d.pragmas) {
			got.WriteString(p.Name + "=" + p.Value + " ")
		}
		if f := d.dialect(); f != nil {
			got.WriteString(f.times.unit)
		}
		got.WriteString(d.timefmt)
		if got.String() != want {
			t.Errorf("%s: %q, want %q", name, got.String(), want)
		}
	}
}

func TestNamespace(t *testing.T) {
	for name, want := range map[string]string{
		"":                          ":memory:",
		":memory:":                  ":memory:",
		"file:":                     ":memory:",
		"file::memory:?psow=1":      ":memory:",
		"file:x?mode=memory":        ":memory:",
		"a b%.db":                   "a b%.db",
		"file:a%20b.db?mode=ro#x":   "a b.db",
		"file:///tmp/a.db":          "/tmp/a.db",
		"file://localhost/tmp/a.db": "/tmp/a.db",
		"file:/shared?vfs=memdb":    "/shared",

		"file::memory:?cache=shared":                  ":memory:",
		"file:a%23?mode=memory&cache=shared":          "/a#",
		"file://localhost/b?cache=shared&mode=memory": "/b",
	} {
		d, err := DSNReader{}.parse(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := d.Database(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// The package knows every pragma of this build of SQLite, except deprecated ones.
func TestPragmasAreKnown(t *testing.T) {
	deprecated := strings.Fields("data_store_directory default_cache_size temp_store_directory")
	c, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	names, err := column(c, "SELECT name FROM pragma_pragma_list")
	if err != nil || len(names) < 50 {
		t.Fatalf("%d pragmas, %v", len(names), err)
	}
	for _, name := range names {
		_, known := pragmas[name]
		if !known && !slices.Contains(deprecated, name) {
			t.Errorf("%s is not known", name)
		}
	}
}
