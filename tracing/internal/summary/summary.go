// Package summary reads a query and says what may be shown of it.
package summary

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// Info is what Describe learns from a query before it runs.
type Info struct {
	Summary    string // db.query.summary; "" if there is none
	Sanitized  string // db.query.text without literals, comments and secrets
	Operation  string // the first keyword, in upper case; "" if the dialect has no such statement
	Sensitive  bool   // do not show the query as written, even if it binds parameters
	Parameters bool   // it has parameters
	Statements int    // the number of statements in the query
}

// Binds reports whether arguments can be bound to the query. No driver binds arguments to
// several statements.
func (i Info) Binds() bool { return i.Parameters && i.Statements == 1 }

// Describe reads a query of dialect d and returns what may be shown of it.
//
// The summary follows "Generating a summary of the query" in the OpenTelemetry semantic
// conventions for database client spans. It lists operations and their targets, as written
// and in the order of the query. The conventions leave some cases open. There:
//
//   - Several statements follow each other like any other operations.
//   - WITH is not an operation and a common table expression is not a target. The tables that
//     it reads are listed where it reads them.
//   - VALUES is an operation where it stands for a SELECT, but not in an INSERT.
//   - A view lists the tables that its SELECT reads. The body of a trigger is left out,
//     because it does not run now. The tables of foreign keys are left out, too.
//   - A savepoint has no name, because programs number them.
//
// In the sanitized query, "?" replaces every literal and every other value: that of a pragma,
// the file and the key of ATTACH, the arguments of a virtual table, and a default that is a
// bare name. Names, bind parameters, NULL, TRUE and CURRENT_TIMESTAMP stay. White space
// stays, so that the query keeps its layout. White space with a comment in it becomes one
// space.
//
// In a query that the engine cannot run, literals cannot be told from names. Neither result
// shows anything from there on.
//
// For SQLite, a name in double quotes becomes "?" where a value is expected. If doubleQuoted says
// that the connection accepts double-quoted strings, it becomes "?" wherever a string may stand.
//
// For PostgreSQL and MySQL, serverStatement has further rules. There, "?" may stand for more than
// a literal: MySQL's names in double quotes, because the server's mode decides whether they are
// strings; and all after a string whose end depends on that mode.
func Describe(d sqltext.Dialect, query string, doubleQuoted bool) Info {
	p := parser{doubleQuoted: doubleQuoted, server: d != sqltext.SQLite}
	text := query
	if i := strings.IndexByte(query, 0); i >= 0 {
		// The engine stops reading here, but the query as written would show the rest.
		text, p.info.Sensitive = query[:i], true
	}
	text, rest := trusted(d, text)
	p.Cursor = d.Cursor(text)
	p.out = make([]byte, 0, len(text)+1)

	p.advance()
	statements := d.Statements(text)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		p.stop = st.Start
		p.rest() // semicolons
		p.stop = st.End
		p.info.Statements++
		for !p.end() {
			if p.server {
				p.serverStatement(st)
			} else {
				p.statement()
			}
		}
	}
	p.stop = len(text)
	p.rest()
	if !p.gaveUp {
		p.writeSpace()
		if rest != restNone && !bytes.HasSuffix(bytes.TrimSpace(p.out), []byte{'?'}) {
			p.out = append(p.out, '?')
		}
	}
	if p.gaveUp || rest == restBroken {
		p.info.Sensitive = true
	}
	p.info.Parameters = p.bound

	// A query without literals is not stored twice. Invalid UTF-8 is replaced, because an
	// exporter refuses a whole batch for one invalid byte.
	if p.info.Sanitized = query; string(p.out) != query {
		p.info.Sanitized = string(p.out)
	}
	p.info.Sanitized = strings.ToValidUTF8(p.info.Sanitized, "\uFFFD")
	p.info.Summary = strings.ToValidUTF8(join(p.parts), "\uFFFD")
	return p.info
}

