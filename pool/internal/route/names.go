package route

import (
	"cmp"
	"maps"
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// Names are what queries can name on one connection only: its session state. Names are folded;
// see [sqltext.Fold]. A nil *Names has none.
type Names struct {
	Schemas   map[string]bool // attached databases
	Tables    map[string]bool // temporary tables and views, modules, and tables of no other database than an attached one
	Functions map[string]bool
	Like      bool // PRAGMA case_sensitive_like has changed what LIKE means
	Any       bool // every query needs it: a pragma changes all results, or there are too many names to keep
	Others    bool // there is more that only this connection has: a collation
	Triggers  bool // there are temporary triggers, which no query names
}

// In reports whether a query names one of n.
func (n *Names) In(query string) bool {
	_, ok := n.Find(query)
	return ok
}

// All reports whether every query needs n.
func (n *Names) All() bool { return n != nil && n.Any }

// Find returns the first name of n that a query names. It may find a name that the query uses for
// something else, such as a common table expression. The name is empty if n.Any is set.
func (n *Names) Find(query string) (name string, ok bool) {
	if n == nil || n.Any {
		return "", n != nil
	}
	statements := sqltext.SQLite.Statements(query)
	for st, more := statements.Next(); more; st, more = statements.Next() {
		if name, ok := n.findIn(query, st); ok {
			return name, true
		}
	}
	return "", false
}

func (n *Names) findIn(query string, st sqltext.Statement) (name string, ok bool) {
	var roles sqltext.Roles
	var before struct { // the name before the current token
		name        string // folded; empty if the token before is no name
		table, main bool   // it may name a table; main: after the schema main
	}
	dotted := false // the token before is a dot after a schema's name
	c := sqltext.SQLite.CursorOf(query, st)
	for more := true; more; more = c.Token.Kind != sqltext.EOF {
		c.Advance()
		role := roles.Of(&c)
		table, main := before.table, before.main
		switch {
		case before.name == "":
		case c.Token.Kind == sqltext.Dot && table && !main:
			if n.Schemas[before.name] {
				return before.name, true
			}
			dotted = before.name == "main"
		case table && !main && n.Tables[before.name], c.Token.Kind == sqltext.LeftParen && n.Functions[before.name]:
			return before.name, true
		}
		if before.name == "like" && c.Token.Kind == sqltext.LeftParen && n.Like {
			return "like", true
		}
		if name := operatorOf(&c); name != "" && (n.Functions[name] || name == "like" && n.Like) {
			return name, true
		}
		if c.Token.Kind == sqltext.Dot {
			before.name = ""
			continue
		}
		before.name = ""
		if c.ObjectName() {
			before.name = sqltext.Fold(sqltext.Unquote(c.Written()))
			before.table, before.main = role.Table() || roles.Beyond() || !st.Verb.Rows(), dotted
		}
		dotted = false
	}
	return "", false
}

// operatorOf returns the function that the current token calls without parentheses, or an empty
// string. https://sqlite.org/lang_expr.html#the_like_glob_regexp_match_and_extract_operators
func operatorOf(c *sqltext.Cursor) string {
	switch c.Key.Word {
	case "LIKE", "GLOB", "REGEXP", "MATCH", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP":
		return sqltext.Fold(c.Key.Word)
	}
	if c.Token.End-c.Token.Start <= len("->>") && strings.HasPrefix(c.Written(), "->") {
		return c.Written()
	}
	return ""
}

// Has reports whether n has a name that Find has found.
func (n *Names) Has(name string) bool {
	return n != nil && (n.Schemas[name] || n.Tables[name] || n.Functions[name] || n.Like && name == "like")
}

// Incomplete reports whether queries can name more than n has: a collation, or a table that another
// process creates in an attached database.
func (n *Names) Incomplete() bool { return n != nil && (n.Others || len(n.Schemas) > 0) }

// More reports whether n has something that old has not.
func (n *Names) More(old *Names) bool {
	if n == nil {
		return false
	}
	if old == nil {
		old = &Names{}
	}
	return more(n.Schemas, old.Schemas) || more(n.Tables, old.Tables) || more(n.Functions, old.Functions) ||
		n.Like && !old.Like || n.Any && !old.Any || n.Others && !old.Others || n.Triggers && !old.Triggers
}

func more(list, old map[string]bool) bool {
	for name := range list {
		if !old[name] {
			return true
		}
	}
	return false
}

// With returns the names of n and of other.
func (n *Names) With(other *Names) *Names {
	if n == nil || other == nil {
		return cmp.Or(n, other)
	}
	return &Names{union(n.Schemas, other.Schemas), union(n.Tables, other.Tables), union(n.Functions, other.Functions),
		n.Like || other.Like, n.Any || other.Any, n.Others || other.Others, n.Triggers || other.Triggers}
}

func union(a, b map[string]bool) map[string]bool {
	both := make(map[string]bool, len(a)+len(b))
	maps.Copy(both, a)
	maps.Copy(both, b)
	return both
}
