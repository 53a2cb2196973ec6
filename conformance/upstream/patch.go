package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// driverDir is the directory of ncruces' driver in its module.
const driverDir = "driver"

// edits change ncruces' driver so that databases can be opened only through sqlitemw. sql.Open
// no longer knows "sqlite3", and Open calls the bridge. One test needs a type that no other
// package can use. It is changed to get SQLite's connection as programs do.
var edits = []struct{ file, old, new string }{{
	file: driverDir + "/driver.go",
	old:  "\nvar driverName = \"sqlite3\"\n",
	new:  "\nvar driverName = \"\"\n",
}, {
	file: driverDir + "/driver.go",
	old:  "\nfunc Open(dataSourceName string, fn ...func(*sqlite3.Conn) error) (*sql.DB, error) {\n",
	new:  "\nfunc plainOpen(dataSourceName string, fn ...func(*sqlite3.Conn) error) (*sql.DB, error) {\n",
}, {
	file: driverDir + "/util_test.go",
	old:  "driverConn.(*conn).Conn\n",
	new:  "driverConn.(Conn).Raw()\n",
}}

// sqlitemw imports ncruces' driver, so that package cannot import sqlitemw. Instead, the tests
// of each package set a variable to the bridge, from an external test package, which causes no
// import cycle.
const (
	newFile = "sqlitemw_upstream.go"
	newOpen = `package driver

import (
	"database/sql"

	"github.com/ncruces/go-sqlite3"
)

// OpenUpstream is set by the tests of each package.
var OpenUpstream = func(string, ...func(*sqlite3.Conn) error) (*sql.DB, error) {
	panic("sqlitemw is not in place")
}

func Open(dataSourceName string, fn ...func(*sqlite3.Conn) error) (*sql.DB, error) {
	return OpenUpstream(dataSourceName, fn...)
}
`
	newTestFile = "sqlitemw_upstream_test.go"
	newTest     = `package %s_test

import (
	"` + upstreamModule + `/driver"
	"` + bridgePackage + `"
)

func init() {
	driver.OpenUpstream = bridge.Open
	bridge.Count(%q)
}
`
)

// patch makes the tests of ncruces' module in dir open databases through sqlitemw. It returns
// the directories of the packages whose tests open databases. It fails if the source differs
// from what it expects.
func patch(dir string) ([]string, error) {
	for _, e := range edits {
		if err := replaceOnce(dir, e.file, e.old, e.new); err != nil {
			return nil, err
		}
	}
	if err := create(dir, path.Join(driverDir, newFile), newOpen); err != nil {
		return nil, err
	}

	names := map[string]string{} // package names, by directory
	err := fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		t, err := parseTest(dir, file)
		if err != nil || !t.usesDriver() {
			return err
		}
		names[path.Dir(file)] = strings.TrimSuffix(t.syntax.Name.Name, "_test")
		return t.rewrite(dir)
	})
	if err != nil {
		return nil, err
	}
	var packages []string
	for pkg, name := range names {
		if err := create(dir, path.Join(pkg, newTestFile), fmt.Sprintf(newTest, name, pkg)); err != nil {
			return nil, err
		}
		packages = append(packages, pkg)
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s: no test uses the driver", dir)
	}
	slices.Sort(packages)
	return packages, nil
}

// replaceOnce replaces text that must occur exactly once in a file.
func replaceOnce(dir, file, old, new string) error {
	name := filepath.Join(dir, file)
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := bytes.Count(content, []byte(old)); n != 1 {
		return fmt.Errorf("%s: %d times, not once: %s", file, n, strings.TrimSpace(old))
	}
	return os.WriteFile(name, bytes.Replace(content, []byte(old), []byte(new), 1), 0o666)
}

// create writes a file that must not exist.
func create(dir, file, content string) error {
	name := filepath.Join(dir, file)
	if _, err := os.Stat(name); err == nil {
		return fmt.Errorf("%s: exists, but should be created", file)
	}
	return os.WriteFile(name, []byte(content), 0o666)
}

