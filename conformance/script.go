package conformance

import (
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// A script is a program that is played on scripted drivers of many kinds, bare and wrapped. On
// both, the program must see the same, and the driver must get the same calls.
type script struct {
	kinds func() []kinds
	sets  int  // result sets of each query; 0 means 1
	close bool // the connector has a Close method
	exact bool // a context derived from the program's counts as different from it
	play  func(*player)

	inTx, cancels, panics bool // see Setup

	// first is a script that differs from this one only in its fault. If the fault of first
	// hits nothing, neither does that of this script, which is then not played.
	first *script

	mu   sync.Mutex
	bare map[int]*outcome // by the index of the kinds
}

// kinds is one combination of kinds of connections, statements and rows.
type kinds struct {
	conn fake.ConnKind
	stmt fake.StmtKind
	rows fake.RowsKind
}

func combine(conns []fake.ConnKind, stmts []fake.StmtKind, rows ...fake.RowsKind) []kinds {
	var all []kinds
	for _, c := range conns {
		for _, s := range stmts {
			for _, r := range rows {
				all = append(all, kinds{c, s, r})
			}
		}
	}
	return all
}

// A Setup describes a scripted driver on which a case is played.
type Setup struct {
	Case Case
	Conn fake.ConnKind
	Stmt fake.StmtKind
	Rows fake.RowsKind

	InTx    bool // the fault occurs in a transaction
	Cancels bool // the program's context ends during a call, or before it
	Panics  bool // the driver, or an argument, panics
}

func (s Setup) String() string {
	return fmt.Sprintf("connections %q, statements %q, rows %q", s.Conn.Name, s.Stmt.Name, s.Rows.Name)
}

// An outcome is the result of playing a script on one driver.
type outcome struct {
	broken    string // why the script did not end; "" if it did
	log       []fake.Entry
	all, seen [sha256.Size]byte // hashes of the whole log, and of what the program saw
	left      []string
	hit       bool // a hook was called
	connector driver.Connector
}

// A comparison compares all scripts on one target.
type comparison struct {
	target  Target
	timeout time.Duration
	applied []atomic.Bool // by the index of the allowance
	shown   []atomic.Bool
}

func newComparison(target Target) *comparison {
	c := &comparison{target: target, timeout: target.Timeout}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	c.applied, c.shown = make([]atomic.Bool, len(target.Allowed)), make([]atomic.Bool, len(target.Allowed))
	return c
}

// A verdict is the result for one setup.
type verdict struct {
	difference string
	allowance  string // the reason why the difference is allowed; "" if it is not
}

// compare plays c on all its setups. It returns the first difference that is not allowed, or
// else the first that is allowed.
func (cmp *comparison) compare(t *testing.T, c Case) verdict {
	all := c.script.kinds()
	verdicts := make([]verdict, len(all))
	var next atomic.Int64
	var stop atomic.Bool
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(all)) {
		workers.Go(func() {
			for !stop.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				verdicts[i] = cmp.compareOn(t, c, i, all[i])
				if v := verdicts[i]; v.difference != "" && v.allowance == "" {
					stop.Store(true)
				}
			}
		})
	}
	workers.Wait()
	var first verdict
	for _, v := range verdicts {
		if v.difference != "" && v.allowance == "" {
			return v
		}
		if first.difference == "" {
			first = v
		}
	}
	return first
}

// compareOn plays c on the i-th combination of kinds.
func (cmp *comparison) compareOn(t *testing.T, c Case, i int, k kinds) verdict {
	s := c.script
	setup := Setup{Case: c, Conn: k.conn, Stmt: k.stmt, Rows: k.rows, InTx: s.inTx, Cancels: s.cancels, Panics: s.panics}
	differs := func(format string, args ...any) verdict {
		return verdict{difference: setup.String() + ":\n" + fmt.Sprintf(format, args...)}
	}

	if s.first != nil && !s.first.bareOutcome(t, i, k, cmp.timeout).hit {
		return verdict{}
	}
	bare := s.bareOutcome(t, i, k, cmp.timeout)
	if bare.broken != "" {
		t.Errorf("%s is not a valid case: on %v it does not end on the bare driver: %s", c.ID(), setup, bare.broken)
		return verdict{}
	}
	wrapped := s.playOn(t, k, cmp.target.Wrap, cmp.timeout)
	if wrapped.broken != "" {
		return differs("%s; the end of the log:\n%s", wrapped.broken, wrapped.end())
	}
	if cmp.target.Done != nil {
		if err := cmp.target.Done(c, wrapped.connector); err != nil {
			return differs("%v", err)
		}
	}
	if left := more(wrapped.left, bare.left); len(left) > 0 {
		return differs("at the end: %s", strings.Join(left, ", "))
	}

	allowed := slices.IndexFunc(cmp.target.Allowed, func(a Allowance) bool { return a.Where(setup) })
	if allowed >= 0 {
		cmp.applied[allowed].Store(true)
	}
	if bare.all == wrapped.all {
		return verdict{}
	}
	if allowed >= 0 && (bare.seen == wrapped.seen || cmp.target.Allowed[allowed].Visible) {
		cmp.shown[allowed].Store(true)
		v := differs("the driver gets different calls")
		v.allowance = cmp.target.Allowed[allowed].Reason
		return v
	}

	once, again := s.playOn(t, k, nil, cmp.timeout), s.playOn(t, k, nil, cmp.timeout)
	lines := (*outcome).lines
	if allowed >= 0 {
		lines = (*outcome).linesSeen
	}
	if d := firstDifference("once", lines(once), "again", lines(again)); d != "" {
		t.Errorf("%s is not a valid case: on %v two runs on the bare driver differ\n%s", c.ID(), setup, d)
		return verdict{}
	}
	d := firstDifference("bare", lines(once), cmp.target.Name, lines(wrapped))
	if d == "" {
		t.Errorf("%s is not a valid case: on %v an earlier run on the bare driver differed", c.ID(), setup)
		return verdict{}
	}
	return differs("%s", d)
}

