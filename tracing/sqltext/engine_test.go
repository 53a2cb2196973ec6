package sqltext_test

import (
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// An engine is SQLite itself. The tests compare this package with it.
type engine struct{ raw *sqlite3.Conn }

// schema defines the objects that the tests' SQL can name.
const schema = `
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c, "d e" REAL, temp, changes, pragma_note);
CREATE TABLE u(a, b, c);
CREATE TABLE "order"(a, b);
CREATE INDEX i ON t(b);
CREATE VIEW v AS SELECT a, b FROM t;
CREATE TRIGGER g AFTER INSERT ON u BEGIN SELECT 1; END;`

// newEngine opens a database in memory. Statements are prepared on it, but never executed.
// Preparing a PRAGMA executes it, so an authorizer makes SQLite ignore all of them.
func newEngine(tb testing.TB) engine {
	tb.Helper()
	raw, err := sqlite3.Open(":memory:")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { raw.Close() })
	if err := raw.Exec(schema); err != nil {
		tb.Fatal(err)
	}
	err = raw.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, _, _, _, _ string) sqlite3.AuthorizerReturnCode {
		if action == sqlite3.AUTH_PRAGMA {
			return sqlite3.AUTH_IGNORE
		}
		return sqlite3.AUTH_OK
	})
	if err != nil {
		tb.Fatal(err)
	}
	return engine{raw}
}

// tail prepares the first statement of text and returns the offset where SQLite stopped.
// found is false if there was no statement.
func (e engine) tail(text string) (end int, found bool, err error) {
	stmt, tail, err := e.raw.Prepare(text)
	if err != nil || stmt == nil {
		return 0, false, err
	}
	return len(text) - len(tail), true, stmt.Close()
}

// program returns SQLite's program for a statement, one instruction a line. Without operands,
// it omits the operands that are strings: the program of a definition contains the definition
// itself.
func (e engine) program(text string, operands bool) (string, error) {
	stmt, _, err := e.raw.Prepare("EXPLAIN " + text)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	var b strings.Builder
	for stmt.Step() {
		for i := range stmt.ColumnCount() {
			if name := stmt.ColumnName(i); name == "comment" || name == "p4" && !operands {
				continue
			}
			b.WriteString(stmt.ColumnText(i))
			b.WriteByte(' ')
		}
		b.WriteByte('\n')
	}
	return b.String(), stmt.Err()
}
