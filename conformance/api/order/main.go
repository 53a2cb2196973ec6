// Command order checks that the files of a package can be read from the first to the last: each
// refers only to later ones. A reference is a pair of files of which one uses something that the
// other declares.
//
// The order is that of a comment in one of the files:
//
//	Files in reading order: a.go, b.go and c.go.
//
// It must have all files but doc.go and tests. With -most, so many percent of the references may
// run against the order.
package main

import (
	"flag"
	"fmt"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	most := flag.Float64("most", 0, "percent of the references that may run against the order")
	root := flag.String("root", "../..", "the top directory of the repository")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "order: name a package, such as ./pool/core")
		os.Exit(2)
	}
	for _, pattern := range flag.Args() {
		summary, err := check(*root, pattern, *most)
		if err != nil {
			fmt.Fprintf(os.Stderr, "order: %s: %v\n", pattern, err)
			os.Exit(1)
		}
		fmt.Printf("%s: %s\n", pattern, summary)
	}
}

// check loads a package and checks the references between its files.
func check(root, pattern string, most float64) (summary string, err error) {
	mode := packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps
	loaded, err := packages.Load(&packages.Config{Mode: mode, Dir: root}, pattern)
	if err != nil {
		return "", err
	}
	if packages.PrintErrors(loaded) > 0 || len(loaded) != 1 {
		return "", fmt.Errorf("cannot load the package")
	}
	pkg := loaded[0]
	place, err := readingOrder(pkg)
	if err != nil {
		return "", err
	}
	all, against := 0, []string(nil)
	for ref, names := range references(pkg) {
		all++
		if place[ref.to] < place[ref.from] {
			against = append(against, fmt.Sprintf("%s uses %s of %s", ref.from, strings.Join(slices.Sorted(maps.Keys(names)), ", "), ref.to))
		}
	}
	summary = fmt.Sprintf("%d files, %d references, %d against the reading order", len(place), all, len(against))
	if float64(100*len(against)) > most*float64(all) {
		slices.Sort(against)
		return "", fmt.Errorf("%s, more than %g percent\n%s", summary, most, strings.Join(against, "\n"))
	}
	return summary, nil
}

var (
	orderComment = regexp.MustCompile(`(?s)Files\s+in\s+reading\s+order:\s(.*?)\.(?:\n\n|\n?$)`)
	fileName     = regexp.MustCompile(`\b[a-z0-9_]+\.go\b`)
)

// readingOrder returns the place of each file.
func readingOrder(pkg *packages.Package) (map[string]int, error) {
	place := make(map[string]int)
	for _, file := range pkg.Syntax {
		for _, comment := range file.Comments {
			if m := orderComment.FindStringSubmatch(comment.Text()); m != nil {
				for i, name := range fileName.FindAllString(m[1], -1) {
					if _, twice := place[name]; twice {
						return nil, fmt.Errorf("%s is twice in the reading order", name)
					}
					place[name] = i
				}
			}
		}
	}
	missing := maps.Clone(place)
	for _, path := range pkg.GoFiles {
		name := filepath.Base(path)
		if _, ok := place[name]; !ok && name != "doc.go" {
			return nil, fmt.Errorf("%s is not in the reading order: add it to the comment", name)
		}
		delete(missing, name)
	}
	for name := range missing {
		return nil, fmt.Errorf("%s is in the reading order, but there is no such file", name)
	}
	return place, nil
}

// A reference says that one file uses what another declares.
type reference struct{ from, to string }

// references returns the references between the package's files, and what is used.
func references(pkg *packages.Package) map[reference]map[string]bool {
	refs := make(map[reference]map[string]bool)
	for id, object := range pkg.TypesInfo.Uses {
		object = declared(object)
		if object.Pkg() != pkg.Types || !isShared(object) {
			continue
		}
		ref := reference{fileOf(pkg, id), fileOf(pkg, object)}
		if ref.from == ref.to {
			continue
		}
		if refs[ref] == nil {
			refs[ref] = make(map[string]bool)
		}
		refs[ref][object.Name()] = true
	}
	return refs
}

// declared returns the generic function of an instance.
func declared(object types.Object) types.Object {
	if f, ok := object.(*types.Func); ok {
		return f.Origin()
	}
	return object
}

// isShared reports whether other files can use the object.
func isShared(object types.Object) bool {
	if v, ok := object.(*types.Var); ok && v.IsField() {
		return true
	}
	if f, ok := object.(*types.Func); ok && f.Signature().Recv() != nil {
		return true
	}
	return object.Parent() == object.Pkg().Scope()
}

func fileOf(pkg *packages.Package, at interface{ Pos() token.Pos }) string {
	return filepath.Base(pkg.Fset.Position(at.Pos()).Filename)
}
