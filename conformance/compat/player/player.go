// Package player plays programs over a driver and records what each one sees.
//
// A program knows only the driver's name and dialect. It sees lines of text: values with their
// Go types, error texts, facts about columns. Two drivers that behave alike yield the same
// lines.
package player

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	_ "time/tzdata" // the same time zones on every machine
)

// A Dialect names the driver whose programs a driver runs.
type Dialect string

// The dialects.
const (
	Mattn   Dialect = "mattn"
	Modernc Dialect = "modernc"
)

// both are the dialects of a program that each driver plays.
var both = []Dialect{Mattn, Modernc}

// A Program is a small program that uses database/sql.
type Program struct {
	Name     string
	dialects []Dialect
	play     func(*env)
}

// An Outcome is what a program saw.
type Outcome struct {
	Program string
	Lines   []Line
}

// A Line is one observation of a program. Keys are unique within an outcome.
type Line struct {
	Key, Value string
}

// A Setup says over which driver and where programs are played.
type Setup struct {
	// Driver is the name of a registered driver, Dialect its dialect.
	Driver  string
	Dialect Dialect

	// Plain is the name of the driver that inspects a file from outside, for programs that
	// need to know what others see of it. NoTimeout are the parameters with which that
	// driver does not wait for locks.
	Plain, NoTimeout string

	// Dir is an empty directory for databases.
	Dir string

	// Files is a directory with a directory for each driver that has written files, as left
	// by Write. It may be empty. The files are changed.
	Files string

	// Run selects programs by name; nil selects all.
	Run *regexp.Regexp
}

// limit is the time after which a program counts as hanging. It is much longer than any program
// takes, so that a slow machine does not count as a hang.
const limit = 2 * time.Minute

// Programs returns the programs of a dialect, except those that read the files
// of other drivers.
func Programs(d Dialect) []Program {
	all := slices.Concat(
		dsnPrograms(),
		timeWritePrograms(),
		timeReadPrograms(),
		timeOtherPrograms(),
		typePrograms(),
		columnPrograms(),
		transactionPrograms(),
		statementPrograms(),
		contextPrograms(),
		errorPrograms(),
	)
	return slices.DeleteFunc(all, func(p Program) bool { return !slices.Contains(p.dialects, d) })
}

// Play plays the programs that s selects, and calls emit with each outcome.
func (s Setup) Play(emit func(Outcome) error) error {
	if err := setLocal(); err != nil {
		return err
	}
	programs := Programs(s.Dialect)
	if s.Files != "" {
		reads, err := readPrograms(s.Files)
		if err != nil {
			return err
		}
		programs = append(programs, reads...)
	}
	seen := map[string]bool{}
	for i, p := range programs {
		if seen[p.Name] {
			return fmt.Errorf("two programs are named %q", p.Name)
		}
		seen[p.Name] = true
		if s.Run != nil && !s.Run.MatchString(p.Name) {
			continue
		}
		o, err := s.playOne(p, filepath.Join(s.Dir, fmt.Sprint("p", i)))
		if err != nil {
			return err
		}
		if err := emit(o); err != nil {
			return err
		}
	}
	return nil
}

// setLocal sets the local time zone to the same one on every machine.
func setLocal() error {
	local, err := time.LoadLocation("Europe/Berlin")
	if err == nil {
		time.Local = local
	}
	return err
}

// playOne plays p in a new directory, which is the working directory during that.
func (s Setup) playOne(p Program, dir string) (Outcome, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return Outcome{}, err
	}
	if err := os.Chdir(dir); err != nil {
		return Outcome{}, err
	}
	e := &env{Setup: s, dir: dir, keys: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer e.end()
		p.play(e)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s: %s hangs", s.Driver, p.Name))
	}
	if err := os.Chdir(s.Dir); err != nil {
		return Outcome{}, err
	}
	return Outcome{p.Name, e.lines}, os.RemoveAll(dir)
}

// An env is the environment of a running program.
type env struct {
	Setup
	dir   string
	lines []Line
	keys  map[string]int
	conns []*sql.Conn
	dbs   []*sql.DB
}

// stop is the type of stopf's panic.
type stop string

// stopf ends the program and records the reason.
func stopf(format string, args ...any) {
	panic(stop(fmt.Sprintf(format, args...)))
}

// must ends the program if err is not nil.
func must(err error) {
	if err != nil {
		stopf("%v", err)
	}
}

// end records how the program ended, and closes its connections and databases.
func (e *env) end() {
	switch r := recover().(type) {
	case nil:
	case stop:
		e.record("stopped", "%s", string(r))
	default:
		e.record("panic", "%v", r)
		fmt.Fprintf(os.Stderr, "%s: panic: %v\n%s", e.Driver, r, debug.Stack())
	}
	for _, conn := range e.conns {
		conn.Close()
	}
	for _, db := range slices.Backward(e.dbs) {
		db.Close()
	}
}

// record records a line. A key that has been used gets a number.
func (e *env) record(key, format string, args ...any) {
	e.keys[key]++
	if n := e.keys[key]; n > 1 {
		key = fmt.Sprintf("%s #%d", key, n)
	}
	e.lines = append(e.lines, Line{key, e.strip(fmt.Sprintf(format, args...))})
}

// strip replaces the part that differs between runs: the program's directory.
func (e *env) strip(s string) string {
	return strings.ReplaceAll(s, e.dir, "DIR")
}

// ctx is the context of calls that are not canceled.
var ctx = context.Background()

// open opens dsn, in which DIR stands for the program's directory. It ends the program on an
// error.
func (e *env) open(dsn string) *sql.DB {
	db, err := e.tryOpen(dsn)
	must(err)
	return db
}

// tryOpen opens dsn and one connection.
func (e *env) tryOpen(dsn string) (*sql.DB, error) {
	return e.openWith(e.Driver, dsn)
}

// openPlain opens a file from outside. The path is absolute.
func (e *env) openPlain(path string) (*sql.DB, error) {
	uri := url.URL{Scheme: "file", Path: path, RawQuery: e.NoTimeout}
	return e.openWith(e.Plain, uri.String())
}

func (e *env) openWith(driver, dsn string) (*sql.DB, error) {
	db, err := sql.Open(driver, strings.ReplaceAll(dsn, "DIR", e.dir))
	if err != nil {
		return nil, err
	}
	e.dbs = append(e.dbs, db)
	return db, db.Ping()
}

// conn returns a connection of db.
func (e *env) conn(db *sql.DB) *sql.Conn {
	conn, err := db.Conn(ctx)
	must(err)
	e.conns = append(e.conns, conn)
	return conn
}

// memory opens an in-memory database with one connection. params are DSN parameters and may be
// empty.
func (e *env) memory(params string) *sql.DB {
	db := e.open("file::memory:" + question(params))
	db.SetMaxOpenConns(1)
	return db
}

// file opens a file in the program's directory.
func (e *env) file(params string) *sql.DB {
	return e.open("file:DIR/a.db" + question(params))
}

func question(params string) string {
	if params == "" {
		return ""
	}
	return "?" + params
}

// exec executes queries, and ends the program if one fails.
func exec(db execer, texts ...string) {
	for _, text := range texts {
		if _, err := db.ExecContext(ctx, text); err != nil {
			stopf("%s: %v", text, err)
		}
	}
}

// An execer is a *sql.DB, *sql.Conn or *sql.Tx.
type execer interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// write writes a file into the program's directory.
func (e *env) write(name string, content []byte) {
	must(os.WriteFile(filepath.Join(e.dir, name), content, 0o644))
}

// garbage is the content of a file that is not a database.
var garbage = bytes.Repeat([]byte("this is no database. "), 200)
