// Package route says what the pool knows about a query before SQLite prepares it: on which lane it
// may run, and what it may leave behind on its connection.
package route

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/budget"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A Route is the lane for a query.
type Route uint32

const (
	ToWriter Route = iota + 1 // writes, changes the connection, or needs what only the writer knows
	ToReader                  // only reads
	Ask                       // SQLite decides when it has prepared the query
)

// Marks are the changes that a query may leave behind on its connection.
type Marks uint32

const (
	Pragma  Marks = 1 << iota // a pragma has been set
	Attach                    // a file has been attached or detached
	Temp                      // there may be temporary objects
	Journal                   // the journal mode may have changed
	Undo                      // one of these may have been undone
	Schema                    // the schema may have changed, which all connections see

	// Changes that only this connection has.
	OfConn = Pragma | Attach | Temp
)

// A Query is what the pool knows about a query. It is the same for all connections.
type Query struct {
	Text    string
	Route   Route // according to the parser
	Verdict Verdict
	Marks   Marks

	// Preparing it changes nothing and works on any connection.
	Preparable bool

	// It begins a transaction.
	Begins bool

	// It is a single SELECT, so that its rows write nothing.
	Selects bool

	// ForeignKeys is what it sets the pragma foreign_keys to, and InTx whether it does so inside a
	// transaction that it has begun, where the pragma has no effect.
	ForeignKeys Switch
	InTx        bool

	inTx bool // while parsing: it has begun a transaction
}

// A Switch is a value of a pragma that is on or off.
type Switch uint8

const (
	NotSet Switch = iota
	On
	Off
)

// Summary returns what errors and events show of the query. It contains no values.
func (t *Query) Summary() string { return tracing.Summary(t.Text) }

// A Verdict caches the lane that SQLite decided for a query when it prepared it. It is valid
// for one version of the schema. Only SQLite knows whether a view asks for what only the writer
// knows, and whether only the writer has a function.
type Verdict struct{ v atomic.Uint64 }

// Of returns the verdict for a version of the schema, or 0 if there is none.
func (v *Verdict) Of(schema uint64) Route {
	const bits = 2
	if n := v.v.Load(); n>>bits == schema {
		return Route(n & (1<<bits - 1))
	}
	return 0
}

// Set sets the verdict for a version of the schema.
func (v *Verdict) Set(schema uint64, r Route) { v.v.Store(schema<<2 | uint64(r)) }

// A Cache keeps parsed queries. Their number and size are limited, for each pool and for
// the process. The zero value is ready to use, and is safe for concurrent use.
type Cache struct {
	mu    sync.RWMutex // guards the fields below
	kept  map[string]*Query
	share *budget.Share
}

// queryBudget limits the bytes of cached queries: 2 MiB for each pool, 32 MiB for the process.
var queryBudget = budget.New(2<<20, 32<<20)

// queryBytes returns how many bytes a cached query takes.
func queryBytes(query string) int { return len(query) + 128 }

const (
	maxCachedQueries = 1024

	// maxCachedQueryLen is in bytes. A longer query probably contains data and does not come again.
	maxCachedQueryLen = 16 << 10
)

// Of returns what is known about a query.
func (ts *Cache) Of(query string) *Query {
	ts.mu.RLock()
	t := ts.kept[query]
	ts.mu.RUnlock()
	if t != nil {
		return t
	}
	t = Parse(query)
	if len(query) <= maxCachedQueryLen {
		ts.keep(t)
	}
	return t
}

// keep caches a query. It may drop others.
func (ts *Cache) keep(t *Query) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.kept == nil {
		ts.kept, ts.share = make(map[string]*Query), queryBudget.Share()
	}
	budget.Keep(ts.share, ts.kept, maxCachedQueries, t.Text, t, queryBytes)
}

// Parse parses a query without preparing it, because SQLite executes a PRAGMA while
// preparing it. A query goes to a reader only if it can be nothing but a single query
// statement. A reader refuses to write, so a misread query fails and does no damage.
func Parse(query string) *Query {
	t := &Query{Text: query, Route: ToWriter}
	statements := sqltext.SQLite.Statements(query)
	first, ok := statements.Next()
	if !ok {
		return t
	}
	t.Begins = !first.Explain && (first.Verb == sqltext.Begin || first.Verb == sqltext.Savepoint)
	t.addMarks(first)
	alone := true
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		alone = false
		t.addMarks(st)
	}
	t.Selects = alone && first.Verb == sqltext.Select
	if !alone || !first.Verb.Rows() || needsWriter(query, first) {
		return t
	}
	t.Preparable = true
	switch {
	case first.With:
		t.Route = Ask
	case first.Verb == sqltext.Select:
		t.Route = ToReader
	}
	return t
}

