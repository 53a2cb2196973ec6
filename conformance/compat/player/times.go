package player

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// timeParams are the parameters of DSNs that change how times are written or
// read.
var timeParams = []struct {
	params   string
	dialects []Dialect
}{
	{"", both},
	{"_loc=auto", both}, // modernc does not have it
	{"_loc=UTC", []Dialect{Mattn}},
	{"_loc=America/New_York", []Dialect{Mattn}},
	{"_time_format=sqlite", both}, // mattn does not have it
	{"_time_format=datetime", []Dialect{Modernc}},
	{"_time_format=string_no_monotonic", []Dialect{Modernc}},
	{"_time_integer_format=unix", []Dialect{Modernc}},
	{"_time_integer_format=unix_milli", []Dialect{Modernc}},
	{"_time_integer_format=unix_micro", []Dialect{Modernc}},
	{"_time_integer_format=unix_nano&_inttotime=1", []Dialect{Modernc}},
	{"_time_integer_format=unix&_time_format=sqlite&_timezone=Asia/Kolkata", []Dialect{Modernc}},
	{"_inttotime=1", []Dialect{Modernc}},
	{"_texttotime=1", []Dialect{Modernc}},
	{"_inttotime=1&_texttotime=1", []Dialect{Modernc}},
	{"_timezone=UTC", []Dialect{Modernc}},
	{"_timezone=America/New_York", []Dialect{Modernc}},
	{"_timezone=Local", []Dialect{Modernc}},
	{"_timezone=America/New_York&_time_format=sqlite", []Dialect{Modernc}},
	{"_timezone=America/New_York&_inttotime=1&_texttotime=1", []Dialect{Modernc}},
}

// withClock returns t with a monotonic clock reading.
func withClock(t time.Time) time.Time {
	now := time.Now()
	return now.Add(t.Sub(now.Round(0)))
}

func zone(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	must(err)
	return loc
}

// instants are the times that programs write.
func instants() map[string]time.Time {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	fine := time.Date(2026, 5, 1, 12, 34, 56, 123456789, time.UTC)
	return map[string]time.Time{
		"utc":                 at,
		"milliseconds":        at.Add(120 * time.Millisecond),
		"microseconds":        at.Add(123456 * time.Microsecond),
		"nanoseconds":         fine,
		"one nanosecond":      at.Add(1),
		"local":               fine.In(time.Local),
		"local in winter":     time.Date(2026, 1, 15, 8, 0, 0, 5e8, time.Local),
		"new york":            fine.In(zone("America/New_York")),
		"kolkata":             fine.In(zone("Asia/Kolkata")),
		"a fixed zone":        fine.In(time.FixedZone("CET", 3600)),
		"a zone without name": fine.In(time.FixedZone("", -5400)),
		"a zone with seconds": fine.In(time.FixedZone("LMT", 3208)),
		"zero offset, named":  fine.In(time.FixedZone("GMT", 0)),
		"with a clock":        withClock(at),
		"with a clock, local": withClock(fine).In(time.Local),
		"zero":                {},
		"epoch":               time.Unix(0, 0).UTC(),
		"before the epoch":    time.Date(1969, 12, 31, 23, 59, 58, 9e8, time.UTC),
		"1800":                time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC),
		"year 1":              time.Date(1, 2, 3, 4, 5, 6, 0, time.UTC),
		"year 9999":           time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC),
		"year 10000":          time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"negative year":       time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		"midnight":            time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"leap day":            time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC),
	}
}

// timeColumns are the declared types of the columns that hold times.
var timeColumns = []string{
	"DATE", "DATETIME", "TIMESTAMP", "TIME", "TEXT", "VARCHAR(20)", "BOOLEAN", "", "INTEGER", "REAL", "BLOB",
	"datetime", "Timestamp", "DATETIME(6)", "TIMESTAMP WITH TIME ZONE", "NUMERIC",
}

