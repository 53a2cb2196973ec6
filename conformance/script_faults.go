package conformance

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// A point is a place where a fault can occur.
type point struct {
	name   string
	what   string // for the case's rule
	groups string // the groups of verbs that reach it
	ops    []string
}

var points = []point{
	{"connect", "opening a connection", "db row conn stmt tx", []string{"Connect"}},
	{"prepare", "preparing a statement", "db row conn stmt tx", []string{"Prepare", "PrepareContext"}},
	{"direct", "executing a query without a statement", "db row conn tx", []string{"Exec", "ExecContext", "Query", "QueryContext"}},
	{"statement", "executing a statement", "db row conn stmt tx", []string{"stmt.Exec", "stmt.ExecContext", "stmt.Query", "stmt.QueryContext"}},
	{"check", "checking an argument", "db stmt tx", []string{"CheckNamedValue", "stmt.CheckNamedValue"}},
	{"statement's close", "closing a statement", "db stmt tx", []string{"stmt.Close"}},
	{"begin", "beginning a transaction", "tx", []string{"Begin", "BeginTx"}},
	{"commit", "committing", "tx", []string{"Commit"}},
	{"rollback", "rolling back", "tx", []string{"Rollback"}},
	{"reset", "resetting a connection", "db conn stmt tx", []string{"ResetSession"}},
	{"validation", "validating a connection", "db conn stmt tx", []string{"IsValid"}},
	{"next", "going to the next row", "db row conn stmt tx", []string{"rows.Next"}},
	{"rows' close", "closing rows", "db row conn stmt tx", []string{"rows.Close"}},
	{"result", "reading a result", "db", []string{"LastInsertId", "RowsAffected"}},
	{"close", "closing a connection", "db", []string{"Close"}},
}

// A fault is a way to fail.
type fault struct {
	name    string
	what    string // for the case's rule
	waits   bool   // time passes meanwhile
	cancels bool   // the step's context ends meanwhile
	panics  bool
	hook    func(*player) fake.Hook
}

func always(h fake.Hook) func(*player) fake.Hook { return func(*player) fake.Hook { return h } }

var faults = []fault{
	{name: "error", what: "fails", hook: always(fake.Fail(fake.ErrFault))},
	{name: "error once", what: "fails once", hook: always(fake.Once(fake.Fail(fake.ErrFault)))},
	{name: "bad connection", what: "says ErrBadConn", hook: always(fake.Fail(driver.ErrBadConn))},
	{name: "bad connection once", what: "returns ErrBadConn once", hook: always(fake.Once(fake.Fail(driver.ErrBadConn)))},
	{name: "bad connection wrapped", what: "wraps ErrBadConn", hook: always(fake.Fail(errWrappedBad))},
	{name: "bad connection wrapped once", what: "wraps ErrBadConn once", hook: always(fake.Once(fake.Fail(errWrappedBad)))},
	{name: "skip", what: "says ErrSkip", hook: always(fake.Fail(driver.ErrSkip))},
	{name: "panic", what: "panics", panics: true, hook: always(fake.Panic("fake: panic"))},
	{name: "delay", what: "takes an hour", waits: true, hook: always(fake.Take(time.Hour))},
	{name: "hang", what: "hangs until the context ends", waits: true, cancels: true, hook: func(p *player) fake.Hook {
		ctx := p.ctx
		p.later(time.Minute, p.cancel)
		return func(given context.Context, _ int) error {
			if given.Done() == nil {
				<-ctx.Done() // ignores the context and succeeds in the end
				return nil
			}
			<-given.Done()
			return given.Err()
		}
	}},
	{name: "cancel and ok", what: "succeeds while the context ends", cancels: true, hook: func(p *player) fake.Hook {
		return func(context.Context, int) error { p.cancel(); return nil }
	}},
	{name: "cancel and fail", what: "fails because the context ends", cancels: true, hook: func(p *player) fake.Hook {
		return func(context.Context, int) error { p.cancel(); return p.ctx.Err() }
	}},
}

