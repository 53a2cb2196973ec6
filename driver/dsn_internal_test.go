package driver

import (
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Whatever the name, reading it does not panic, and what is rendered of it
// reads as the same again.
func FuzzDSN(f *testing.F) {
	for _, name := range []string{
		"", ":memory:", "a.db", "a b%.db", "file:", "file:a.db", "file:///a.db?mode=ro#x", "file:a.db?_pragma=cache_size(5)&vfs=x",
		"file:a?_pragma=textkey('it''s')&_pragma=b=c", "file:?_txlock=immediate&_timefmt=auto", "file:a?_pragma=main.user_version%3D7",
		"file::memory:?cache=shared", "file:a%3fb?cache=shared&mode=memory#x", "file:////a?cache=shared&vfs=memdb",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d, err := parseDSN(name)
		if err != nil {
			return
		}
		rendered := d.render(d.pragmas)
		again, err := parseDSN(rendered)
		if err != nil {
			t.Fatalf("%q renders as %q: %v", name, rendered, err)
		}
		if len(again.pragmas) != len(d.pragmas) {
			t.Fatalf("%q renders as %q: pragmas %+v, then %+v", name, rendered, d.pragmas, again.pragmas)
		}
		for i, p := range d.pragmas {
			if again.pragmas[i] != p {
				t.Fatalf("%q renders as %q: pragma %+v, then %+v", name, rendered, p, again.pragmas[i])
			}
		}
		if again.mode != d.mode || again.vfs != d.vfs || strings.Join(again.params, "&") != strings.Join(d.params, "&") || again.tail != d.tail {
			t.Fatalf("%q renders as %q: %+v, then %+v", name, rendered, d, again)
		}
		if twice := again.render(again.pragmas); twice != rendered && len(d.pragmas) > 0 {
			t.Fatalf("%q renders as %q, then as %q", name, rendered, twice)
		}
	})
}

func TestNamespace(t *testing.T) {
	for name, want := range map[string]string{
		"":                          ":memory:",
		":memory:":                  ":memory:",
		"file:":                     ":memory:",
		"file::memory:?x=1":         ":memory:",
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
		d, err := parseDSN(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := d.namespace(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Every pragma that this build of SQLite has is known, but for those that it has
// only kept for old programs.
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
