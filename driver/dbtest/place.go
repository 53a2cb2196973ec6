package dbtest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sqlitemw/sqlitemw/driver"
)

// wrappers are the packages whose lines are not the program's, with all packages below them.
var wrappers = []string{
	"database/sql",
	"github.com/sqlitemw/sqlitemw/driver",
	"github.com/sqlitemw/sqlitemw/pool",
	"github.com/sqlitemw/sqlitemw/tracing",

	"entgo.io/ent",
	"github.com/Masterminds/squirrel",
	"github.com/XSAM/otelsql",
	"github.com/aarondl/sqlboiler",
	"github.com/blockloop/scan",
	"github.com/doug-martin/goqu",
	"github.com/georgysavva/scany",
	"github.com/go-jet/jet",
	"github.com/gocraft/dbr",
	"github.com/golang-migrate/migrate",
	"github.com/huandu/go-sqlbuilder",
	"github.com/jmoiron/sqlx",
	"github.com/ngrok/sqlmw",
	"github.com/pressly/goose",
	"github.com/qustavo/sqlhooks",
	"github.com/stephenafamo/bob",
	"github.com/stephenafamo/scan",
	"github.com/upper/db",
	"github.com/uptrace/bun",
	"github.com/volatiletech/sqlboiler",
	"gorm.io",
	"xorm.io",

	"iter", "reflect", "runtime", "slices", "sync", "testing",
}

// placeOf returns the line of the program that made a call, and the line of the test from which
// it was reached, if that is another one.
func placeOf(c driver.Call) string {
	place, from := "", "" // from is the first line of a test's file
	frames := runtime.CallersFrames(c.Stack)
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if frame.File == "" {
			continue
		}
		line, inTests := lineOf(frame), strings.HasSuffix(frame.File, "_test.go")
		if place == "" {
			if !inTests && isWrapper(frame.Function) {
				continue
			}
			place = line
		}
		if isTest(frame.Function) {
			from = line
			break
		}
		if from == "" && inTests {
			from = line
		}
	}
	switch {
	case place == "":
		return "an unknown line"
	case from == "" || from == place:
		return place
	}
	return place + ", from " + from
}

// isTest reports whether a function is a test, or is declared in one.
func isTest(function string) bool {
	for name := range strings.SplitSeq(function[strings.LastIndexByte(function, '/')+1:], ".") {
		for _, prefix := range []string{"Test", "Benchmark", "Fuzz", "Example"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
	}
	return false
}

// isWrapper reports whether a function is of one of the wrappers. A package of external tests is
// not, although the path of the tested package is the beginning of its own.
func isWrapper(function string) bool {
	dot := strings.LastIndexByte(function, '/') + 1
	if name, _, _ := strings.Cut(function[dot:], "."); strings.HasSuffix(name, "_test") {
		return false
	}
	for _, w := range wrappers {
		if rest, ok := strings.CutPrefix(function, w); ok && rest != "" && (rest[0] == '.' || rest[0] == '/') {
			return true
		}
	}
	return false
}

// directory is the one in which the test runs: that of its package.
var directory, _ = os.Getwd()

func lineOf(frame runtime.Frame) string {
	file := frame.File
	if rel, err := filepath.Rel(directory, file); err == nil && filepath.IsLocal(rel) {
		file = filepath.ToSlash(rel)
	}
	return fmt.Sprintf("%s:%d", file, frame.Line)
}
