// Package sqltexttest makes SQL for the fuzz tests of this module.
package sqltexttest

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A Chooser makes choices from the bytes of a fuzz test. So the fuzzer learns which bytes
// lead to something new.
type Chooser struct{ data []byte }

// NewChooser returns a Chooser that takes its choices from data.
func NewChooser(data []byte) *Chooser { return &Chooser{data} }

// N returns a number from 0 to n-1. It returns 0 when the data is used up.
func (c *Chooser) N(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b) % n
}

// Of returns one of list.
func (c *Chooser) Of(list ...string) string { return list[c.N(len(list))] }

// fragments replace tokens of the SQL, or are put between them.
var fragments = []string{
	";", ";", "(", ")", ",", ".", "a", "b", "t", "u", "v", "main", "temp", "x", "1", "'s'", "\"a\"", "[b]", "`c`", "'t'", "?", ":p", "$a::b(c)", "$a(')", "x'00'",
	"SELECT", "SELECT 1", "FROM", "FROM t", ", u", "WHERE", "AND", "OR", "NOT", "IN", "AS", "ON", "USING", "JOIN", "LEFT JOIN", "UNION ALL", "VALUES", "VALUES (1)", "INSERT INTO u", "REPLACE", "UPDATE u SET a = 1", "DELETE FROM u",
	"SET", "WITH x AS (SELECT 1)", "CREATE", "TEMP", "TABLE", "VIRTUAL", "TRIGGER", "CREATE TRIGGER x AFTER INSERT ON t BEGIN", "BEGIN", "END", "; END", "CASE WHEN 1 THEN 2", "CASE", "EXPLAIN", "QUERY", "PLAN", "PRAGMA", "PRAGMA x", "ATTACH", "COMMIT",
	"=", "==", "!=", "<", "<>", "<=", "<<", ">", ">>", ">=", "->", "->>", "|", "||", "&", "~", "+", "-", "*", "/", "%", "!", "{", "--", "/*", "*/", "'", "\"", "[", "]", "`", "$a(", "#1", "@", ":", "::", "x'", "0x", "0xF", "1_0", "1e", "1e5", ".5", "é", "\xff", "\x00", "\uFEFF", "\v", "\f", "\n", "$", "_",
	"last_insert_rowid()", "changes()", "changes", "total_changes ( )", "temp.t", "sqlite_temp_schema", "pragma_table_info('t')", "pragma_foreign_keys", "pragma_note", "main.pragma_user_version", "json_each('[]')",
}

// Weave returns one or two of [Seeds], joined, with fragments among their tokens. data
// determines the choices.
func Weave(data []byte) string {
	c := NewChooser(data)
	text := Seeds[c.N(len(Seeds))]
	if c.N(4) == 0 {
		text += c.Of(";", "; ", " ") + Seeds[c.N(len(Seeds))]
	}
	var tokens []string
	l := sqltext.SQLite.Lexer(text)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		tokens = append(tokens, t.Text(text))
	}
	for len(c.data) > 0 && len(tokens) > 0 {
		i := c.N(len(tokens))
		switch c.N(4) {
		case 0:
			tokens[i] = c.Of(fragments...)
		case 1:
			tokens[i] += " " + c.Of(fragments...) + " "
		case 2:
			tokens[i] = ""
		case 3:
			tokens[i] = tokens[c.N(len(tokens))]
		}
	}
	return strings.Join(tokens, "")
}
