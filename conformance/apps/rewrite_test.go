package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var ofMattn = rewriting{
	theirName: mattn.name, ourName: mattn.ours,
	theirPackage: mattn.path, ourPackage: ourModule + "/driver",
}

const program = `package store

import (
	"database/sql"

	_ "github.com/mattn/go-sqlite3" // the driver
	"github.com/pressly/goose/v3"
)

// open calls sql.Open("sqlite3", dsn).
func open(dsn string) {
	sql.Open("sqlite3", dsn)
	goose.SetDialect("sqlite3")
	x.Must(sqlx.Open("sqlite3", "sqlite3")); sql.Open("sqlite", dsn)
	sql.Open(name, dsn)
	Open("sqlite3")
}
`

// TestRewritingChangesOneWord compares every line of a rewritten program with the expected one.
func TestRewritingChangesOneWord(t *testing.T) {
	got, changes, err := ofMattn.source("store.go", []byte(program))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		`_ "github.com/mattn/go-sqlite3"`, `_ "github.com/sqlitemw/sqlitemw/driver"`,
		"\tsql.Open(\"sqlite3\"", "\tsql.Open(\"sqlitemw-mattn\"",
		`sqlx.Open("sqlite3"`, `sqlx.Open("sqlitemw-mattn"`,
	).Replace(program)
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%d %s", c.line, c.old))
	}
	if want := []string{`6 "github.com/mattn/go-sqlite3"`, `12 "sqlite3"`, `14 "sqlite3"`}; !slices.Equal(lines, want) {
		t.Errorf("changes %q, want %q", lines, want)
	}
}

func TestRewritingLeavesOthersAlone(t *testing.T) {
	for _, source := range []string{
		"package a\n\nimport sqlite \"github.com/mattn/go-sqlite3\"\n\nvar _ = sqlite.Version\n",
		"package a\n\nvar name = \"sqlite3\"\n",
		"not Go, and without the words",
	} {
		got, changes, err := ofMattn.source("a.go", []byte(source))
		if err != nil || len(changes) != 0 || string(got) != source {
			t.Errorf("%q: got %q, %v, %v", source, got, changes, err)
		}
	}
}

func TestRewritingOfATree(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/store.go", program)
	write(t, dir, "a/store.txt", program)
	changes, err := ofMattn.tree(dir)
	if err != nil || len(changes) != 3 || changes[0].file != "a/store.go" {
		t.Errorf("got %v, %v", changes, err)
	}
	if got := read(t, dir, "a/store.go"); strings.Contains(got, "mattn/") {
		t.Errorf("not written: %s", got)
	}
	if got := read(t, dir, "a/store.txt"); got != program {
		t.Errorf("not a Go file: %s", got)
	}

	write(t, dir, "b/broken.go", `package "sqlite3"`)
	if _, err := ofMattn.tree(dir); err == nil {
		t.Error("no error for a file that cannot be read")
	}
}

func TestEdit(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.go", "one\ntwo one\nthree\n")
	if _, err := (edit{file: "a.go", old: "one", new: "1"}).apply(dir); err == nil {
		t.Error("replaced two occurrences of a text that must occur once")
	}
	if _, err := (edit{file: "a.go", old: "four", new: "4"}).apply(dir); err == nil {
		t.Error("no error for a text that does not occur")
	}
	changes, err := edit{file: "a.go", old: "one", new: "1 one", times: 2, why: "a reason"}.apply(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := read(t, dir, "a.go"), "1 one\ntwo 1 one\nthree\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fmt.Sprint(changes), "[a.go:1: one -> 1 one (a reason) a.go:2: one -> 1 one (a reason)]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
