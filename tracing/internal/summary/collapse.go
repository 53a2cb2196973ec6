package summary

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// maxCollapse bounds the tokens that Collapse reads.
const maxCollapse = 20_000

// Collapse returns what a sanitized query of dialect d has in common with others of its kind. White
// space becomes one space. A list of values after IN becomes (?). Rows after VALUES that are like
// the first one are left out.
func Collapse(d sqltext.Dialect, sanitized string) string {
	c := collapser{text: sanitized, dialect: d}
	l := d.Lexer(sanitized)
	for t := l.Next(); t.Kind != sqltext.EOF && len(c.tokens) < maxCollapse; t = l.Next() {
		c.tokens = append(c.tokens, t)
	}
	return c.collapse()
}

// A collapser writes the tokens of a query.
type collapser struct {
	text    string
	dialect sqltext.Dialect
	tokens  []sqltext.Token
	at      int // the index of the current token
	out     strings.Builder
	gap     bool // white space comes before the current token
}

func (c *collapser) collapse() string {
	savepoint := c.savepoint()
	for c.at < len(c.tokens) {
		word := c.written(c.at)
		keyword := c.tokens[c.at].Kind == sqltext.Word
		if c.at == savepoint {
			c.out.WriteString(" ?")
			c.at, c.gap = c.behindName(c.at), false
			continue
		}
		c.write(c.at)
		switch {
		case keyword && sqltext.EqualFold(word, "IN"):
			c.list()
		case keyword && sqltext.EqualFold(word, "VALUES"):
			c.rows()
		}
	}
	return c.out.String()
}

// savepoint returns the index of the name of a savepoint, or -1. Programs number savepoints.
func (c *collapser) savepoint() int {
	first := c.skip(0)
	if first >= len(c.tokens) {
		return -1
	}
	switch verb := c.written(first); {
	case sqltext.EqualFold(verb, "SAVEPOINT"), sqltext.EqualFold(verb, "RELEASE"), sqltext.EqualFold(verb, "ROLLBACK"):
	default:
		return -1
	}
	// To SQLite, ROLLBACK TRANSACTION x ends the transaction x. Others have other words there.
	named := c.dialect == sqltext.SQLite || !sqltext.EqualFold(c.written(first), "ROLLBACK")
	for i := c.skip(first + 1); i < len(c.tokens); i = c.skip(i + 1) {
		switch word := c.written(i); {
		case !named:
			named = sqltext.EqualFold(word, "TO")
		case sqltext.EqualFold(word, "SAVEPOINT"), sqltext.EqualFold(word, "TRANSACTION"), sqltext.EqualFold(word, "TO"):
		case c.is(i, sqltext.Word), c.is(i, sqltext.Quoted):
			return i
		default:
			return -1
		}
	}
	return -1
}

// behindName returns the index behind a name. No savepoint has a qualified name, but a server's
// query may have one there, and a dot behind "?" could begin a number.
func (c *collapser) behindName(i int) int {
	for i++; c.dialect != sqltext.SQLite && c.is(i, sqltext.Dot); i += 2 {
	}
	return min(i, len(c.tokens))
}

func (c *collapser) written(i int) string { return c.tokens[i].Text(c.text) }

// write writes the token i, or notes that it is white space, and moves behind it.
func (c *collapser) write(i int) {
	c.at = i + 1
	if c.tokens[i].Kind == sqltext.Space || c.tokens[i].Kind == sqltext.Comment {
		c.gap = true
		return
	}
	if c.gap && c.out.Len() > 0 {
		c.out.WriteByte(' ')
	}
	c.gap = false
	c.out.WriteString(c.written(i))
}

// skip returns the index of the first token from i on that is not white space.
func (c *collapser) skip(i int) int {
	for i < len(c.tokens) && (c.tokens[i].Kind == sqltext.Space || c.tokens[i].Kind == sqltext.Comment) {
		i++
	}
	return i
}

func (c *collapser) is(i int, k sqltext.Kind) bool { return i < len(c.tokens) && c.tokens[i].Kind == k }

// list writes (?) in place of a list of values in parentheses.
func (c *collapser) list() {
	i := c.skip(c.at)
	if !c.is(i, sqltext.LeftParen) {
		return
	}
	for i = c.skip(i + 1); ; i = c.skip(i + 1) {
		next, ok := c.value(i)
		if !ok {
			return
		}
		if i = c.skip(next); !c.is(i, sqltext.Comma) {
			break
		}
	}
	if c.is(i, sqltext.RightParen) {
		c.out.WriteString(" (?)")
		c.at, c.gap = i+1, false
	}
}

// value returns the index behind a value that starts at the token i. ok is false if there is none. A
// value is a parameter, a literal, or a word for one, with or without a sign.
func (c *collapser) value(i int) (next int, ok bool) {
	if c.is(i, sqltext.Operator) && (c.written(i) == "-" || c.written(i) == "+") {
		i = c.skip(i + 1)
	}
	if c.is(i, sqltext.Parameter) || c.is(i, sqltext.Operator) && c.written(i) == "?" {
		return i + 1, true
	}
	if c.is(i, sqltext.Word) {
		switch sqltext.Fold(c.written(i)) {
		case "null", "true", "false", "current_time", "current_date", "current_timestamp":
			return i + 1, true
		}
	}
	return i, false
}

// rows writes the first row of values, and leaves out those that are like it.
func (c *collapser) rows() {
	first := c.skip(c.at)
	end := c.row(first)
	if end < 0 {
		return
	}
	c.gap = true
	for i := first; i < end; i++ {
		c.write(i)
	}
	for {
		comma := c.skip(c.at)
		if !c.is(comma, sqltext.Comma) {
			return
		}
		next := c.skip(comma + 1)
		nextEnd := c.row(next)
		if nextEnd < 0 || !c.alike(first, end, next, nextEnd) {
			return
		}
		c.at, c.gap = nextEnd, false
	}
}

// row returns the index behind a row in parentheses that starts at i, or -1.
func (c *collapser) row(i int) int {
	if !c.is(i, sqltext.LeftParen) {
		return -1
	}
	depth := 0
	for ; i < len(c.tokens); i++ {
		switch c.tokens[i].Kind {
		case sqltext.LeftParen:
			depth++
		case sqltext.RightParen:
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// alike reports whether two rows differ only in white space and in their values.
func (c *collapser) alike(a, aEnd, b, bEnd int) bool {
	for {
		a, b = c.skip(a), c.skip(b)
		if a >= aEnd || b >= bEnd {
			return a >= aEnd && b >= bEnd
		}
		nextA, okA := c.value(a)
		nextB, okB := c.value(b)
		switch {
		case okA && okB:
			a, b = nextA, nextB
		case c.written(a) == c.written(b):
			a, b = a+1, b+1
		default:
			return false
		}
	}
}
