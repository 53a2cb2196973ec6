package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestRunnerFindsADifference runs the tests of a module that fail with one of two drivers.
func TestRunnerFindsADifference(t *testing.T) {
	r := runner{
		app: application{
			name:   "tiny",
			module: module{"example.com/tiny", "v1.0.0"},
			driver: modernc,
			suites: []suite{{packages: []string{"./..."}, args: []string{"-skip=TestSlow"}, env: []string{"TINY=1"}}},
		},
		dir:     t.TempDir(),
		timeout: time.Minute,
		out:     io.Discard,
	}
	theirs, ours := variant{name: "theirs"}, r.app.variants(false)[0]
	for driver, v := range map[string]variant{"sqlite": theirs, "sqlitemw-modernc": ours} {
		dir := r.place(v, r.app.module)
		write(t, dir, "go.mod", "module example.com/tiny\n\ngo 1.26.0\n")
		write(t, dir, "tiny_test.go", fmt.Sprintf(`package tiny

import (
	"os"
	"testing"
)

func TestDriver(t *testing.T) {
	if driver := %q; driver != "sqlite" {
		t.Error("it is", driver)
	}
}

func TestEnvironment(t *testing.T) {
	if os.Getenv("TINY") != "1" {
		t.Error("not set")
	}
}

func TestSlow(t *testing.T) { t.Error("not skipped") }
`, driver))
	}
	wanted, err := r.test(theirs, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.test(ours, "")
	if err != nil {
		t.Fatal(err)
	}
	if wanted.count(passed) != 2 || got.count(passed) != 1 || got.count(failed) != 1 {
		t.Errorf("theirs: %v; ours: %v", wanted, got)
	}
	ds := compare(wanted, got)
	if want := "[example.com/tiny: passes on theirs, fails on ours example.com/tiny TestDriver: passes on theirs, fails on ours]"; fmt.Sprint(ds) != want {
		t.Fatalf("got %v, want %s", ds, want)
	}
	if out := got[ds[1].test].output.String(); !strings.Contains(out, "it is sqlitemw-modernc") {
		t.Errorf("output %q", out)
	}
	if err := r.checkLinked(ours); err != nil {
		t.Errorf("checkLinked of tests without a driver: %v", err)
	}
	contains := r
	contains.app.driver.path = "os"
	if err := contains.checkLinked(ours); err == nil {
		t.Error("no error for a package that the tests contain")
	}
	again, err := r.test(ours, topLevel(ds))
	if err != nil || again.of(test{"example.com/tiny", "TestEnvironment"}) != notRun {
		t.Errorf("again: %v, %v", again, err)
	}

	write(t, r.place(ours, r.app.module), "go.mod", "nonsense\n")
	if _, err := r.test(ours, ""); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a module that go test cannot read: %v", err)
	}
}

func TestChoose(t *testing.T) {
	if got, err := choose(nil); err != nil || len(got) != len(applications) {
		t.Errorf("got %d applications, %v", len(got), err)
	}
	if got, err := choose([]string{"openfga", "goqite"}); err != nil || len(got) != 2 || got[0].name != "openfga" || got[1].name != "goqite" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := choose([]string{"goqite", "gopher"}); err == nil {
		t.Error("no error for an unknown application")
	}
}

func TestIndent(t *testing.T) {
	if got, want := indent("one\ntwo\n"), "      one\n      two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Count(indent(strings.Repeat("line\n", 100)), "\n"); got != 41 {
		t.Errorf("%d lines", got)
	}
}

// TestFilesOfABridge checks that only the files of the variant are added to the application.
func TestFilesOfABridge(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "testdata/tiny", "ours/a/b/bridge.go", "package b\n\nvar ours = 1\n")
	write(t, "testdata/tiny", "pool/a/b/bridge.go", "package b\n")
	write(t, "app", "a/b/app.go", "package b\n")
	r := runner{app: application{name: "tiny"}}
	changes, err := r.addFiles("ours", "app")
	if got, want := fmt.Sprint(changes), "[a/b/bridge.go: new, 3 lines]"; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if got := read(t, "app", "a/b/bridge.go"); !strings.Contains(got, "ours") {
		t.Errorf("got %q", got)
	}
	if changes, err := r.addFiles("all", "app"); err != nil || len(changes) != 0 {
		t.Errorf("no files: got %v, %v", changes, err)
	}
}