// createTimes creates a table t with a column for each of timeColumns, named
// c0, c1 and so on.
func createTimes(db execer) {
	var columns []string
	for i, decl := range timeColumns {
		columns = append(columns, fmt.Sprintf("c%d %s", i, decl))
	}
	exec(db, "CREATE TABLE t("+strings.Join(columns, ", ")+")")
}

// columnName names a column of timeColumns in a record.
func columnName(i int) string {
	if timeColumns[i] == "" {
		return "no type"
	}
	return timeColumns[i]
}

// expressions yield a time without a declared type, or with one that is found through a
// subquery. Column c1 is a DATETIME.
var expressions = []string{
	"c1 || ''", "max(c1)", "min(c0)", "coalesce(c1, c2)", "(SELECT c1 FROM t)", "CAST(c1 AS DATETIME)", "CAST(c1 AS TEXT)",
	"CASE WHEN 1 THEN c1 END", "+c1", "datetime(c1)", "typeof(c1)",
}

// allTimeTypes are the types that a time is scanned into.
var allTimeTypes = []reflect.Type{anyType, timeType, nullTimeType, stringType, bytesType, int64Type}

func timeWritePrograms() []Program {
	var programs []Program
	for name := range instants() {
		for _, p := range timeParams {
			programs = append(programs, Program{"times/write/" + name + "?" + p.params, p.dialects, func(e *env) {
				writeTime(e, p.params, instants()[name])
			}})
		}
	}
	return sorted(programs)
}

// writeTime writes a time into columns of all types, as an argument of an Exec and of a Query.
// It records what is stored and read.
func writeTime(e *env, params string, at time.Time) {
	db := e.memory(params)
	createTimes(db)
	for i := range timeColumns {
		_, err := db.Exec(fmt.Sprintf("INSERT INTO t(c%d) VALUES (?)", i), at)
		column := columnName(i)
		e.err("write "+column, err)
		stored := fmt.Sprintf("FROM t WHERE rowid = %d", i+1)
		e.record("stored "+column, "%s %s", e.one(db, fmt.Sprintf("SELECT typeof(c%d) %s", i, stored)), e.one(db, fmt.Sprintf("SELECT '' || c%d %s", i, stored)))
		e.record("read "+column, "%s", e.one(db, fmt.Sprintf("SELECT c%d %s", i, stored)))
	}
	e.rows("argument", db, "SELECT ?, typeof(?), ? || ''", at, at, at)
	e.rows("equal to what is stored", db, "SELECT c1 = ?, c6 = ?, c4 = ? FROM (SELECT max(c1) c1, max(c6) c6, max(c4) c4 FROM t)", at, at, at)
	pointer := &at
	e.rows("pointer", db, "SELECT ? || ''", pointer)
	e.rows("nil pointer", db, "SELECT ?", (*time.Time)(nil))
}

