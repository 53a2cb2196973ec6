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

// A script is a program played on scripted drivers of many kinds, bare and
// wrapped. It must see the same, and the driver must be asked the same.
type script struct {
	kinds func() []kinds
	sets  int  // result sets of each query; 0 means 1
	close bool // the connector is one that can be closed
	exact bool // a context made from the program's is not the program's
	play  func(*player)

	inTx, cancels, panics bool // see Setup

	// first is a script that differs from this one in its fault alone. Where
	// that hits nothing, this one is the same.
	first *script

	mu   sync.Mutex
	bare map[int]*outcome // by the index of the kinds
}

// kinds are one kind of driver.
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

// A Setup is a scripted driver on which a case is played.
type Setup struct {
	Case Case
	Conn fake.ConnKind
	Stmt fake.StmtKind
	Rows fake.RowsKind

	InTx    bool // what goes wrong does so in a transaction
	Cancels bool // the program's context ends during a call, or before
	Panics  bool // the driver, or an argument, panics
}

func (s Setup) String() string {
	return fmt.Sprintf("connections %q, statements %q, rows %q", s.Conn.Name, s.Stmt.Name, s.Rows.Name)
}

// An outcome is what became of a script on one driver.
type outcome struct {
	broken    string // why it did not come to its end, if it did not
	log       []fake.Entry
	all, seen [sha256.Size]byte // all of the log, and what the program saw, in short
	left      []string
	hit       bool // a hook was called
	connector driver.Connector
}

// A comparison is of one target's scripts.
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

// A verdict is about one setup.
type verdict struct {
	difference string
	allowance  string // its reason, if there is one and what differs is allowed
}

// compare plays c on all its setups and returns the first difference that is not
// allowed, or else the first that is.
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

// compareOn plays c on the i-th kind of driver.
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
		t.Errorf("%s is no test, for on %v it does not come to its end on the bare driver: %s", c.ID(), setup, bare.broken)
		return verdict{}
	}
	wrapped := s.playOn(t, k, cmp.target.Wrap, cmp.timeout)
	if wrapped.broken != "" {
		return differs("%s; the last of it:\n%s", wrapped.broken, wrapped.end())
	}
	if cmp.target.Done != nil {
		if err := cmp.target.Done(c, wrapped.connector); err != nil {
			return differs("%v", err)
		}
	}
	if left := more(wrapped.left, bare.left); len(left) > 0 {
		return differs("in the end: %s", strings.Join(left, ", "))
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
		v := differs("the driver is asked something else")
		v.allowance = cmp.target.Allowed[allowed].Reason
		return v
	}

	once, again := s.playOn(t, k, nil, cmp.timeout), s.playOn(t, k, nil, cmp.timeout)
	lines := (*outcome).lines
	if allowed >= 0 {
		lines = (*outcome).linesSeen
	}
	if d := firstDifference("once", lines(once), "again", lines(again)); d != "" {
		t.Errorf("%s is no test, for on %v the bare driver differs from itself\n%s", c.ID(), setup, d)
		return verdict{}
	}
	d := firstDifference("bare", lines(once), cmp.target.Name, lines(wrapped))
	if d == "" {
		t.Errorf("%s is no test, for on %v the bare driver once differed from itself", c.ID(), setup)
		return verdict{}
	}
	return differs("%s", d)
}

// bareOutcome plays the script on the bare driver, unless that has been done for
// another target.
func (s *script) bareOutcome(t *testing.T, i int, k kinds, timeout time.Duration) *outcome {
	s.mu.Lock()
	o := s.bare[i]
	s.mu.Unlock()
	if o == nil {
		o = s.playOn(t, k, nil, timeout)
		o.log, o.connector = nil, nil // to be played again if it is to be shown
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bare == nil {
			s.bare = make(map[int]*outcome)
		}
		s.bare[i] = o
	}
	return o
}

// playOn plays the script in a bubble of its own, on a driver that wrap has
// wrapped, if it is not nil.
func (s *script) playOn(t *testing.T, k kinds, wrap func(driver.Connector) driver.Connector, timeout time.Duration) *outcome {
	base := &fake.Base{Conn: k.conn, Stmt: k.stmt, Rows: k.rows, Sets: max(s.sets, 1), Derived: !s.exact}
	o := &outcome{connector: base}
	if s.close {
		o.connector = fake.Closer{Base: base}
	}
	ended := make(chan string, 1)
	go func() {
		broken := "it ended its goroutine"
		defer func() {
			// A bubble whose goroutines wait for each other, or are left
			// behind, panics.
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
	// What waits for a mutex does not count as waiting in a bubble.
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

// sum makes of the log what is easily kept and compared.
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

// end shows the end of the log.
func (o *outcome) end() string {
	lines := o.lines()
	return "\t" + strings.Join(lines[max(0, len(lines)-8):], "\n\t")
}

// more returns what is in a and not, or less often, in b.
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
