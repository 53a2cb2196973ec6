package compat

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

var differencesFile = flag.String("differences", "", "write all differences that the table does not allow to a `file`, or print them for -")

// least is the minimum number of programs for each driver. It guards against a list that has
// lost entries.
const least = 500

// TestPrograms plays all programs over each of our drivers. It compares what they see with what
// the imitated driver sees.
//
// Each driver also writes files, which all others read. In each file, ours must see the same as
// theirs. Theirs must see the same in our files as in their own.
func TestPrograms(t *testing.T) {
	skipShort(t)
	files := t.TempDir()
	for _, d := range all {
		if d.built() {
			dir := filepath.Join(files, d.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			d.play(t, "-write", dir)
		}
	}
	var mu sync.Mutex
	var unexpected strings.Builder
	t.Run("driver", func(t *testing.T) {
		for _, d := range all {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				d.theirs().need(t)
				if n := len(d.outcomes(t)); n < least {
					t.Errorf("%d programs are fewer than %d", n, least)
				}
				read := d.play(t, "-files", files, "-run", "^files/")
				diffs := compareFiles(read)
				if theirs := d.theirs(); theirs != d {
					diffs = append(diffs, compare(theirs.outcomes(t), d.outcomes(t))...)
					diffs = append(diffs, compare(theirs.play(t, "-files", files, "-run", "^files/"), read)...)
				}
				unknown, used := judge(d.name, diffs, differences)
				report(t, d.name, unknown)
				for _, entry := range unused(d.name, differences, used) {
					t.Errorf("the table says that %+v differs, but it does not", entry)
				}
				t.Logf("%d programs, %d lines differ, %d entries of the table used", len(d.outcomes(t))+len(read), len(diffs), len(used))
				mu.Lock()
				defer mu.Unlock()
				for _, x := range unknown {
					fmt.Fprintf(&unexpected, "%s: %v\n", d.name, x)
				}
			})
		}
	})
	switch *differencesFile {
	case "":
	case "-":
		fmt.Print(unexpected.String())
	default:
		if err := os.WriteFile(*differencesFile, []byte(unexpected.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// compareFiles compares what a driver sees in our files with what it sees in those of the
// imitated driver.
func compareFiles(outcomes []player.Outcome) []diff {
	byWriter := map[string][]player.Outcome{}
	for _, o := range outcomes {
		rest, ok := strings.CutPrefix(o.Program, "files/")
		if !ok {
			continue
		}
		writer, file, _ := strings.Cut(rest, "/")
		o.Program = file
		byWriter[writer] = append(byWriter[writer], o)
	}
	var diffs []diff
	for _, d := range ours {
		theirs, ok := byWriter[d.theirs().name]
		if !ok {
			continue // there is no C compiler
		}
		for _, x := range compare(theirs, byWriter[d.name]) {
			x.program = "files of " + d.name + "/" + x.program
			diffs = append(diffs, x)
		}
	}
	return diffs
}
