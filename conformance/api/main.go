// Command api writes the names that this module exports, one on each line, into .api in the top
// directory of the repository. There is a file for each package, in the format of Go's own api
// directory. With -check it writes nothing, and fails if a file would change.
//
// A change of the API is thus visible in a diff, and none is made by accident.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/sqlitemw/sqlitemw"

func main() {
	check := flag.Bool("check", false, "fail if a file would change, and write none")
	root := flag.String("root", "../..", "the top directory of the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	listings, err := list(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, ".api")
	if !check {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o777); err != nil {
			return err
		}
		for name, text := range listings {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
				return err
			}
		}
		return nil
	}
	var changed []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := listings[e.Name()]; !ok {
			changed = append(changed, e.Name()+": the package no longer exists")
		}
	}
	for name, text := range listings {
		was, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		changed = append(changed, difference(name, was, text)...)
	}
	if len(changed) > 0 {
		slices.Sort(changed)
		return fmt.Errorf("the exported API has changed: run make api, and commit .api\n%s", strings.Join(changed, "\n"))
	}
	return nil
}

// difference returns the lines that only one of two listings has.
func difference(name string, was, is []byte) (lines []string) {
	before, after := strings.Split(string(was), "\n"), strings.Split(string(is), "\n")
	for _, line := range before {
		if !slices.Contains(after, line) {
			lines = append(lines, name+": - "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			lines = append(lines, name+": + "+line)
		}
	}
	return lines
}

// list returns the listings of the root module's packages, by file name.
func list(root string) (map[string][]byte, error) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps, Dir: root}, "./...")
	if err != nil {
		return nil, err
	}
	if packages.PrintErrors(loaded) > 0 {
		return nil, fmt.Errorf("cannot load the packages")
	}
	listings := make(map[string][]byte)
	for _, p := range loaded {
		name := strings.TrimPrefix(p.PkgPath, module+"/")
		ours := strings.HasSuffix(name, "test") && name != "driver/dbtest" // for our own tests; dbtest is for those of users
		if p.Name == "main" || strings.Contains(name, "conformance/") || strings.Contains(name, "internal/") || ours {
			continue
		}
		listings[strings.ReplaceAll(name, "/", "-")+".txt"] = listing(p.Types)
	}
	if len(listings) == 0 {
		return nil, fmt.Errorf("there are no packages below %s", root)
	}
	return listings, nil
}

// listing returns the exported names of a package.
func listing(pkg *types.Package) []byte {
	var lines []string
	qualifier := func(p *types.Package) string {
		if p == pkg {
			return ""
		}
		return p.Name()
	}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	text := func(o types.Object) string { return types.ObjectString(o, qualifier) }
	for _, name := range pkg.Scope().Names() {
		o := pkg.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		typ, ok := o.(*types.TypeName)
		if !ok {
			line := text(o)
			if c, ok := o.(*types.Const); ok {
				line += " = " + c.Val().String()
			}
			add("%s", line)
			continue
		}
		if typ.IsAlias() {
			add("type %s = %s", name, types.TypeString(types.Unalias(typ.Type()), qualifier))
			continue
		}
		named := typ.Type().(*types.Named)
		switch u := named.Underlying().(type) {
		case *types.Struct:
			add("type %s struct", name)
			for f := range u.Fields() {
				if f.Exported() {
					add("type %s struct, %s %s", name, f.Name(), types.TypeString(f.Type(), qualifier))
				}
			}
		case *types.Interface:
			add("type %s interface", name)
			for m := range u.Methods() {
				if m.Exported() {
					add("type %s interface, %s", name, text(m))
				}
			}
		default:
			add("type %s %s", name, types.TypeString(u, qualifier))
		}
		methods := types.NewMethodSet(types.NewPointer(named))
		for s := range methods.Methods() {
			// Of embedded fields, only methods of this package count.
			if m := s.Obj().(*types.Func); m.Exported() && !types.IsInterface(named) && (len(s.Index()) == 1 || m.Pkg() == pkg) {
				add("method (%s) %s%s", name, m.Name(), strings.TrimPrefix(types.TypeString(m.Type(), qualifier), "func"))
			}
		}
	}
	slices.Sort(lines)
	var b bytes.Buffer
	for _, line := range slices.Compact(lines) {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}