// stored are the forms of times in existing files, as SQL.
var stored = []string{
	"'2026-05-01 12:34:56'", "'2026-05-01 12:34:56.123'", "'2026-05-01 12:34:56.123456789'", "'2026-05-01 12:34:56+00:00'", "'2026-05-01 12:34:56.5+02:00'", "'2026-05-01 12:34:56.123456789-05:30'",
	"'2026-05-01T12:34:56'", "'2026-05-01T12:34:56Z'", "'2026-05-01T12:34:56.123456789Z'", "'2026-05-01T12:34:56+02:00'", "'2026-05-01 12:34:56Z'", "'2026-05-01 12:34:56 Z'", "'2026-05-01T12:34:56.5-07:00'",
	"'2026-05-01 12:34'", "'2026-05-01T12:34'", "'2026-05-01T12:34Z'", "'2026-05-01 12:34+02:00'", "'2026-05-01'", "'2026-05-01Z'", "'12:34:56'", "'12:34'", "'2026-05'", "'2026'",
	"'2026-05-01 12:34:56 +0000 UTC'", "'2026-05-01 12:34:56.123456789 +0200 CEST'", "'2026-05-01 12:34:56 +0200 +0200'", "'2026-05-01 12:34:56.5 +0000 UTC m=+0.001'", "'2026-05-01 12:34:56.123456789 -0400 EDT m=-12.5'", "'2026-05-01 12:34:56 +0530 IST'", "'2026-01-01 12:34:56 +0100 CET'", "'2026-05-01 12:34:56 -0130'",
	"'0001-01-01 00:00:00+00:00'", "'0001-01-01 00:00:00 +0000 UTC'", "'0000-00-00 00:00:00'", "'10000-01-01 00:00:00+00:00'", "'1969-12-31 23:59:58.9'",
	"'2026-05-01 24:00:00'", "'2026-02-30'", "' 2026-05-01 12:34:56'", "'2026-05-01 12:34:56 '", "'2026-5-1 1:2:3'", "'20260501'", "'20260501T123456Z'", "'Fri, 01 May 2026 12:34:56 GMT'", "'Fri May  1 12:34:56 2026'", "'05/01/2026'", "'2026-05-01 12:34:56,5'",
	"0", "1", "-1", "1777638896", "1777638896123", "1777638896123456", "1777638896123456789", "999999999999", "1000000000000", "1000000000001", "-1000000000001", "253402300800", "9223372036854775807", "-9223372036854775808",
	"2461162.02426", "1777638896.5", "0.0", "-0.5", "1e300", "12.0",
	"''", "' '", "'today'", "'garbage'", "'m='", "'1777638896'", "'1777638896.5'", "x'323032362d30352d30312031323a33343a3536'", "x''", "NULL", "true", "CURRENT_TIMESTAMP = CURRENT_TIMESTAMP",
}

func timeReadPrograms() []Program {
	var programs []Program
	for _, literal := range stored {
		for _, p := range readParams {
			programs = append(programs, Program{"times/read/" + literal + "?" + p.params, p.dialects, func(e *env) { readTime(e, p.params, literal) }})
		}
	}
	return sorted(programs)
}

// readParams are the parameters that change how times are read.
var readParams = []struct {
	params   string
	dialects []Dialect
}{
	{"", both},
	{"_loc=auto", []Dialect{Mattn}},
	{"_loc=America/New_York", []Dialect{Mattn}},
	{"_inttotime=1&_texttotime=1", []Dialect{Modernc}},
	{"_timezone=America/New_York&_inttotime=1", []Dialect{Modernc}},
	{"_timezone=Local&_texttotime=1&_time_format=sqlite", []Dialect{Modernc}},
	{"_time_integer_format=unix_milli", []Dialect{Modernc}},
}

