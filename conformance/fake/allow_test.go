package fake_test

import (
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// An allowed difference must not be visible to the program, unless it is Visible. An allowance
// that never applies is reported.
func TestAllowances(t *testing.T) {
	if testing.Short() {
		t.Skip("a part of the suite cannot show which allowances are stale")
	}
	everywhere := func(conformance.Setup) bool { return true }
	for _, tc := range []struct {
		name       string
		conn       func(driver.Conn) driver.Conn
		allowed    conformance.Allowance
		difference bool
		deviation  bool
	}{
		{"the calls of the driver", full(func(c fullConn) driver.Conn { return noIsolation{c} }),
			conformance.Allowance{Reason: "a reason", Where: everywhere}, true, true},
		{"elsewhere", full(func(c fullConn) driver.Conn { return noIsolation{c} }),
			conformance.Allowance{Reason: "a reason", Where: func(s conformance.Setup) bool { return s.Conn.Name == "none" }}, true, false},
		{"what the program sees", full(func(c fullConn) driver.Conn { return noBegin{c} }),
			conformance.Allowance{Reason: "a reason", Where: everywhere}, true, false},
		{"what the program may see", full(func(c fullConn) driver.Conn { return noBegin{c} }),
			conformance.Allowance{Reason: "a reason", Where: everywhere, Visible: true}, true, true},
		{"what is left open", full(func(c fullConn) driver.Conn { return closingTwice{c} }),
			conformance.Allowance{Reason: "a reason", Where: everywhere, Visible: true}, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			results := conformance.Check(t, conformance.Target{
				Name: "liar", Wrap: wrapping(tc.conn), Allowed: []conformance.Allowance{tc.allowed},
				Cases: func(c conformance.Case) bool { return c.ID() == "interfaces/begin" },
			})
			r := results[0]
			if (r.Difference != "") != tc.difference || (r.Deviation != "") != tc.deviation {
				t.Errorf("difference %q, deviation %q", r.Difference, r.Deviation)
			}
		})
	}

	results := conformance.Check(t, conformance.Target{
		Name: "honest", Wrap: wrapping(func(c driver.Conn) driver.Conn { return c }),
		Allowed: []conformance.Allowance{{Reason: "a reason", Where: everywhere}},
		Cases:   func(c conformance.Case) bool { return c.ID() == "interfaces/begin" },
	})
	if n := len(results); n != 2 || results[1].Difference != "" || results[1].Deviation != "a reason" {
		t.Errorf("an allowance that nothing shows must be reported, but there are %d results: %v", n, results[1:])
	}
}

// An error of Done is a difference.
func TestDone(t *testing.T) {
	var mu sync.Mutex
	made := 0
	results := conformance.Check(t, conformance.Target{
		Name: "mine",
		Wrap: wrapping(func(c driver.Conn) driver.Conn { return c }),
		Done: func(c conformance.Case, wrapped driver.Connector) error {
			mu.Lock()
			defer mu.Unlock()
			made++
			if _, ok := wrapped.(connector); !ok || c.ID() != "interfaces/ping" {
				t.Errorf("Done must get the case and the result of Wrap, but got %s and %T", c.ID(), wrapped)
			}
			if made == 5 {
				return errors.New("a span is open")
			}
			return nil
		},
		Cases: func(c conformance.Case) bool { return c.ID() == "interfaces/ping" },
	})
	if len(results) != 1 || !strings.Contains(results[0].Difference, "a span is open") {
		t.Errorf("got %v", results)
	}
}
