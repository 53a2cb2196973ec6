package process

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// Variable is the environment variable that lets tests start real servers. If it is empty, they
// skip. With "try" they start what is installed, and skip the rest with a reason. With "must"
// they fail if anything is missing.
const Variable = "SQLITEMW_ENGINES"

// Need skips or fails the test, as [Variable] says, if a real server cannot be started:
// if the system is not Linux, or if missing is not empty. missing are the Debian packages that
// have to be installed.
func Need(t testing.TB, missing ...string) {
	t.Helper()
	mode := os.Getenv(Variable)
	if mode == "" {
		t.Skip("real servers are started by make engines")
	}
	reason := ""
	switch {
	case runtime.GOOS != "linux":
		reason = "real servers need Linux"
	case len(missing) > 0:
		reason = "real servers need more packages: apt-get install " + strings.Join(missing, " ")
	}
	switch {
	case reason == "":
	case mode == "must":
		t.Fatal(reason)
	default:
		t.Skip(reason)
	}
}
