package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Session is a case that is being played on one driver. It records what the case sees. Its
// methods are safe for concurrent use.
type Session struct {
	// DB is the case's database: a new, empty file.
	DB *sql.DB

	engine *Engine
	open   func(dsn string) (*sql.DB, error)
	dir    string
	dbs    []*sql.DB
	unhook map[string]func() // by path

	patience time.Duration // how long to wait for what database/sql closes on its own goroutines

	mu     sync.Mutex
	seen   []string
	conns  map[any]*connection
	opened int
	events int
	ending int // the number of events before end closed what was open
	broken string

	// plainTexts are the queries that were executed without arguments.
	plainTexts []string

	over bool // given up; the case may still be running, but nothing more is recorded

	functions map[string]func(context.Context) any
}

// A connection is what the engine's hooks have reported about a connection.
type connection struct {
	number int
	asked  []event
	closed bool
}

// An event is a statement that a connection executed, or something that it did.
type event struct {
	text string
	at   int // number of the event in its session
}

// play plays c on the databases that open returns.
func play(t *testing.T, c Case, e *Engine, open func(string) (*sql.DB, error), timeout time.Duration) *Session {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s := &Session{
		engine: e, open: open, dir: dir, patience: timeout / 12, conns: make(map[any]*connection),
		functions: make(map[string]func(context.Context) any), unhook: make(map[string]func()),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.end()
		defer func() {
			if p := recover(); p != nil && p != errBroken {
				s.say("panic: %v", p)
			}
		}()
		s.DB = s.Open(s.File("test.db"), c.Settings)
		c.Play(s)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.say("hangs; given up after %v", timeout)
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
	}
	if c.Unasked {
		for _, conn := range s.conns {
			conn.asked = nil
		}
	}
	return s
}

// end closes what the case has opened, and records whether anything stays open.
func (s *Session) end() {
	s.mu.Lock()
	s.ending = s.events
	s.mu.Unlock()
	for _, db := range s.dbs {
		s.say("close: %s", s.show(db.Close()))
	}
	// database/sql rolls back and closes on its own goroutines and offers no way to wait
	// for them, so poll.
	var left string
	for deadline := time.Now().Add(s.patience); ; time.Sleep(time.Millisecond) {
		if left = s.left(); left == "" || time.Now().After(deadline) {
			break
		}
	}
	s.say("left open: %q", left)
	for _, unhook := range s.unhook {
		unhook()
	}
}

// left returns what is still open, or "".
func (s *Session) left() string {
	for _, db := range s.dbs {
		if n := db.Stats().OpenConnections; n > 0 {
			return "connections of database/sql"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if !c.closed {
			return "connections of the engine"
		}
	}
	if runtime.GOOS == "linux" { // only there are open files visible in /proc
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, s.dir) {
				return "files"
			}
		}
	}
	return ""
}

// File returns the path of a file with this name in the session's directory.
func (s *Session) File(name string) string { return filepath.Join(s.dir, name) }

// DSN returns the engine driver's DSN for the database at path.
func (s *Session) DSN(path string, settings Settings) string { return s.engine.DSN(path, settings) }

// Open opens another database and closes it with the session. It ends the case on an error.
func (s *Session) Open(path string, settings Settings) *sql.DB {
	s.mu.Lock()
	if s.unhook[path] == nil {
		s.unhook[path] = s.engine.Hook(path, s.hooks())
	}
	s.mu.Unlock()
	return s.OpenDSN(s.DSN(path, settings))
}

// OpenDSN opens another database by any DSN and closes it with the session. It ends the case on
// an error.
func (s *Session) OpenDSN(dsn string) *sql.DB {
	db, err := s.TryOpen(dsn)
	s.Must(err)
	return db
}

// TryOpen opens another database and closes it with the session.
func (s *Session) TryOpen(dsn string) (*sql.DB, error) {
	db, err := s.open(dsn)
	if err == nil {
		s.mu.Lock()
		s.dbs = append(s.dbs, db)
		s.mu.Unlock()
	}
	return db, err
}

func (s *Session) hooks() Hooks {
	functions := make(map[string]func(context.Context) any)
	for _, name := range functionNames {
		functions[name] = func(ctx context.Context) any {
			s.mu.Lock()
			f := s.functions[name]
			s.mu.Unlock()
			if f == nil {
				return nil
			}
			return f(ctx)
		}
	}
	return Hooks{
		Functions: functions,
		Opened: func(conn any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.opened++
			s.conns[conn] = &connection{number: s.opened}
		},
		Closed: func(conn any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if c := s.conns[conn]; c != nil {
				c.closed = true
			}
		},
		Asked: func(conn any, sql string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if c := s.conns[conn]; c != nil {
				s.events++
				c.asked = append(c.asked, event{sql, s.events})
			}
		},
		Did: func(conn any, what string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if c := s.conns[conn]; c != nil {
				s.events++
				c.asked = append(c.asked, event{did + what, s.events})
			}
		},
	}
}

