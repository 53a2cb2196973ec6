package bridge_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/conformance/upstream/bridge"
	"github.com/sqlitemw/sqlitemw/driver"
)

// TestOpen opens databases in every way, one after the other, because the counts belong to the
// process.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(bridge.EnvDir, dir)
	t.Setenv(bridge.EnvTrace, "1")
	bridge.Count("some/package")

	counts := func() bridge.Counts {
		t.Helper()
		got, err := bridge.Read(dir, "some/package")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	use := func(db *sql.DB, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if driver.ConnectorOf(db) == nil {
			t.Errorf("opened by %T", db.Driver())
		}
		if _, err := db.Exec("SELECT 1"); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}

	if got := counts(); got != (bridge.Counts{}) {
		t.Errorf("%+v before anything was opened", got)
	}
	use(bridge.Open(":memory:"))
	if got := counts(); got != (bridge.Counts{Connections: 1, Traced: true}) {
		t.Errorf("%+v after a name", got)
	}
	use(bridge.Watch(sql.Open("sqlitemw", ":memory:")))
	if got := counts().Connections; got != 2 {
		t.Errorf("%d connections after sql.Open", got)
	}

	var called []string
	note := func(name string) func(*sqlite3.Conn) error {
		return func(*sqlite3.Conn) error {
			called = append(called, name)
			return nil
		}
	}
	use(bridge.Open(":memory:", note("init")))
	use(bridge.Open(":memory:", nil, note("term")))
	use(bridge.Open(":memory:", nil, nil))
	if len(called) != 2 || called[0] != "init" || called[1] != "term" {
		t.Errorf("called %v", called)
	}
	if got := counts().Connections; got != 5 {
		t.Errorf("%d connections after callbacks", got)
	}

	failing := errors.New("not this one")
	db, err := bridge.Open(":memory:", func(*sqlite3.Conn) error { return failing })
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("SELECT 1"); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	if got := counts().Connections; got != 5 {
		t.Errorf("%d connections after one that failed", got)
	}
	if other, err := bridge.Read(dir, "some/other"); err != nil || other != (bridge.Counts{}) {
		t.Errorf("another package: %+v, %v", other, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := bridge.Open(":memory:", nil, nil, nil); !errors.Is(err, sqlite3.MISUSE) {
		t.Errorf("three callbacks: %v", err)
	}
	if _, err := bridge.Open("file::memory:?_nonsense=1"); !errors.Is(err, driver.ErrDSN) {
		t.Errorf("by name: %v", err)
	}
	fn := func(*sqlite3.Conn) error { return nil }
	if _, err := bridge.Open("file::memory:?_nonsense=1", fn); !errors.Is(err, driver.ErrDSN) {
		t.Errorf("by connector: %v", err)
	}
}

// TestWatchPlain checks that the plain driver cannot be tested by mistake.
func TestWatchPlain(t *testing.T) {
	db, err := sqlite3driver.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	defer func() {
		if what := fmt.Sprint(recover()); !strings.Contains(what, "not of sqlitemw's") {
			t.Errorf("the plain driver's database: %s", what)
		}
	}()
	bridge.Watch(db, nil)
}
