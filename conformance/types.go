package conformance

import (
	"context"
	"math"
	"reflect"
	"time"
)

// typesCases check how the driver converts values, and which types it reports.
func typesCases() []Case {
	return append(append(typesOfColumns(), typesOfExpressions()...), typesOfValues()...)
}

// declared returns a case in which columns of the given declared types hold all kinds of
// values.
func declared(name, rule string, types []string, values ...any) Case {
	return Case{
		Name: name,
		Rule: rule,
		Play: func(s *Session) {
			s.DB.SetMaxOpenConns(1)
			for _, typ := range types {
				s.Exec(s.DB, "CREATE TABLE t(a "+typ+")")
				tx := s.Begin(s.DB)
				for _, v := range values {
					_, err := s.ExecContext(background, tx, "INSERT INTO t VALUES (?)", v)
					s.See(typ, err)
				}
				s.Must(tx.Commit())
				s.seeTyped("SELECT a, typeof(a) FROM t WHERE a IS NOT ? ORDER BY rowid", "nothing")
				s.Exec(s.DB, "DROP TABLE t")
			}
		},
	}
}

// seeTyped records a query twice: its types before each row and at it, and its values scanned
// into the types that it reports.
func (s *Session) seeTyped(query string, args ...any) {
	for range 2 {
		rows := s.Query(s.DB, query, args...)
		s.SeeTypes(rows)
		for rows.Next() {
			s.SeeTypes(rows)
			s.SeeRow(rows)
			types, err := rows.ColumnTypes()
			s.Must(err)
			var dest []any
			for _, t := range types {
				dest = append(dest, reflect.New(t.ScanType()).Interface())
			}
			err = rows.Scan(dest...)
			for i := range dest {
				dest[i] = reflect.ValueOf(dest[i]).Elem().Interface()
			}
			s.See("  typed", append(dest, err)...)
		}
		s.See("  end", rows.Err(), rows.Close())
	}
}

var (
	someTimes = []any{
		nil, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("", 3600)),
		"2026-01-02", "2026-01-02 03:04", "2026-01-02 03:04:05.678", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.50Z", "03:04:05", "now", "not a time", "",
		0, 1700000000, int64(1700000000000), 2460000, 2460000.5, 1700000000.25, -1, int64(math.MaxInt64), "1700000000", []byte("2026-01-02"), true,
	}
	someNumbers = []any{nil, 0, 1, -1, int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), int64(math.MinInt64), 0.0, 1.0, 1.5, -0.25, 1e300, "1", "1.5", "1e3", " 1 ", "text", "", []byte("1"), []byte{}, true}
	someTexts   = []any{nil, "", "text", "1", "2026-01-02T03:04:05Z", "a\x00b", "\xff", 1, 1.5, true, []byte("blob"), []byte{}, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}
)

