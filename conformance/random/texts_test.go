package random

import (
	"fmt"
	"strings"
)

// A text is a query that a call executes.
type text struct {
	sql     string
	inputs  int      // number of its arguments,
	names   []string // or their names
	ids     bool     // the arguments are row IDs
	schema  bool     // it may change the meaning of queries
	several bool     // it has more than one statement
	whole   string   // the table that it reads completely

	// effect applies the query to a model when it succeeds. failed applies what it may have
	// done when it fails.
	effect func(*model, []arg)
	failed func(*model, error)
}

func get(sql string, inputs int, names ...string) text {
	return text{sql: sql, inputs: inputs, names: names}
}

// onlyReads reports whether the query certainly writes nothing.
func (t text) onlyReads() bool {
	for _, word := range []string{"SELECT", "WITH", "VALUES", "--"} {
		if strings.HasPrefix(t.sql, word) {
			return true
		}
	}
	return false
}

// all returns a query that reads a whole table.
func all(table string) text {
	t := text{sql: "SELECT * FROM " + table}
	if table != "w" { // a view, which the model does not know
		t.whole = table
	}
	return t
}

// reads returns queries of a table, sorted by how often they are drawn.
func reads(table string) []text {
	q := func(format string, inputs int, names ...string) text {
		return get(strings.ReplaceAll(format, "%s", table), inputs, names...)
	}
	byID := q("SELECT id, a FROM %s WHERE id <= ?", 1)
	byID.ids = true
	return []text{
		all(table),
		byID,
		q("SELECT typeof(:v), $w", 0, "v", "w"),
		q("SELECT * FROM %s ORDER BY id DESC", 0),
		q("SELECT a FROM %s", 0),
		q("SELECT a AS x, typeof(a), b FROM %s WHERE id = :v OR a = @w OR :v IS NULL", 0, "v", "w"),
		q("SELECT count(*), max(id) FROM %s", 0),
		q("SELECT x.*, y.id FROM %s AS x LEFT JOIN u AS y ON x.id = y.id", 0),
		q("WITH r AS (SELECT * FROM %s) SELECT * FROM r WHERE id > ?1 OR ?3 IS NULL", 3),
		q("SELECT ?, typeof(?1)", 1),
		q("VALUES (1, ?), ('x', NULL)", 1),
		q("SELECT changes(), total_changes(), last_insert_rowid()", 0),
		q("SELECT type, name, sql FROM sqlite_schema", 0),
		q("-- all\n SELECT * FROM %s ; -- of it", 0),
		q("SELECT id AS \"a;b\" FROM %s", 0),
		q("EXPLAIN QUERY PLAN SELECT * FROM %s WHERE id = 1", 0),
		q("PRAGMA user_version", 0),
		q("PRAGMA foreign_keys", 0),
		q("PRAGMA query_only", 0),
		q("SELECT name, type FROM pragma_table_info('t')", 0),
	}
}

// insert returns an INSERT whose arguments are the columns' cells, in order.
func insert(sql, table string, columns ...string) text {
	return text{
		sql:    fmt.Sprintf(sql, table),
		inputs: len(columns),
		effect: func(m *model, args []arg) {
			m.change(table, func(t *modelTable) {
				cells := map[string]string{}
				for _, c := range columns {
					cells[c] = show(nil) // parameters without an argument are NULL
				}
				for i, a := range args {
					switch {
					case a.name == "v":
						i = 0
					case a.name == "w":
						i = 1
					}
					if i < len(columns) {
						cells[columns[i]] = a.cell
					}
				}
				t.put(0, cells)
			})
		},
	}
}

