package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOrder checks that a reference to an earlier file is found, and so is a file that the
// reading order does not have.
func TestOrder(t *testing.T) {
	files := map[string]string{
		"go.mod": "module m\n\ngo 1.26.0\n",
		"doc.go": "// Package m is for a test.\n//\n// Files in reading order: a.go,\n// b.go and c.go.\n//\n// More.\npackage m\n",
		"a.go":   "package m\n\ntype A struct{ b *B }\n\nfunc (a *A) run() { a.b.run(limit) }\n",
		"b.go":   "package m\n\ntype B struct{}\n\nfunc (*B) run(n int) { last[int]() }\n",
		"c.go":   "package m\n\nconst limit = 1\n\nfunc last[T any]() {}\n",
	}
	for name, test := range map[string]struct {
		file, text string
		most       float64
		want       string // in the error; empty for none
	}{
		"in order":             {"c.go", files["c.go"], 0, ""},
		"a type":               {"c.go", "package m\n\nconst limit = 1\n\nfunc last[T any]() { var _ A }\n", 0, "c.go uses A of a.go"},
		"a field":              {"c.go", "package m\n\nconst limit = 1\n\nfunc last[T any]() {}\n\nfunc field(a interface{ get() *A }) { _ = a.get().b }\n", 0, "c.go uses A, b of a.go"},
		"few enough":           {"c.go", "package m\n\nconst limit = 1\n\nfunc last[T any]() { var _ A }\n", 25, ""},
		"a method":             {"b.go", "package m\n\ntype B struct{ next interface{ again() } }\n\nfunc (*B) run(n int) { (*A).run(nil) }\n", 0, "b.go uses A, run of a.go"},
		"a file not listed":    {"d.go", "package m\n", 0, "d.go is not in the reading order"},
		"a file that is gone":  {"doc.go", "// Package m is for a test.\n//\n// Files in reading order: a.go, b.go, c.go and e.go.\npackage m\n", 0, "no such file"},
		"a file listed twice":  {"doc.go", "// Package m is for a test.\n//\n// Files in reading order: a.go, b.go, c.go and a.go.\npackage m\n", 0, "twice"},
		"no order in comments": {"doc.go", "package m\n", 0, "not in the reading order"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range files {
				if file == test.file {
					text = test.text
				}
				write(t, dir, file, text)
			}
			write(t, dir, test.file, test.text)
			_, err := check(dir, ".", test.most)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("the error is %v, and must say %q", err, test.want)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
