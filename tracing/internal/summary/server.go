package summary

import "github.com/sqlitemw/sqlitemw/tracing/sqltext"

// serverStatement reads a statement of PostgreSQL or MySQL up to its semicolon.
//
// In addition to the rules of [Describe]:
//
//   - An operation has two words if the second tells what is worked on: CREATE TABLE, TRUNCATE
//     TABLE, START TRANSACTION. SHOW has up to three more: SHOW CREATE TABLE t.
//   - All tables that a statement names are listed, in UPDATE a JOIN b as in DROP TABLE a, b. A
//     name before FROM in MySQL's DELETE a FROM t AS a is left out, because it repeats one of the
//     tables after FROM.
//   - A procedure that is called, a setting, and a function in FROM are targets, too. A name that
//     programs make up for one connection is none: that of a savepoint, a cursor, a channel or a
//     prepared statement.
//   - The sign of a number is part of the literal, unless it adds or subtracts: -1 becomes "?",
//     and a-1 becomes "a-?". The conventions' own test case makes "??" of 99+100; that is no SQL.
//   - "?" replaces the value of a setting, because a value there needs no quotes, and a password
//     without quotes, which only other engines accept.
//   - White space around a comment stays. If there is none, one space replaces the comment.
func (p *parser) serverStatement(st sqltext.Statement) {
	if p.info.Statements == 1 && st.Verb != sqltext.Unknown {
		p.info.Operation = p.Key.Word
	}
	if p.Key.Word == "EXPLAIN" || p.Key.Word == "DESCRIBE" || p.Key.Word == "DESC" {
		p.explain()
	}
	switch st.Verb {
	case sqltext.Unknown:
		if st.Explain && p.Dialect() == sqltext.MySQL && p.ObjectName() { // DESCRIBE t
			p.target(false)
			p.rest()
			return
		}
		if p.info.Statements == 1 {
			p.info.Operation = ""
		}
		p.giveUp()
	case sqltext.With, sqltext.Select, sqltext.Insert, sqltext.Update, sqltext.Delete, sqltext.Merge:
		p.query()
	case sqltext.Create, sqltext.Alter, sqltext.Drop:
		p.serverDefinition(st.Verb)
	case sqltext.Analyze, sqltext.Vacuum, sqltext.Reindex:
		p.maintenance()
	default:
		p.command()
	}
}

// explain reads EXPLAIN with its options.
func (p *parser) explain() {
	p.operation()
	for p.Key.Word == "ANALYZE" || p.Key.Word == "VERBOSE" || p.Key.Word == "EXTENDED" || p.Key.Word == "PARTITIONS" {
		p.keep()
	}
	if p.Key.Word == "FORMAT" {
		for range 3 {
			p.keep()
		}
	}
	if _, next := p.Peek(); p.Token.Kind == sqltext.LeftParen && (next.Word == "" || next.Word == "ANALYZE" || next.Word == "VERBOSE") {
		for !p.end() && p.Before.Kind != sqltext.RightParen {
			p.keep()
		}
	}
}

// words adds the current token to the summary as an operation, together with the next one if
// that is one of second.
func (p *parser) words(second ...string) {
	first := p.Written()
	p.write()
	for _, word := range second {
		if p.Key.Word == word {
			p.add(first+" "+p.Written(), false)
			p.keep()
			return
		}
	}
	p.add(first, false)
}

// command reads a statement that neither reads or writes rows nor defines anything.
func (p *parser) command() {
	switch p.Key.Word {
	case "TRUNCATE":
		p.words("TABLE")
		p.targets()
	case "LOCK":
		p.words("TABLE", "TABLES")
		p.targets()
	case "RENAME":
		p.words("TABLE", "TABLES", "USER")
		p.targets()
	case "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM":
		p.maintenance()
		return
	case "COPY":
		p.operation()
		if p.Token.Kind == sqltext.LeftParen {
			p.query()
			return
		}
		p.object()
	case "CALL":
		p.operation()
		p.object()
		p.query() // arguments may contain queries
		return
	case "DO":
		p.operation()
		p.query()
		return
	case "USE", "HANDLER":
		p.operation()
		p.object()
	case "REFRESH":
		p.add(p.Written()+" MATERIALIZED VIEW", false)
		p.write()
		p.skip("MATERIALIZED", "VIEW", "CONCURRENTLY")
		p.object()
	case "CLUSTER":
		p.operation()
		p.skip("VERBOSE")
		p.object()
	case "LOAD":
		p.loadData()
	case "SHOW":
		p.show()
	case "SET", "RESET":
		p.set()
		return
	case "START":
		p.words("TRANSACTION")
	case "XA":
		p.words("BEGIN", "START", "END", "PREPARE", "COMMIT", "ROLLBACK", "RECOVER")
	case "PREPARE":
		p.words("TRANSACTION")
		p.until("AS")
		if p.Key.Word == "AS" {
			p.keep()
			p.query()
		}
	case "DECLARE":
		p.operation()
		p.until("FOR")
		if p.Key.Word == "FOR" {
			p.keep()
			p.query()
		}
	case "GRANT", "REVOKE":
		p.operation()
		p.credentials(false)
		return
	default:
		p.operation()
	}
	p.rest()
}

