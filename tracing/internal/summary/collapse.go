package summary

import (
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// maxCollapse bounds the tokens that Collapse reads.
const maxCollapse = 20_000

// Collapse returns what a sanitized query of SQLite has in common with others of its kind. White
// space becomes one space. A list of values after IN becomes (?). Rows after VALUES that are like
// the first one are left out.
func Collapse(sanitized string) string {
	c := collapser{text: sanitized}
	l := sqltext.SQLite.Lexer(sanitized)
	for t := l.Next(); t.Kind != sqltext.EOF && len(c.tokens) < maxCollapse; t = l.Next() {
		c.tokens = append(c.tokens, t)
	}
	return c.collapse()
}

// A collapser writes the tokens of a query.
type collapser struct {
	text   string
	tokens []sqltext.Token
	at     int // the index of the current token
	out    strings.Builder
	gap    bool // white space comes before the current token
}

func (c *collapser) collapse() string {
	for c.at < len(c.tokens) {
		word := c.written(c.at)
		keyword := c.tokens[c.at].Kind == sqltext.Word
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
		if c.is(i, sqltext.Operator) { // a sign
			i = c.skip(i + 1)
		}
		if !c.isValue(i) {
			return
		}
		if i = c.skip(i + 1); !c.is(i, sqltext.Comma) {
			break
		}
	}
	if c.is(i, sqltext.RightParen) {
		c.out.WriteString(" (?)")
		c.at, c.gap = i+1, false
	}
}

// isValue reports whether the token i is a parameter, a literal or NULL.
func (c *collapser) isValue(i int) bool {
	return c.is(i, sqltext.Parameter) || c.is(i, sqltext.Word) && sqltext.EqualFold(c.written(i), "NULL")
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
		if c.written(a) != c.written(b) && !(c.isValue(a) && c.isValue(b)) {
			return false
		}
		a, b = a+1, b+1
	}
}
