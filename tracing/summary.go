package tracing

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
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

// binds reports whether arguments can be bound to the text. To several statements, a driver
// binds none.
func (i queryInfo) binds() bool { return i.parameters && i.statements == 1 }

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
//
// A name in double quotes is a ?, too, where a value is expected, and where doubleQuoted says
// that the connection takes double quotes for those of strings, wherever one may stand.
func describe(query string, doubleQuoted bool) queryInfo {
	p := parser{doubleQuoted: doubleQuoted}
	text := query
	if i := strings.IndexByte(query, 0); i >= 0 {
		// SQLite reads no further, but who shows the text as written would.
		text, p.info.sensitive = query[:i], true
	}
	text, rest := trusted(text)
	p.Cursor = sqltext.SQLite.Cursor(text)
	p.out = make([]byte, 0, len(text)+1)

	p.advance()
	statements := sqltext.SQLite.Statements(text)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		p.stop = st.Start
		p.rest() // semicolons
		p.stop = st.End
		p.info.statements++
		for !p.end() {
			p.statement()
		}
	}
	p.stop = len(text)
	p.rest()
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
	if p.info.sanitized = query; string(p.out) != query {
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
	sqltext.Cursor
	stop      int    // where the statement at hand ends
	gap       int    // where the white space before the token starts
	commented bool   // whether that contains a comment or a byte order mark
	bound     bool   // there has been a parameter
	values    values // where values are expected

	doubleQuoted bool // double quotes may be those of strings
	names        bool // but not here

	lost   bool // gave up
	out    []byte
	parts  []part
	ctes   []cte
	roles  sqltext.Roles
	scopes [sqltext.MaxDepth]scope
	info   queryInfo
}

// advance moves to the next token.
func (p *parser) advance() {
	p.gap = p.Token.End
	p.Advance()
	p.commented = false
	for i := p.gap; i < p.Token.Start && !p.commented; i++ {
		p.commented = p.Text()[i] > ' ' // white space is not, and starts no comment
	}
	p.bound = p.bound || p.Token.Kind == sqltext.Parameter
	p.values.add(&p.Cursor)
}

// end reports whether the statement ends here.
func (p *parser) end() bool { return p.Token.Start >= p.stop }

// is reports whether the token at hand is the operator op.
func (p *parser) is(op string) bool { return p.Token.Kind == sqltext.Operator && p.Written() == op }

// alone reports whether the token at hand is the last one before the keyword, or before the
// end of the statement.
func (p *parser) alone(before string) bool {
	t, key := p.Peek()
	return t.Kind == sqltext.EOF || t.Kind == sqltext.Semicolon || key.Word == before && before != ""
}

// keep writes the token at hand and takes the next one.
func (p *parser) keep() {
	// Behind a forgotten semicolon, PRAGMA and ATTACH are names to the grammar,
	// and so are their secrets.
	if p.Key.Word == "PRAGMA" || p.Key.Word == "ATTACH" {
		if t, key := p.Peek(); (t.Kind < sqltext.Semicolon || t.Kind == sqltext.Illegal) && t.Kind != sqltext.EOF && !key.Reserved {
			p.giveUp()
			return
		}
	}
	p.write()
}

// write does what keep does, even at the head of a statement.
func (p *parser) write() {
	p.space()
	switch p.Token.Kind {
	case sqltext.String, sqltext.Blob, sqltext.Number, sqltext.Illegal:
		p.out = append(p.out, '?')
	case sqltext.Parameter:
		p.out = append(p.out, parameter(p.Written())...)
	case sqltext.Quoted:
		if p.literal() {
			p.out = append(p.out, '?')
			break
		}
		p.out = append(p.out, p.Written()...)
	default:
		p.out = append(p.out, p.Written()...)
	}
	p.advance()
}

// literal reports whether a quoted name at hand may be a string to SQLite, or is likely
// meant for one.
func (p *parser) literal() bool {
	if p.names || p.Text()[p.Token.Start] != '"' {
		return false
	}
	if p.Before.Kind == sqltext.Dot || p.BeforeKey.Word == "AS" || p.BeforeKey.Word == "COLLATE" {
		return false
	}
	next, _ := p.Peek()
	switch {
	case next.Kind == sqltext.Dot || next.Kind == sqltext.LeftParen:
		return false // of a table, or a function
	case p.values.expected():
		return true
	case p.values.assigned() && next.Kind == sqltext.Operator && next.Text(p.Text()) == "=":
		return false
	}
	return p.doubleQuoted
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
		p.out = append(p.out, p.Text()[p.gap:p.Token.Start]...)
	case len(p.out) > 0 && p.Token.Kind != sqltext.EOF:
		p.out = append(p.out, ' ')
	}
}