// addMarks adds the marks of a statement.
func (t *Query) addMarks(st sqltext.Statement) {
	if st.Explain && st.Verb != sqltext.Pragma { // SQLite executes an explained PRAGMA
		return
	}
	switch st.Verb {
	case sqltext.Begin, sqltext.Savepoint:
		t.inTx = true
	case sqltext.Commit, sqltext.Rollback:
		t.inTx = false
	case sqltext.Attach:
		t.Marks |= Attach
	case sqltext.Detach:
		t.Marks |= Attach | Undo
	case sqltext.Drop:
		t.Marks |= Schema | Undo
	case sqltext.Alter, sqltext.Vacuum, sqltext.Reindex, sqltext.Analyze:
		t.Marks |= Schema
	case sqltext.Create:
		t.Marks |= Schema
		if createsTemp(t.Text, st) {
			t.Marks |= Temp
		}
	case sqltext.Pragma:
		t.addPragmaMarks(st)
	}
}

// createsTemp reports whether a CREATE makes a temporary object, according to a keyword or to
// the schema before the object's name.
func createsTemp(query string, st sqltext.Statement) bool {
	c := sqltext.SQLite.CursorOf(query, st)
	c.Advance()
	for c.Advance(); ; c.Advance() {
		switch c.Key.Word {
		case "TEMP", "TEMPORARY":
			// After the kind of object, it is a name.
			if c.BeforeKey.Word == "CREATE" {
				return true
			}
		case "UNIQUE", "VIRTUAL", "TABLE", "INDEX", "VIEW", "TRIGGER", "IF", "NOT", "EXISTS":
			continue
		}
		next, _ := c.Peek()
		return c.ObjectName() && sqltext.EqualFold(sqltext.Unquote(c.Written()), "temp") && next.Kind == sqltext.Dot
	}
}

// addPragmaMarks adds the marks of a PRAGMA. Only one with a value has any, unless the value is
// an argument of its query, or is stored in the file.
func (t *Query) addPragmaMarks(st sqltext.Statement) {
	c := sqltext.SQLite.CursorOf(t.Text, st)
	c.Advance()
	c.Advance()
	if next, _ := c.Peek(); next.Kind == sqltext.Dot {
		c.Advance()
		c.Advance()
	}
	name := sqltext.Fold(sqltext.Unquote(c.Written()))
	if c.Advance(); c.Token.Kind != sqltext.LeftParen && c.Written() != "=" && c.Written() != "==" {
		return
	}
	if sqltext.PragmaAsks(name) {
		return
	}
	switch name {
	case "foreign_keys":
		t.Marks |= Pragma
		if !t.InTx {
			c.Advance()
			t.ForeignKeys, t.InTx = switchOf(sqltext.Unquote(c.Written())), t.inTx
		}
	case "journal_mode":
		t.Marks |= Journal
	case "wal_checkpoint", "optimize", "incremental_vacuum",
		"application_id", "user_version", "schema_version", "auto_vacuum", "page_size", "encoding":
	default:
		t.Marks |= Pragma
	}
}

// switchOf returns the meaning of a pragma's value, as SQLite reads it.
func switchOf(value string) Switch {
	switch sqltext.Fold(value) {
	case "", "0", "off", "no", "false":
		return Off
	case "on", "yes", "true":
		return On
	}
	if n, err := strconv.Atoi(value); err == nil && n != 0 {
		return On
	}
	return Off
}

// needsWriter reports whether a statement that reads or writes rows names something that only
// the writer knows: a temporary table, the result of the last write, or a pragma.
//
// A name has that meaning only in its place: temp before a dot, a function before its
// parentheses, and a pragma's table among the tables, where it needs no parentheses.
// https://sqlite.org/pragma.html#pragfunc
func needsWriter(query string, st sqltext.Statement) bool {
	var roles sqltext.Roles
	c := sqltext.SQLite.CursorOf(query, st)
	name, named, function := "", false, false // the previous token; function: it may be one
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		role := roles.Of(&c)
		switch {
		case !named:
		case c.Token.Kind == sqltext.Dot:
			if sqltext.EqualFold(name, "temp") {
				return true
			}
		case c.Token.Kind == sqltext.LeftParen && function:
			if sqltext.IsSessionFunction(name) {
				return true
			}
		}
		if named = c.ObjectName(); !named {
			continue
		}
		name, function = sqltext.Unquote(c.Written()), role == sqltext.OtherRole
		if role.Table() || roles.Beyond() {
			if sqltext.IsSessionTable(name) {
				return true
			}
		}
	}
	return false
}
