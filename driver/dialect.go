package driver

import (
	"database/sql"
	"database/sql/driver"
	"io"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A dialect describes how a connection's arguments and values differ from the plain
// driver's. It imitates another driver, or changes only how the plain driver writes times.
type dialect struct {
	compat Compat
	times  foreignTimes
	native timeFormats // used with CompatNone
	reader timeReader
}

// dialect returns the DSN's dialect, or nil if the plain driver's behavior applies.
func (d *DSN) dialect() *dialect {
	if d.compat == CompatNone && (d.times.format == "" && d.times.unit == "" || d.timefmt != "") {
		return nil
	}
	f := &dialect{compat: d.compat, times: d.times, native: timeFormatsOf(d.timefmt)}
	if d.compat == CompatModernc {
		f.reader = timeReader{zone: d.times.zone, local: true}
	}
	return f
}

// isForeign reports whether the session imitates another driver.
func (s *session) isForeign() bool { return s.dialect != nil && s.dialect.compat != CompatNone }

// write returns the value that is stored for t.
func (d *dialect) write(t time.Time) driver.Value {
	switch d.times.unit {
	case "unix":
		return t.Unix()
	case "unix_milli":
		return t.UnixMilli()
	case "unix_micro":
		return t.UnixMicro()
	case "unix_nano":
		return t.UnixNano()
	}
	if d.compat == CompatModernc && d.times.zone != nil {
		t = t.In(d.times.zone)
	}
	switch {
	case d.times.format == "datetime" && d.compat == CompatModernc:
		return t.Format(time.DateTime)
	case d.times.format == "datetime":
		return t.UTC().Format(time.DateTime) // as SQLite's function datetime does
	case d.times.format == "string_no_monotonic":
		return t.Round(0).String()
	case d.times.format == "" && d.compat == CompatModernc:
		return t.String()
	}
	return t.Format(timeLayouts[0])
}

// arguments replaces the times in args by the values that are stored for them. d may be
// nil.
func (d *dialect) arguments(args []driver.NamedValue) {
	if d == nil {
		return
	}
	for i := range args {
		if t, ok := args[i].Value.(time.Time); ok {
			args[i].Value = d.write(t)
		}
	}
}

// column returns the value of column i in the current row. decl is its declared type.
func (d *dialect) column(st sqliteStmt, i int, decl string) driver.Value {
	switch st.ColumnType(i) {
	case sqlite3.INTEGER:
		return d.integer(st.ColumnInt64(i), decl)
	case sqlite3.FLOAT:
		return d.real(st.ColumnFloat(i), decl)
	case sqlite3.TEXT:
		return d.text(st.ColumnText(i), decl)
	case sqlite3.BLOB:
		b := st.ColumnRawBlob(i)
		if len(b) == 0 && d.compat == CompatModernc {
			return []byte(nil)
		}
		if b == nil {
			return []byte{}
		}
		return b
	}
	return nil
}

// isTime reports whether a column of this declared type, in lower case, holds times.
func isTime(decl string) bool { return decl == "date" || decl == "datetime" || decl == "timestamp" }

func (d *dialect) integer(v int64, decl string) driver.Value {
	switch {
	case d.compat == CompatNone:
		return d.native.value(v, scanTypeOf(decl))
	case d.compat == CompatMattn && decl == "boolean":
		return v > 0
	case !isTime(decl):
	case d.compat == CompatMattn:
		return d.in(timeOfInt(v))
	case d.times.fromInts && d.times.unit == "unix_micro":
		return d.in(time.UnixMicro(v).UTC())
	case d.times.fromInts && d.times.unit == "unix_nano":
		return d.in(time.Unix(0, v).UTC())
	case d.times.fromInts:
		return d.in(timeOfInt(v))
	}
	return v
}

func (d *dialect) real(v float64, decl string) driver.Value {
	switch {
	case d.compat == CompatNone:
		return d.native.value(v, scanTypeOf(decl))
	case isTime(decl) && (d.compat == CompatMattn || d.times.fromInts):
		if t, ok := timeOfReal(v); ok {
			return d.in(t)
		}
	}
	return v
}

func (d *dialect) text(s, decl string) driver.Value {
	switch {
	case d.compat == CompatNone:
		v := d.native.value(s, scanTypeOf(decl))
		if _, ok := v.(string); ok && (isTime(decl) || decl == "time") {
			if t, ok := d.reader.read(s); ok {
				return t
			}
		}
		return v
	case isTime(decl):
	case d.times.fromTexts && decl == "":
	default:
		return s
	}
	t, ok := d.reader.read(s)
	switch {
	case ok:
		return d.in(t)
	case d.compat == CompatMattn:
		return d.in(time.Time{})
	}
	return s
}

// in returns t in the time zone of the DSN.
func (d *dialect) in(t time.Time) time.Time {
	if d.times.zone == nil {
		return t
	}
	return t.In(d.times.zone)
}

// databaseType returns the result of ColumnType.DatabaseTypeName for a declared type.
func (d *dialect) databaseType(decl string) string {
	if d.compat == CompatModernc {
		return strings.ToUpper(decl)
	}
	return decl
}

// scanType returns the result of ColumnType.ScanType for column i of the current row.
func (d *dialect) scanType(st sqliteStmt, i int, decl string) reflect.Type {
	upper := strings.ToUpper(decl)
	if d.compat == CompatMattn {
		return mattnScanType(upper)
	}
	switch st.ColumnType(i) {
	case sqlite3.INTEGER:
		switch upper {
		case "BOOLEAN":
			return reflect.TypeFor[bool]()
		case "DATE", "DATETIME", "TIME", "TIMESTAMP":
			return reflect.TypeFor[time.Time]()
		}
		return reflect.TypeFor[int64]()
	case sqlite3.FLOAT:
		return reflect.TypeFor[float64]()
	case sqlite3.BLOB:
		return reflect.TypeFor[[]byte]()
	case sqlite3.NULL:
		return nil
	}
	if d.times.fromTexts && (isTime(strings.ToLower(decl)) || upper == "TIME") {
		return reflect.TypeFor[time.Time]()
	}
	return reflect.TypeFor[string]()
}

// mattnScanType returns mattn's scan type of a column, which depends only on its declared
// type.
func mattnScanType(decl string) reflect.Type {
	has := func(part string) bool { return strings.Contains(decl, part) }
	switch {
	case has("INT"):
		return reflect.TypeFor[sql.NullInt64]()
	case decl == "CLOB" || decl == "TEXT" || has("CHAR"):
		return reflect.TypeFor[sql.NullString]()
	case decl == "BLOB":
		return reflect.TypeFor[sql.RawBytes]()
	case decl == "REAL" || decl == "FLOAT" || has("DOUBLE"):
		return reflect.TypeFor[sql.NullFloat64]()
	case isTime(strings.ToLower(decl)):
		return reflect.TypeFor[sql.NullTime]()
	case decl == "NUMERIC" || has("DECIMAL"):
		return reflect.TypeFor[sql.NullFloat64]()
	case decl == "BOOLEAN":
		return reflect.TypeFor[sql.NullBool]()
	}
	return reflect.TypeFor[*any]()
}

// foreignRows are rows that return values as another driver does.
type foreignRows struct {
	rows    *rows
	dialect *dialect
}

var (
	_ driver.RowsColumnTypeDatabaseTypeName = foreignRows{}
	_ driver.RowsColumnTypeNullable         = foreignRows{}
	_ driver.RowsColumnTypeScanType         = foreignRows{}
)

// foreign returns the driver.Rows of a query: r itself, or rows that imitate another
// driver. For another driver it takes the first step immediately, and returns that step's
// error.
func (s *session) foreign(r *rows) (driver.Rows, error) {
	d := s.dialect
	if d == nil {
		return r, nil
	}
	f := foreignRows{r, d}
	if !s.isForeign() {
		return f, nil
	}
	if r.begin(); r.failure != nil && r.failure != io.EOF {
		err := r.failure
		r.asked = true
		r.Close()
		return nil, err
	}
	if d.compat == CompatModernc {
		return moderncRows{f}, nil
	}
	return f, nil
}

// Columns implements [driver.Rows].
func (f foreignRows) Columns() []string { return f.rows.Columns() }

// Close implements [driver.Rows].
func (f foreignRows) Close() error { return f.rows.Close() }

// Next implements [driver.Rows].
func (f foreignRows) Next(dest []driver.Value) error {
	r := f.rows
	if r.asked && r.failure == nil {
		err := r.step()
		if r.watch != nil {
			r.watch.stepped(err)
		}
		if err != nil {
			return err
		}
	} else if _, err := r.first(); err != nil {
		return err
	}
	decls := r.cached.declared()
	for i := range dest {
		dest[i] = f.dialect.column(r.cached.base, i, decls[i])
	}
	return nil
}

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (f foreignRows) ColumnTypeDatabaseTypeName(i int) string {
	if f.dialect.compat == CompatNone {
		return f.rows.ColumnTypeDatabaseTypeName(i)
	}
	return f.dialect.databaseType(f.rows.cached.base.ColumnDeclType(i))
}

// ColumnTypeNullable implements [driver.RowsColumnTypeNullable].
func (f foreignRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if f.dialect.compat == CompatNone {
		return f.rows.ColumnTypeNullable(i)
	}
	return true, true
}

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (f foreignRows) ColumnTypeScanType(i int) reflect.Type {
	if f.dialect.compat == CompatNone {
		return f.rows.ColumnTypeScanType(i)
	}
	return f.dialect.scanType(f.rows.cached.base, i, f.rows.cached.base.ColumnDeclType(i))
}

// moderncRows are foreignRows that also report column lengths.
type moderncRows struct{ foreignRows }

var _ driver.RowsColumnTypeLength = moderncRows{}

// ColumnTypeLength implements [driver.RowsColumnTypeLength].
func (f moderncRows) ColumnTypeLength(i int) (length int64, ok bool) {
	switch f.rows.cached.base.ColumnType(i) {
	case sqlite3.TEXT, sqlite3.BLOB:
		return math.MaxInt64, true
	}
	return 0, false
}
