package player

import (
	"cmp"
	"database/sql"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// sorted sorts programs by name.
func sorted(programs []Program) []Program {
	slices.SortFunc(programs, func(a, b Program) int { return cmp.Compare(a.Name, b.Name) })
	return programs
}

// allTypes are the types that a value is scanned into.
var allTypes = []reflect.Type{
	anyType, stringType, bytesType, int64Type, float64Type, boolType, timeType,
	nullStringType, nullInt64Type, nullFloat64Type, nullBoolType, nullTimeType, pointerType,
	reflect.TypeFor[int8](), reflect.TypeFor[uint64](), reflect.TypeFor[sql.Null[int]](),
}

// decls are declared types.
var decls = []string{
	"", "INT", "INTEGER", "BIGINT", "TINYINT(1)", "UNSIGNED BIG INT", "BOOLEAN", "BOOL", "boolean", "BIT",
	"REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "NUMERIC", "DECIMAL(10,5)", "MONEY",
	"TEXT", "CHAR(3)", "VARCHAR(255)", "NVARCHAR(10)", "CLOB", "STRING", "JSON", "UUID", "ENUM('a')",
	"BLOB", "BYTEA", "VARBINARY(16)", "ANY", "DATE", "DATETIME", "TIMESTAMP", "TIME", "NULL",
}

func declName(decl string) string {
	if decl == "" {
		return "no type"
	}
	return decl
}

// arguments are the values that programs write.
var arguments = []struct {
	name  string
	value any
}{
	{"nil", nil}, {"true", true}, {"false", false},
	{"0", 0}, {"1", int64(1)}, {"2", 2}, {"-1", int32(-1)}, {"uint8", uint8(200)}, {"max int64", int64(math.MaxInt64)}, {"min int64", int64(math.MinInt64)}, {"uint64 beyond int64", uint64(math.MaxUint64)},
	{"1.5", 1.5}, {"2.0", 2.0}, {"float32", float32(0.1)}, {"1e300", 1e300}, {"tiny", 5e-324}, {"infinity", math.Inf(1)}, {"minus infinity", math.Inf(-1)}, {"NaN", math.NaN()}, {"-0.0", math.Copysign(0, -1)},
	{"text", "text"}, {"empty text", ""}, {"text of digits", "42"}, {"text of a real", "1.50"}, {"text true", "true"}, {"text with NUL", "a\x00b"}, {"text that is no UTF-8", "a\xffb"}, {"unicode", "äöü 日本 🙂"}, {"long text", strings.Repeat("x", 100000)},
	{"blob", []byte{1, 2, 3}}, {"empty blob", []byte{}}, {"nil blob", []byte(nil)}, {"blob of text", []byte("text")}, {"blob with NUL", []byte{0, 0}}, {"raw bytes", sql.RawBytes("raw")},
	{"NullString", sql.NullString{String: "s", Valid: true}}, {"NullString NULL", sql.NullString{}}, {"NullBool", sql.NullBool{Bool: true, Valid: true}}, {"NullInt64 NULL", sql.NullInt64{}}, {"NullFloat64", sql.NullFloat64{Float64: 2.5, Valid: true}},
	{"named string", namedString("named")}, {"pointer to int", new(int)}, {"nil pointer", (*int)(nil)}, {"struct", struct{ A int }{1}}, {"map", map[string]int{}}, {"slice of ints", []int{1}}, {"complex", complex(1, 2)}, {"channel", make(chan int)},
}

type namedString string

func typePrograms() []Program {
	var programs []Program
	for _, a := range arguments {
		programs = append(programs, Program{"types/value/" + a.name, both, func(e *env) { writeValue(e, a.value) }})
	}
	for _, decl := range decls {
		programs = append(programs, Program{"types/column/" + declName(decl), both, func(e *env) { readColumn(e, decl) }})
	}
	return programs
}

// writeValue writes a value into columns of all types, and reads it again.
func writeValue(e *env, v any) {
	db := e.memory("")
	e.rows("argument", db, "SELECT ?, typeof(?)", v, v)
	var columns []string
	for i, decl := range decls {
		columns = append(columns, fmt.Sprintf("c%d %s", i, decl))
	}
	exec(db, "CREATE TABLE t("+strings.Join(columns, ", ")+")")
	for i, decl := range decls {
		_, err := db.Exec(fmt.Sprintf("INSERT INTO t(rowid, c%d) VALUES (%d, ?)", i, i+1), v)
		if err != nil {
			e.err("write "+declName(decl), err)
			continue
		}
		from := fmt.Sprintf("FROM t WHERE rowid = %d", i+1)
		e.record("stored "+declName(decl), "%s", e.one(db, fmt.Sprintf("SELECT typeof(c%d) || ' ' || hex(c%d) %s", i, i, from)))
		e.record("read "+declName(decl), "%s", e.one(db, fmt.Sprintf("SELECT c%d %s", i, from)))
	}
}

// literals are values as SQL.
var literals = []string{"NULL", "0", "1", "2", "-1", "1.5", "3.0", "'text'", "'1'", "'true'", "''", "x'0102'", "x''", "9223372036854775807", "1e300", "'2026-05-01 12:00:00'", "'2026-05-01'"}

// readColumn reads all kinds of values from a column into variables of all types.
func readColumn(e *env, decl string) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(c "+decl+")")
	for _, literal := range literals {
		exec(db, "DELETE FROM t", "INSERT INTO t VALUES ("+literal+")")
		e.into(literal, allTypes, db, "SELECT c FROM t")
		// An expression has no declared type.
		e.record(literal+" in an expression", "%s", e.one(db, "SELECT max(c) FROM t"))
	}
}

