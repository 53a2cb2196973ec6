package faults

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A puppet is a child with a pool that executes orders one by one, for tests that need an exact
// order of events.
type puppet struct {
	*child
	t       testing.TB
	ordered int
}

// An order is one order to a puppet. Do is a key of puppetOrders.
type order struct {
	Do       string
	Path     string
	Database database
	Query    string
	ID       int64
	N        int
	Limit    int64 // JournalSizeLimit
	Conns    int   // MaxConns; zero means 4
	Mode     sqlite3.CheckpointMode
}

// An answer is the result of an order.
type answer struct {
	Err      string
	IsLost   bool // the error is driver.ErrFileLost
	IsFsync  bool // the error is sqlite3.IOERR_FSYNC
	IsCommit bool // the error is a *pool.CommitError
	N        int
	IDs      []int64
	Texts    []string
}

func (o *answer) set(err error) {
	if err == nil {
		return
	}
	var commit *pool.CommitError
	o.Err = err.Error()
	o.IsLost = errors.Is(err, driver.ErrFileLost)
	o.IsFsync = errors.Is(err, sqlite3.IOERR_FSYNC)
	o.IsCommit = errors.As(err, &commit)
}

// isCommitError reports whether the error is that of a commit whose sync has failed.
func (o answer) isCommitError() bool { return o.IsCommit && o.IsLost && o.IsFsync }

func startPuppet(t testing.TB) *puppet { return &puppet{child: startChild(t, "puppet", nil), t: t} }

// start gives an order. The function that it returns waits for the answer.
func (p *puppet) start(o order) func() answer {
	p.t.Helper()
	p.ordered++
	n := p.ordered
	p.tell(o)
	return func() (got answer) {
		p.t.Helper()
		if !p.awaitFunc(func() bool { return len(p.others["did"]) >= n }) {
			// The child cannot be killed before the end of the test releases what it waits for.
			p.t.Fatalf("%s: no answer: %v\n%s", o.Do, p.err, p.output())
		}
		if err := json.Unmarshal([]byte(p.reported("did")[n-1]), &got); err != nil {
			p.t.Fatal(err)
		}
		return got
	}
}

func (p *puppet) do(o order) answer {
	p.t.Helper()
	return p.start(o)()
}

// must gives an order that must succeed.
func (p *puppet) must(o order) answer {
	p.t.Helper()
	got := p.do(o)
	if got.Err != "" {
		p.t.Fatalf("%s: %s", o.Do, got.Err)
	}
	return got
}
