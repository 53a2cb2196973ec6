package random

import (
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sqlitemw/sqlitemw/pool"
)

// pooled is "sqlitemw-pool", with lanes.
var pooled = target{"sqlitemw-pool", func(dsn string) (*sql.DB, error) {
	c, err := (&pool.Driver{Config: pool.Config{Logger: slog.New(slog.DiscardHandler), AcquireTimeout: time.Minute}}).OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}}

// pooledKinds are what a program may do that is to see no difference to the plain
// driver's only connection. Not rows that are open while something else is written:
// that they do not see it is the point of a reader beside the writer. And not
// transactions of texts, which end with the checkout.
var pooledKinds = slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
	switch k {
	case leave, stepRows, closeRows, control:
		return true
	}
	return false
})

// asPooled leaves out of a program what is documented to be otherwise: what a
// transaction that only reads tells, and is told, of how many rows other calls of its
// connection changed; the methods that the plain driver's connection has besides
// Raw; transactions of texts, in Raw; and a statement that was prepared before the
// schema changed, which a pool prepares where it is executed, so that it fails
// earlier if what it is of is gone, and has rows that live on when it is closed, and
// other errors without arguments.
func asPooled(p program) program {
	reads, old, of, prepared := map[string]bool{}, map[string]bool{}, map[string]string{}, []string(nil)
	p.steps = slices.Clone(p.steps)
	for i, s := range p.steps {
		if s.verb == promoted {
			p.steps[i].verb = raw
		}
	}
	p.steps = slices.DeleteFunc(p.steps, func(s step) bool {
		switch {
		case s.verb == begin && reads[s.on]:
			return true
		case s.verb == begin:
			reads[s.to] = s.opts == sql.TxOptions{ReadOnly: true}
			if s.on != "db" { // what is done on the connection is in the transaction, too
				reads[s.on] = reads[s.to]
				of[s.to] = s.on
			}
		case s.verb == commit || s.verb == rollback:
			reads[of[s.on]] = false
		case s.verb == prepare || s.verb == bind:
			old[s.to], reads[s.to] = old[s.stmt], reads[s.on]
			prepared = append(prepared, s.to)
		case s.verb == open, s.verb == exec && s.on[0] == 's' && len(s.args) == 0:
			return true
		case s.text == nil || s.text.sql == "": // it executes nothing
		case old[s.on], reads[s.on] && (s.verb == exec || !s.text.onlyReads() || strings.Contains(s.text.sql, "changes()")):
			return true
		case s.verb == raw && slices.ContainsFunc(controls(), func(t text) bool { return t.sql == s.text.sql }):
			return true
		}
		if s.text != nil && s.text.schema && s.verb != prepare {
			for _, name := range prepared {
				old[name] = true
			}
		}
		return false
	})
	return p
}

// Programs on what they take for one connection, and is a reader and a writer.
func TestPool(t *testing.T) {
	t.Parallel()
	a := &arena{dir: t.TempDir(), model: true, lanes: true, query: "_pragma=foreign_keys(1)&_pragma=busy_timeout(100)&_pragma=synchronous(off)&_pragma=journal_mode(wal)"}
	rapid.Check(t, func(t *rapid.T) {
		diff, err := a.difference(asPooled(programsOf(1, pooledKinds).Draw(t, "program")), []target{pooled})
		if err != nil {
			t.Fatal(err)
		}
		if diff != "" {
			t.Fatal(diff)
		}
	})
	t.Logf("%+v", a.tally)
}
