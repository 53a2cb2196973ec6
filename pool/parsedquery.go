package pool

import (
	"sync"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A route is which lane a text belongs to.
type route uint32

const (
	toWriter route = iota + 1 // writes, changes the connection, or asks what only the writer knows
	toReader                  // reads
	toAsk                     // SQLite knows, once it has prepared the text
)

// What a text may leave behind on its connection.
type marks uint32

const (
	markPragma  marks = 1 << iota // a pragma is set
	markAttach                    // another file is attached, or detached
	markTemp                      // there may be temporary objects
	markRaw                       // the program has had SQLite's connection itself
	markJournal                   // the journal mode may be another
	markResults                   // a pragma is set that changes what queries give
	markUndo                      // something of these may be there no more
	markSchema                    // the schema may be another, which all connections see

	// What queries must be where they can see it.
	markVisible = markAttach | markTemp | markRaw | markResults

	// What the connection bears, and others do not.
	markConn = markVisible | markPragma
)

// A text is what is known of a text of SQL. It is the same for all connections.
type parsedQuery struct {
	query   string
	route   route // as it reads
	verdict verdict
	marks   marks

	// To prepare it changes nothing, and can be done by any connection.
	preparable bool

	// It begins a transaction.
	begins bool
}

// texts keeps what is known of texts, of which the number and the bytes are bounded: of one
// pool, and of all of the process. Its zero value is ready to use, by any number of goroutines.
type queryCache struct {
	mu    sync.RWMutex
	kept  map[string]*parsedQuery
	share *budget.Share
}

// textBudget is for the texts of a pool, and for those of all.
var queryBudget = budget.New(2<<20, 32<<20)

// textBytes is what to keep a text takes.
func queryBytes(query string) int { return len(query) + 128 }

const (
	maxCachedQueries  = 1024
	maxCachedQueryLen = 16 << 10 // bytes; a longer one is likely to hold data, and not to come again
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

// keep keeps a text, in the place of others if need be.
func (ts *queryCache) keep(t *parsedQuery) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.kept == nil {
		ts.kept, ts.share = make(map[string]*parsedQuery), queryBudget.Share()
	}
	budget.Keep(ts.share, ts.kept, maxCachedQueries, t.query, t, queryBytes)
}

// classify reads a query without preparing it: to prepare a PRAGMA is to execute it. Only
// what can be nothing but a query of one statement is ever for a reader; and a reader refuses
// to write, so that what is misread here fails and does not go astray.
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

// statement marks what a statement leaves behind on its connection.
func (t *parsedQuery) addMarks(st sqltext.Statement) {
	if st.Explain && st.Verb != sqltext.Pragma { // to explain a PRAGMA is to execute it
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

// createsTemp reports whether a CREATE says that its object is temporary, by a keyword or
// by the schema before its name.
func createsTemp(query string, st sqltext.Statement) bool {
	c := sqltext.SQLite.CursorOf(query, st)
	c.Advance()
	for c.Advance(); ; c.Advance() {
		switch c.Key.Word {
		case "TEMP", "TEMPORARY":
			// It is a name where the object's kind stands before it.
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

// pragma marks what a PRAGMA changes of its connection: one with a value, unless
// the value is what it asks about, or the file's.
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

// namesWriters reports whether a statement that reads or writes rows names what only the
// writer knows: a temporary table, what the last write has done, or a pragma.
//
// Such a name means that only where it stands: temp before a dot, a function before its
// parentheses, and a pragma's table among the tables, where it needs no parentheses.
// https://sqlite.org/pragma.html#pragfunc
func needsWriter(query string, st sqltext.Statement) bool {
	var roles sqltext.Roles
	c := sqltext.SQLite.CursorOf(query, st)
	name, named, function := "", false, false // of the token before; whether it can be a function
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