// bareOutcome plays the script on the bare driver, unless it has already been played for
// another target.
func (s *script) bareOutcome(t *testing.T, i int, k kinds, timeout time.Duration) *outcome {
	s.mu.Lock()
	o := s.bare[i]
	s.mu.Unlock()
	if o == nil {
		o = s.playOn(t, k, nil, timeout)
		o.log, o.connector = nil, nil // too large to keep; played again if it must be shown
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bare == nil {
			s.bare = make(map[int]*outcome)
		}
		s.bare[i] = o
	}
	return o
}

// playOn plays the script in its own synctest bubble, on a driver that wrap wraps. A nil wrap
// means the bare driver.
func (s *script) playOn(t *testing.T, k kinds, wrap func(driver.Connector) driver.Connector, timeout time.Duration) *outcome {
	base := &fake.Base{Conn: k.conn, Stmt: k.stmt, Rows: k.rows, Sets: max(s.sets, 1), Derived: !s.exact}
	o := &outcome{connector: base}
	if s.close {
		o.connector = fake.Closer{Base: base}
	}
	ended := make(chan string, 1)
	go func() {
		broken := "it called runtime.Goexit"
		defer func() {
			// synctest panics if the goroutines of a bubble deadlock, or are left
			// behind.
			if p := recover(); p != nil {
				broken = fmt.Sprint(p)
			}
			ended <- broken
		}()
		synctest.Test(t, func(*testing.T) {
			defer func() {
				if p := recover(); p != nil {
					base.Write(fake.Program, "panic: %v", p)
				}
			}()
			if wrap != nil {
				o.connector = wrap(o.connector)
			}
			p := &player{Base: base, db: sql.OpenDB(o.connector)}
			s.play(p)
			p.end()
		})
		broken = ""
	}()
	if wrap == nil {
		timeout = max(timeout, bareTimeout)
	}
	// Waiting for a mutex does not count as blocked in a bubble, so a deadlock needs a real
	// timeout.
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case o.broken = <-ended:
	case <-timer.C:
		o.broken = fmt.Sprintf("it hangs, and was given up after %v", timeout)
	}
	o.log, o.left, o.hit = base.Log(), base.Left(), base.Hit()
	o.sum()
	return o
}

// sum computes the hashes of the log, which are small enough to keep and compare.
func (o *outcome) sum() {
	all, seen := sha256.New(), sha256.New()
	for _, e := range o.log {
		line := []byte{byte(e.By)}
		line = append(append(line, e.Text...), 0)
		all.Write(line)
		if e.By == fake.Program {
			seen.Write(line)
		}
	}
	all.Sum(o.all[:0])
	seen.Sum(o.seen[:0])
}

func (o *outcome) lines() []string {
	lines := make([]string, len(o.log))
	for i, e := range o.log {
		lines[i] = e.String()
	}
	return lines
}

func (o *outcome) linesSeen() []string {
	var lines []string
	for _, e := range o.log {
		if e.By == fake.Program {
			lines = append(lines, e.String())
		}
	}
	return lines
}

// end returns the end of the log.
func (o *outcome) end() string {
	lines := o.lines()
	return "\t" + strings.Join(lines[max(0, len(lines)-8):], "\n\t")
}

// more returns the elements of a that b lacks or has fewer of.
func more(a, b []string) []string {
	b = slices.Clone(b)
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool {
		i := slices.Index(b, s)
		if i >= 0 {
			b = slices.Delete(b, i, i+1)
		}
		return i >= 0
	})
}
