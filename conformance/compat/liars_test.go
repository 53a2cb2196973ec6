package compat

import (
	"regexp"
	"slices"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

// liars are drivers around modernc's, each with one fault. The pattern matches the programs
// that must notice it.
var liars = map[string]string{
	"no-busy-timeout":     `^dsn/.*_busy_timeout=1234`,
	"no-txlock":           `^transactions/txlock/immediate`,
	"no-defensive":        `^dsn/.*_defensive=1"`,
	"no-dqs":              `^dsn/.*_dqs=0"`,
	"no-inttotime":        `^times/read/1777638896\?`,
	"no-timezone":         `^times/write/utc\?`,
	"lenient":             `^dsn/.*maybe`,
	"unescaped-names":     `^dsn/"a%`,
	"times-written-in-z":  `^times/write/utc\?`,
	"times-read-as-texts": `^times/read/'2026-05-01'`,
	"times-read-in-utc":   `^times/read/'2026-05-01 12:34:56.5\+02:00'`,
	"boolean":             `^types/column/BOOLEAN`,
	"empty-blobs":         `^types/value/empty blob`,
	"texts-as-bytes":      `^types/value/text$`,
	"texts-trimmed":       `^types/value/text with NUL`,
	"isolation":           `^transactions/level/`,
	"read-only-enforced":  `^transactions/level/`,
	"no-id":               `^statements/results`,
	"no-row-count":        `^statements/results`,
	"first-statement":     `^statements/"INSERT`,
	"other-error-texts":   `^errors/unique`,
	"no-error-codes":      `^errors/unique`,
	"wrapped-contexts":    `^contexts/cancelled before`,
	"late-errors":         `^statements/an error at the first row`,
	"lazy-queries":        `^statements/returning, not read`,
	"excess-arguments":    `^statements/"SELECT \?" \[1 2\]`,
	"type-names":          `^columns/VARCHAR`,
	"scan-types":          `^columns/INTEGER`,
	"nullable":            `^columns/INTEGER`,
}

// TestLiars plays programs over drivers with a fault, which must be noticed, and over one
// without.
func TestLiars(t *testing.T) {
	skipShort(t)
	liar := func(name string) *driver { return newDriver(name, player.Modernc, "modernc,liars") }
	truth := modernc.outcomes(t)
	for _, x := range compare(truth, liar("honest").play(t)) {
		t.Errorf("a driver without a fault differs: %v", x)
	}
	for name, pattern := range liars {
		t.Run(name, func(t *testing.T) {
			programs := regexp.MustCompile(pattern)
			told := slices.DeleteFunc(slices.Clone(truth), func(o player.Outcome) bool { return !programs.MatchString(o.Program) })
			if len(told) == 0 {
				t.Fatalf("no program matches %s", pattern)
			}
			diffs := compare(told, liar(name).play(t, "-run", pattern))
			if len(diffs) == 0 {
				t.Errorf("none of %d programs has noticed the fault", len(told))
			} else {
				t.Logf("%d lines differ, the first: %v", len(diffs), diffs[0])
			}
		})
	}
}
