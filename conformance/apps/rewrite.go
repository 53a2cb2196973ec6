package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A rewriting replaces another driver by one of ours.
type rewriting struct {
	theirName, ourName       string // of the driver, in sql.Open
	theirPackage, ourPackage string // imported by a blank import
}

// A change is a changed line of a source file, or, if line is 0, a new file.
type change struct {
	file     string
	line     int
	old, new string
	why      string
}

func (c change) String() string {
	if c.line == 0 {
		return fmt.Sprintf("%s: new, %d lines", c.file, strings.Count(c.new, "\n"))
	}
	s := fmt.Sprintf("%s:%d: %s -> %s", c.file, c.line, c.old, c.new)
	if c.why != "" {
		s += " (" + c.why + ")"
	}
	return s
}

// tree rewrites all Go files below dir, and returns the changes.
func (r rewriting) tree(dir string) ([]change, error) {
	var all []change
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" {
			return err
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		changed, changes, err := r.source(name, source)
		if err != nil || len(changes) == 0 {
			return err
		}
		all = append(all, changes...)
		return os.WriteFile(filepath.Join(dir, name), changed, 0o666)
	})
	return all, err
}

// source rewrites one Go file: the name of the driver where it is the first argument of a
// function or method Open, such as sql.Open or sqlx.Open, and the blank import of its package.
func (r rewriting) source(name string, source []byte) ([]byte, []change, error) {
	if !bytes.Contains(source, []byte(strconv.Quote(r.theirName))) && !bytes.Contains(source, []byte(strconv.Quote(r.theirPackage))) {
		return source, nil, nil
	}
	files := token.NewFileSet()
	syntax, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	var found []literal
	for _, i := range syntax.Imports {
		if i.Name != nil && i.Name.Name == "_" && i.Path.Value == strconv.Quote(r.theirPackage) {
			found = append(found, literal{i.Path, r.ourPackage})
		}
	}
	ast.Inspect(syntax, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isOpen(call.Fun) && len(call.Args) > 0 {
			if l, ok := call.Args[0].(*ast.BasicLit); ok && l.Value == strconv.Quote(r.theirName) {
				found = append(found, literal{l, r.ourName})
			}
		}
		return true
	})

	var changes []change
	for _, f := range found {
		changes = append(changes, change{
			file: name,
			line: files.Position(f.at.Pos()).Line,
			old:  f.at.Value,
			new:  strconv.Quote(f.value),
		})
	}
	// From the last to the first, so that offsets remain valid.
	slices.SortFunc(found, func(a, b literal) int { return cmp.Compare(b.at.Pos(), a.at.Pos()) })
	for _, f := range found {
		from, to := files.Position(f.at.Pos()).Offset, files.Position(f.at.End()).Offset
		source = slices.Concat(source[:from], []byte(strconv.Quote(f.value)), source[to:])
	}
	return source, changes, nil
}

// A literal is a string literal and its new value.
type literal struct {
	at    *ast.BasicLit
	value string
}

func isOpen(fun ast.Expr) bool {
	s, ok := fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Open"
}

// An edit is a change that the rewriting cannot make: it replaces text in a file.
type edit struct {
	file, old, new string
	times          int // how often old is in the file; 0 means once
	why            string
}

// apply makes the edit below dir. It fails if the file does not contain old as often as
// expected, because then the edit was made for another version.
func (e edit) apply(dir string) ([]change, error) {
	name := filepath.Join(dir, filepath.FromSlash(e.file))
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	old := []byte(e.old)
	if n, want := bytes.Count(source, old), max(e.times, 1); n != want {
		return nil, fmt.Errorf("%s: %q occurs %d times, want %d", e.file, e.old, n, want)
	}
	var changes []change
	for from := 0; ; {
		i := bytes.Index(source[from:], old)
		if i < 0 {
			break
		}
		line := 1 + bytes.Count(source[:from+i], []byte("\n"))
		changes = append(changes, change{file: e.file, line: line, old: e.old, new: e.new, why: e.why})
		from += i + len(old)
	}
	return changes, os.WriteFile(name, bytes.ReplaceAll(source, old, []byte(e.new)), 0o666)
}
