package driver

import (
	"database/sql/driver"
	"reflect"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// read reads the row in hand as the plain driver does, whose own reading
// begins with a step.
//
// The row comes out of SQLite in one call, and its texts as strings at once;
// the plain driver has an object more for each text. But BLOBs are copied that
// way, where the plain driver lends SQLite's own memory: a statement that has
// any is read column by column.
func (r *rows) read(dest []driver.Value) error {
	st, times := r.cached, r.session.times
	scans := st.scanTypes()
	if st.blobs || len(scans) != len(dest) {
		for i := range dest {
			scan := anyScan
			if i < len(scans) {
				scan = scans[i]
			}
			dest[i] = times.column(st.base, i, scan)
		}
		return nil
	}
	if len(st.values) != len(dest) {
		st.values = make([]any, len(dest))
	}
	if err := st.base.Columns(st.values...); err != nil {
		return err
	}
	for i, v := range st.values {
		if b, ok := v.([]byte); ok {
			st.blobs = true
			if b == nil {
				v = []byte{}
			}
		}
		dest[i] = times.value(v, scans[i])
		st.values[i] = nil // or SQLite's next BLOB is put where it lies
	}
	return nil
}

// A scanType is what a column's declared type says of its values.
type scanType uint8

const (
	anyScan scanType = iota
	intScan
	realScan
	textScan
	blobScan
	boolScan
	timeScan
)

// scanTypeOf reads a declared type. Only these mean something to the plain
// driver, in any case of letters.
func scanTypeOf(decl string) scanType {
	switch strings.ToUpper(decl) {
	case "INT", "INTEGER":
		return intScan
	case "REAL":
		return realScan
	case "TEXT":
		return textScan
	case "BLOB":
		return blobScan
	case "BOOLEAN":
		return boolScan
	case "DATE", "TIME", "DATETIME", "TIMESTAMP":
		return timeScan
	}
	return anyScan
}

func (s scanType) reflect() reflect.Type {
	switch s {
	case intScan:
		return reflect.TypeFor[int64]()
	case realScan:
		return reflect.TypeFor[float64]()
	case textScan:
		return reflect.TypeFor[string]()
	case blobScan:
		return reflect.TypeFor[[]byte]()
	case boolScan:
		return reflect.TypeFor[bool]()
	case timeScan:
		return reflect.TypeFor[time.Time]()
	}
	return reflect.TypeFor[any]()
}

// timeFormats is how the plain driver reads and writes times, by _timefmt.
type timeFormats struct{ read, write sqlite3.TimeFormat }

func timeFormatsOf(timefmt string) timeFormats {
	switch timefmt {
	case "":
		return timeFormats{sqlite3.TimeFormatAuto, sqlite3.TimeFormatDefault}
	case "sqlite":
		return timeFormats{sqlite3.TimeFormatAuto, sqlite3.TimeFormat3}
	case "rfc3339":
		return timeFormats{sqlite3.TimeFormatDefault, sqlite3.TimeFormatDefault}
	}
	return timeFormats{sqlite3.TimeFormat(timefmt), sqlite3.TimeFormat(timefmt)}
}

// column reads a column of the row in hand.
func (f timeFormats) column(st sqliteStmt, i int, scan scanType) driver.Value {
	switch st.ColumnType(i) {
	case sqlite3.INTEGER:
		return f.value(st.ColumnInt64(i), scan)
	case sqlite3.FLOAT:
		return f.value(st.ColumnFloat(i), scan)
	case sqlite3.TEXT:
		return f.value(st.ColumnText(i), scan)
	case sqlite3.BLOB:
		if b := st.ColumnRawBlob(i); b != nil {
			return b
		}
		return []byte{}
	}
	return nil
}

// value is what the plain driver makes of a value by its column's declared type.
func (f timeFormats) value(v driver.Value, scan scanType) driver.Value {
	if s, ok := v.(string); ok && scan != textScan {
		if t, ok := f.written(s); ok {
			return t
		}
	}
	switch scan {
	case timeScan:
		if _, blob := v.([]byte); !blob && v != nil {
			if t, err := f.read.Decode(v); err == nil {
				return t
			}
		}
	case boolScan:
		switch v {
		case int64(0):
			return false
		case int64(1):
			return true
		}
	}
	return v
}

// written reads a text as a time if it is exactly what the plain driver would
// have written for that time, so that a string which is not meant as one reads
// as it was.
func (f timeFormats) written(s string) (time.Time, bool) {
	switch f.write {
	case "", time.RFC3339, time.RFC3339Nano:
	default:
		return time.Time{}, false
	}
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > len(time.RFC3339Nano) || s[4] != '-' || s[10] != 'T' || s[16] != ':' {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, false
	}
	var buf [len(time.RFC3339Nano)]byte
	return t, string(t.AppendFormat(buf[:0], time.RFC3339Nano)) == s
}
