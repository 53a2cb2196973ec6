package summary

import (
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

func TestCollapse(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"SELECT  a\n FROM t -- x\n WHERE b = 1", "SELECT a FROM t WHERE b = ?"},
		{"SELECT * FROM t WHERE a IN (1,2, 3)", "SELECT * FROM t WHERE a IN (?)"},
		{"SELECT * FROM t WHERE a in(?, ?)", "SELECT * FROM t WHERE a in (?)"},
		{"SELECT * FROM t WHERE a IN (?1, :b, -3, NULL) AND c", "SELECT * FROM t WHERE a IN (?) AND c"},
		{"SELECT * FROM t WHERE a IN (SELECT 1)", "SELECT * FROM t WHERE a IN (SELECT ?)"},
		{"SELECT * FROM t WHERE a IN (b, 1)", "SELECT * FROM t WHERE a IN (b, ?)"},
		{"SELECT * FROM t WHERE a IN ()", "SELECT * FROM t WHERE a IN ()"},
		{"SELECT * FROM t WHERE a IN other", "SELECT * FROM t WHERE a IN other"},
		{"SELECT * FROM t WHERE a IN (1", "SELECT * FROM t WHERE a IN (?"},
		{"INSERT INTO t VALUES (1, 'x')", "INSERT INTO t VALUES (?, ?)"},
		{"INSERT INTO t VALUES(1, 'x'),(2, NULL) , (?,?) RETURNING a", "INSERT INTO t VALUES (?, ?) RETURNING a"},
		{"INSERT INTO t VALUES (1, f(2)), (3, f(4)), (5, 6)", "INSERT INTO t VALUES (?, f(?)), (?, ?)"},
		{"INSERT INTO t VALUES (1, 2), (1)", "INSERT INTO t VALUES (?, ?), (?)"},
		{"INSERT INTO t(a, b) SELECT 1, 2", "INSERT INTO t(a, b) SELECT ?, ?"},
		{"VALUES (1), (2); VALUES (3)", "VALUES (?); VALUES (?)"},
		{"INSERT INTO t VALUES (1, -2, TRUE), (+1, 2, NULL), (?, ?, current_timestamp)", "INSERT INTO t VALUES (?, -?, TRUE)"},
		{"SAVEPOINT sp0xc000", "SAVEPOINT ?"},
		{"release savepoint \"a b\"", "release savepoint ?"},
		{"ROLLBACK TRANSACTION TO x1;", "ROLLBACK TRANSACTION TO ?;"},
		{"ROLLBACK", "ROLLBACK"},
		{"COMMIT", "COMMIT"},
		{"", ""},
	} {
		got := Collapse(sqltext.SQLite, Describe(sqltext.SQLite, c.query, false).Sanitized)
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.query, got, c.want)
		}
		if again := Collapse(sqltext.SQLite, got); again != got {
			t.Errorf("%q: again %q", got, again)
		}
	}
}
