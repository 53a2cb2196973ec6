package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestMain checks that no goroutine and no open database file is left after all tests.
func TestMain(m *testing.M) {
	if child := os.Getenv(childVar); child != "" {
		os.Exit(runChild(child))
	}
	if of, to := os.Getenv(backupOf), os.Getenv(backupTo); of != "" && to != "" {
		killedInBackup(of, to)
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if left := openHandles(); len(left) > 0 {
			fmt.Fprintln(os.Stderr, "files that are still open:", left)
			code = 1
		}
	}
	os.Exit(code)
}

// openHandles returns the databases that this process has open, on systems that report them.
func openHandles() (names []string) {
	const dir = "/proc/self/fd"
	list, err := os.ReadDir(dir)
	if runtime.GOOS != "linux" || err != nil {
		return nil
	}
	for _, fd := range list {
		name, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err == nil && (strings.Contains(name, ".db-") || strings.HasSuffix(strings.TrimSuffix(name, " (deleted)"), ".db")) {
			names = append(names, name)
		}
	}
	return names
}

// A ledger is a Recorder that records the state of every connection and reports what is wrong
// with it.
type ledger struct {
	mu       sync.Mutex
	conns    map[driver.ConnID]*account
	counts   map[driver.Kind]uint64
	latest   map[driver.Kind]driver.Event
	closed   map[driver.Reason]uint64
	failed   uint64 // failed connects
	queued   uint64 // acquires that had to wait
	problems []string
}

// An account is the state of one connection.
type account struct {
	used, discarded, closed bool
	closedAt                time.Time
}

func (l *ledger) Record(e driver.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = make(map[driver.ConnID]*account)
		l.counts = make(map[driver.Kind]uint64)
		l.latest = make(map[driver.Kind]driver.Event)
		l.closed = make(map[driver.Reason]uint64)
	}
	l.counts[e.Kind]++
	l.latest[e.Kind] = e
	wrong := func(what string) {
		l.problems = append(l.problems, fmt.Sprintf("connection %v: %v %s", e.Conn, e.Kind, what))
	}
	a := l.conns[e.Conn]
	switch e.Kind {
	case driver.KindConnect:
		if e.Err != "" {
			l.failed++
			return
		}
		if a != nil {
			wrong("twice")
		}
		l.conns[e.Conn] = &account{}
		return
	case driver.KindAcquire, driver.KindRelease, driver.KindDiscard, driver.KindClose, driver.KindDirty, driver.KindBusy, driver.KindLeak, driver.KindLeakEnd:
		if a == nil {
			wrong("without a connect")
			return
		}
		if a.closed && e.Kind == driver.KindLeak && e.Time.Before(a.closedAt) {
			return // it was in use when the pool looked, but has been closed since
		}
		if a.closed {
			wrong("after it was closed")
		}
	default:
		return
	}
	switch e.Kind {
	case driver.KindAcquire:
		if a.used {
			wrong("while it is used")
		}
		if a.discarded {
			wrong("after it was discarded")
		}
		if e.QueuePosition > 0 {
			l.queued++
		}
		a.used = true
	case driver.KindRelease, driver.KindDiscard:
		if !a.used {
			wrong("while it is not used")
		}
		a.used, a.discarded = false, e.Kind == driver.KindDiscard
	case driver.KindClose:
		if a.used {
			wrong("while it is used")
		}
		if e.Reason == "" {
			wrong("for no reason")
		}
		l.closed[e.Reason]++
		a.closed, a.closedAt = true, e.Time
	}
}

func (l *ledger) count(k driver.Kind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.counts[k])
}

// last returns the latest event of a kind.
func (l *ledger) last(k driver.Kind) driver.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest[k]
}

func (l *ledger) closedFor(r driver.Reason) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.closed[r])
}

// open returns the number of open connections.
func (l *ledger) open() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.conns {
		if !a.closed {
			n++
		}
	}
	return n
}

// check compares the pool's counters with the events. The pool must not be in use.
//
// A Recorder gets the events of the pool's own goroutines a little later.
func (l *ledger) check(t testing.TB, p *pool.Pool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		problems := l.differences(p)
		if len(problems) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, problem := range problems {
				t.Error(problem)
			}
			return
		}
	}
}

