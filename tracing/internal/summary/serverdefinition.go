package summary

import "github.com/sqlitemw/sqlitemw/tracing/sqltext"

// serverDefinition reads CREATE, ALTER and DROP of PostgreSQL and MySQL.
func (p *parser) serverDefinition(verb sqltext.Verb) {
	operation := p.Written()
	p.write()
	materialized := p.qualifiers()
	kind := p.Key.Word
	switch kind {
	case "TABLE", "INDEX", "VIEW", "TRIGGER", "SEQUENCE", "SCHEMA", "DATABASE", "FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "PACKAGE", "TYPE", "DOMAIN",
		"EXTENSION", "ROLE", "USER", "GROUP", "TABLESPACE", "POLICY", "RULE", "SERVER", "EVENT", "PUBLICATION", "SUBSCRIPTION", "COLLATION", "LANGUAGE",
		"STATISTICS", "CONVERSION", "SYSTEM":
	default:
		p.add(operation, false)
		p.credentials(false)
		return
	}
	p.add(operation+materialized+" "+p.Written(), false)
	p.keep()
	for p.Key.Word == "IF" || p.Key.Word == "NOT" || p.Key.Word == "EXISTS" || p.Key.Word == "CONCURRENTLY" {
		p.keep()
	}
	if verb == sqltext.Drop {
		p.targets()
		return
	}
	if kind != "SYSTEM" {
		p.object()
	}
	switch {
	case verb == sqltext.Create && (kind == "TABLE" || kind == "VIEW"):
		p.definedBy()
	default:
		p.credentials(p.Dialect() == sqltext.PostgreSQL && hasSettings(kind))
	}
}

// hasSettings reports whether PostgreSQL keeps settings of such an object.
func hasSettings(kind string) bool {
	switch kind {
	case "DATABASE", "FUNCTION", "PROCEDURE", "ROLE", "ROUTINE", "SYSTEM", "USER":
		return true
	}
	return false
}

// qualifiers keeps the words between the verb and the kind of the object. It returns
// " MATERIALIZED" as written, or nothing.
func (p *parser) qualifiers() (materialized string) {
	for {
		switch p.Key.Word {
		case "MATERIALIZED":
			materialized = " " + p.Written()
		case "OR", "REPLACE", "TEMP", "TEMPORARY", "GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE", "RECURSIVE", "CONSTRAINT", "FOREIGN", "DEFAULT", "FULLTEXT",
			"SPATIAL", "PROCEDURAL", "TRUSTED", "ONLINE", "IGNORE":
		case "EVENT": // TRIGGER, of PostgreSQL
			if _, next := p.Peek(); next.Word != "TRIGGER" {
				return materialized
			}
		case "AGGREGATE": // FUNCTION, of MySQL
			if _, next := p.Peek(); next.Word != "FUNCTION" {
				return materialized
			}
		case "ALGORITHM": // = MERGE
			p.keep()
			p.keep()
		case "SQL": // SECURITY DEFINER
			p.keep()
			p.keep()
		case "DEFINER": // = 'user'@'host'
			p.definer()
			continue
		default:
			return materialized
		}
		if p.end() {
			return materialized
		}
		p.keep()
	}
}

// definer keeps DEFINER = and the user after it.
func (p *parser) definer() {
	for !p.end() {
		switch p.keep(); p.Key.Word {
		case "AGGREGATE", "EVENT", "FUNCTION", "PACKAGE", "PROCEDURE", "SQL", "TRIGGER", "VIEW":
			return
		}
	}
}

// definedBy reads the rest of CREATE TABLE or CREATE VIEW, up to and including the query that
// the object is made from, if there is one.
func (p *parser) definedBy() {
	for depth := 0; !p.end(); p.keep() {
		_, next := p.Peek()
		switch {
		case p.Token.Kind == sqltext.LeftParen && depth == 0 && next.Word == "SELECT",
			depth == 0 && p.Key.Word == "SELECT",
			depth == 0 && p.BeforeKey.Word == "AS":
			p.query()
			return
		case p.Token.Kind == sqltext.LeftParen:
			depth++
		case p.Token.Kind == sqltext.RightParen:
			depth--
		}
	}
}

// credentials keeps the rest of the statement, but no password without quotes. If settings is
// true, it hides the values of settings, too.
func (p *parser) credentials(settings bool) {
	for !p.end() {
		switch {
		case p.Key.Word == "SET" && settings:
			p.keep()
			for !p.end() && !p.is("=") && p.Key.Word != "TO" && p.Key.Word != "FROM" {
				p.keep()
			}
			if p.Key.Word != "FROM" && !p.end() {
				p.keep()
				p.hide(false, "AS")
			}
		case p.Key.Word == "PASSWORD" || p.Key.Word == "BY" && sqltext.EqualFold(p.Before.Text(p.Text()), "IDENTIFIED"):
			p.keep()
			if p.Token.Kind == sqltext.Word && p.Key.Word == "" {
				p.hide(false, ",")
			}
		default:
			p.keep()
		}
	}
}