func typesOfColumns() []Case {
	return []Case{
		declared("integers", "A column of integers has the type int64, and holds what SQLite could convert to integers.",
			[]string{"INTEGER", "INT", "BIGINT", "TINYINT", "UNSIGNED BIG INT", "integer"}, someNumbers...),
		declared("reals", "A column of reals has the type float64, and holds what SQLite could convert to reals.",
			[]string{"REAL", "FLOAT", "DOUBLE", "DOUBLE PRECISION", "real"}, someNumbers...),
		declared("decimals", "A column of decimals has the name of its type without size, and the values that SQLite has converted.",
			[]string{"DECIMAL", "DECIMAL(5,2)", "NUMERIC", "NUMERIC(10)", "MONEY"}, someNumbers...),
		declared("texts", "A column of texts has the type string, whatever its texts look like.",
			[]string{"TEXT", "text"}, someTexts...),
		declared("texts of a size", "A column of texts with a size has the name of its type without the size.",
			[]string{"VARCHAR(10)", "CHAR(3)", "NVARCHAR", "CHARACTER VARYING (255)", "CLOB", "TEXT(5)", "STRING"}, someTexts...),
		declared("blobs", "A column of blobs has the type []byte.",
			[]string{"BLOB", "blob", "BYTEA", "BLOB(5)"}, someTexts...),
		declared("booleans", "In a column of booleans, 0 and 1 are bools, and other values stay what they are.",
			[]string{"BOOLEAN", "boolean", "BOOL", "BOOLEAN(1)"}, nil, true, false, 0, 1, 2, -1, 1.0, 0.5, "true", "1", "", []byte{1}),
		declared("dates", "In a column of dates, values that can be read as a time are times.", []string{"DATE", "date"}, someTimes...),
		declared("dates and times", "In a column of dates and times, values that can be read as a time are times.", []string{"DATETIME", "DateTime", "DATETIME(6)"}, someTimes...),
		declared("timestamps", "In a column of timestamps, values that can be read as a time are times.", []string{"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}, someTimes...),
		declared("times of day", "In a column of times, values that can be read as a time are times.", []string{"TIME", "INTERVAL"}, someTimes...),
		declared("no type", "A column without a type holds anything. A text is a time if the driver would have written that time so.",
			[]string{"", "ANY", "JSON", "UUID"}, append(append([]any{}, someTimes...), someTexts...)...),
		declared("times as texts", "In a column of texts, a time is read as the text that was written for it.", []string{"TEXT", "VARCHAR(30)", "BLOB"}, someTimes...),
		declared("never NULL", "A column that is NOT NULL is reported as such, as by the driver.",
			[]string{"INTEGER NOT NULL", "TEXT NOT NULL DEFAULT 'x'", "DATETIME NOT NULL", "INTEGER PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT PRIMARY KEY", "NOT NULL", "BOOLEAN NOT NULL"}, 1),
		{
			Name: "strict tables",
			Rule: "The columns of a strict table have its types.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(i INT, n INTEGER, r REAL, s TEXT, b BLOB, a ANY) STRICT")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", 1, 2, 3, "four", []byte("five"), "6")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", "1", nil, 3.5, 4, nil, []byte("6"))
				s.SeeExec(s.DB, "INSERT INTO t(i) VALUES (?)", "one")
				s.seeTyped("SELECT * FROM t")
			},
		},
		{
			Name: "generated columns",
			Rule: "A generated column has its declared type, and the computed values.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER, d DATETIME AS (a) STORED, b BOOLEAN AS (a > 5), x AS (a || '!'))")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?), (?)", 1, 1700000000)
				s.seeTyped("SELECT * FROM t WHERE a > ?", 0)
			},
		},
		{
			Name: "types of a view",
			Rule: "A view's column has the type of the column that it shows. A column of CREATE TABLE AS has the type that SQLite chose.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER NOT NULL, d DATETIME, b BOOLEAN, v VARCHAR(10))")
				s.Exec(s.DB, "INSERT INTO t VALUES (1, 1700000000, 1, 'v')")
				s.Exec(s.DB, "CREATE VIEW v AS SELECT d, b AS a, v, a + 1 AS n, count(*) OVER () AS c FROM t")
				s.Exec(s.DB, "CREATE TABLE u AS SELECT * FROM t")
				s.seeTyped("SELECT * FROM v WHERE ?", 1)
				s.seeTyped("SELECT * FROM u WHERE ?", 1)
			},
		},
		{
			Name: "types of other databases",
			Rule: "A column of a temporary or attached table has its own type, not that of a table with the same name.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a TEXT); ATTACH ':memory:' AS aux; CREATE TABLE aux.t(a DATETIME NOT NULL); CREATE TEMP TABLE t(a BOOLEAN)")
				for _, schema := range []string{"main", "aux", "temp"} {
					s.SeeExec(s.DB, "INSERT INTO "+schema+".t VALUES (?)", 1)
				}
				s.seeTyped("SELECT main.t.a, aux.t.a, temp.t.a, x.a FROM main.t, aux.t, temp.t, t AS x WHERE ?", 1)
			},
		},
		{
			Name: "types from row to row",
			Rule: "At a row, the type of a column is that of its value there.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, d DATETIME, b BOOLEAN, x BLOB)")
				for _, v := range []any{1, "text", 1.5, []byte("blob"), nil, "2026-01-02", true} {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1, ?1)", v)
				}
				s.seeTyped("SELECT *, a AS again FROM t WHERE rowid > ?", 0)
			},
		},
		{
			Name: "types kept",
			Rule: "Types reported for a row do not change when the rows continue and are closed.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1 AS a, ? AS b UNION ALL SELECT 'x', NULL", 1.5)
				before, err := rows.ColumnTypes()
				s.Must(err)
				s.See("next", rows.Next())
				at, err := rows.ColumnTypes()
				s.Must(err)
				s.See("next", rows.Next(), rows.Close())
				for i := range before {
					s.See("types", before[i].Name(), before[i].ScanType().String(), at[i].Name(), at[i].ScanType().String())
				}
			},
		},
		{
			Name: "types at the wrong time",
			Rule: "Types can be requested repeatedly, first of all, or only at the last row.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER, d DATETIME); INSERT INTO t VALUES (1, 1700000000), ('x', 'y')")
				for range 2 {
					rows := s.Query(s.DB, "SELECT a, d FROM t WHERE 1 = ?", 1)
					s.SeeTypes(rows)
					s.SeeTypes(rows)
					names, err := rows.Columns()
					s.See("columns", names, err)
					s.See("next", rows.Next(), rows.Next())
					s.SeeTypes(rows)
					s.SeeRow(rows)
					s.SeeTypes(rows)
					s.See("next", rows.Next(), rows.Err())
				}
			},
		},
		{
			Name: "types of a statement",
			Rule: "The columns of a statement have the same types at every use.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER NOT NULL, d DATETIME, x); INSERT INTO t VALUES (1, 1700000000, NULL), (2, 'y', 2)")
				stmt := s.Prepare(s.DB, "SELECT a, d, x, ? FROM t")
				defer stmt.Close()
				for _, arg := range []any{1, "text", nil, 1.5} {
					s.SeeStmtQuery("query", stmt, arg)
				}
			},
		},
	}
}

