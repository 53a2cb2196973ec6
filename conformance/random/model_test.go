package random

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// A model is the expected contents of a database with one connection, according to the results
// that the program got: calls that succeeded took effect, and nothing else did.
type model struct {
	lost     bool // the contents of the database are no longer known
	nameless bool // the names of columns are not known
	schemas  schemas
	attached bool
	undo     []point // of the current transaction, the outermost first
}

// schemas are the tables, by the names of the schema and of the table.
type schemas map[string]map[string]*modelTable

// A point is a state that can be rolled back to.
type point struct {
	name    string // "" for the begin of the transaction
	schemas schemas
}

// A modelTable is immutable: a change makes a new one.
type modelTable struct {
	columns []modelColumn // the first is the row ID
	rows    []modelRow    // by their row IDs
	unsure  bool          // the rows are not known
}

type modelColumn struct{ name, decl string }

// A modelRow has its cells as they are shown, or "" for unknown ones.
type modelRow struct {
	id    int64
	cells []string // without the row ID
}

func newModel() *model {
	return &model{schemas: schemas{"main": {}, "temp": {}}}
}

func (s schemas) clone() schemas {
	c := maps.Clone(s)
	for name := range c {
		c[name] = maps.Clone(c[name])
	}
	return c
}

// find returns the location of a table, in SQLite's search order.
func (m *model) find(name string) (schema, table string, found bool) {
	where := []string{"temp", "main", "m"}
	if s, rest, qualified := strings.Cut(name, "."); qualified {
		where, name = []string{s}, rest
	}
	for _, schema := range where {
		if m.schemas[schema][name] != nil {
			return schema, name, true
		}
	}
	return "", "", false
}

// change replaces a table by a copy that f has changed.
func (m *model) change(name string, f func(*modelTable)) {
	schema, table, found := m.find(name)
	if !found {
		m.lost = true // it is a view, for example
		return
	}
	t := *m.schemas[schema][table]
	t.columns = slices.Clone(t.columns)
	t.rows = slices.Clone(t.rows)
	for i := range t.rows {
		t.rows[i].cells = slices.Clone(t.rows[i].cells)
	}
	f(&t)
	m.schemas[schema][table] = &t
}

func (m *model) begin() { m.undo = []point{{schemas: m.schemas.clone()}} }

func (m *model) savepoint(name string) {
	m.undo = append(m.undo, point{name, m.schemas.clone()})
}

func (m *model) commit() { m.undo = nil }

func (m *model) rollback() {
	if len(m.undo) > 0 {
		m.restore(m.undo[0])
		m.undo = nil
	}
}

func (m *model) rollbackTo(name string) {
	if i := m.point(name); i >= 0 {
		m.restore(m.undo[i])
		m.undo = m.undo[:i+1]
	}
}

func (m *model) release(name string) {
	if i := m.point(name); i >= 0 {
		m.undo = m.undo[:i]
	}
}

func (m *model) point(name string) int {
	for i := len(m.undo) - 1; i >= 0; i-- {
		if m.undo[i].name == name {
			return i
		}
	}
	m.lost = true
	return -1
}

// restore undoes everything except ATTACH and DETACH, which are not part of a transaction.
func (m *model) restore(p point) {
	m.schemas = p.schemas.clone()
	switch {
	case !m.attached:
		delete(m.schemas, "m")
	case m.schemas["m"] == nil:
		m.schemas["m"] = map[string]*modelTable{}
	}
}

func (t *modelTable) column(name string) int {
	return slices.IndexFunc(t.columns, func(c modelColumn) bool { return c.name == name })
}

// put inserts a row, or replaces the one with its ID. An id of zero means the next one. The
// cells are by the names of columns. Cells of other columns are unknown, because the columns
// may have a default.
func (t *modelTable) put(id int64, cells map[string]string) {
	if id == 0 {
		id = 1
		if n := len(t.rows); n > 0 {
			id = t.rows[n-1].id + 1
		}
	}
	row := modelRow{id: id, cells: make([]string, len(t.columns)-1)}
	for name, cell := range cells {
		if i := t.column(name); i > 0 && t.columns[i].decl == "" {
			row.cells[i-1] = cell
		}
	}
	i, found := slices.BinarySearchFunc(t.rows, id, func(r modelRow, id int64) int { return int(r.id - id) })
	if found {
		t.rows[i] = row
	} else {
		t.rows = slices.Insert(t.rows, i, row)
	}
}

// check follows the program, and returns what is wrong with what it saw, or "".
func (m *model) check(s step, o outcome) string {
	if m.lost || o.skipped || s.unseen {
		return ""
	}
	if s.text != nil && s.text.whole != "" && s.verb == query && !s.cancelled && len(s.args) == 0 && s.on[0] != 's' {
		if wrong := m.checkWhole(s.text.whole, o); wrong != "" {
			return wrong
		}
	}
	m.follow(s, o)
	return ""
}

func (m *model) checkWhole(name string, o outcome) string {
	schema, table, found := m.find(name)
	if !found {
		if o.err == nil {
			return fmt.Sprintf("the table %s does not exist, but it can be read", name)
		}
		return ""
	}
	t := m.schemas[schema][table]
	if o.err != nil {
		return fmt.Sprintf("the table %s exists, but cannot be read", name)
	}
	var columns []string
	for _, c := range t.columns {
		columns = append(columns, c.name)
	}
	if !m.nameless && !slices.Equal(o.columns, columns) {
		return fmt.Sprintf("the table %s has the columns %q, but they are reported as %q", name, columns, o.columns)
	}
	if t.unsure {
		return ""
	}
	if len(o.rows) != len(t.rows) {
		return fmt.Sprintf("the table %s has %d rows, but %d are read", name, len(t.rows), len(o.rows))
	}
	for i, row := range t.rows {
		want := append([]string{show(row.id)}, row.cells...)
		for j, cell := range want {
			if cell != "" && (j >= len(o.rows[i]) || cell != o.rows[i][j]) {
				return fmt.Sprintf("the table %s has the row %q, but it is read as %q", name, want, o.rows[i])
			}
		}
	}
	return ""
}

// follow applies the effect of a step.
func (m *model) follow(s step, o outcome) {
	switch s.verb {
	case begin:
		if o.err == nil {
			m.begin()
		}
	case commit:
		if o.err == nil {
			m.commit()
		} else {
			m.rollback() // as the plain driver does
		}
	case rollback:
		if o.err == nil {
			m.rollback()
		}
	case mark:
		m.savepoint(s.to)
	case rollbackTo:
		if o.err == nil {
			m.rollbackTo(s.on)
		}
	case release:
		switch {
		case o.err == nil && len(o.lines) == 1 && m.holds(s.on):
			m.release(s.on)
		case len(m.undo) > 0:
			m.lost = true
		}
	case exec, query, raw, promoted:
		switch {
		case errors.Is(o.err, sqlite3.MISUSE) && s.text.effect != nil:
			// The plain driver reports that for rows of a table whose columns have
			// changed since the statement was prepared. The statement that returns
			// them has taken effect.
			m.lost = true
		case o.err == nil && s.text.effect != nil:
			s.text.effect(m, s.args)
		case o.err != nil && s.text.failed != nil:
			s.text.failed(m, o.err)
		}
	case queryRow, open:
		// It is not known how far a statement that writes got before it was abandoned.
		if s.text.effect != nil {
			m.lost = true
		}
	}
}

func (m *model) holds(name string) bool {
	return slices.ContainsFunc(m.undo, func(p point) bool { return p.name == name })
}