// A testFile is a test file.
type testFile struct {
	name    string // with slashes, below the module's directory
	content []byte
	files   *token.FileSet
	syntax  *ast.File
}

func parseTest(dir, name string) (*testFile, error) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	t := &testFile{name: name, content: content, files: token.NewFileSet()}
	t.syntax, err = parser.ParseFile(t.files, name, content, parser.SkipObjectResolution)
	return t, err
}

// imports returns the name with which the file refers to a package. ok is false if it does not
// import it.
func (t *testFile) imports(pkg string) (name string, ok bool) {
	for _, i := range t.syntax.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err != nil || p != pkg {
			continue
		}
		if i.Name != nil {
			return i.Name.Name, true
		}
		return path.Base(pkg), true
	}
	return "", false
}

func (t *testFile) usesDriver() bool {
	_, ok := t.imports(upstreamModule + "/" + driverDir)
	return ok || path.Dir(t.name) == driverDir
}

// An insertion is text that replaces what is between two offsets.
type insertion struct {
	at, end int
	text    string
}

// rewrite replaces every sql.Open("sqlite3", ...) by sql.Open("sqlitemw", ...), watched by the
// bridge. Line numbers do not change.
func (t *testFile) rewrite(dir string) error {
	if err := t.opensElsehow(); err != nil {
		return err
	}
	sqlName, ok := t.imports("database/sql")
	if !ok {
		return nil
	}
	if sqlName == "." {
		return fmt.Errorf("%s: imports database/sql as ., which is not supported", t.name)
	}
	var insertions []insertion
	var err error
	called := make(map[ast.Expr]bool)
	ast.Inspect(t.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if !isSelector(n.Fun, sqlName, "Open") {
				break
			}
			called[n.Fun] = true
			name, ok := n.Args[0].(*ast.BasicLit)
			if !ok || name.Value != `"sqlite3"` {
				err = t.errorAt(n, `sql.Open of something other than "sqlite3"`)
				break
			}
			insertions = append(insertions,
				t.insertion(n.Pos(), n.Pos(), "upstreambridge.Watch("),
				t.insertion(name.Pos(), name.End(), `"sqlitemw"`),
				t.insertion(n.End(), n.End(), ")"))
		case *ast.SelectorExpr:
			if isSelector(n, sqlName, "Open") && !called[n] {
				err = t.errorAt(n, "sql.Open that is not called")
			}
			if isSelector(n, sqlName, "OpenDB") {
				err = t.errorAt(n, "sql.OpenDB, which is not supported")
			}
		}
		return err == nil
	})
	if err != nil || len(insertions) == 0 {
		return err
	}
	end := t.syntax.Name.End()
	insertions = append(insertions, t.insertion(end, end, "; import upstreambridge "+strconv.Quote(bridgePackage)))
	slices.SortFunc(insertions, func(a, b insertion) int { return b.at - a.at })
	content := t.content
	for _, i := range insertions {
		content = slices.Replace(content, i.at, i.end, []byte(i.text)...)
	}
	return os.WriteFile(filepath.Join(dir, t.name), content, 0o666)
}

// opensElsehow returns an error for code that opens databases of the plain driver in another
// way than with Open or sql.Open.
func (t *testFile) opensElsehow() (err error) {
	ast.Inspect(t.syntax, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			switch id.Name {
			case "SQLite", "OpenConnector", "newConnector", "driverName", "plainOpen":
				err = t.errorAt(n, id.Name+", which is not supported")
			}
		}
		return err == nil
	})
	return err
}

func (t *testFile) insertion(from, to token.Pos, text string) insertion {
	return insertion{t.files.Position(from).Offset, t.files.Position(to).Offset, text}
}

func (t *testFile) errorAt(n ast.Node, what string) error {
	return fmt.Errorf("%s: %s", t.files.Position(n.Pos()), what)
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}