func typesOfExpressions() []Case {
	return []Case{
		{
			Name: "types of expressions",
			Rule: "An expression has no declared type, but a renamed column has one.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a INTEGER, d DATETIME, b BOOLEAN, s TEXT); INSERT INTO t VALUES (1, 1700000000, 1, '2026-01-02T03:04:05Z')")
				for _, query := range []string{
					"SELECT a + 0, d + 0, b + 0, s || '' FROM t", "SELECT a AS x, d AS y, (b) AS z, s COLLATE nocase FROM t", "SELECT max(a), max(d), max(b), max(s), count(*), avg(a) FROM t",
					"SELECT coalesce(d, 0), iif(1, b, 0), CASE WHEN 1 THEN d END FROM t", "SELECT (SELECT d FROM t), (SELECT b FROM t) + 0", "SELECT d, b FROM (SELECT * FROM t)",
					"WITH w AS (SELECT d, b FROM t) SELECT * FROM w", "SELECT d FROM t UNION ALL SELECT b FROM t", "SELECT a FROM t UNION SELECT d FROM t",
					"SELECT CAST(a AS TEXT), CAST(s AS DATETIME), CAST(1 AS BOOLEAN), CAST('x' AS BLOB) FROM t", "SELECT rowid, oid FROM t", "SELECT u.d, t.b FROM t LEFT JOIN t AS u ON u.a = 5",
					"SELECT 1, 1.5, 'text', x'01', NULL, TRUE, CURRENT_DATE IS NULL", "SELECT * FROM json_each('[1, \"two\", null]')", "SELECT name, type FROM pragma_table_info('t')",
				} {
					s.See(query)
					s.seeTyped(query)
				}
			},
		},
		{
			Name: "types of arguments",
			Rule: "An argument comes back as the value that SQLite stored.",
			Play: func(s *Session) {
				for _, v := range append(append(append([]any{}, someTimes...), someNumbers...), someTexts...) {
					s.seeTyped("SELECT ?", v)
				}
			},
		},
		{
			Name: "types of a function's answers",
			Rule: "The result of a function has the type that the function returned.",
			Play: func(s *Session) {
				answers := []any{1, "text", nil, "2026-01-02T03:04:05Z", ""}
				n := 0
				s.Function("hook", func(context.Context) any { n++; return answers[n%len(answers)] })
				rows := s.Query(s.DB, "SELECT hook(), typeof(hook()), hook() FROM (VALUES (1), (2), (3), (4), (5))")
				for rows.Next() {
					s.SeeTypes(rows)
					s.SeeRow(rows)
				}
				s.See("end", rows.Err(), rows.Close())
			},
		},
		{
			Name: "types of what is returned",
			Rule: "A column of RETURNING has the types that the driver reports, before the rows and at them.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(id INTEGER PRIMARY KEY, d DATETIME, b BOOLEAN NOT NULL, s VARCHAR(5))")
				s.seeTyped("INSERT INTO t(d, b, s) VALUES (?, 1, 's'), (5, 0, NULL) RETURNING *, d + 0, b AS c", "2026-01-02")
				s.seeTyped("UPDATE t SET b = NOT b WHERE id > ? RETURNING b, d", 0)
			},
		},
	}
}

