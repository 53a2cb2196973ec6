package summary

import "github.com/sqlitemw/sqlitemw/tracing/sqltext"

// definition reads CREATE, ALTER and DROP.
func (p *parser) definition() {
	verb, create, virtual := p.Written(), p.Key.Word == "CREATE", false
	p.write()
	for create && (p.Key.Word == "TEMP" || p.Key.Word == "TEMPORARY" || p.Key.Word == "UNIQUE" || p.Key.Word == "VIRTUAL") {
		virtual = virtual || p.Key.Word == "VIRTUAL"
		p.keep()
	}
	kind := p.Key.Word
	switch kind {
	case "TABLE", "INDEX", "VIEW", "TRIGGER":
	default:
		p.add(verb, false)
		p.giveUp()
		return
	}
	p.add(verb+" "+p.Written(), false)
	p.keep()
	for p.Key.Word == "IF" || p.Key.Word == "NOT" || p.Key.Word == "EXISTS" {
		p.keep()
	}
	if p.ObjectName() {
		p.target(false)
	}
	switch {
	case virtual:
		p.module()
	case kind == "TABLE" && p.Key.Word != "AS":
		p.columns()
	case create && kind == "VIEW" || kind == "TABLE":
		for !p.end() && p.BeforeKey.Word != "AS" {
			p.keep()
		}
		p.query()
	default:
		p.rest()
	}
}

// columns reads the definition of columns. DEFAULT takes a bare name as a string.
func (p *parser) columns() {
	depth := 0
	for last := ""; !p.end(); {
		action := last == "SET" // ON DELETE SET DEFAULT
		last = p.BeforeKey.Word
		switch {
		case p.Token.Kind == sqltext.LeftParen:
			depth++
		case p.Token.Kind == sqltext.RightParen:
			depth--
		case depth == 1 && (p.Before.Kind == sqltext.LeftParen || p.Before.Kind == sqltext.Comma) && p.ObjectName():
			p.name() // a column's name
			continue
		case last == "CONSTRAINT", last == "REFERENCES":
			p.name()
			continue
		case last == "DEFAULT" && !action && p.Name() && p.Key.Word == "" &&
			!sqltext.EqualFold(p.Written(), "TRUE") && !sqltext.EqualFold(p.Written(), "FALSE"):
			p.Token.Kind = sqltext.String
		}
		p.keep()
	}
}

// module reads the arguments of a virtual table. Their meaning is up to its module. Only
// names, and arguments that look like column definitions, stay visible.
func (p *parser) module() {
	for !p.end() && p.Token.Kind != sqltext.LeftParen {
		p.keep()
	}
	for first := true; !p.end() && p.Token.Kind != sqltext.RightParen; first = false {
		switch {
		case first || p.Token.Kind == sqltext.Comma || p.Token.Kind == sqltext.Word || p.Token.Kind == sqltext.Quoted:
			p.keep()
		case p.is("="):
			p.keep()
			p.hide(false, ",", ")")
		default:
			p.hide(false, ",", ")")
		}
	}
	p.rest()
}
