package random

import (
	"slices"
	"testing"
)

// A finding is a program to which a session was shrunk, without its first steps.
type finding struct {
	name        string
	connections int
	steps       []step
}

// known are differences that sessions ignore, so that they find others. Each has a program that
// shows it.
var known = []finding{
	{
		// SQLite counts the position of an error from the start of the statement. The
		// plain driver counts it from the start of the query, and so reports a wrong
		// position. This is an entry of package driver's differences: "Several
		// statements".
		name:  "position of an error in a query of several statements",
		steps: []step{{verb: exec, on: "db", text: &text{sql: "SELECT 1; SELECT missing", several: true}}},
	},
	{
		// A closed statement reports the connection's last error. If statements are
		// cached, one that has failed is prepared again to check that it is still
		// valid, and that clears the last error.
		name: "last error of the connection, in an error of rows whose statement is closed, with cached statements",
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: prepare, on: "c1", to: "s1", text: &text{sql: "SELECT * FROM u"}},
			{verb: open, on: "s1", to: "r1", text: &text{sql: "SELECT * FROM u"}},
			{verb: read, on: "r1", rows: 1},
			{verb: finish, on: "s1"},
			{verb: exec, on: "c1", text: &text{sql: "SELECT abs(-9223372036854775807 - 1)"}},
			{verb: finish, on: "r1"},
			{verb: finish, on: "c1"},
		},
	},
	{
		// The plain driver writes its row, but reports a failure, because it reads the
		// columns before it has executed the statement.
		name: "the columns of a prepared statement that writes and returns rows, at the second use after they have changed",
		steps: []step{
			{verb: prepare, on: "db", to: "s1", text: &returning},
			{verb: query, on: "s1", text: &returning},
			{verb: exec, on: "db", text: &text{sql: "ALTER TABLE t ADD COLUMN c", schema: true}},
			{verb: query, on: "s1", text: &returning},
			{verb: query, on: "s1", text: &returning},
		},
	},
}

// cured are differences that sessions have found and that no longer exist.
var cured = []finding{
	{
		name:        "a cached statement of a table that another connection has dropped, after a query that writes to it",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: exec, on: "c2", text: &text{sql: "DROP TABLE u", schema: true}},
			{verb: query, on: "c1", text: &text{sql: "INSERT INTO u(a) VALUES (1)"}},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
	{
		name:        "a cached query of a table that another connection has dropped, after a query that writes",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: exec, on: "c2", text: &text{sql: "DROP TABLE u", schema: true}},
			{verb: query, on: "c1", text: &returning},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
	{
		// A prepare that fails also makes SQLite read the schema again.
		name:        "a cached query of a table that another connection has dropped, after a query that cannot be prepared",
		connections: 2,
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: connect, on: "db", to: "c2"},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: exec, on: "c2", text: &text{sql: "DROP TABLE u", schema: true}},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM missing"}},
			{verb: query, on: "c1", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "c1"},
			{verb: finish, on: "c2"},
		},
	},
	{
		// They were those of the previous use, and asking for their types panicked.
		name: "columns of unread rows after their statement is closed, if it was cached",
		steps: []step{
			{verb: query, on: "db", text: &text{sql: "SELECT * FROM u"}},
			{verb: connect, on: "db", to: "c1"},
			{verb: prepare, on: "c1", to: "s1", text: &text{sql: "SELECT * FROM u"}},
			{verb: open, on: "s1", to: "r1", text: &text{sql: "SELECT * FROM u"}},
			{verb: finish, on: "s1"},
			{verb: read, on: "r1", rows: 1},
			{verb: finish, on: "r1"},
			{verb: finish, on: "c1"},
		},
	},
	{
		name: "last error of the connection, in an error of rows whose statement is closed",
		steps: []step{
			{verb: connect, on: "db", to: "c1"},
			{verb: prepare, on: "c1", to: "s1", text: &text{sql: "SELECT * FROM u"}},
			{verb: open, on: "s1", to: "r1", text: &text{sql: "SELECT * FROM u"}},
			{verb: read, on: "r1", rows: 1},
			{verb: finish, on: "s1"},
			{verb: exec, on: "c1", text: &text{sql: "DETACH m"}},
			{verb: finish, on: "r1"},
			{verb: finish, on: "c1"},
		},
	},
	{
		name: "last_insert_rowid() after an Exec of a query that cannot be prepared",
		steps: []step{
			{verb: exec, on: "db", text: &text{sql: "INSERT INTO t DEFAULT VALUES"}},
			{verb: exec, on: "db", text: &text{sql: "INSERT INTO missing DEFAULT VALUES"}},
			{verb: query, on: "db", text: &text{sql: "SELECT last_insert_rowid()"}},
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
		name:        "a cached query of a table that another connection has dropped fails for a row",
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
		name:        "a cached statement that writes to a table that another connection has dropped fails with a joined error",
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

// Each known difference must still exist. Sessions should not ignore one that no longer does.
func TestKnown(t *testing.T) {
	for _, k := range known {
		t.Run(k.name, func(t *testing.T) {
			diff := k.play(t, ours(t)[:1])
			if diff == "" {
				t.Error("there is no difference any more: remove it from known")
			}
			t.Log(diff)
		})
	}
}

// Cured differences must not exist in any configuration.
func TestCured(t *testing.T) {
	for _, f := range cured {
		t.Run(f.name, func(t *testing.T) {
			if diff := f.play(t, ours(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// play returns the difference that the program sees, or "".
func (f finding) play(t *testing.T, targets []target) string {
	begin := start()
	p := program{max(1, f.connections), slices.Concat([]step{{verb: exec, on: "db", text: &begin}}, f.steps)}
	a := &arena{dir: t.TempDir(), strict: true}
	diff, err := a.difference(p, targets)
	if err != nil {
		t.Fatal(err)
	}
	return diff
}
