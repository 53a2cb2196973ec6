package engines_test

import (
	"database/sql"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Package wrap registers no name: there are only those of the other drivers.
func TestNoNameIsRegistered(t *testing.T) {
	if got, want := sql.Drivers(), []string{"mysql", "pgx", "pgx/v5", "sqlite"}; !slices.Equal(got, want) {
		t.Errorf("the registered drivers are %q, want %q", got, want)
	}
}

// Package wrap brings no engine along. (modernc.org/sqlite, which the tests
// use, has another package of the same author's; the core has none of those.)
func TestCoreKnowsNoEngine(t *testing.T) {
	const core = "github.com/sqlitemw/sqlitemw/driver/wrap"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", core).Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, core) || !slices.Contains(deps, "github.com/ngrok/sqlmw") {
		t.Fatalf("this is no list of what %s needs: %q", core, deps)
	}
	for _, dep := range deps {
		for _, engine := range []string{"ncruces", "sqlite3", "modernc.org", "jackc", "go-sql-driver"} {
			if strings.Contains(dep, engine) {
				t.Errorf("%s needs %s", core, dep)
			}
		}
	}
}
