package summary

import (
	"slices"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// cte is the folded name of a common table expression, and the number of parts before its
// WITH.
type cte struct {
	name  string
	parts int
}

// A scope holds the common table expressions that are declared in a pair of parentheses, or
// in the statement itself.
type scope struct {
	with  bool // it has a WITH, and so owns the names declared since
	parts int  // the number of parts before the latest WITH
	ctes  int  // the number of names before the first WITH
}

// query reads a statement that reads or writes rows, with nested statements.
func (p *parser) query() {
	p.roles = sqltext.Roles{}
	p.scopes[0] = scope{}
	columns := 0 // depth of the column names after a target, while they are read
	for !p.end() {
		depth := p.roles.Depth()
		role := p.roles.Of(&p.Cursor)
		switch now := p.roles.Depth(); {
		case now > depth:
			p.scopes[now] = scope{}
		case now < depth:
			p.dropCTEs(depth)
			if now < columns {
				columns = 0
			}
		}
		p.names = columns > 0
		switch role {
		case sqltext.Operation:
			p.operation()
		case sqltext.CommonList:
			p.with(depth)
		case sqltext.Common:
			if len(p.ctes) < maxCTEs {
				p.ctes = append(p.ctes, cte{p.identity(p.Written()), p.scopes[depth].parts})
			}
			p.name()
		case sqltext.Source:
			if p.BeforeKey.Word == "USING" && p.Dialect() == sqltext.MySQL {
				// DELETE FROM a USING t AS a: the names after FROM are those of the tables here.
				p.parts = p.parts[:min(p.operated, len(p.parts))]
			}
			p.target(true)
		case sqltext.Member:
			if p.Token.Kind == sqltext.String {
				p.keep() // more likely a literal without its parentheses
			} else {
				p.target(true)
			}
		case sqltext.Target:
			p.target(false)
			if p.Token.Kind == sqltext.LeftParen {
				columns = depth + 1
			}
		default:
			p.keep()
		}
	}
	p.names = false
	for depth := p.roles.Depth(); depth >= 0; depth-- {
		p.dropCTEs(depth)
	}
}

// with starts a list of common table expressions.
func (p *parser) with(depth int) {
	s := &p.scopes[depth]
	if !s.with {
		s.with, s.ctes = true, len(p.ctes)
	}
	s.parts = len(p.parts)
	p.keep()
}

// dropCTEs removes the references to the scope's common table expressions from the summary.
// It runs when the scope ends, because an expression may refer to a later one.
func (p *parser) dropCTEs(depth int) {
	s := &p.scopes[depth]
	if !s.with || len(p.ctes) == s.ctes {
		return
	}
	own := p.ctes[s.ctes:]
	kept := p.parts[:own[0].parts]
	for i := own[0].parts; i < len(p.parts); i++ {
		if part := p.parts[i]; part.source {
			name := p.identity(part.text)
			if slices.ContainsFunc(own, func(c cte) bool { return c.name == name && c.parts <= i }) {
				continue
			}
		}
		kept = append(kept, p.parts[i])
	}
	p.parts, p.ctes = kept, p.ctes[:s.ctes]
}

// identity returns what the engine compares of a name. To PostgreSQL, upper and lower case
// differ in quotes.
func (p *parser) identity(written string) string {
	name := sqltext.Unquote(written)
	if p.Dialect() == sqltext.PostgreSQL && len(name) < len(written) {
		return name
	}
	return sqltext.Fold(name)
}
