package tracing

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// queryInfo is what is known of a SQL text before it runs.
type queryInfo struct {
	summary    string // db.query.summary; "" if there is nothing to say
	sanitized  string // db.query.text without literals, comments and secrets
	operation  string // the first keyword, in upper case; "" if SQLite has no such statement
	sensitive  bool   // never to be shown as written, even if it binds parameters
	parameters bool   // it has some
	statements int    // how many statements the text holds
}

// describe reads a SQL text and says what may be shown of it.
//
// The summary follows "Generating a summary of the query" in the OpenTelemetry
// semantic conventions for database client spans: operations and their targets,
// as written and in the order of the text. Where the convention is silent:
//
//   - The statements of a text follow each other like any other operations.
//   - WITH is no operation and a common table expression no target: what it
//     reads is listed where it reads it.
//   - VALUES is an operation where it stands for a SELECT, not in an INSERT.
//   - A view lists what its SELECT reads. The body of a trigger, which does not
//     run now, is left out, and so is what a foreign key refers to.
//   - A savepoint stays unnamed, because programs number them.
//
// In the sanitised text every literal is a ?, and so is whatever else stands for
// a value: a pragma's, the file and the key of ATTACH, the arguments of a virtual
// table, a default given as a bare name. Names, bind parameters, NULL, TRUE and
// CURRENT_TIMESTAMP stay. White space stays as well, so that the text keeps its
// layout, but where it holds a comment it becomes one space.
//
// Where a text is none that SQLite could run, names and literals cannot be told
// apart, and neither result shows anything of the rest. That makes it a reading for
// SQLite alone: to MySQL "x" is a literal, to PostgreSQL $$x$$ is one.
func describe(sql string) queryInfo {
	var p parser
	text := sql
	if i := strings.IndexByte(sql, 0); i >= 0 {
		// SQLite reads no further, but who shows the text as written would.
		text, p.info.sensitive = sql[:i], true
	}
	text, rest := trusted(text)
	p.lex.sql = text
	p.out = make([]byte, 0, len(text)+1)

	for p.advance(); p.tok.kind != tokEOF; {
		if p.is(';') {
			p.keep()
			continue
		}
		p.info.statements++
		p.statement()
	}
	if !p.lost {
		p.space()
		if rest != restNone && !bytes.HasSuffix(bytes.TrimSpace(p.out), []byte{'?'}) {
			p.out = append(p.out, '?')
		}
	}
	if p.lost || rest == restBroken {
		p.info.sensitive = true
	}
	p.info.parameters = p.bound

	// A text without literals is not kept twice. One invalid byte would make an
	// exporter refuse a whole batch.
	if p.info.sanitized = sql; string(p.out) != sql {
		p.info.sanitized = string(p.out)
	}
	p.info.sanitized = strings.ToValidUTF8(p.info.sanitized, "\uFFFD")
	p.info.summary = strings.ToValidUTF8(join(p.parts), "\uFFFD")
	return p.info
}

// part is an operation or a target of the summary.
type part struct {
	text   string
	source bool // an unqualified name after FROM: a table or a common table expression
}

const (
	maxSummary = 255 // characters, by the convention
	// How much a text can make us remember. A summary cannot show more than 128
	// parts; the rest leaves room for common table expressions to be taken out.
	maxParts = 512
	maxCTEs  = 256
	maxDepth = 64 // of parentheses; further in, tables are no longer looked for
)

