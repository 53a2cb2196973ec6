package main

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tiny writes a module of one test package, with a stand-in for a driver.
func tiny(t *testing.T, driver string) *variant {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"go.mod":           "module " + upstreamModule + "\n\ngo 1.26.0\n",
		"tests/driver.go":  "package tests\n\nfunc answer() int { return " + driver + " }\n",
		"tests/my_test.go": "package tests\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) {\n\tif got := answer(); got != 42 {\n\t\tt.Errorf(\"got %d\", got)\n\t}\n}\n\nfunc TestOther(*testing.T) {}\n\nfunc Example_http() { panic(\"there is no Internet\")\n\t// Output:\n}\n",
	} {
		name := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return &variant{name: "tiny", dir: dir}
}

// TestARegressionIsCaught uses go test to run a test that passes on one driver and fails on
// another.
func TestARegressionIsCaught(t *testing.T) {
	packages := []string{"tests"}
	good, bad := tiny(t, "42"), tiny(t, "41")
	for _, v := range []*variant{good, bad} {
		if err := v.test(t.Context(), options{}, packages, io.Discard); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(v.results[importPath("tests")].tests)); !slices.Equal(got, []string{"TestAnswer", "TestOther"}) {
			t.Errorf("ran %v", got)
		}
	}
	s := &summary{title: "tiny", packages: packages, plain: good, ours: []*variant{bad}, partial: true}
	var out strings.Builder
	err := s.print(&out)
	if err == nil || err.Error() != "tiny: 1 regressions" {
		t.Errorf("got %v", err)
	}
	if want := "FAIL tests.TestAnswer: passes over the plain driver and fails over ours"; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "got 41") {
		t.Errorf("got\n%s", out.String())
	}

	// The same results twice are not a regression.
	s.ours = []*variant{good}
	if err := s.print(io.Discard); err != nil {
		t.Error(err)
	}
}

func TestRunSelects(t *testing.T) {
	v := tiny(t, "41")
	if err := v.test(t.Context(), options{run: "Other"}, []string{"tests"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	p := v.results[importPath("tests")]
	if p.verdict != pass || p.of("TestOther") != pass || p.of("TestAnswer") != none {
		t.Errorf("%v: TestOther %v, TestAnswer %v", p.verdict, p.of("TestOther"), p.of("TestAnswer"))
	}
}

func TestVerbose(t *testing.T) {
	var progress strings.Builder
	if err := tiny(t, "41").test(t.Context(), options{verbose: true}, []string{"tests"}, &progress); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(progress.String(), "got 41") {
		t.Errorf("got %s", progress.String())
	}
}

// TestNoAnswer checks that tests that cannot be run cause an error, not an empty result.
func TestNoAnswer(t *testing.T) {
	v := tiny(t, "42")
	if err := os.WriteFile(filepath.Join(v.dir, "go.mod"), []byte("nonsense\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := v.test(t.Context(), options{}, []string{"tests"}, io.Discard); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a bad go.mod: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tiny(t, "42").test(ctx, options{}, []string{"tests"}, io.Discard); err == nil {
		t.Error("no error for an ended context")
	}
}