// writes returns queries that change a table's rows, sorted by how often they are drawn.
func writes(table string) []text {
	named := insert("INSERT INTO %s(a, b) VALUES (:v, @w)", table)
	named.inputs, named.names = 0, []string{"v", "w"}

	replace := insert("REPLACE INTO %s(id, a) VALUES (?1, 'r')", table)
	replace.inputs, replace.ids = 1, true
	replace.effect = func(m *model, args []arg) {
		m.change(table, func(t *modelTable) {
			id := int64(0)
			if len(args) > 0 {
				id = args[0].id()
			}
			t.put(id, map[string]string{"a": show("r")})
		})
	}

	update := get(fmt.Sprintf("UPDATE %s SET a = ? WHERE id <= 2", table), 1)
	update.effect = func(m *model, args []arg) {
		m.change(table, func(t *modelTable) {
			cell := show(nil)
			if len(args) > 0 {
				cell = args[0].cell
			}
			for _, row := range t.rows {
				if row.id <= 2 {
					t.set(row, "a", cell)
				}
			}
		})
	}

	remove := get(fmt.Sprintf("DELETE FROM %s WHERE id = ?", table), 1)
	remove.ids = true
	remove.effect = func(m *model, args []arg) {
		m.change(table, func(t *modelTable) {
			for i, row := range t.rows {
				if len(args) > 0 && row.id == args[0].id() {
					t.rows = append(t.rows[:i], t.rows[i+1:]...)
					return
				}
			}
		})
	}

	clear := get("DELETE FROM "+table, 0)
	clear.effect = func(m *model, _ []arg) { m.change(table, func(t *modelTable) { t.rows = nil }) }

	// A failure of this one rolls back the transaction, including its schema changes.
	abrupt := insert("INSERT OR ROLLBACK INTO %s(id, a) VALUES (2, 'abrupt')", table)
	abrupt.schema = true
	abrupt.effect = func(m *model, _ []arg) {
		m.change(table, func(t *modelTable) { t.put(2, map[string]string{"a": show("abrupt")}) })
	}
	abrupt.failed = func(m *model, err error) {
		if strings.Contains(err.Error(), "constraint failed") {
			m.rollback()
		}
	}

	copied := get(fmt.Sprintf("INSERT INTO %s(a) SELECT a FROM u LIMIT 2", table), 0)
	copied.effect = func(m *model, _ []arg) { m.change(table, func(t *modelTable) { t.unsure = true }) }

	return []text{
		insert("INSERT INTO %s(a, b) VALUES (?, ?)", table, "a", "b"),
		insert("INSERT INTO %s(a) VALUES (?)", table, "a"),
		update,
		named,
		remove,
		insert("INSERT INTO %s(a) VALUES (?) RETURNING *", table, "a"),
		replace,
		abrupt,
		insert("INSERT INTO %s DEFAULT VALUES", table),
		copied,
		clear,
		insert("INSERT INTO %s(a) VALUES (?) RETURNING a AS x, id", table, "a"),
	}
}

// set sets one cell of a row of the table.
func (t *modelTable) set(row modelRow, column, cell string) {
	if i := t.column(column); i > 0 {
		if t.columns[i].decl != "" {
			cell = ""
		}
		row.cells[i-1] = cell
	}
}

// create returns a CREATE TABLE with columns "name type".
func create(table string, columns ...string) text {
	temp, name := "", table
	if rest, ok := strings.CutPrefix(table, "temp."); ok {
		temp, name = "TEMP ", rest
	}
	return text{
		sql:    fmt.Sprintf("CREATE %sTABLE %s(id INTEGER PRIMARY KEY, %s)", temp, name, strings.Join(columns, ", ")),
		schema: true,
		effect: func(m *model, _ []arg) {
			t := &modelTable{columns: []modelColumn{{"id", "INTEGER"}}}
			for _, c := range columns {
				name, decl, _ := strings.Cut(c, " ")
				if strings.HasPrefix(decl, "REFERENCES") {
					decl = ""
				}
				t.columns = append(t.columns, modelColumn{name, decl})
			}
			schema, name, qualified := strings.Cut(table, ".")
			if !qualified {
				schema, name = "main", table
			}
			m.schemas[schema][name] = t
		},
	}
}

// changes returns queries that change the schema.
func changes(table string) []text {
	name := table[strings.IndexByte(table, '.')+1:]
	ddl := func(sql string, f func(*modelTable)) text {
		t := text{sql: sql, schema: true}
		if f != nil {
			t.effect = func(m *model, _ []arg) { m.change(table, f) }
		}
		return t
	}
	rename := func(from, to string) text {
		return ddl(fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", table, from, to), func(t *modelTable) {
			if i := t.column(from); i >= 0 {
				t.columns[i].name = to
			}
		})
	}
	drop := ddl("DROP TABLE "+table, nil)
	drop.effect = func(m *model, _ []arg) {
		if schema, name, found := m.find(table); found {
			delete(m.schemas[schema], name)
		}
	}
	other := map[string]string{"t": "u", "u": "t"}[name]
	move := ddl(fmt.Sprintf("ALTER TABLE %s RENAME TO %s", table, other), nil)
	move.effect = func(m *model, _ []arg) {
		if schema, name, found := m.find(table); found {
			m.schemas[schema][other] = m.schemas[schema][name]
			delete(m.schemas[schema], name)
		}
	}
	return []text{
		ddl(fmt.Sprintf("ALTER TABLE %s ADD COLUMN c", table), func(t *modelTable) {
			t.columns = append(t.columns, modelColumn{name: "c"})
			for i := range t.rows {
				t.rows[i].cells = append(t.rows[i].cells, show(nil))
			}
		}),
		rename("a", "c"),
		drop,
		create(table, "a", "b TEXT"),
		create(table, "b BOOLEAN", "a DATETIME", "c VARCHAR(10) NOT NULL DEFAULT 'd'"),
		ddl(fmt.Sprintf("ALTER TABLE %s DROP COLUMN b", table), func(t *modelTable) {
			if i := t.column("b"); i > 0 {
				t.columns = append(t.columns[:i], t.columns[i+1:]...)
				for j, row := range t.rows {
					t.rows[j].cells = append(row.cells[:i-1], row.cells[i:]...)
				}
			}
		}),
		rename("c", "a"),
		ddl("CREATE VIEW w AS SELECT id, a FROM "+table, nil),
		ddl("CREATE VIEW w AS SELECT a AS x, id AS a, id FROM "+table, nil),
		ddl("DROP VIEW w", nil),
		move,
		create(table, "a REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED", "b REAL"),
		ddl("CREATE INDEX i ON "+name+"(a)", nil),
		ddl("DROP INDEX i", nil),
	}
}

