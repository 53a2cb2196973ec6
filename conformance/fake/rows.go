package fake

import (
	"database/sql/driver"
	"io"
	"reflect"
)

// A rows returns two rows for each result set.
type rows struct {
	c      *conn
	row    int
	set    int
	sets   int
	opened *object
}

func (r *rows) call(op string, format string, args ...any) error {
	return r.c.b.Call(r.c.name+".rows", op, nil, format, args...)
}

var columns = []string{"id", "name"}

func (r *rows) step() ([]driver.Value, error) {
	if err := r.call("Next", ""); err != nil {
		return nil, err
	}
	if r.row == 2 {
		return nil, io.EOF
	}
	r.row++
	return []driver.Value{int64(10*r.set + r.row), []byte{'a' + byte(r.row)}}, nil
}

// The parts of rows, one for each interface.
type (
	rowsCore      struct{ r *rows }
	rowsNextSet   struct{ r *rows }
	rowsTypeName  struct{ r *rows }
	rowsNullable  struct{ r *rows }
	rowsScanType  struct{ r *rows }
	rowsLength    struct{ r *rows }
	rowsPrecision struct{ r *rows }
)

func (p rowsCore) Columns() []string {
	p.r.call("Columns", "")
	return columns
}

func (p rowsCore) Close() error {
	p.r.opened.close()
	return p.r.call("Close", "")
}

func (p rowsCore) Next(dest []driver.Value) error {
	values, err := p.r.step()
	copy(dest, values)
	return err
}

func (p rowsNextSet) HasNextResultSet() bool {
	if p.r.c.b.AsksForSets {
		p.r.call("HasNextResultSet", "")
	}
	return p.r.set+1 < p.r.sets
}

func (p rowsNextSet) NextResultSet() error {
	if err := p.r.call("NextResultSet", ""); err != nil {
		return err
	}
	if p.r.set+1 >= p.r.sets {
		return io.EOF
	}
	p.r.set++
	p.r.row = 0
	return nil
}

func (p rowsTypeName) ColumnTypeDatabaseTypeName(i int) string {
	p.r.call("DatabaseTypeName", "%d", i)
	return []string{"INTEGER", "TEXT"}[i]
}

func (p rowsNullable) ColumnTypeNullable(i int) (nullable, ok bool) {
	p.r.call("Nullable", "%d", i)
	return i == 1, true
}

func (p rowsScanType) ColumnTypeScanType(i int) reflect.Type {
	p.r.call("ScanType", "%d", i)
	return []reflect.Type{reflect.TypeFor[int64](), reflect.TypeFor[string]()}[i]
}

func (p rowsLength) ColumnTypeLength(i int) (length int64, ok bool) {
	p.r.call("Length", "%d", i)
	return int64(i), i == 1
}

func (p rowsPrecision) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	p.r.call("PrecisionScale", "%d", i)
	return 3, 2, i == 0
}

// A RowsKind is a set of optional interfaces of rows.
type RowsKind struct {
	Name string
	make func(*rows) driver.Rows
}

// RowsKinds are all kinds of rows. "SQLite's" has the interfaces of ncruces/go-sqlite3. Since
// Go 1.27 there are three more, which scan columns themselves: "Scanner", "SQLite's+Scanner"
// and "NextResultSet+Scanner".
var RowsKinds = []RowsKind{
	{"none", func(r *rows) driver.Rows { return rowsCore{r} }},
	{"all", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsNextSet
			rowsTypeName
			rowsNullable
			rowsScanType
			rowsLength
			rowsPrecision
		}{rowsCore{r}, rowsNextSet{r}, rowsTypeName{r}, rowsNullable{r}, rowsScanType{r}, rowsLength{r}, rowsPrecision{r}}
	}},
	{"SQLite's", func(r *rows) driver.Rows { return newTypedRows(r) }},
	{"NextResultSet", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsNextSet
		}{rowsCore{r}, rowsNextSet{r}}
	}},
	{"SQLite's+NextResultSet", func(r *rows) driver.Rows {
		return struct {
			typedRows
			rowsNextSet
		}{newTypedRows(r), rowsNextSet{r}}
	}},
	{"DatabaseTypeName", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsTypeName
		}{rowsCore{r}, rowsTypeName{r}}
	}},
	{"Nullable", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsNullable
		}{rowsCore{r}, rowsNullable{r}}
	}},
	{"ScanType", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsScanType
		}{rowsCore{r}, rowsScanType{r}}
	}},
	{"Length", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsLength
		}{rowsCore{r}, rowsLength{r}}
	}},
	{"PrecisionScale", func(r *rows) driver.Rows {
		return struct {
			rowsCore
			rowsPrecision
		}{rowsCore{r}, rowsPrecision{r}}
	}},
}

// typedRows have the interfaces of ncruces/go-sqlite3's rows.
type typedRows struct {
	rowsCore
	rowsTypeName
	rowsNullable
	rowsScanType
}

func newTypedRows(r *rows) typedRows {
	return typedRows{rowsCore{r}, rowsTypeName{r}, rowsNullable{r}, rowsScanType{r}}
}

// RowsOf returns the kind of rows with the name. It panics if there is none.
func RowsOf(name string) RowsKind {
	for _, k := range RowsKinds {
		if k.Name == name {
			return k
		}
	}
	panic("there is no kind of rows " + name)
}
