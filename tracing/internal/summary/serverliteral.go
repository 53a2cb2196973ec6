package summary

import (
	"bytes"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// signed reports whether the current token is the sign of a number. Before a value, it is. After
// a value, it adds or subtracts.
func (p *parser) signed() bool {
	if !p.is("-") && !p.is("+") {
		return false
	}
	if next, _ := p.Peek(); next.Kind != sqltext.Number || next.Start != p.Token.End {
		return false
	}
	switch p.Before.Kind {
	case sqltext.EOF, sqltext.LeftParen, sqltext.Comma, sqltext.Semicolon:
		return true
	case sqltext.Operator:
		switch p.Before.Text(p.Text()) {
		case "]", "}", "?":
			return false
		}
		return true
	case sqltext.Word:
		return valueFollows(p.BeforeKey.Word)
	}
	return false
}

// valueFollows reports whether an expression follows a keyword.
func valueFollows(word string) bool {
	switch word {
	case "ALL", "AND", "BETWEEN", "BY", "CASE", "DEFAULT", "DISTINCT", "DIV", "DO", "ELSE", "FROM", "HAVING", "ILIKE", "IN", "INTERVAL", "IS", "LIKE",
		"LIMIT", "MOD", "NOT", "OFFSET", "ON", "OR", "REGEXP", "RETURN", "RETURNING", "RLIKE", "SELECT", "SYMMETRIC", "THEN", "TO", "WHEN", "WHERE",
		"XOR":
		return true
	}
	return false
}

// minus reports whether the current token and the character before it make "--", to MySQL. Before
// white space, which may come instead of a comment, that would start a comment.
func (p *parser) minus() bool {
	return p.Dialect() == sqltext.MySQL && p.is("-") && bytes.HasSuffix(p.out, []byte{'-'})
}

// writeUncommented writes the white space before the current token without its comments. At the
// start and at the end of the query, it writes nothing.
func (p *parser) writeUncommented() {
	if len(p.out) == 0 || p.Token.Kind == sqltext.EOF {
		return
	}
	written := len(p.out)
	gap := p.Text()[p.gap:p.Token.Start]
	l := p.Dialect().Lexer(gap)
	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
		if t.Kind == sqltext.Space {
			p.out = append(p.out, t.Text(gap)...)
		}
	}
	if len(p.out) == written {
		p.out = append(p.out, ' ')
	}
}
