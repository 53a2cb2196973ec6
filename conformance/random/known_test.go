package random

import (
	"slices"
	"strings"
	"testing"
)

// known are differences that no documentation speaks of. Sessions do not see
// them, so that they find others. Each has the program that shows it.
var known = []struct {
	name        string
	connections int
	steps       []step
}{
	{
		// The plain driver counts from the beginning of the text what SQLite
		// counts from that of the statement: it tells a wrong place.
		name:  "where in a text of several statements an error is",
		steps: []step{{verb: exec, on: "db", text: &text{sql: "SELECT 1; SELECT missing", several: true}}},
	},
	{
		name: "last_insert_rowid() after an Exec of a text that cannot be prepared",
		steps: []step{
			{verb: exec, on: "db", text: &text{sql: "INSERT INTO t DEFAULT VALUES"}},
			{verb: exec, on: "db", text: &text{sql: "INSERT INTO missing DEFAULT VALUES"}},
			{verb: query, on: "db", text: &text{sql: "SELECT last_insert_rowid()"}},
		},
	},
	{
		// It writes its row, and says that it failed, each time.
		name: "the columns of a prepared statement that writes and returns rows, at the second use after they have changed",
		steps: []step{
			{verb: prepare, on: "db", to: "s1", text: &returning},
			{verb: query, on: "s1", text: &returning},
			{verb: exec, on: "db", text: &text{sql: "ALTER TABLE t ADD COLUMN c", schema: true}},
			{verb: query, on: "s1", text: &returning},
			{verb: query, on: "s1", text: &returning},
		},
	},
	{
		name:        "types of columns before the first row, if the database is locked",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: exec, on: "c1", text: &text{sql: "BEGIN EXCLUSIVE"}},
			{verb: query, on: "c2", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
	{
		name:        "a kept query of what another connection has dropped fails for a row",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: exec, on: "c2", text: &text{sql: "DROP TABLE u", schema: true}},
			{verb: query, on: "c1", text: &text{sql: "SELECT 1 FROM sqlite_schema"}},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
	{
		name:        "a kept statement that writes to what another connection has dropped fails with a joined error",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: exec, on: "c1", text: &text{sql: "INSERT INTO u(a) VALUES (?)", inputs: 1}, args: allArgs[:1]},
			{verb: exec, on: "c2", text: &text{sql: "DROP TABLE u", schema: true}},
			{verb: query, on: "c1", text: &text{sql: "SELECT 1 FROM sqlite_schema"}},
			{verb: exec, on: "c1", text: &text{sql: "INSERT INTO u(a) VALUES (?)", inputs: 1}, args: allArgs[:1]},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
}

var returning = text{sql: "INSERT INTO t(a) VALUES (1) RETURNING *"}

// What is known to differ still does: what does not any more, sessions should
// see.
func TestKnown(t *testing.T) {
	for _, k := range known {
		t.Run(k.name, func(t *testing.T) {
			begin := start()
			p := program{max(1, k.connections), slices.Concat([]step{{verb: exec, on: "db", text: &begin}}, k.steps)}
			a := &arena{dir: t.TempDir(), strict: true}
			diff, err := a.difference(p, ours(t)[:1])
			if err != nil {
				t.Fatal(err)
			}
			if diff == "" {
				t.Error("there is no difference: take it out of what is known")
			}
			t.Log(diff)
		})
	}
}

// forget takes out of what was seen of rows what is known to differ: the types
// of columns that were asked for before the first row, if there was none for a
// lock, or for a table that another connection has dropped since.
func (l *player) forget(o *outcome) {
	if !l.strict && l.several && len(o.rows) == 0 && o.err != nil {
		o.lines = slices.DeleteFunc(o.lines, func(line string) bool { return strings.HasPrefix(line, "types") })
	}
}

// staleHere allows for a statement that "sqlitemw" has kept while another
// connection has dropped what it reads: the query fails, as the plain driver's
// does, but when its first row is asked for; the text can be prepared; and an
// Exec of it fails with the same error in an errors.Join. That is the reason of
// a difference in the i-th step if it is gone once the connection has let go of
// its statements, as it does before a PRAGMA.
func (a *arena) staleHere(to target, p program, i int, want, _ record) (program, bool, error) {
	at, ok := asked(p, i)
	ok = ok || p.steps[i].verb == prepare || p.steps[i].verb == exec
	if !ok || a.strict || p.connections == 1 || i >= len(want.seen) || want.seen[i].err == nil {
		return p, false, nil
	}
	on := p.steps[at].on
	if on[0] == 's' { // a database's statement is prepared anew on each connection that it is used on
		on = p.steps[slices.IndexFunc(p.steps, func(s step) bool { return s.to == on })].on
	}
	cured := p.with(at, step{verb: query, on: on, text: &text{sql: "PRAGMA user_version"}, unseen: true})
	wanted := slices.Insert(slices.Clone(want.seen[:i+1]), at, outcome{})
	got, err := a.play(to, cured, wanted)
	return cured, err == nil && sameOutcome(want.seen, i, got.seen, i+1), err
}
