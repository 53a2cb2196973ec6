// Package queryplan reads query plans of SQLite.
package queryplan

import (
	"fmt"
	"strings"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A Finding is what makes a line of a query plan slow.
type Finding struct {
	Table string // that is scanned, in full or for an automatic index; "" if none is
	Text  string // in words
}

// Findings returns what makes a plan slow. text is the query that it is for. Lines that are in order
// have no finding. keys returns the columns of the table's foreign keys, for a table that the query
// does not name; it may be nil. https://sqlite.org/eqp.html
func Findings(text string, plan []string, keys func(table string) []string) (findings []Finding) {
	made := make(map[string]bool) // by the query itself: CTEs, views and subqueries
	for _, line := range plan {
		line = strings.TrimLeft(line, " ")
		for _, prefix := range []string{"MATERIALIZE ", "CO-ROUTINE "} {
			if name, ok := strings.CutPrefix(line, prefix); ok {
				made[sqltext.Fold(name)] = true
			}
		}
	}
	seen := make(map[string]bool)
	for _, line := range plan {
		f := findingOf(text, strings.TrimLeft(line, " "), made, keys)
		if f.Text != "" && !seen[f.Text] {
			seen[f.Text] = true
			findings = append(findings, f)
		}
	}
	return findings
}

func findingOf(text, line string, made map[string]bool, keys func(string) []string) Finding {
	if rest, ok := strings.CutPrefix(line, "SCAN "); ok {
		name, index := scanned(rest)
		table := tableOf(text, name)
		if name == "" || made[sqltext.Fold(name)] || made[sqltext.Fold(table)] {
			return Finding{}
		}
		chooses := names(text, "WHERE") || names(text, "ON") || names(text, "USING")
		switch {
		case index != "" && !chooses && names(text, "LIMIT"): // it reads only the first rows, in order
			return Finding{}
		case index != "" && !chooses:
			return Finding{table, fmt.Sprintf("full scan of %s, through its index %s", table, index)}
		case index != "":
			return Finding{table, fmt.Sprintf("full scan of %s, through its index %s: an index on the columns of WHERE or ON would avoid it", table, index)}
		}
		if !names(text, table) {
			if keys != nil {
				if columns := keys(table); len(columns) > 0 {
					on := table + "(" + strings.Join(columns, ", ") + ")"
					return Finding{table, fmt.Sprintf("full scan of %s for a foreign key without an index: create it, CREATE INDEX name ON %s", table, on)}
				}
			}
			return Finding{table, fmt.Sprintf("full scan of %s, which the statement does not name: a foreign key of %s needs an index on its columns, or a view scans it", table, table)}
		}
		if !chooses && !names(text, "ORDER") {
			return Finding{table, "full scan of " + table}
		}
		return Finding{table, fmt.Sprintf("full scan of %s: an index on the columns of WHERE, ON or ORDER BY would avoid it", table)}
	}
	if name, ok := strings.CutPrefix(line, "SEARCH "); ok && !strings.Contains(name, " USING ") && !strings.Contains(name, " VIRTUAL TABLE ") {
		// So SQLite describes the scan for a min() or max(), even if it is one of all rows.
		table := tableOf(text, name)
		return Finding{table, fmt.Sprintf("perhaps a full scan of %s for its min or max: an index on that column would avoid it", table)}
	}
	if rest, ok := strings.CutPrefix(line, "SEARCH "); ok {
		name, index, ok := strings.Cut(rest, " USING AUTOMATIC ")
		table := tableOf(text, name)
		if !ok || made[sqltext.Fold(name)] || made[sqltext.Fold(table)] || strings.HasPrefix(name, "(") {
			return Finding{}
		}
		on := table + "(" + strings.Join(indexed(index), ", ") + ")"
		return Finding{table, fmt.Sprintf("automatic index on %s, which each call builds from a full scan: create it, CREATE INDEX name ON %s", on, on)}
	}
	if _, what, ok := strings.Cut(line, "USE TEMP B-TREE FOR "); ok {
		return Finding{Text: fmt.Sprintf("temporary B-tree for %s: an index in this order would avoid it", what)}
	}
	return Finding{}
}

// scanned returns the name of a scanned table, as the query names it, and the index that the
// scan goes through, if any. The name is empty if no table is scanned. Virtual tables have no
// indexes that a program could create.
func scanned(rest string) (name, index string) {
	if strings.HasPrefix(rest, "(") || strings.HasSuffix(rest, "CONSTANT ROW") || strings.HasSuffix(rest, "CONSTANT ROWS") {
		return "", ""
	}
	if strings.Contains(rest, " VIRTUAL TABLE INDEX ") {
		return "", ""
	}
	rest = strings.TrimSuffix(rest, " LEFT-JOIN")
	for _, using := range []string{" USING COVERING INDEX ", " USING INDEX "} {
		if name, index, ok := strings.Cut(rest, using); ok {
			return name, index
		}
	}
	return rest, ""
}

// indexed returns the columns of an automatic index, from "COVERING INDEX (a=? AND b>?)".
func indexed(index string) (columns []string) {
	_, list, _ := strings.Cut(index, "(")
	list, _, _ = strings.Cut(list, ")")
	for term := range strings.SplitSeq(list, " AND ") {
		columns = append(columns, strings.TrimRight(term, "=<>?"))
	}
	return columns
}

// tableOf returns the table that a query names by an alias, or name itself. SQLite's plans have
// only the alias. The result is always a name, never a literal of the query.
func tableOf(text, name string) string {
	c := sqltext.SQLite.Cursor(text)
	var outer []bool // whether the levels outside of the current parentheses are lists of tables
	tables := false  // a list of tables is being read
	table := ""      // of the list, if its alias may follow
	for c.Advance(); c.Token.Kind != sqltext.EOF; c.Advance() {
		word := c.Written()
		switch {
		case c.Token.Kind == sqltext.LeftParen:
			outer = append(outer, tables)
			table = ""
		case c.Token.Kind == sqltext.RightParen:
			if n := len(outer); n > 0 {
				tables, outer = outer[n-1], outer[:n-1]
			}
			table = ""
		case c.Token.Kind == sqltext.Word && c.Key.Reserved || isClause(word):
			switch sqltext.Fold(word) {
			case "from", "join", "update", "into":
				tables = true
			case "as":
				continue // the alias follows
			case "left", "right", "full", "outer", "inner", "cross", "natural", "not", "indexed", "by":
			default:
				tables = false
			}
			table = ""
		case !tables:
		case c.ObjectName() && c.Token.Kind != sqltext.String:
			if table != "" && sqltext.EqualFold(sqltext.Unquote(word), name) {
				return table
			}
			if table = ""; c.Before.Kind != sqltext.Word && c.Before.Kind != sqltext.Quoted || c.BeforeKey.Reserved {
				table = sqltext.Unquote(word)
			}
		default:
			table = ""
		}
	}
	return name
}

// isClause reports whether a word begins a clause although it may be a name elsewhere.
func isClause(word string) bool {
	return sqltext.EqualFold(word, "returning") || sqltext.EqualFold(word, "window")
}

// names reports whether a text has a name as one of its words.
func names(text, name string) bool {
	l := sqltext.SQLite.Lexer(text)
	for t := l.NextSignificant(); t.Kind != sqltext.EOF; t = l.NextSignificant() {
		if word := t.Text(text); sqltext.EqualFold(word, name) || t.Kind == sqltext.Quoted && sqltext.EqualFold(sqltext.Unquote(word), name) {
			return true
		}
	}
	return false
}
