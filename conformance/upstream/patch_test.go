package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeModule is the part of ncruces' module that the patches need.
var fakeModule = map[string]string{
	"driver/driver.go": `package driver

var driverName = "sqlite3"

func Open(dataSourceName string, fn ...func(*sqlite3.Conn) error) (*sql.DB, error) {
	return nil, nil
}
`,
	"driver/util_test.go": `package driver

func test(driverConn any) any {
	conn := driverConn.(*conn).Conn
	return conn
}
`,
	"ext/one/one_test.go": `package one

import "github.com/ncruces/go-sqlite3/driver"

var db, _ = driver.Open("")
`,
	"tests/names_test.go": `//go:build linux

package tests_test

import (
	std "database/sql"

	_ "github.com/ncruces/go-sqlite3/driver"
)

var db, err = std.Open("sqlite3", "file:" +
	"a.db")

var name = "sqlite3"
`,
	"vfs/vfs_test.go": `package vfs

import "database/sql"

var db, err = sql.Open("sqlite3", "no business of ours")
`,
}

// write writes fakeModule into a directory, with changes. An empty text removes the file.
func write(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(files map[string]string) {
		for file, content := range files {
			name := filepath.Join(dir, filepath.FromSlash(file))
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
			if content == "" {
				os.Remove(name)
			}
		}
	}
	put(fakeModule)
	put(changes)
	return dir
}

func read(t *testing.T, dir, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), file, content, parser.AllErrors); err != nil {
		t.Error(err)
	}
	return string(content)
}

func TestPatch(t *testing.T) {
	dir := write(t, nil)
	packages, err := patch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"driver", "ext/one", "tests"}; !slices.Equal(packages, want) {
		t.Errorf("packages %v, want %v", packages, want)
	}

	for file, want := range map[string]string{
		"driver/driver.go": strings.NewReplacer(`"sqlite3"`, `""`, "func Open", "func plainOpen").
			Replace(fakeModule["driver/driver.go"]),
		"driver/util_test.go": strings.Replace(fakeModule["driver/util_test.go"], "(*conn).Conn", "(Conn).Raw()", 1),
		"ext/one/one_test.go": fakeModule["ext/one/one_test.go"],
		"vfs/vfs_test.go":     fakeModule["vfs/vfs_test.go"],
		"tests/names_test.go": `//go:build linux

package tests_test; import upstreambridge "github.com/sqlitemw/sqlitemw/conformance/upstream/bridge"

import (
	std "database/sql"

	_ "github.com/ncruces/go-sqlite3/driver"
)

var db, err = upstreambridge.Watch(std.Open("sqlitemw", "file:" +
	"a.db"))

var name = "sqlite3"
`,
	} {
		if got := read(t, dir, file); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}

	for pkg, name := range map[string]string{"driver": "driver", "ext/one": "one", "tests": "tests"} {
		got := read(t, dir, pkg+"/"+newTestFile)
		for _, want := range []string{"package " + name + "_test\n", "driver.OpenUpstream = bridge.Open\n", `bridge.Count("` + pkg + `")`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in\n%s", pkg, want, got)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "vfs", newTestFile)); err == nil {
		t.Error("a package that does not use the driver got a bridge")
	}
	if got := read(t, dir, "driver/"+newFile); !strings.Contains(got, "return OpenUpstream(dataSourceName, fn...)") {
		t.Errorf("driver.Open is\n%s", got)
	}
}

// TestPatchIsLoud changes the source in ways that would let tests bypass sqlitemw. The error
// must name the file and the problem.
func TestPatchIsLoud(t *testing.T) {
	driver := fakeModule["driver/driver.go"]
	test := func(code string) string {
		return "package one\n\nimport (\n\t\"database/sql\"\n\t\"" + upstreamModule + "/driver\"\n)\n\n" + code
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"another Open":      {"driver/driver.go", strings.Replace(driver, "dataSourceName", "dsn", 1), "driver/driver.go: 0 times, not once: func Open(dataSourceName"},
		"two Opens":         {"driver/driver.go", driver + driver[strings.Index(driver, "\nfunc Open"):], "driver/driver.go: 2 times, not once: func Open(dataSourceName"},
		"another name":      {"driver/driver.go", strings.Replace(driver, "sqlite3", "sqlite", 1), `driver/driver.go: 0 times, not once: var driverName = "sqlite3"`},
		"no driver":         {"driver/driver.go", "", "driver.go"},
		"no such test":      {"driver/util_test.go", "package driver\n", "driver/util_test.go: 0 times, not once: driverConn.(*conn).Conn"},
		"a file of ours":    {"driver/" + newFile, "package driver\n", "driver/" + newFile + ": exists"},
		"a test of ours":    {"ext/one/" + newTestFile, "package one\n", "ext/one/" + newTestFile + ": exists"},
		"a computed name":   {"ext/one/more_test.go", test("var db, _ = sql.Open(name, \"\")"), "ext/one/more_test.go:8:13: sql.Open of something other"},
		"another's name":    {"ext/one/more_test.go", test("var db, _ = sql.Open(\"other\", \"\")"), "ext/one/more_test.go:8:13: sql.Open of something other"},
		"Open as a value":   {"ext/one/more_test.go", test("var open = sql.Open"), "ext/one/more_test.go:8:12: sql.Open that is not called"},
		"a connector":       {"ext/one/more_test.go", test("var db = sql.OpenDB(nil)"), "ext/one/more_test.go:8:10: sql.OpenDB"},
		"the driver's type": {"ext/one/more_test.go", test("var d driver.SQLite"), "ext/one/more_test.go:8:14: SQLite"},
		"a dot import":      {"ext/one/more_test.go", "package one\n\nimport . \"database/sql\"\nimport _ \"" + upstreamModule + "/driver\"\n", "ext/one/more_test.go: imports database/sql as ."},
		"no Go":             {"ext/one/more_test.go", "package", "ext/one/more_test.go"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := patch(write(t, map[string]string{c.file: c.content}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
