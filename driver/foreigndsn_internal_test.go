package driver

import (
	"errors"
	"strings"
	"testing"
)

// DSNs of other drivers are translated, or refused with [ErrDSN]. A translated DSN does not
// change when it is translated again, and names the same file.
func FuzzTranslate(f *testing.F) {
	for _, name := range []string{
		"", "a.db", ":memory:", ":memory:?_fk=1", "a b%20c.db?_journal=WAL&cache=shared", "file:a.db?cache=shared&mode=rwc&_busy_timeout=500",
		"file::memory:?cache=shared", "file://localhost/a%2525.db#x?_fk=1", "file:a%zz%00b.db", "?_fk=1", "a.db?", "a.db?%zz", "a.db?a;b",
		"file:a.db?vfs=memdb&x=y", "file:a.db?_pragma=foreign_keys(1)&_pragma=journal_mode=wal&_txlock=IMMEDIATE&_time_format=sqlite",
		"a.db?_loc=auto&_timezone=UTC&_inttotime=1&_dqs=0&_defensive=1&_compat=modernc", "C:\\a.db?_fk=on", "a.db?_pool_max=3&_memory_limit=1048576",
	} {
		f.Add(name, true)
		f.Add(name, false)
	}
	f.Fuzz(func(t *testing.T, name string, mattn bool) {
		compat := CompatModernc
		if mattn {
			compat = CompatMattn
		}
		once, err := translate(name, compat)
		if err != nil {
			if !errors.Is(err, ErrDSN) {
				t.Fatalf("%q: %v", name, err)
			}
			return
		}
		twice, err := translate(once, CompatNone)
		if err != nil || twice != once {
			t.Fatalf("%q becomes %q, and then %q, %v", name, once, twice, err)
		}
		d, err := DSNReader{}.parse(once)
		if err != nil {
			if !errors.Is(err, ErrDSN) {
				t.Fatalf("%q becomes %q: %v", name, once, err)
			}
			return
		}
		if strings.Contains(name, "_compat=") || strings.Contains(name, behaviorParam) || strings.HasPrefix(name, "file:") {
			return
		}
		path := name
		if i := strings.IndexByte(name, '?'); i >= 1 {
			path = name[:i]
		}
		if got := d.filename(); got != path {
			t.Fatalf("%q becomes %q, of %q", name, once, got)
		}
	})
}