// skip keeps the current token if it is one of words.
func (p *parser) skip(words ...string) {
	for _, word := range words {
		if p.Key.Word == word {
			p.keep()
		}
	}
}

// until keeps all tokens up to a keyword.
func (p *parser) until(word string) {
	for !p.end() && p.Key.Word != word {
		p.keep()
	}
}

// object adds the name at hand to the summary, if there is one.
func (p *parser) object() {
	p.skip("ONLY")
	if p.ObjectName() {
		p.target(false)
	}
}

// targets adds the names of a list to the summary. Something may follow each of them.
func (p *parser) targets() {
	p.object()
	for depth := 0; !p.end(); {
		kind := p.Token.Kind
		p.keep()
		switch {
		case kind == sqltext.LeftParen:
			depth++
		case kind == sqltext.RightParen:
			depth--
		case kind == sqltext.Comma && depth == 0:
			p.object()
		}
	}
}

// maintenance reads ANALYZE and similar statements: with options, and with the kind of the
// object that MySQL's statements and REINDEX have.
func (p *parser) maintenance() {
	first := p.Written()
	p.write()
	if p.Token.Kind == sqltext.LeftParen {
		for !p.end() && p.Before.Kind != sqltext.RightParen {
			p.keep()
		}
	}
	p.skip("NO_WRITE_TO_BINLOG", "LOCAL", "FULL", "FREEZE", "VERBOSE", "ANALYZE")
	switch p.Key.Word {
	case "TABLE", "TABLES", "INDEX", "SCHEMA", "DATABASE", "SYSTEM", "VIEW":
		p.add(first+" "+p.Written(), false)
		p.keep()
	case "FORMAT", "SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH": // of MariaDB: it executes the statement
		p.add(first, false)
		if p.Key.Word == "FORMAT" {
			for range 3 {
				p.keep()
			}
		}
		p.query()
		return
	default:
		p.add(first, false)
	}
	p.skip("CONCURRENTLY")
	p.targets()
}

// loadData reads LOAD DATA INFILE 'file' INTO TABLE t.
func (p *parser) loadData() {
	p.words("DATA", "XML", "INDEX")
	p.until("INTO")
	p.skip("INTO", "TABLE")
	p.object()
}

// show reads SHOW, and what it shows: SHOW CREATE TABLE t, SHOW COLUMNS FROM t.
func (p *parser) show() {
	p.operation()
	for n := 0; n < 3 && p.ObjectName(); n++ {
		p.target(false)
	}
	if p.Key.Word == "FROM" || p.Key.Word == "IN" {
		p.keep()
		p.object()
	}
}

// set reads SET and RESET. It keeps the names of settings and hides their values, which need no
// quotes.
func (p *parser) set() {
	p.operation()
	for p.Key.Word == "SESSION" || p.Key.Word == "LOCAL" || p.Key.Word == "GLOBAL" || p.Key.Word == "PERSIST" || p.Key.Word == "PERSIST_ONLY" {
		p.keep()
	}
	switch p.Key.Word {
	case "TRANSACTION", "CONSTRAINTS", "CHARACTERISTICS", "NAMES", "CHARACTER", "CHARSET", "ROLE", "AUTHORIZATION", "DEFAULT", "RESOURCE":
		p.credentials(false)
		return
	case "TIME": // ZONE
		p.keep()
		p.skip("ZONE")
		p.hide(false)
		return
	case "PASSWORD", "STATEMENT":
		p.keep()
	default:
		p.object()
	}
	for !p.end() {
		assigned := p.is("=") || p.is(":=") || p.Key.Word == "TO"
		p.keep()
		switch {
		case assigned && p.Dialect() == sqltext.PostgreSQL:
			p.hide(false)
		case assigned:
			p.hide(false, ",", "FOR")
			if p.Key.Word == "FOR" { // SET STATEMENT of MariaDB
				p.keep()
				p.query()
			}
		}
	}
}