func columnPrograms() []Program {
	var programs []Program
	for _, decl := range decls {
		programs = append(programs, Program{"columns/" + declName(decl), both, func(e *env) { columnFacts(e, decl) }})
	}
	for _, q := range []struct{ name, query string }{
		{"expressions", "SELECT 1, 1.5, 'a', x'00', NULL, 1 + 1, 'a' || 'b', CAST(1 AS TEXT), CAST('1' AS INTEGER), CURRENT_TIMESTAMP = ''"},
		{"names", `SELECT 1 AS a, 2 AS "b c", 3 AS a, 4, c AS "C", t.c, "t".c, [c] FROM t`},
		{"star", "SELECT * FROM t, t AS u"},
		{"aggregates", "SELECT count(*), sum(c), max(c), avg(c), group_concat(c), total(c) FROM t"},
		{"subquery", "SELECT s.c, (SELECT c FROM t) FROM (SELECT c FROM t) AS s"},
		{"union", "SELECT c FROM t UNION ALL SELECT 'x'"},
		{"view", "SELECT * FROM v"},
		{"values", "VALUES (1, 'a'), (2, NULL)"},
		{"pragma", "PRAGMA table_info(t)"},
		{"explain", "EXPLAIN QUERY PLAN SELECT * FROM t WHERE rowid = 1"},
		{"returning", "INSERT INTO t VALUES (5, 6) RETURNING c, d, rowid, c + 1 AS e"},
		{"rowid", "SELECT rowid, oid, _rowid_ FROM t"},
		{"no rows", "SELECT * FROM t WHERE 0"},
		{"no columns", "CREATE TABLE other(a)"},
		{"case", "SELECT CASE WHEN c THEN c ELSE d END, iif(c, c, d), coalesce(c, d), nullif(c, d) FROM t"},
	} {
		programs = append(programs, Program{"columns/query/" + q.name, both, func(e *env) {
			db := e.memory("")
			exec(db, "CREATE TABLE t(c INTEGER NOT NULL, d DATETIME)", "CREATE VIEW v AS SELECT c, d, c + 1 AS e FROM t", "INSERT INTO t VALUES (1, 2), (3, NULL)")
			rows, err := db.Query(q.query)
			e.err("query", err)
			if err != nil {
				return
			}
			defer rows.Close()
			e.columnTypes("before", rows)
			if rows.Next() {
				e.columnTypes("after", rows)
			}
			for rows.Next() {
			}
			e.columnTypes("at the end", rows)
			e.err("end", rows.Err())
			e.err("close", rows.Close())
			_, err = rows.Columns()
			e.err("columns of closed rows", err)
		}})
	}
	return programs
}

// columnFacts records what a driver reports about a column, before and after its first row, for
// values of all kinds.
func columnFacts(e *env, decl string) {
	db := e.memory("")
	exec(db, "CREATE TABLE t(c "+decl+", n "+decl+" NOT NULL DEFAULT 1)")
	facts := func(key, query string) {
		rows, err := db.Query(query)
		if err != nil {
			e.err(key, err)
			return
		}
		defer rows.Close()
		e.columnTypes(key+", before", rows)
		if rows.Next() {
			e.columnTypes(key+", after", rows)
		}
		e.err(key+", end", rows.Err())
	}
	facts("no rows", "SELECT c, n FROM t")
	for _, literal := range []string{"NULL", "1", "1.5", "'text'", "x'00'", "'2026-05-01 12:00:00'", "1777638896"} {
		exec(db, "DELETE FROM t", "INSERT INTO t(c) VALUES ("+literal+")")
		facts(literal, "SELECT c, n FROM t")
	}
}

// columnTypes records the facts of columns.
func (e *env) columnTypes(key string, rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	if err != nil {
		e.err(key, err)
		return
	}
	if len(types) == 0 {
		e.record(key, "no columns")
	}
	for _, t := range types {
		nullable, nullableOK := t.Nullable()
		length, lengthOK := t.Length()
		precision, scale, decimalOK := t.DecimalSize()
		e.record(key+" "+t.Name(), "type %q, nullable %v %v, length %d %v, decimal %d %d %v, scan type %v",
			t.DatabaseTypeName(), nullable, nullableOK, length, lengthOK, precision, scale, decimalOK, t.ScanType())
	}
}
