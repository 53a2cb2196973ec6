package player

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// value returns v with its type, in a form that shows what a program can notice.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case time.Time:
		return "time.Time " + timeText(v)
	case sql.NullTime:
		if !v.Valid {
			return "sql.NullTime NULL"
		}
		return "sql.NullTime " + timeText(v.Time)
	case string:
		return "string " + text(v)
	case []byte:
		if v == nil {
			return "[]byte nil"
		}
		return "[]byte " + text(string(v))
	case sql.RawBytes:
		if v == nil {
			return "sql.RawBytes nil"
		}
		return "sql.RawBytes " + text(string(v))
	case *string:
		if v == nil {
			return "*string nil"
		}
		return "*string to " + text(*v)
	case float64:
		return "float64 " + strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprintf("%T %+v", v, v)
}

// monotonic matches the monotonic clock reading at the end of a time's text.
var monotonic = regexp.MustCompile(`m=[+-][0-9.]+`)

// text quotes a text, without a clock reading.
func text(s string) string {
	const most = 200
	s = monotonic.ReplaceAllString(s, "m=CLOCK")
	if len(s) > most {
		return fmt.Sprintf("%q and %d bytes more", s[:most], len(s)-most)
	}
	return strconv.Quote(s)
}

// timeText returns a time with its zone and location.
func timeText(t time.Time) string {
	zone, _ := t.Zone()
	return fmt.Sprintf("%s zone %q in %q", t.Format(time.RFC3339Nano), zone, t.Location())
}

// err records an error: its text, its codes, and the sentinel errors that it matches.
func (e *env) err(key string, err error) {
	e.record(key, "%s", e.errText(err))
}

func (e *env) errText(err error) string {
	if err == nil {
		return "no error"
	}
	facts := []string{err.Error()}
	for _, known := range []struct {
		err  error
		name string
	}{
		{context.Canceled, "context.Canceled"},
		{context.DeadlineExceeded, "context.DeadlineExceeded"},
		{sql.ErrNoRows, "sql.ErrNoRows"},
		{sql.ErrTxDone, "sql.ErrTxDone"},
		{sql.ErrConnDone, "sql.ErrConnDone"},
		{driver.ErrBadConn, "driver.ErrBadConn"},
	} {
		if errors.Is(err, known.err) {
			facts = append(facts, "is "+known.name)
		}
	}
	switch e.Dialect {
	case Mattn:
		if codes := jsonCodes(err); codes != "" {
			facts = append(facts, codes)
		}
	case Modernc:
		var coder interface{ Code() int }
		if errors.As(err, &coder) {
			facts = append(facts, fmt.Sprint("code ", coder.Code()))
		}
	}
	return strings.Join(facts, " | ")
}

// jsonCodes returns the codes that mattn's error has as JSON. GORM uses them to recognize an
// error of a driver that it does not import. jsonCodes checks err and all errors that it wraps.
func jsonCodes(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		b, jsonErr := json.Marshal(err)
		if jsonErr != nil {
			return "JSON: " + jsonErr.Error()
		}
		var codes struct{ Code, ExtendedCode *int }
		if json.Unmarshal(b, &codes) == nil && codes.Code != nil && codes.ExtendedCode != nil {
			return fmt.Sprintf("code %d extended %d", *codes.Code, *codes.ExtendedCode)
		}
	}
	return ""
}

// ok describes err as a word.
func ok(err error) string {
	if err != nil {
		return "refused"
	}
	return "ok"
}

// rows records all rows of a query as values of type any, and where an error occurs: at the
// query, at a row or at the end.
func (e *env) rows(key string, db execer, query string, args ...any) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		e.record(key, "at query: %s", e.errText(err))
		return
	}
	e.record(key, "%s", strings.Join(e.read(rows), "; "))
}

// query records the error of a query, and closes its rows if there is none.
func (e *env) query(key string, query func() (*sql.Rows, error)) {
	rows, err := query()
	e.err(key, err)
	if err == nil {
		rows.Close()
	}
}

// read reads rows to their end and closes them.
func (e *env) read(rows *sql.Rows) []string {
	defer rows.Close()
	var lines []string
	columns, err := rows.Columns()
	if err != nil {
		return append(lines, "at columns: "+e.errText(err))
	}
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
			dest := make([]any, len(columns))
			for i := range dest {
				dest[i] = new(any)
			}
			if err := rows.Scan(dest...); err != nil {
				lines = append(lines, "at scan: "+e.errText(err))
				continue
			}
			var row []string
			for _, d := range dest {
				row = append(row, value(*d.(*any)))
			}
			lines = append(lines, "("+strings.Join(row, ", ")+")")
		}
	}
	if err := rows.Err(); err != nil {
		lines = append(lines, "at next: "+e.errText(err))
	}
	if err := rows.Close(); err != nil {
		lines = append(lines, "at close: "+e.errText(err))
	}
	if len(lines) == 0 {
		lines = append(lines, "no rows")
	}
	return lines
}

// one returns the only value of a query as text, or its error.
func (e *env) one(db execer, query string, args ...any) string {
	var v any
	if err := db.QueryRowContext(ctx, query, args...).Scan(&v); err != nil {
		return e.errText(err)
	}
	return value(v)
}

// into scans the only value of a query into a new variable of each type in dests, and records
// them in one line.
func (e *env) into(key string, dests []reflect.Type, db execer, query string, args ...any) {
	for _, t := range dests {
		dest := reflect.New(t)
		err := db.QueryRowContext(ctx, query, args...).Scan(dest.Interface())
		if err != nil {
			e.record(fmt.Sprint(key, " into ", t), "%s", e.errText(err))
			continue
		}
		e.record(fmt.Sprint(key, " into ", t), "%s", value(dest.Elem().Interface()))
	}
}

// result records the result of an Exec, or its error.
func (e *env) result(key string, res sql.Result, err error) {
	if err != nil {
		e.err(key, err)
		return
	}
	// modernc.org/sqlite returns no result for a query without a statement.
	defer func() {
		if r := recover(); r != nil {
			e.record(key, "panic: %v", r)
		}
	}()
	id, idErr := res.LastInsertId()
	n, nErr := res.RowsAffected()
	e.record(key, "id %d %s, rows %d %s", id, e.errText(idErr), n, e.errText(nErr))
}

var (
	anyType         = reflect.TypeFor[any]()
	timeType        = reflect.TypeFor[time.Time]()
	nullTimeType    = reflect.TypeFor[sql.NullTime]()
	stringType      = reflect.TypeFor[string]()
	bytesType       = reflect.TypeFor[[]byte]()
	int64Type       = reflect.TypeFor[int64]()
	float64Type     = reflect.TypeFor[float64]()
	boolType        = reflect.TypeFor[bool]()
	nullStringType  = reflect.TypeFor[sql.NullString]()
	nullInt64Type   = reflect.TypeFor[sql.NullInt64]()
	nullFloat64Type = reflect.TypeFor[sql.NullFloat64]()
	nullBoolType    = reflect.TypeFor[sql.NullBool]()
	pointerType     = reflect.TypeFor[*string]()
)
