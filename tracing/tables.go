package tracing

import (
	"slices"
	"strings"
)

// cte is the name of a common table expression, folded, and how many parts came
// before its WITH.
type cte struct {
	name  string
	parts int
}

// frame is what a pair of parentheses, or the statement itself, has shown so far.
type frame struct {
	verb  string // SELECT, VALUES, INSERT, UPDATE or DELETE
	fresh bool   // nothing yet
	from  bool   // within FROM, where a comma stands before a table
	with  bool   // has a WITH, and so owns the names declared since
	list  bool   // within the list that WITH begins
	want  want   // what a name would be
	parts int    // how many there were before the latest WITH
	ctes  int    // how many there were before the first
}

// want says what a name at hand is.
type want uint8

const (
	wantNothing want = iota
	wantSource       // a table to read from, or parentheses with such tables in them
	wantMember       // a table after IN
	wantObject       // a table to write to
	wantCTE          // the name of a common table expression
)

// query reads SELECT, VALUES, INSERT, REPLACE, UPDATE and DELETE, with the
// statements nested in them.
func (p *parser) query() {
	p.depth, p.beyond = 0, 0
	p.stack[0] = frame{fresh: true}
	for !p.end() {
		f := &p.stack[p.depth]
		switch {
		case p.is('('):
			p.push()
		case p.is(')'):
			p.pop()
		case p.beyond > 0:
			p.keep()
		case p.is(','):
			if f.list {
				f.want = wantCTE
			} else if f.from {
				f.want = wantSource
			}
			p.keep()
		case f.want != wantNothing && p.table() && !(f.fresh && p.key.word == "WITH"):
			w := f.want
			f.want, f.fresh = wantNothing, false
			switch {
			case w == wantCTE:
				if len(p.ctes) < maxCTEs {
					p.ctes = append(p.ctes, cte{fold(p.text()), f.parts})
				}
				p.keep()
			case w == wantMember && p.tok.kind == tokString:
				p.keep() // more likely a literal without its parentheses
			default:
				p.target(w != wantObject)
			}
		default:
			f.want = wantNothing
			p.clause(f)
			f.fresh = false
		}
	}
	for ; p.depth >= 0; p.depth-- {
		p.leave()
	}
}

// push opens parentheses.
func (p *parser) push() {
	f := &p.stack[p.depth]
	inner := frame{fresh: true}
	if f.want == wantSource {
		inner.from, inner.want = true, wantSource
	}
	f.want, f.fresh = wantNothing, false
	if p.beyond > 0 || p.depth == len(p.stack)-1 {
		p.beyond++
	} else {
		p.depth++
		p.stack[p.depth] = inner
	}
	p.keep()
}

// pop closes parentheses.
func (p *parser) pop() {
	if p.beyond > 0 {
		p.beyond--
	} else if p.depth > 0 {
		p.leave()
		p.depth--
	}
	p.keep()
}

// leave takes the references to the frame's common table expressions out of the
// summary. It waits until the frame ends because one may refer to a later one.
func (p *parser) leave() {
	f := &p.stack[p.depth]
	if !f.with || len(p.ctes) == f.ctes {
		return
	}
	own := p.ctes[f.ctes:]
	kept := p.parts[:own[0].parts]
	for i := own[0].parts; i < len(p.parts); i++ {
		if part := p.parts[i]; part.source {
			name := fold(part.text)
			if slices.ContainsFunc(own, func(c cte) bool { return c.name == name && c.parts <= i }) {
				continue
			}
		}
		kept = append(kept, p.parts[i])
	}
	p.parts, p.ctes = kept, p.ctes[:f.ctes]
}

// fold returns what SQLite compares of a name.
func fold(name string) string {
	if i := strings.IndexByte(delimiters, name[0]); i >= 0 {
		quote := name[:1]
		name = name[1 : len(name)-1]
		if quote != "[" {
			name = strings.ReplaceAll(name, quote+quote, quote)
		}
	}
	return strings.ToLower(name)
}

// clause reads a token that is neither a name wanted nor a parenthesis or a comma.
func (p *parser) clause(f *frame) {
	switch word := p.key.word; word {
	case "SELECT":
		p.begin(f, word)
		return
	case "VALUES":
		if f.verb != "INSERT" {
			p.begin(f, word)
			return
		}
		f.list = false
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		// Elsewhere they are the function replace, or actions: ON CONFLICT DO UPDATE.
		if f.verb != "" || !f.fresh && !f.list || word == "REPLACE" && p.depth > 0 {
			break
		}
		if word == "REPLACE" {
			word = "INSERT"
		}
		p.begin(f, word)
		if p.key.word == "OR" {
			p.keep()
			if p.tok.kind == tokIdentifier {
				p.keep()
			}
		}
		if word == "UPDATE" {
			f.want = wantObject
		}
		return
	case "WITH":
		if !f.fresh && f.verb != "INSERT" {
			break
		}
		if !f.with {
			f.with, f.ctes = true, len(p.ctes)
		}
		f.list, f.from, f.want, f.parts = true, false, wantCTE, len(p.parts)
		p.keep()
		if p.key.word == "RECURSIVE" && !p.alone("AS") {
			p.keep()
		}
		return
	case "INTO":
		if f.verb == "INSERT" {
			f.want = wantObject
		}
	case "FROM":
		switch {
		case p.prev == "DISTINCT": // IS DISTINCT FROM
		case f.verb == "SELECT" || f.verb == "UPDATE":
			f.from, f.want = true, wantSource
		case f.verb == "DELETE":
			f.want = wantObject
		}
	case "JOIN":
		if f.from {
			f.want = wantSource
		}
	case "IN":
		f.want = wantMember
	case "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "SET", "RETURNING", "UNION", "EXCEPT", "INTERSECT":
		f.from = false
	}
	p.keep()
}

// begin begins an operation.
func (p *parser) begin(f *frame, verb string) {
	f.verb, f.from, f.list = verb, false, false
	p.operation()
}