// join renders a summary, cutting it between parts.
func join(parts []part) string {
	var b strings.Builder
	n := -1
	for _, p := range parts {
		if n += 1 + utf8.RuneCountInString(p.text); n > maxSummary {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// parser walks through a text, writes the sanitised one as it goes and gathers
// the parts of the summary. It understands the statements that SQLite accepts and
// does not check them: of others it merely says less.
type parser struct {
	cursor
	lost   bool // gave up
	out    []byte
	parts  []part
	ctes   []cte
	stack  [maxDepth]frame
	depth  int // index into stack of the frame at hand
	beyond int // parentheses open that found no place in it
	info   queryInfo
}

// keep writes the token at hand and takes the next one.
func (p *parser) keep() {
	// Behind a forgotten semicolon, PRAGMA and ATTACH are names to the grammar,
	// and so are their secrets.
	if p.key.word == "PRAGMA" || p.key.word == "ATTACH" {
		if t, key := p.peek(); t.kind != tokPunct && t.kind != tokEOF && !key.reserved {
			p.giveUp()
			return
		}
	}
	p.write()
}

// write does what keep does, even at the head of a statement.
func (p *parser) write() {
	p.space()
	switch p.tok.kind {
	case tokString, tokBlob, tokNumber, tokIllegal:
		p.out = append(p.out, '?')
	case tokParam:
		p.out = append(p.out, parameter(p.text())...)
	default:
		p.out = append(p.out, p.text()...)
	}
	p.advance()
}

// parameter returns a parameter as it may be shown: to SQLite, $a('x') is one.
func parameter(s string) string {
	if strings.ContainsAny(s, delimiters) {
		return "?"
	}
	return s
}

// space writes what stands before the token at hand.
func (p *parser) space() {
	switch {
	case !p.commented:
		p.out = append(p.out, p.lex.sql[p.gap:p.tok.start]...)
	case len(p.out) > 0 && p.tok.kind != tokEOF:
		p.out = append(p.out, ' ')
	}
}

// giveUp hides the rest of the text.
func (p *parser) giveUp() {
	p.space()
	p.out = append(p.out, '?')
	p.lost = true
	p.lex.pos = len(p.lex.sql)
	p.advance()
}

// hole replaces everything up to one of stops by one ?, but keeps a lone parameter
// where the statement can bind it. Within parentheses it does not stop.
func (p *parser) hole(bind bool, stops ...string) {
	stop := func() bool {
		return p.end() || p.tok.kind == tokPunct && slices.Contains(stops, p.text()) ||
			p.key.word != "" && slices.Contains(stops, p.key.word)
	}
	if stop() {
		return
	}
	p.space()
	text, n := "?", 0
	if bind && p.tok.kind == tokParam {
		text = parameter(p.text())
	}
	for depth := 0; !p.end() && (depth > 0 || !stop()); n++ {
		if p.is('(') {
			depth++
		} else if p.is(')') && depth > 0 {
			depth--
		}
		p.advance()
	}
	if n > 1 {
		text = "?"
	}
	p.out = append(p.out, text...)
}

// rest keeps what is left of the statement.
func (p *parser) rest() {
	for !p.end() {
		p.keep()
	}
}

// add adds a part to the summary.
func (p *parser) add(text string, source bool) {
	if len(p.parts) < maxParts {
		p.parts = append(p.parts, part{text, source})
	}
}

// operation takes the token at hand for an operation.
func (p *parser) operation() {
	p.add(p.text(), false)
	p.write()
}

// target takes the name at hand, with its schema if it has one, for a target.
func (p *parser) target(source bool) {
	text := p.text()
	p.keep()
	for n := 0; n < 3 && p.is('.'); n++ {
		p.keep()
		if p.tok.kind != tokIdentifier && !p.table() {
			return
		}
		text, source = text+"."+p.text(), false
		p.keep()
	}
	p.add(text, source)
}

// statement reads a statement up to its semicolon.
func (p *parser) statement() {
	if p.info.statements == 1 {
		p.info.operation = p.key.word
	}
	if p.key.word == "EXPLAIN" {
		p.operation()
		for p.key.word == "QUERY" || p.key.word == "PLAN" {
			p.keep()
		}
	}
	switch p.key.word {
	case "SELECT", "VALUES", "WITH", "INSERT", "REPLACE", "UPDATE", "DELETE":
		p.query()
	case "CREATE", "ALTER", "DROP":
		p.definition()
	case "PRAGMA":
		p.pragma()
	case "ATTACH", "DETACH":
		p.attach()
	case "VACUUM":
		p.operation()
		p.schema("INTO")
		if p.key.word == "INTO" {
			p.info.sensitive = true
			p.keep()
			p.hole(true)
		}
	case "ANALYZE", "REINDEX":
		p.operation()
		if p.named() {
			p.target(false)
		}
		p.rest()
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		p.operation()
		p.rest()
	default:
		// SQLite wants no parentheses here, but other engines take them.
		if _, next := p.peek(); p.is('(') && (next.word == "SELECT" || next.word == "WITH") {
			p.query()
			return
		}
		if p.info.statements == 1 {
			p.info.operation = ""
		}
		p.giveUp()
	}
}

// pragma hides whatever follows the pragma's name.
func (p *parser) pragma() {
	p.info.sensitive = true
	p.operation()
	if p.named() {
		p.target(false)
	}
	switch {
	case p.is('='):
		p.keep()
	case p.is('('):
		p.keep()
		p.hole(false, ")")
		if p.is(')') {
			p.keep()
		}
	}
	p.hole(false)
}

// attach reads ATTACH [DATABASE] file AS schema [KEY key] and DETACH [DATABASE]
// schema. They take expressions, and in them a bare name for a string.
func (p *parser) attach() {
	p.info.sensitive = true
	detach := p.key.word == "DETACH"
	p.operation()
	if p.key.word == "DATABASE" {
		if _, next := p.peek(); next.word != "AS" && !p.alone("") {
			p.keep()
		}
	}
	if detach {
		p.schema("")
		return
	}
	p.hole(true, "AS")
	if p.key.word == "AS" {
		p.keep()
		p.schema("KEY")
	}
	if p.key.word == "KEY" {
		p.keep()
		p.hole(true)
	}
}

// schema reads the name of a schema, up to the keyword next. What is more than a
// name is hidden.
func (p *parser) schema(next string) {
	if p.named() && p.alone(next) {
		p.target(false)
		return
	}
	p.hole(true, next)
}

// definition reads CREATE, ALTER and DROP.
func (p *parser) definition() {
	verb, create, virtual := p.text(), p.key.word == "CREATE", false
	p.write()
	for create && (p.key.word == "TEMP" || p.key.word == "TEMPORARY" || p.key.word == "UNIQUE" || p.key.word == "VIRTUAL") {
		virtual = virtual || p.key.word == "VIRTUAL"
		p.keep()
	}
	kind := p.key.word
	switch kind {
	case "TABLE", "INDEX", "VIEW", "TRIGGER":
	default:
		p.add(verb, false)
		p.giveUp()
		return
	}
	p.add(verb+" "+p.text(), false)
	p.keep()
	for p.key.word == "IF" || p.key.word == "NOT" || p.key.word == "EXISTS" {
		p.keep()
	}
	if p.table() {
		p.target(false)
	}
	switch {
	case virtual:
		p.module()
	case create && kind == "TRIGGER":
		p.trigger()
	case kind == "TABLE" && p.key.word != "AS":
		p.columns()
	case create && kind == "VIEW" || kind == "TABLE":
		for !p.end() && p.prev != "AS" {
			p.keep()
		}
		p.query()
	default:
		p.rest()
	}
}

// columns reads the definition of columns, where DEFAULT takes a bare name for
// a string.
func (p *parser) columns() {
	for last := ""; !p.end(); {
		action := last == "SET" // ON DELETE SET DEFAULT
		last = p.prev
		if last == "DEFAULT" && !action && p.named() && p.key.word == "" &&
			!strings.EqualFold(p.text(), "TRUE") && !strings.EqualFold(p.text(), "FALSE") {
			p.tok.kind = tokString
		}
		p.keep()
	}
}

// module reads the arguments of a virtual table. They are whatever its module
// makes of them: only names, and what looks like the definition of a column, stay.
func (p *parser) module() {
	for !p.end() && !p.is('(') {
		p.keep()
	}
	for first := true; !p.end() && !p.is(')'); first = false {
		switch {
		case first || p.is(',') || p.tok.kind == tokIdentifier || p.tok.kind == tokQuotedName:
			p.keep()
		case p.is('='):
			p.keep()
			p.hole(false, ",", ")")
		default:
			p.hole(false, ",", ")")
		}
	}
	p.rest()
}

// trigger reads the rest of CREATE TRIGGER. As for sqlite3_complete, it ends with
// an END that begins a statement; the END of a CASE does not.
func (p *parser) trigger() {
	for !p.end() && p.key.word != "BEGIN" {
		p.keep()
	}
	if p.end() {
		return
	}
	for p.tok.kind != tokEOF {
		semicolon := p.is(';')
		p.keep()
		if semicolon && p.key.word == "END" {
			break
		}
	}
	p.rest()
}

// Summary returns the db.query.summary of a text of SQLite's: what it does to
// which tables, without any value; empty if nothing can be told.
func Summary(query string) string { return describe(query).summary }