// differences returns the differences between Stats and the events.
func (l *ledger) differences(p *pool.Pool) (problems []string) {
	differ := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	s := p.Stats()
	l.mu.Lock()
	defer l.mu.Unlock()
	problems = append(problems, l.problems...)
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"Connects", s.Connects, l.counts[driver.KindConnect] - l.failed},
		{"ConnectErrors", s.ConnectErrors, l.failed},
		{"Acquires", s.Acquires, l.counts[driver.KindAcquire]},
		{"Releases", s.Releases, l.counts[driver.KindRelease]},
		{"Discards", s.Discards, l.counts[driver.KindDiscard]},
		{"Closes", s.Closes, l.counts[driver.KindClose]},
		{"Timeouts", s.Timeouts, l.counts[driver.KindTimeout]},
		{"Cancels", s.Cancels, l.counts[driver.KindCancel]},
		{"Refusals", s.Refusals, l.counts[driver.KindRefuse]},
		{"Leaks", s.Leaks, l.counts[driver.KindLeak]},
		{"LeaksEnded", s.LeaksEnded, l.counts[driver.KindLeakEnd]},
		{"Dirty", s.Dirty, l.counts[driver.KindDirty]},
		{"Busy", s.Busy, l.counts[driver.KindBusy]},
	} {
		if c.got != c.want {
			differ("Stats.%s is %d, and the events are %d", c.name, c.got, c.want)
		}
	}
	var closes uint64
	for reason, n := range s.ClosedFor {
		closes += n
		if n != l.closed[reason] {
			differ("closed for %q: Stats %d, events %d", reason, n, l.closed[reason])
		}
	}
	if closes != s.Closes {
		differ("%d closed for a reason, %d closed", closes, s.Closes)
	}
	if s.InUse+s.Idle != s.Open || s.Readers+s.Writers != s.Open {
		differ("open %d, in use %d, idle %d, readers %d, writers %d", s.Open, s.InUse, s.Idle, s.Readers, s.Writers)
	}
	events := p.Events()
	for i, e := range events {
		if i > 0 && e.Seq != events[i-1].Seq+1 {
			differ("event %d follows event %d", e.Seq, events[i-1].Seq)
		}
	}
	return problems
}

// settled is check for a pool without callers and waiters.
func (l *ledger) settled(t testing.TB, p *pool.Pool) {
	t.Helper()
	// A connection that a cancelled call has asked for is still opened.
	for end := time.Now().Add(time.Minute); p.Stats().InUse > 0 && len(p.Holders()) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	l.check(t, p)
	s := p.Stats()
	if s.InUse != 0 || s.Waiting != 0 || len(p.Holders()) != 0 {
		t.Errorf("the pool has no callers, but %d connections are in use, %d wait: %v", s.InUse, s.Waiting, p.Holders())
	}
	if s.Acquires != s.Releases+s.Discards {
		t.Errorf("%d acquires, %d releases, %d discards", s.Acquires, s.Releases, s.Discards)
	}
}

// pooled opens a pool, with a new file if cfg names none. The test closes it at its end, and
// then checks the account of every connection.
func pooled(t testing.TB, cfg pool.Config) (*pool.Pool, *ledger) {
	t.Helper()
	var l ledger
	cfg.Recorder = driver.Tee(cfg.Recorder, &l)
	if cfg.Path == "" {
		cfg.Path = filepath.ToSlash(filepath.Join(t.TempDir(), "test.db"))
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		l.settled(t, p)
		if n := l.open(); n != 0 {
			t.Errorf("%d connections were never closed", n)
		}
	})
	return p, &l
}

// An execer executes SQL: a *sql.DB, *sql.Conn, *sql.Tx or *pool.Conn.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// must executes a query that must not fail.
func must(t testing.TB, on execer, query string, args ...any) {
	t.Helper()
	if _, err := on.ExecContext(context.Background(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// logged is a slog.Handler that keeps the log lines.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.lines = append(l.lines, line)
	return nil
}

// has reports whether one line contains all parts.
func (l *logged) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.lines, func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		return true
	})
}

func logger(l *logged) *slog.Logger { return slog.New(l) }

// count returns how many lines contain part.
func (l *logged) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}