// readTime stores a literal in columns of all types, and reads it in all ways.
func readTime(e *env, params, literal string) {
	db := e.memory(params)
	createTimes(db)
	exec(db, "INSERT INTO t VALUES ("+strings.Join(repeat(literal, len(timeColumns)), ", ")+")")
	for i := range timeColumns {
		column := columnName(i)
		e.record("stored "+column, "%s", e.one(db, fmt.Sprintf("SELECT typeof(c%d) FROM t", i)))
		e.into(column, allTimeTypes, db, fmt.Sprintf("SELECT c%d FROM t", i))
	}
	for _, expr := range expressions {
		e.into(expr, []reflect.Type{anyType, timeType, stringType}, db, "SELECT "+expr+" FROM t")
	}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// timeOtherPrograms compares times that were written in different forms.
func timeOtherPrograms() []Program {
	var programs []Program
	for _, p := range timeParams {
		programs = append(programs,
			Program{"times/order?" + p.params, p.dialects, func(e *env) { orderTimes(e, p.params) }},
			Program{"times/defaults?" + p.params, p.dialects, func(e *env) { defaultTimes(e, p.params) }},
			Program{"times/functions?" + p.params, p.dialects, func(e *env) { functionTimes(e, p.params) }},
		)
	}
	return programs
}

// orderTimes writes times with a new driver, next to those of an existing file, and orders and
// selects them.
func orderTimes(e *env, params string) {
	db := e.memory(params)
	exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, at DATETIME, by_ TEXT)",
		"CREATE INDEX i ON t(at)",
		`INSERT INTO t(at, by_) VALUES
			('2026-05-01 09:00:00+00:00', 'mattn 09'), ('2026-05-01 10:00:00 +0000 UTC', 'modernc 10'),
			('2026-05-01T11:00:00Z', 'ncruces 11'), ('2026-05-01 12:00:00', 'SQLite 12'), (1777640400, 'integer 13'), ('2026-05-01', 'date')`)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, h := range []int{8, 9, 10, 11, 12, 13, 14} {
		_, err := db.Exec("INSERT INTO t(at, by_) VALUES (?, ?)", day.Add(time.Duration(h)*time.Hour), fmt.Sprint("new ", h))
		must(err)
	}
	_, err := db.Exec("INSERT INTO t(at, by_) VALUES (?, ?)", day.Add(9*time.Hour).In(zone("Asia/Kolkata")), "new 9, kolkata")
	must(err)
	e.rows("order", db, "SELECT by_ FROM t ORDER BY at, id")
	e.rows("latest", db, "SELECT max(at), min(at) FROM t")
	for _, h := range []int{0, 9, 10, 11, 12, 13} {
		at := day.Add(time.Duration(h) * time.Hour)
		e.rows(fmt.Sprint("before ", h), db, "SELECT by_ FROM t WHERE at < ? ORDER BY id", at)
		e.rows(fmt.Sprint("at ", h), db, "SELECT by_ FROM t WHERE at = ? ORDER BY id", at)
		e.rows(fmt.Sprint("between ", h), db, "SELECT by_ FROM t WHERE at BETWEEN ? AND ? ORDER BY id", at, at.Add(time.Hour))
	}
	e.rows("all", db, "SELECT at FROM t ORDER BY id")
}

// defaultTimes reads the defaults that SQLite itself writes.
func defaultTimes(e *env, params string) {
	db := e.memory(params)
	exec(db, `CREATE TABLE t(id INTEGER PRIMARY KEY, a DATETIME DEFAULT '2026-05-01 12:00:00', b DATE DEFAULT '2026-05-01', c TIMESTAMP DEFAULT 0,
		d TIMESTAMP DEFAULT (strftime('%s', '2026-05-01')), e DATETIME DEFAULT (julianday('2026-05-01')), f TIME DEFAULT '12:00:00', g DATETIME DEFAULT (unixepoch('2026-05-01', 'subsec')))`,
		"INSERT INTO t DEFAULT VALUES")
	for _, c := range strings.Split("abcdefg", "") {
		e.record("stored "+c, "%s", e.one(db, "SELECT typeof("+c+") || ' ' || "+c+" FROM t"))
		e.into(c, allTimeTypes, db, "SELECT "+c+" FROM t")
	}
}

// functionTimes passes times to SQLite's functions, and reads their results.
func functionTimes(e *env, params string) {
	db := e.memory(params)
	at := time.Date(2026, 5, 1, 12, 34, 56, 123456789, time.UTC)
	for _, t := range []time.Time{at, at.In(zone("America/New_York")), withClock(at)} {
		e.rows("functions", db, "SELECT date(?), datetime(?), unixepoch(?), strftime('%Y', ?), julianday(?), typeof(?)", t, t, t, t, t, t)
		e.rows("compared", db, "SELECT ? < '2026-05-02', ? > '2026-05-01', ? < 1e12, ? LIKE '2026%'", t, t, t, t)
	}
	e.rows("results", db, "SELECT datetime('2026-05-01 12:00:00'), date('2026-05-01'), unixepoch('2026-05-01'), julianday('2026-05-01')")
}
