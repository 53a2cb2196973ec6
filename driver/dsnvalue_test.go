package driver_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A DSN reports which database a name means, in which form, and with which settings.
func TestDSNFacts(t *testing.T) {
	for _, tc := range []struct {
		name           string
		database, file string
		memory         bool
		private        bool
	}{
		{"a.db", "a.db", "a.db", false, false},
		{"a b%20.db", "a b%20.db", "a b%20.db", false, false},
		{"file:a%20b.db?mode=ro#x", "a b.db", "a b.db", false, false},
		{"file:///tmp/a.db?vfs=os", "/tmp/a.db", "/tmp/a.db", false, false},
		{"file://localhost/tmp/a.db", "/tmp/a.db", "/tmp/a.db", false, false},
		{"file:a.db?vfs=adiantum", "a.db", "", false, false},
		{"", ":memory:", "", true, true},
		{":memory:", ":memory:", "", true, true},
		{"file:", ":memory:", "", true, true},
		{"file:x?mode=memory", ":memory:", "", true, true},
		{"file::memory:?vfs=os", ":memory:", "", true, true},
		{"file:x?vfs=memdb", ":memory:", "", true, true},
		{"file:/x?vfs=memdb&mode=memory", ":memory:", "", true, true},
		{"file:/x?vfs=memdb", "/x", "", true, false},
		{"file:x?mode=memory&cache=shared", "/x", "", true, false},
		{"file::memory:?cache=shared", ":memory:", "", true, false},
	} {
		d, err := driver.ParseDSN(tc.name)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, d := range []*driver.DSN{d, parsed(t, d.Text()), d.WithPragma(driver.Pragma{Name: "cache_size", Value: "9"})} {
			if d.Database() != tc.database || d.File() != tc.file || d.Memory() != tc.memory || d.Private() != tc.private {
				t.Errorf("%s, as %s: database %q, file %q, in memory %t, private %t", tc.name, d.Text(), d.Database(), d.File(), d.Memory(), d.Private())
			}
		}
	}
}

func parsed(t *testing.T, name string) *driver.DSN {
	t.Helper()
	d, err := driver.ParseDSN(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// If several settings conflict, a DSN reports the one in force.
func TestDSNSettings(t *testing.T) {
	d := parsed(t, "file:a?_timeout=7&_busy_timeout=8&_pragma=temp.synchronous(0)&_pragma=main.Synchronous(1)&_sync=0&immutable=yes&_stmt_cache_size=0&_memory_limit=67108864&mode=ro")
	busy, _ := d.Pragma("busy_timeout")
	sync, _ := d.Pragma("synchronous")
	if n, ok := busy.Int(); n != 7 || !ok || sync.Value != "1" || !sync.On() {
		t.Errorf("busy_timeout %v, synchronous %v", busy, sync)
	}
	if p, ok := d.Pragma("journal_mode"); ok {
		t.Errorf("journal_mode %v", p)
	}
	if mode, ok := d.Param("mode"); mode != "ro" || !ok || !d.On("immutable") || d.On("nolock") || d.StatementCache() != -1 || d.MemoryLimit() != 64<<20 {
		t.Errorf("mode %q, immutable %t, %d statements, %d bytes", mode, d.On("immutable"), d.StatementCache(), d.MemoryLimit())
	}
	if vfs, ok := d.Param("vfs"); ok {
		t.Errorf("vfs %q", vfs)
	}
}

// A change returns another DSN, equal to one parsed from the changed name.
func TestDSNChanges(t *testing.T) {
	d := parsed(t, "file:a b?mode=rwc&_txlock=immediate&_fk=1&_pragma=user_version(3)#x")
	before := d.Text()
	for got, want := range map[string]string{
		d.With("mode", "ro").Text():      "file:a b?_txlock=immediate&mode=ro&_pragma=foreign_keys%281%29&_pragma=user_version%283%29#x",
		d.Without("mode").Text():         "file:a b?_txlock=immediate&_pragma=foreign_keys%281%29&_pragma=user_version%283%29#x",
		d.Without("_txlock").Text():      "file:a b?mode=rwc&_pragma=foreign_keys%281%29&_pragma=user_version%283%29#x",
		d.WithMemory("m").Text():         "file:///:memory:/m?mode=rwc&_txlock=immediate&vfs=memdb&_pragma=foreign_keys%281%29&_pragma=user_version%283%29#x",
		parsed(t, "c%").Text():           "c%",
		parsed(t, "c%").Without().Text(): "file:c%25",
		d.WithoutPragmas(func(p driver.Pragma) bool { return p.IsMain("foreign_keys") }).Text(): "file:a b?mode=rwc&_txlock=immediate&_pragma=user_version%283%29#x",
	} {
		if got != want || parsed(t, got).Text() != got {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if d.Text() != before {
		t.Errorf("%s has become %s", before, d.Text())
	}
}

// String shows no secret; Text returns the whole DSN.
func TestDSNString(t *testing.T) {
	const secret = "s3cr3t"
	d := parsed(t, "file:a.db?vfs=adiantum&_pragma=textkey("+secret+")")
	if s := d.String(); s != "a.db?..." || !strings.Contains(d.Text(), secret) {
		t.Errorf("%q of %q", s, d.Text())
	}
	if s := parsed(t, "a.db").String(); s != "a.db" {
		t.Errorf("%q", s)
	}
}

// Param reads another package's parameters, and the DSN does not keep them.
func TestDSNReaderParam(t *testing.T) {
	got := map[string]string{}
	r := driver.DSNReader{Param: func(key, value string) (bool, error) {
		if key == "mine_bad" {
			return true, errors.New("mine_bad cannot be")
		}
		if !strings.HasPrefix(key, "mine_") {
			return false, nil
		}
		got[key] = value
		return true, nil
	}}
	d, err := r.Parse("file:a?mine_x=1%262&mode=ro&mine_y")
	if err != nil || d.Text() != "file:a?mode=ro" || len(got) != 2 || got["mine_x"] != "1&2" {
		t.Errorf("%v, %v, %v", d, got, err)
	}
	_, err = r.Parse("file:a?mine_bad=1&_fk=maybe")
	if err == nil || !errors.Is(err, driver.ErrDSN) || !strings.Contains(err.Error(), "mine_bad") || !strings.Contains(err.Error(), "_fk") {
		t.Errorf("%v", err)
	}
	if _, err = r.Parse("file:a?mine_bad=1"); !errors.Is(err, driver.ErrDSN) {
		t.Errorf("%v", err)
	}
}