// part is an operation or a target of the summary.
type part struct {
	text   string
	source bool // an unqualified name after FROM: a table or a common table expression
}

const (
	maxSummary = 255 // characters, from the conventions
	// maxParts and maxCTEs bound the memory that a query can use. A summary cannot show more
	// than 128 parts. The rest leaves room for common table expressions, which are removed.
	maxParts = 512
	maxCTEs  = 256
)

// join joins the parts to a summary. If it is too long, it is cut between parts.
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

// parser walks through a query, writes the sanitized query and collects the parts of the
// summary. It understands the statements that the engine accepts, but does not check them. Of
// other statements it shows less.
type parser struct {
	sqltext.Cursor
	stop      int    // where the current statement ends
	gap       int    // where the white space before the token starts
	commented bool   // whether the gap contains a comment or a byte order mark
	bound     bool   // a parameter has been read
	values    values // where values are expected

	server       bool // the dialect is not SQLite's
	doubleQuoted bool // the connection accepts double-quoted strings
	names        bool // only a name can stand here, even in double quotes

	gaveUp bool // giveUp has hidden the rest of the query
	out    []byte
	parts  []part

	operated int // the number of parts up to the latest operation
	ctes     []cte
	roles    sqltext.Roles
	scopes   [sqltext.MaxDepth]scope
	info     Info
}

// advance moves to the next token.
func (p *parser) advance() {
	p.gap = p.Token.End
	p.Advance()
	p.commented = false
	for i := p.gap; i < p.Token.Start && !p.commented; i++ {
		p.commented = p.Text()[i] > ' ' // white space is at most ' ' and starts no comment
	}
	p.bound = p.bound || p.Token.Kind == sqltext.Parameter
	if !p.server {
		p.values.add(&p.Cursor)
	}
}

// end reports whether the statement ends here.
func (p *parser) end() bool { return p.Token.Start >= p.stop }

// is reports whether the current token is the operator op.
func (p *parser) is(op string) bool { return p.Token.Kind == sqltext.Operator && p.Written() == op }

// followedBy reports whether the next token is the keyword, if it is not empty, or the end of
// the statement.
func (p *parser) followedBy(before string) bool {
	t, key := p.Peek()
	return t.Kind == sqltext.EOF || t.Kind == sqltext.Semicolon || key.Word == before && before != ""
}

// keep writes the current token and advances. It gives up at PRAGMA or ATTACH in the middle
// of a statement if a name or a value follows.
func (p *parser) keep() {
	// After a forgotten semicolon, the grammar takes PRAGMA and ATTACH as names, and their
	// secrets, too.
	if (p.Key.Word == "PRAGMA" || p.Key.Word == "ATTACH") && !p.server {
		if t, key := p.Peek(); (t.Kind < sqltext.Semicolon || t.Kind == sqltext.Illegal) && t.Kind != sqltext.EOF && !key.Reserved {
			p.giveUp()
			return
		}
	}
	p.write()
}

// write writes the current token, with "?" for a literal, and advances.
func (p *parser) write() {
	p.writeSpace()
	if p.server && p.signed() {
		p.advance()
	}
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
		if p.server && p.minus() {
			p.out = append(p.out, ' ')
		}
		p.out = append(p.out, p.Written()...)
	}
	p.advance()
}

// literal reports whether the quoted name at hand may be a string to SQLite, or is likely
// meant as one.
func (p *parser) literal() bool {
	if p.names || p.Text()[p.Token.Start] != '"' || p.server {
		return false
	}
	if p.Before.Kind == sqltext.Dot || p.BeforeKey.Word == "AS" || p.BeforeKey.Word == "COLLATE" {
		return false
	}
	next, _ := p.Peek()
	switch {
	case next.Kind == sqltext.Dot || next.Kind == sqltext.LeftParen:
		return false // a table or a function
	case p.values.expected():
		return true
	case p.values.assigned() && next.Kind == sqltext.Operator && next.Text(p.Text()) == "=":
		return false
	}
	return p.doubleQuoted
}

