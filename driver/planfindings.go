package driver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// planFindings returns what makes a plan slow, in words. query is the query that it is for.
func planFindings(raw *sqlite3.Conn, query string, steps []string) (findings []string) {
	f := findingsOf{raw: raw, query: query, derived: make(map[string]bool)}
	for _, step := range steps {
		if name, ok := cutPrefixes(strings.TrimLeft(step, " "), "CO-ROUTINE ", "MATERIALIZE "); ok {
			f.derived[name] = true
		}
	}
	for _, step := range steps {
		finding := f.of(strings.TrimLeft(step, " "))
		if finding != "" && !slices.Contains(findings, finding) {
			findings = append(findings, finding)
		}
	}
	return findings
}

// findingsOf finds what makes the steps of a plan slow.
type findingsOf struct {
	raw     *sqlite3.Conn
	query   string
	derived map[string]bool // subqueries and common table expressions, which are not tables
}

// of returns the finding of a step, or "".
func (f *findingsOf) of(step string) string {
	if what, ok := strings.CutPrefix(step, "USE TEMP B-TREE FOR "); ok {
		return fmt.Sprintf("temporary B-tree for %s: an index in that order makes it unnecessary", what)
	}
	if rest, ok := strings.CutPrefix(step, "SEARCH "); ok {
		table, index, ok := strings.Cut(rest, " USING AUTOMATIC ")
		if !ok {
			return ""
		}
		columns := columnsOf(index)
		if f.derived[table] || columns == "" {
			return ""
		}
		return fmt.Sprintf("automatic index on %s(%s): create it", table, columns)
	}
	rest, ok := strings.CutPrefix(step, "SCAN ")
	if !ok {
		return ""
	}
	table, using, _ := strings.Cut(rest, " USING ")
	table, virtual, isVirtual := strings.Cut(table, " VIRTUAL TABLE")
	if f.derived[table] || strings.HasPrefix(table, "(") || strings.Contains(table, "CONSTANT ROW") || strings.Contains(table, "-ROW VALUES CLAUSE") || isVirtual && virtual != " INDEX 0" {
		return ""
	}
	if key := f.foreignKey(table); key != "" {
		return fmt.Sprintf("foreign key without an index: create one on %s", key)
	}
	for _, kind := range []string{"COVERING INDEX ", "INDEX "} {
		if index, ok := strings.CutPrefix(using, kind); ok {
			return fmt.Sprintf("full scan of %s, by its index %s", table, index)
		}
	}
	return "full scan of " + table
}

// foreignKey returns the table and the column of a foreign key that makes SQLite scan the table,
// although the query does not name it; or "".
func (f *findingsOf) foreignKey(table string) (key string) {
	names := sqltext.SQLite.Cursor(f.query)
	named := make(map[string]bool)
	for names.Advance(); names.Token.Kind != sqltext.EOF; names.Advance() {
		if names.ObjectName() {
			named[sqltext.Fold(sqltext.Unquote(names.Written()))] = true
		}
	}
	if named[sqltext.Fold(table)] {
		return ""
	}
	st, _, err := f.raw.Prepare(`SELECT "from", "table" FROM pragma_foreign_key_list(?)`)
	if err != nil {
		return ""
	}
	defer st.Close()
	if st.BindText(1, table) != nil {
		return ""
	}
	for st.Step() {
		if named[sqltext.Fold(st.ColumnText(1))] {
			key = fmt.Sprintf("%s(%s)", table, st.ColumnText(0))
		}
	}
	return key
}

// columnsOf returns the columns of an index as a plan shows its use: (a=? AND b>?).
func columnsOf(index string) string {
	_, terms, _ := strings.Cut(index, "(")
	terms, _, _ = strings.Cut(terms, ")")
	var columns []string
	for term := range strings.SplitSeq(terms, " AND ") {
		if i := strings.IndexAny(term, "=<>"); i > 0 {
			columns = append(columns, term[:i])
		}
	}
	return strings.Join(columns, ", ")
}

func cutPrefixes(s string, prefixes ...string) (rest string, ok bool) {
	for _, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest, true
		}
	}
	return s, false
}
