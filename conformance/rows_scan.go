package conformance

import (
	"bytes"
	"database/sql"
	"errors"
	"math"
	"reflect"
	"time"
)

// told is a destination that keeps the value that it was given to scan.
type told struct{ got any }

func (d *told) Scan(v any) error {
	if b, ok := v.([]byte); ok {
		v = bytes.Clone(b) // v is valid only during Scan
	}
	d.got = v
	return nil
}

// A scannerFunc is a destination that calls itself with the value.
type scannerFunc func(any) error

func (f scannerFunc) Scan(v any) error { return f(v) }

// scanned are the values that are scanned into every kind of destination.
var scanned = []any{
	nil, 0, 1, -1, 300, int64(math.MaxInt64), int64(math.MinInt64), 0.0, 1.5, 1e300, 2.0,
	"", "text", "1", "-1", "1.5", "true", "F", "1e3", []byte("1"), []byte("text"), []byte{},
	"2026-01-02", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.25+01:00", "03:04", 1700000000, 2460000.5,
}

// into returns a case in which values are scanned into new destinations of type T.
func into[T any]() Case {
	name := reflect.TypeFor[T]().String()
	return Case{
		Name: "into " + name,
		Rule: "Scanning into a " + name + " succeeds or fails as with the driver, whatever the declared type of the column.",
		Play: func(s *Session) {
			s.Exec(s.DB, "CREATE TABLE t(id INTEGER PRIMARY KEY, plain, i INTEGER, s TEXT, d DATETIME, b BOOLEAN)")
			tx := s.Begin(s.DB)
			for i, v := range scanned {
				s.Exec(tx, "INSERT INTO t VALUES (?1, ?2, ?2, ?2, ?2, ?2)", i, v)
			}
			s.Must(tx.Commit())
			for _, column := range []string{"plain", "i", "s", "d", "b"} {
				rows := s.Query(s.DB, "SELECT "+column+" FROM t ORDER BY id")
				for rows.Next() {
					var dest T
					err := rows.Scan(&dest)
					s.See(column, held(dest), err)
				}
				s.See("end", rows.Err(), rows.Close())
			}
		},
	}
}

// held returns the value of a destination that is recorded.
func held(dest any) any {
	if d, ok := dest.(told); ok {
		return d.got
	}
	if v := reflect.ValueOf(dest); v.Kind() == reflect.Pointer && !v.IsNil() {
		return v.Elem().Interface()
	}
	return dest
}

func rowsScans() []Case {
	return []Case{
		into[any](), into[string](), into[[]byte](), into[sql.RawBytes](), into[bool](), into[time.Time](),
		into[int](), into[int8](), into[int16](), into[int32](), into[int64](), into[uint](), into[uint8](), into[uint64](), into[float32](), into[float64](),
		into[*string](), into[*int](), into[*time.Time](), into[*bool](),
		into[sql.NullString](), into[sql.NullInt64](), into[sql.NullInt16](), into[sql.NullByte](), into[sql.NullFloat64](), into[sql.NullBool](), into[sql.NullTime](),
		into[sql.Null[string]](), into[sql.Null[int]](), into[sql.Null[uint]](), into[sql.Null[float32]](), into[sql.Null[time.Time]](), into[sql.Null[[]byte]](),
		into[namedString](), into[namedInt](), into[namedFloat](), into[namedBool](), into[namedBytes](), into[time.Duration](), into[told](),
		{
			Name: "a Scanner that fails",
			Rule: "A Scanner's error names the column, and the program's error wraps it. The rows continue.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1, 2 AS name UNION ALL SELECT 3, 4")
				defer rows.Close()
				for rows.Next() {
					n := 0
					s.See("scan", rows.Scan(&n, scannerFunc(func(any) error { return sql.ErrNoRows })), n)
					s.See("scan", rows.Scan(&n, scannerFunc(func(any) error { return errors.New("no place") })), n)
				}
				s.See("end", rows.Err())
			},
		},
		{
			Name: "a Scanner, once",
			Rule: "A Scanner is called exactly once with each value.",
			Play: func(s *Session) {
				calls := 0
				count := scannerFunc(func(v any) error { calls++; s.See("given", v); return nil })
				s.See("row", s.DB.QueryRowContext(background, "SELECT ?, 'text', 1.5, NULL", 1).Scan(count, count, count, count), calls)
			},
		},
		{
			Name: "a Scanner that queries",
			Rule: "A Scanner may use the database, through another connection than that of its row.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				defer rows.Close()
				for rows.Next() {
					s.See("scan", rows.Scan(scannerFunc(func(v any) error {
						s.SeeQuery(s.DB, "SELECT ? + 1", v)
						return nil
					})))
				}
				s.See("end", rows.Err())
			},
		},
	}
}