func typesOfValues() []Case {
	return []Case{
		{
			Name: "a time there and back",
			Rule: "A time that is written and read is the same instant, in the driver's time zone.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, d DATETIME, s TEXT, i INTEGER)")
				for _, zone := range []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("here", -12600), time.FixedZone("UTC", 0)} {
					for _, when := range []time.Time{time.Date(2026, 1, 2, 3, 4, 5, 0, zone), time.Date(2026, 1, 2, 3, 4, 5, 123456789, zone), time.Date(1, 1, 1, 0, 0, 0, 0, zone), time.Date(1969, 12, 31, 23, 59, 59, 1, zone)} {
						s.SeeExec(s.DB, "DELETE FROM t")
						s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1, ?1)", when)
						s.SeeQuery(s.DB, "SELECT a, d, s, i FROM t WHERE a = ?", when)
						var a, d time.Time
						s.See("times", s.DB.QueryRowContext(background, "SELECT a, d FROM t").Scan(&a, &d), a.Equal(when), d.Equal(when), a, d)
					}
				}
			},
		},
		{
			Name: "texts like times",
			Rule: "A text in a column without a type is a time only if the driver would have written it so.",
			Play: func(s *Session) {
				for _, text := range []string{
					"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.50Z", "2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.1234567891Z", "2026-01-02T03:04:05+01:00",
					"2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05-00:00", "2026-01-02 03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02T03:04:05", "2026-02-30T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:60Z",
					"2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+01:60", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", " 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z\x00",
				} {
					for range 2 {
						s.SeeQuery(s.DB, "SELECT ?, ? || ''", text, text)
					}
				}
			},
		},
		{
			Name: "large and small numbers",
			Rule: "Numbers come back unchanged to the last bit.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, i INTEGER, r REAL)")
				for _, v := range []any{int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1), 0.1, math.Pi, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1 / 3.0, float32(0.1), 9007199254740993.0} {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1)", v)
				}
				s.SeeExec(s.DB, "INSERT INTO t VALUES (9223372036854775807, 9223372036854775808, 9223372036854775807)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (-9223372036854775808, 1e18, -0.0)")
				s.SeeQuery(s.DB, "SELECT * FROM t")
				rows := s.Query(s.DB, "SELECT r FROM t WHERE r IS NOT NULL")
				for rows.Next() {
					var f float64
					s.Must(rows.Scan(&f))
					s.See("bits", math.Float64bits(f))
				}
				s.See("end", rows.Err())
			},
		},
		{
			Name: "texts with everything in them",
			Rule: "A text comes back byte for byte, with NULs, invalid UTF-8, and all of Unicode.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, s TEXT, v VARCHAR(3))")
				for _, text := range []string{"\x00", "a\x00b\x00", "\xff\xfe\xfd", "\xed\xa0\x80", "\uFEFFbom", "e\u0301", "\U0010FFFF", "line\r\nline", "\x7f\x1b[0m", "'\"`;--"} {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1)", text)
					var a, v []byte
					var b string
					s.See("bytes", s.DB.QueryRowContext(background, "SELECT a, s, v FROM t WHERE s = ?", text).Scan(&a, &b, &v), a, []byte(b), v, b == text)
				}
				s.seeTyped("SELECT a, length(a), hex(s), v FROM t WHERE rowid > ?", 0)
			},
		},
		{
			Name: "an own time format",
			Rule: "Times are written and read in the format of the DSN, if the driver supports that.",
			Settings: Settings{
				Params: []string{"_timefmt=sqlite"},
			},
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, d DATETIME, s TEXT)")
				for _, when := range []any{time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), "2026-01-02T03:04:05Z", 1700000000} {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1)", when)
				}
				s.seeTyped("SELECT a, d, s FROM t WHERE rowid > ?", 0)
			},
		},
	}
}
