package driver

import (
	"database/sql/driver"
	"reflect"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// read reads the current row as the plain driver does. The plain driver's own Next takes a
// step first.
//
// read gets the row from SQLite in one call, with all its text as strings. The plain driver
// allocates one more object for each text. But that call copies BLOBs, while the plain
// driver returns SQLite's own memory. So read gets the row column by column if a statement
// has BLOBs.
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
		st.values[i] = nil // otherwise SQLite would write the next BLOB into v's memory
	}
	return nil
}

// A scanType is what a column's declared type says about its values.
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

// scanTypeOf returns the scan type of a declared type, in any letter case. The plain driver
// distinguishes only these types.
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

// timeFormats are the formats in which the plain driver reads and writes times, according
// to _timefmt.
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

// column returns the value of column i in the current row.
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

// value converts a value as the plain driver does, by the declared type of its column.
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

// written parses s as a time only if the plain driver would write that time exactly like s.
// Any other string stays a string.
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
