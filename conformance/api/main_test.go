package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A name that is added, removed or changed must be found, and nothing else.
func TestListing(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const source = `package a

import "io"

// Kind is exported.
type Kind uint8

const One Kind = 1

type Reader = io.Reader

type Face interface {
	M(a int) error
	hidden()
}

type T struct {
	A, b int
	inner
}

type inner struct{}

func (inner) Promoted()     {}
func (*T) Method(s ...string) (n int, err error) { return 0, nil }
func (T) hidden()           {}
func New[V any](v V) *T     { return nil }

var V, v = 1, 2
`
	write("go.mod", "module "+module+"\n\ngo 1.26.0\n")
	write("a/a.go", source)
	if err := run(root, false); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, ".api", "a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"const One Kind = 1", "func New[V any](v V) *T", "method (T) Method(s ...string) (n int, err error)", "method (T) Promoted()",
		"type Face interface", "type Face interface, func (Face).M(a int) error", "type Kind uint8", "type Reader = io.Reader",
		"type T struct", "type T struct, A int", "var V int",
	} {
		if !strings.Contains(string(got), line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, got)
		}
	}
	for _, name := range []string{"hidden", "inner", "b int", "v int"} {
		if strings.Contains(string(got), name) {
			t.Errorf("%q must not be listed in\n%s", name, got)
		}
	}
	if err := run(root, true); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	for change, line := range map[string][2]string{
		"a.txt: - var V int":               {"var V, v = 1, 2", ""},
		"a.txt: + func F()":                {"var V, v = 1, 2", "var V, v = 1, 2\nfunc F() {}"},
		"a.txt: + type T struct, A string": {"A, b int", "A string; b int"},
	} {
		write("a/a.go", strings.Replace(source, line[0], line[1], 1))
		if err := run(root, true); err == nil || !strings.Contains(err.Error(), change) {
			t.Errorf("%v does not contain %q", err, change)
		}
	}
}