// functionNames are the SQL functions whose effect a case can set.
var functionNames = []string{"hook", "hook2"}

// Function lets the SQL function name, which is hook or hook2, call f. Until then it returns
// NULL.
func (s *Session) Function(name string, f func(context.Context) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.functions[name] = f
}

// See records what the case sees: values with their types, and all that can be found out about
// errors.
func (s *Session) See(what string, values ...any) {
	var b strings.Builder
	b.WriteString(what + ":")
	for _, v := range values {
		if err, ok := v.(error); ok {
			b.WriteString(" " + s.show(err))
		} else if bytes, ok := v.([]byte); ok && bytes == nil {
			b.WriteString(" []uint8(nil)") // a program can tell nil from an empty slice
		} else {
			fmt.Fprintf(&b, " %T(%v)", v, v)
		}
	}
	s.say("%s", b.String())
}

func (s *Session) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.seen = append(s.seen, fmt.Sprintf(format, args...))
	}
}

var errBroken = errors.New("conformance: a step that the case relies on failed")

// Must ends the case if err is not nil. Use it for steps that the case relies on but does not
// examine.
func (s *Session) Must(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	s.broken = s.show(err)
	s.mu.Unlock()
	s.say("cannot go on: %s", s.show(err))
	panic(errBroken)
}

// show returns all that a program can find out about an error.
func (s *Session) show(err error) string {
	if err == nil {
		return "ok"
	}
	text := fmt.Sprintf("%T %q", err, err)
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded, sql.ErrTxDone, sql.ErrConnDone, sql.ErrNoRows,
		driver.ErrBadConn, driver.ErrSkip, os.ErrNotExist,
	} {
		if err == known {
			text += fmt.Sprintf(" == %q", known)
		} else if errors.Is(err, known) {
			text += fmt.Sprintf(" is %q", known)
		}
	}
	for _, can := range []struct {
		name string
		does bool
	}{
		{"Timeout", can[interface{ Timeout() bool }](err)},
		{"Temporary", can[interface{ Temporary() bool }](err)},
	} {
		if can.does {
			text += " has " + can.name
		}
	}
	if class := s.engine.Classify(err); class != "" {
		text += " (" + class + ")"
	}
	return text
}

func can[T any](err error) bool {
	var t T
	return errors.As(err, &t)
}

// difference returns the first difference of two sessions, or "" if they are equal. It compares
// executed statements for each connection, or over all connections if across is set. Statements
// for which own returns true are left out.
func (s *Session) difference(name string, other *Session, otherName string, across bool, own func(string) bool) string {
	if d := firstDifference(name, s.seen, otherName, other.seen); d != "" {
		return "what the program sees:\n" + d
	}
	if across {
		if d := firstDifference(name, s.askedOfAll(own), otherName, other.askedOfAll(own)); d != "" {
			return "what the engine is asked:\n" + d
		}
		return ""
	}
	for i := range max(s.opened, other.opened) {
		if d := firstDifference(name, texts(s.askedOf(i+1, own)), otherName, texts(other.askedOf(i+1, own))); d != "" {
			return fmt.Sprintf("what connection %d is asked:\n%s", i+1, d)
		}
	}
	return ""
}

// askedOfAll returns what all connections executed and did before end closed them.
func (s *Session) askedOfAll(own func(string) bool) []string {
	var all []event
	for i := range s.opened {
		all = append(all, s.askedOf(i+1, own)...)
	}
	all = slices.DeleteFunc(all, func(e event) bool { return e.at > s.ending })
	slices.SortFunc(all, func(a, b event) int { return a.at - b.at })
	return texts(all)
}

func texts(events []event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.text
	}
	return list
}

// did is the prefix of events of Hooks.Did.
const did = "-- "

// askedOf returns what a connection executed and did. It leaves out queries that an engine need
// not report, and the pragmas at the beginning, because a wrapper may apply settings in its own
// way.
func (s *Session) askedOf(number int, own func(string) bool) []event {
	var asked []event
	for _, c := range s.conns {
		if c.number == number {
			asked = c.asked
		}
	}
	var kept []event
	setting := false // the previous event was a setting; a commit that follows belongs to it
	for _, e := range asked {
		commit := setting && strings.HasPrefix(e.text, did)
		setting = false
		switch {
		case commit:
		case own != nil && own(e.text):
		case slices.ContainsFunc(s.plainTexts, func(plain string) bool { return strings.Contains(plain, e.text) }):
		case len(kept) == 0 && strings.HasPrefix(e.text, "PRAGMA"):
			setting = strings.ContainsAny(e.text, "=(")
		default:
			kept = append(kept, e)
		}
	}
	return kept
}
