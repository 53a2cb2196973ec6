package pool

import (
	"sync"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/budget"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A route is the lane for a query.
type route uint32

const (
	toWriter route = iota + 1 // writes, changes the connection, or needs what only the writer knows
	toReader                  // only reads
	toAsk                     // SQLite decides when it has prepared the query
)

// marks are the changes that a query may leave behind on its connection.
type marks uint32

const (
	markPragma  marks = 1 << iota // a pragma has been set
	markAttach                    // a file has been attached or detached
	markTemp                      // there may be temporary objects
	markRaw                       // the program has had SQLite's connection
	markJournal                   // the journal mode may have changed
	markResults                   // a pragma that changes the results of queries has been set
	markUndo                      // one of these may have been undone
	markSchema                    // the schema may have changed, which all connections see

	// Changes that queries must see, so that they must use the writer.
	markVisible = markAttach | markTemp | markRaw | markResults

	// Changes that only this connection has.
	markConn = markVisible | markPragma
)

// A parsedQuery is what the pool knows about a query. It is the same for all connections.
type parsedQuery struct {
	query   string
	route   route // according to the parser
	verdict verdict
	marks   marks

	// Preparing it changes nothing and works on any connection.
	preparable bool

	// It begins a transaction.
	begins bool
}

// summary returns what errors and events show of the query. It contains no values.
func (t *parsedQuery) summary() string { return tracing.Summary(t.query) }

// queryCache caches parsed queries. Their number and size are limited, for each pool and for
// the process. The zero value is ready to use, and is safe for concurrent use.
type queryCache struct {
	mu    sync.RWMutex // guards the fields below
	kept  map[string]*parsedQuery
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

func (ts *queryCache) of(query string) *parsedQuery {
	ts.mu.RLock()
	t := ts.kept[query]
	ts.mu.RUnlock()
	if t != nil {
		return t
	}
	t = classify(query)
	if len(query) <= maxCachedQueryLen {
		ts.keep(t)
	}
	return t
}

// keep caches a query. It may drop others.
func (ts *queryCache) keep(t *parsedQuery) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.kept == nil {
		ts.kept, ts.share = make(map[string]*parsedQuery), queryBudget.Share()
	}
	budget.Keep(ts.share, ts.kept, maxCachedQueries, t.query, t, queryBytes)
}

// classify parses a query without preparing it, because SQLite executes a PRAGMA while
// preparing it. A query goes to a reader only if it can be nothing but a single query
// statement. A reader refuses to write, so a misread query fails and does no damage.
func classify(query string) *parsedQuery {
	t := &parsedQuery{query: query, route: toWriter}
	statements := sqltext.SQLite.Statements(query)
	first, ok := statements.Next()
	if !ok {
		return t
	}
	t.begins = !first.Explain && (first.Verb == sqltext.Begin || first.Verb == sqltext.Savepoint)
	t.addMarks(first)
	alone := true
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		alone = false
		t.addMarks(st)
	}
	if !alone || !first.Verb.Rows() || needsWriter(query, first) {
		return t
	}
	t.preparable = true
	switch {
	case first.With:
		t.route = toAsk
	case first.Verb == sqltext.Select:
		t.route = toReader
	}
	return t
}

// addMarks adds the marks of a statement.
func (t *parsedQuery) addMarks(st sqltext.Statement) {
	if st.Explain && st.Verb != sqltext.Pragma { // SQLite executes an explained PRAGMA
		return
	}
	switch st.Verb {
	case sqltext.Attach:
		t.marks |= markAttach
	case sqltext.Detach:
		t.marks |= markAttach | markUndo
	case sqltext.Drop:
		t.marks |= markSchema | markUndo
	case sqltext.Alter, sqltext.Vacuum, sqltext.Reindex, sqltext.Analyze:
		t.marks |= markSchema
	case sqltext.Create:
		t.marks |= markSchema
		if createsTemp(t.query, st) {
			t.marks |= markTemp
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
func (t *parsedQuery) addPragmaMarks(st sqltext.Statement) {
	c := sqltext.SQLite.CursorOf(t.query, st)
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
	case "journal_mode":
		t.marks |= markJournal
	case "case_sensitive_like", "count_changes", "empty_result_callbacks", "full_column_names",
		"reverse_unordered_selects", "short_column_names":
		t.marks |= markPragma | markResults
	case "wal_checkpoint", "optimize", "incremental_vacuum",
		"application_id", "user_version", "schema_version", "auto_vacuum", "page_size", "encoding":
	default:
		t.marks |= markPragma
	}
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