var errWrappedBad = fmt.Errorf("wrapped: %w", driver.ErrBadConn)

// groups maps the groups of verbs to their descriptions in rules.
var groups = map[string]string{
	"db":   "calls on the database",
	"row":  "QueryRow",
	"conn": "calls on a connection",
	"stmt": "calls of a prepared statement",
	"tx":   "transactions",
}

// faultsCases try each fault at each point.
var faultsCases = sync.OnceValue(func() []Case {
	kinds := func() []kinds {
		stmts := fake.StmtKinds[:3] // none, contexts, all
		if testing.Short() {
			stmts = stmts[2:]
		}
		extremes := []fake.ConnKind{fake.ConnOf("none"), fake.ConnOf("all with contexts")}
		return slices.Concat(
			combine(fake.ConnKinds, stmts, fake.RowsOf("SQLite's")),
			combine(extremes, stmts[len(stmts)-1:], fake.RowsOf("all")))
	}
	var cases []Case
	for _, at := range points {
		first := make(map[string]*script) // by group
		for _, f := range faults {
			for group := range strings.FieldsSeq(at.groups) {
				vs := slices.DeleteFunc(slices.Clone(verbs), func(v verb) bool { return v.group != group || untestable(f, at, v) })
				if len(vs) == 0 {
					continue
				}
				cases = append(cases, Case{
					Name: fmt.Sprintf("%s, %s at %s", group, f.name, at.name),
					Rule: fmt.Sprintf("Where %s %s, %s and all later calls behave as on the bare driver.", at.what, f.what, groups[group]),
					script: &script{
						kinds: kinds, inTx: group == "tx", cancels: f.cancels, panics: f.panics, first: first[group],
						play: func(p *player) {
							if at.name == "close" {
								p.db.SetMaxIdleConns(-1)
							}
							for _, v := range vs {
								playFault(p, f, at.ops, v)
							}
						},
					},
				})
				if first[group] == nil {
					first[group] = cases[len(cases)-1].script
				}
			}
		}
	}
	// A program can continue after a panic if it recovers while it holds a connection or a
	// transaction.
	panics := faults[slices.IndexFunc(faults, func(f fault) bool { return f.panics })]
	for _, at := range points {
		if at.name != "prepare" && at.name != "direct" && at.name != "statement" {
			continue
		}
		cases = append(cases, Case{
			Name: "held, panic at " + at.name,
			Rule: fmt.Sprintf("Where %s panics and the program recovers, it can close the connection or transaction that it holds.", at.what),
			script: &script{kinds: kinds, panics: true, play: func(p *player) {
				for _, v := range verbs {
					if v.name == "conn.Exec" || v.name == "tx.Exec" { // others leave database/sql's connection locked
						playFault(p, panics, at.ops, v)
					}
				}
			}},
		})
	}
	return cases
})

func playFault(p *player, f fault, ops []string, v verb) {
	p.step(v.name, func() {
		p.On(f.hook(p), ops...)
		defer p.Off()
		v.do(p, "q ?", 1)
	})
	p.step(v.name+" after that", func() { v.do(p, "q ?", 2) })
}

// untestable reports whether no test is possible, because of database/sql itself. After a panic
// while it holds locks, it hangs. Otherwise two of its goroutines race, or one waits for a lock,
// so that no time passes in a bubble.
func untestable(f fault, at point, v verb) bool {
	switch {
	case f.panics && (at.name == "statement's close" || at.name == "close" || at.name == "validation"):
		return true
	case f.panics && v.group != "db" && v.group != "row":
		return true
	case f.cancels && v.group == "row":
		return true
	case f.cancels && v.group == "tx" && at.name == "prepare":
		return true
	case f.waits && v.query && slices.Contains([]string{"statement's close", "rows' close", "validation", "close"}, at.name):
		return true // all these points are within the close of rows
	}
	return false
}
