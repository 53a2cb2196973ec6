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

// pooledKinds are the steps with which a program sees no difference to a single connection of
// the plain driver. They exclude rows that are open while another call writes: a reader that
// does not see the write is the purpose of lanes. They also exclude transactions that queries
// begin, because those end with the checkout.
var pooledKinds = slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
	switch k {
	case leave, stepRows, closeRows, control:
		return true
	}
	return false
})

// asPooled removes what differs by documentation from a program:
//
//   - The row counts of other calls on its connection that a read-only transaction reports, and
//     those of its own that other calls report.
//   - The methods that the plain driver's connection has in addition to Raw.
//   - Transactions that queries begin, in Raw.
//   - Read-only transactions, once there may be an attached database or temporary tables. They
//     would not see those.
//   - A statement that was prepared before the schema changed. A pool prepares it when it is
//     executed. So it fails earlier if its table is gone, and has other errors without
//     arguments. Its rows remain after it is closed.
func asPooled(p program) program {
	session := false
	reads, old, of, prepared := map[string]bool{}, map[string]bool{}, map[string]string{}, []string(nil)
	p.steps = slices.Clone(p.steps)
	for i, s := range p.steps {
		if s.verb == promoted {
			p.steps[i].verb = raw
		}
	}
	p.steps = slices.DeleteFunc(p.steps, func(s step) bool {
		if s.text != nil && (strings.Contains(s.text.sql, "TEMP") || strings.Contains(s.text.sql, "ATTACH")) {
			session = true
		}
		switch {
		case s.verb == begin && (reads[s.on] || session && s.opts == sql.TxOptions{ReadOnly: true}):
			return true
		case s.verb == begin:
			reads[s.to] = s.opts == sql.TxOptions{ReadOnly: true}
			if s.on != "db" { // calls on the connection are in the transaction, too
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

// The programs assume one connection, which is a reader and a writer.
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
