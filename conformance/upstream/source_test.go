package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fakeGoMod = `module github.com/ncruces/go-sqlite3

go 1.26.0

require (
	example.com/both v1.5.0
	github.com/segmentio/go-hll v1.0.1
	github.com/twmb/murmur3 v1.2.2
)

replace github.com/segmentio/go-hll => github.com/ncruces/segmentio-hll v1.0.2
`

// fakeSource creates modules with the files that are copied.
func fakeSource(t *testing.T, files map[string]string) *source {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{
		"its/go.mod":            fakeGoMod,
		"its/go.sum":            "its sums\n",
		"its/ext/approx/hll.go": "package approx\n",
		"its/tests/my_test.go":  "package tests\n",
		"this/go.mod": "module " + thisModule + "\n\ngo 1.26.0\n\nrequire (\n\texample.com/both v1.4.0\n\texample.com/ours v1.0.0\n\t" +
			upstreamModule + " v0.37.0\n\t" + ourModule + " v0.0.0-00010101000000-000000000000\n)\n",
		"this/go.sum": "our sums\n",
	}
	for file, content := range files {
		all[file] = content
	}
	for file, content := range all {
		if content == "" {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		// Files in the module cache are read-only.
		if err := os.WriteFile(name, []byte(content), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return &source{upstream: filepath.Join(dir, "its"), this: filepath.Join(dir, "this"), ours: filepath.Join(dir, "ours")}
}

func TestCopy(t *testing.T) {
	s := fakeSource(t, nil)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := s.copyTo(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct{ Path, Version string }
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := goJSON(t.Context(), dir, &mod, "mod", "edit", "-json"); err != nil {
		t.Fatal(err)
	}
	required, replaced := make(map[string]string), make(map[string]string)
	for _, r := range mod.Require {
		required[r.Path] = r.Version
	}
	for _, r := range mod.Replace {
		replaced[r.Old.Path] = r.New.Path
	}
	for path, want := range map[string]string{
		"example.com/both":            "v1.5.0",
		"example.com/ours":            "v1.0.0",
		thisModule:                    "v0.0.0",
		ourModule:                     "v0.0.0-00010101000000-000000000000",
		upstreamModule:                "",
		"github.com/segmentio/go-hll": "",
		"github.com/twmb/murmur3":     "",
	} {
		if got := required[path]; got != want {
			t.Errorf("requires %s %q, want %q", path, got, want)
		}
	}
	if len(replaced) != 2 || replaced[thisModule] != s.this || replaced[ourModule] != s.ours {
		t.Errorf("replaces %v", replaced)
	}
	if sums, err := os.ReadFile(filepath.Join(dir, "go.sum")); err != nil || string(sums) != "its sums\nour sums\n" {
		t.Errorf("go.sum is %q, %v", sums, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ext", "approx")); err == nil {
		t.Error("ext/approx exists")
	}
	if test, err := os.ReadFile(filepath.Join(dir, "tests", "my_test.go")); err != nil || string(test) != "package tests\n" {
		t.Errorf("a test is %q, %v", test, err)
	}
}

func TestCopyIsLoud(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"nothing to drop":      {"its/ext/approx/hll.go", "", "to be dropped"},
		"a requirement gone":   {"its/go.mod", strings.Replace(fakeGoMod, "\tgithub.com/twmb/murmur3 v1.2.2\n", "", 1), "go.mod: no requirement of github.com/twmb/murmur3"},
		"another replacement":  {"its/go.mod", fakeGoMod + "\nreplace example.com/both => example.com/fork v1.0.0\n", "go.mod: replaces example.com/both"},
		"nonsense in go.mod":   {"its/go.mod", "nonsense", "go mod edit -json"},
		"no sums to append to": {"its/go.sum", "", "go.sum"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fakeSource(t, map[string]string{c.file: c.content})
			err := s.copyTo(t.Context(), filepath.Join(t.TempDir(), "copy"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