// giveUp hides the rest of the text.
func (p *parser) giveUp() {
	p.space()
	p.out = append(p.out, '?')
	p.lost = true
	for p.Token.Kind != sqltext.EOF {
		p.Advance()
	}
}

// hole replaces everything up to one of stops by one ?, but keeps a lone parameter
// where the statement can bind it. Within parentheses it does not stop.
func (p *parser) hole(bind bool, stops ...string) {
	stop := func() bool {
		return p.end() || p.Key.Word != "" && slices.Contains(stops, p.Key.Word) ||
			p.Token.Kind >= sqltext.Semicolon && slices.Contains(stops, p.Written())
	}
	if stop() {
		return
	}
	p.space()
	text, n := "?", 0
	if bind && p.Token.Kind == sqltext.Parameter {
		text = parameter(p.Written())
	}
	for depth := 0; !p.end() && (depth > 0 || !stop()); n++ {
		if p.Token.Kind == sqltext.LeftParen {
			depth++
		} else if p.Token.Kind == sqltext.RightParen && depth > 0 {
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

// name keeps the name at hand, and with it its quotes, because nothing but a name can stand
// there.
func (p *parser) name() {
	names := p.names
	p.names = true
	p.keep()
	p.names = names
}

// operation takes the token at hand for an operation.
func (p *parser) operation() {
	p.add(p.Written(), false)
	p.write()
}

// target takes the name at hand, with its schema if it has one, for a target.
func (p *parser) target(source bool) {
	text := p.Written()
	p.name()
	for n := 0; n < 3 && p.Token.Kind == sqltext.Dot; n++ {
		p.keep()
		if p.Token.Kind != sqltext.Word && !p.ObjectName() {
			return
		}
		text, source = text+"."+p.Written(), false
		p.name()
	}
	p.add(text, source)
}

// statement reads a statement up to its semicolon.
func (p *parser) statement() {
	if p.info.statements == 1 {
		p.info.operation = p.Key.Word
	}
	if p.Key.Word == "EXPLAIN" {
		p.operation()
		for p.Key.Word == "QUERY" || p.Key.Word == "PLAN" {
			p.keep()
		}
	}
	switch p.Key.Word {
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
		if p.Key.Word == "INTO" {
			p.info.sensitive = true
			p.keep()
			p.hole(true)
		}
	case "ANALYZE", "REINDEX":
		p.operation()
		if p.Name() {
			p.target(false)
		}
		p.rest()
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		p.operation()
		for !p.end() {
			p.name()
		}
	default:
		// SQLite wants no parentheses here, but other engines take them.
		if _, next := p.Peek(); p.Token.Kind == sqltext.LeftParen && (next.Word == "SELECT" || next.Word == "WITH") {
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
	if p.Name() {
		p.target(false)
	}
	switch {
	case p.is("="):
		p.keep()
	case p.Token.Kind == sqltext.LeftParen:
		p.keep()
		p.hole(false, ")")
		if p.Token.Kind == sqltext.RightParen {
			p.keep()
		}
	}
	p.hole(false)
}

// attach reads ATTACH [DATABASE] file AS schema [KEY key] and DETACH [DATABASE]
// schema. They take expressions, and in them a bare name for a string.
func (p *parser) attach() {
	p.info.sensitive = true
	detach := p.Key.Word == "DETACH"
	p.operation()
	if p.Key.Word == "DATABASE" {
		if _, next := p.Peek(); next.Word != "AS" && !p.alone("") {
			p.keep()
		}
	}
	if detach {
		p.schema("")
		return
	}
	p.hole(true, "AS")
	if p.Key.Word == "AS" {
		p.keep()
		p.schema("KEY")
	}
	if p.Key.Word == "KEY" {
		p.keep()
		p.hole(true)
	}
}

// schema reads the name of a schema, up to the keyword next. What is more than a
// name is hidden.
func (p *parser) schema(next string) {
	if p.Name() && p.alone(next) {
		p.target(false)
		return
	}
	p.hole(true, next)
}

// Summary returns the db.query.summary of a text of SQLite's: what it does to
// which tables, without any value; empty if nothing can be told.
func Summary(query string) string { return describe(query, false).summary }
