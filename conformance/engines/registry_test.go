package engines_test

import (
	"database/sql"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Package wrap registers no name. Only the other drivers' names are registered.
func TestNoNameIsRegistered(t *testing.T) {
	if got, want := sql.Drivers(), []string{"mysql", "pgx", "pgx/v5", "sqlite"}; !slices.Equal(got, want) {
		t.Errorf("the registered drivers are %q, want %q", got, want)
	}
}

// Package wrap imports no engine. (modernc.org/sqlite, which the tests use, depends on other
// modernc.org packages. Package wrap depends on none of those, either.)
func TestCoreKnowsNoEngine(t *testing.T) {
	const core = "github.com/sqlitemw/sqlitemw/driver/wrap"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", core).Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, core) || !slices.Contains(deps, "github.com/ngrok/sqlmw") {
		t.Fatalf("not a list of the dependencies of %s: %q", core, deps)
	}
	for _, dep := range deps {
		for _, engine := range []string{"ncruces", "sqlite3", "modernc.org", "jackc", "go-sql-driver"} {
			if strings.Contains(dep, engine) {
				t.Errorf("%s needs %s", core, dep)
			}
		}
	}
}