// settings returns queries that change the connection.
func settings() []text {
	set := func(sql string, effect func(*model)) text {
		t := text{sql: sql, schema: true}
		if effect != nil {
			t.effect = func(m *model, _ []arg) { effect(m) }
		}
		return t
	}
	named := func(sql string) text {
		t := set(sql, func(m *model) { m.nameless = true })
		t.failed = func(m *model, _ error) { m.nameless = true } // it takes effect when it is prepared
		return t
	}
	return []text{
		set("ATTACH ':memory:' AS m", func(m *model) { m.attached, m.schemas["m"] = true, map[string]*modelTable{} }),
		set("DETACH m", func(m *model) { m.attached = false; delete(m.schemas, "m") }),
		set("PRAGMA user_version = 5", nil),
		set("PRAGMA foreign_keys = 0", nil),
		named("PRAGMA short_column_names = 0"),
		named("PRAGMA full_column_names = 1"),
		named("PRAGMA short_column_names = 1"),
		set("PRAGMA foreign_keys = 1", nil),
	}
}

// controls returns queries that begin and end transactions and savepoints.
func controls() []text {
	control := func(sql string, ends bool, effect func(*model)) text {
		return text{sql: sql, schema: ends, effect: func(m *model, _ []arg) { effect(m) }}
	}
	return []text{
		control("SAVEPOINT p", false, func(m *model) { m.savepoint("p") }),
		control("ROLLBACK TO p", true, func(m *model) { m.rollbackTo("p") }),
		control("BEGIN", false, (*model).begin),
		control("ROLLBACK", true, (*model).rollback),
		control("RELEASE p", true, func(m *model) { m.release("p") }),
		control("SAVEPOINT q", false, func(m *model) { m.savepoint("q") }),
		control("COMMIT", true, (*model).commit),
		control("ROLLBACK TO q", true, func(m *model) { m.rollbackTo("q") }),
		control("RELEASE q", true, func(m *model) { m.release("q") }),
		control("BEGIN IMMEDIATE", false, (*model).begin),
		control("END", true, (*model).commit),
	}
}

// broken returns queries that fail in different ways.
func broken(table string) []text {
	return []text{
		get("SELEC 1", 0),
		get("SELECT missing FROM "+table, 0),
		{sql: "SELECT 1; SELECT 2", several: true}, // except in an Exec
		{sql: "SELECT 1; SELECT missing", several: true},
		get("SELECT abs(-9223372036854775807 - 1) FROM "+table, 0),
		get("INSERT INTO "+table+" VALUES (1)", 0),
		get("SELECT 'open", 0),
		get("SELECT * FROM "+table+" WHERE id = ?5", 5),
	}
}

// both joins two texts into one.
func both(a, b text) text {
	return text{
		sql:     a.sql + "; " + b.sql,
		schema:  true,
		several: true,
		effect: func(m *model, _ []arg) {
			for _, t := range []text{a, b} {
				if t.effect != nil {
					t.effect(m, nil)
				}
			}
		},
		failed: func(m *model, _ error) { m.lost = true }, // it is not known how far it got
	}
}

// start returns the query with which every program begins.
func start() text {
	t := both(both(both(create("t", "a", "b TEXT"), create("u", "a", "b TEXT")), writes("t")[1]), writes("u")[1])
	t.schema = false
	return t
}
