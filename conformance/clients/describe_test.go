package clients

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// describe returns a value with its type, and likewise what it points to or holds. A program
// cannot distinguish values with equal descriptions.
func describe(v any) string {
	if err, ok := v.(error); ok {
		return describeError(err)
	}
	return describeValue(reflect.ValueOf(v))
}

func describeValue(v reflect.Value) string {
	if !v.IsValid() {
		return "nil"
	}
	if v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	typ := v.Type().String()
	if v.CanInterface() {
		switch v := v.Interface().(type) {
		case time.Time:
			return fmt.Sprintf("%s(%s %s)", typ, v.Format(time.RFC3339Nano), v.Location())
		case reflect.Type:
			return v.String()
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return typ + "(nil)"
		}
		return "&" + describeValue(v.Elem())
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				fields = append(fields, f.Name+"="+describeValue(v.Field(i)))
			}
		}
		return typ + "{" + strings.Join(fields, " ") + "}"
	case reflect.Slice:
		if v.IsNil() {
			return typ + "(nil)"
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("%s(%q)", typ, v.Bytes())
		}
		fallthrough
	case reflect.Array:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = describeValue(v.Index(i))
		}
		return typ + "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		if v.IsNil() {
			return typ + "(nil)"
		}
		var items []string
		for key, item := range v.Seq2() {
			items = append(items, describeValue(key)+": "+describeValue(item))
		}
		slices.Sort(items)
		return typ + "{" + strings.Join(items, ", ") + "}"
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return cmp.Or(typ, v.Kind().String())
	case reflect.String:
		return fmt.Sprintf("%s(%q)", typ, v.String())
	default:
		return fmt.Sprintf("%s(%v)", typ, v)
	}
}

// describeError returns an error's text, its type and those of the wrapped errors, and SQLite's
// codes.
func describeError(err error) string {
	var chain []string
	var walk func(error)
	walk = func(err error) {
		chain = append(chain, fmt.Sprintf("%T", err))
		switch err := err.(type) {
		case interface{ Unwrap() error }:
			if inner := err.Unwrap(); inner != nil {
				walk(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range err.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	s := fmt.Sprintf("%s(%q)", strings.Join(chain, " > "), err)
	var code sqlite3.ErrorCode
	var extended sqlite3.ExtendedErrorCode
	if errors.As(err, &code) {
		s += fmt.Sprintf(" code=%d", code)
	}
	if errors.As(err, &extended) {
		s += fmt.Sprintf(" extended=%d temporary=%t timeout=%t", extended, extended.Temporary(), extended.Timeout())
	}
	if full, ok := errors.AsType[*sqlite3.Error](err); ok {
		s += fmt.Sprintf(" sql=%q", full.SQL())
	}
	return s
}

// firstDifference returns the lines around the first difference of two transcripts, and the
// chapter.
func firstDifference(plain, other string) string {
	a, b := strings.Split(plain, "\n"), strings.Split(other, "\n")
	n, chapter, before := 0, "", ""
	for n < min(len(a), len(b))-1 && a[n] == b[n] {
		if before = a[n]; strings.HasPrefix(before, "# ") {
			chapter = before
		}
		n++
	}
	same := 0
	for same < min(len(a[n]), len(b[n])) && a[n][same] == b[n][same] {
		same++
	}
	show := func(line string, from int) string {
		from = max(0, from)
		to := min(from+300, len(line))
		return line[from:to]
	}
	return fmt.Sprintf("line %d, %s\nafter: %s\nplain: %s\nother: %s", n+1, chapter, show(before, 0), show(a[n], same-100), show(b[n], same-100))
}