// parameter returns a parameter as it may be shown. It hides one that contains quotes,
// because SQLite accepts $a('x') as a parameter.
func parameter(s string) string {
	if strings.ContainsAny(s, delimiters) {
		return "?"
	}
	return s
}

// writeSpace writes the white space before the current token.
func (p *parser) writeSpace() {
	switch {
	case !p.commented:
		p.out = append(p.out, p.Text()[p.gap:p.Token.Start]...)
	case p.server:
		p.writeUncommented()
	case len(p.out) > 0 && p.Token.Kind != sqltext.EOF:
		p.out = append(p.out, ' ')
	}
}

// giveUp writes "?" for the rest of the query.
func (p *parser) giveUp() {
	p.writeSpace()
	p.out = append(p.out, '?')
	p.gaveUp = true
	for p.Token.Kind != sqltext.EOF {
		p.Advance()
	}
}

// hide writes one "?" for everything up to one of stops. It ignores stops within parentheses.
// If bind is true, it keeps a parameter that stands alone, because the statement can bind it.
func (p *parser) hide(bind bool, stops ...string) {
	stop := func() bool {
		return p.end() || p.Key.Word != "" && slices.Contains(stops, p.Key.Word) ||
			p.Token.Kind >= sqltext.Semicolon && slices.Contains(stops, p.Written())
	}
	if stop() {
		return
	}
	p.writeSpace()
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

// rest keeps the rest of the statement.
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

// name keeps the name at hand, including its quotes, because only a name can stand here.
func (p *parser) name() {
	names := p.names
	p.names = true
	p.keep()
	p.names = names
}

// operation adds the current token to the summary as an operation.
func (p *parser) operation() {
	p.add(p.Written(), false)
	p.operated = len(p.parts)
	p.write()
}

// target adds the name at hand to the summary as a target, with its schema if it has one.
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
	if p.info.Statements == 1 {
		p.info.Operation = p.Key.Word
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
			p.info.Sensitive = true
			p.keep()
			p.hide(true)
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
		// SQLite does not allow parentheses here, but other engines do.
		if _, next := p.Peek(); p.Token.Kind == sqltext.LeftParen && (next.Word == "SELECT" || next.Word == "WITH") {
			p.query()
			return
		}
		if p.info.Statements == 1 {
			p.info.Operation = ""
		}
		p.giveUp()
	}
}

// pragma keeps the pragma's name and hides the rest.
func (p *parser) pragma() {
	p.info.Sensitive = true
	p.operation()
	if p.Name() {
		p.target(false)
	}
	switch {
	case p.is("="):
		p.keep()
	case p.Token.Kind == sqltext.LeftParen:
		p.keep()
		p.hide(false, ")")
		if p.Token.Kind == sqltext.RightParen {
			p.keep()
		}
	}
	p.hide(false)
}

// attach reads ATTACH [DATABASE] file AS schema [KEY key] and DETACH [DATABASE] schema. Both
// take expressions, in which a bare name is a string.
func (p *parser) attach() {
	p.info.Sensitive = true
	detach := p.Key.Word == "DETACH"
	p.operation()
	if p.Key.Word == "DATABASE" {
		if _, next := p.Peek(); next.Word != "AS" && !p.followedBy("") {
			p.keep()
		}
	}
	if detach {
		p.schema("")
		return
	}
	p.hide(true, "AS")
	if p.Key.Word == "AS" {
		p.keep()
		p.schema("KEY")
	}
	if p.Key.Word == "KEY" {
		p.keep()
		p.hide(true)
	}
}

// schema keeps the name of a schema, up to the keyword next. It hides anything else than one
// name.
func (p *parser) schema(next string) {
	if p.Name() && p.followedBy(next) {
		p.target(false)
		return
	}
	p.hide(true, next)
}
