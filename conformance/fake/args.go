package fake

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// These types of arguments are known only to the fake. Checkers are connections and statements
// with [driver.NamedValueChecker]. Columns are those of statements with
// [driver.ColumnConverter].
type (
	Special struct{}              // accepted by a checker
	Column  struct{}              // accepted by a column
	Removed struct{}              // removed by a checker
	Refused struct{}              // refused by a checker and a column, with ErrRefused
	Odd     struct{}              // converted by a column to something other than a driver.Value
	Letters struct{ Text string } // left by all to the default converter, which refuses it
)

// ErrRefused is the error for a [Refused].
var ErrRefused = errors.New("fake: refused")

// checkSpecial implements all checkers. It leaves unknown types to the next converter, and
// keeps int8 unchanged.
func checkSpecial(arg *driver.NamedValue, by string) error {
	switch arg.Value.(type) {
	case Special:
		arg.Value = "special to the " + by
		return nil
	case int8:
		return nil
	case Removed:
		return driver.ErrRemoveArgument
	case Refused:
		return ErrRefused
	}
	return driver.ErrSkip
}

type columnConverter struct{ s *stmt }

func (c columnConverter) ConvertValue(v any) (driver.Value, error) {
	c.s.call("ConvertValue", nil, "%s", showValue(v))
	switch v := v.(type) {
	case Column:
		return "a column's", nil
	case Refused:
		return nil, ErrRefused
	case Odd:
		return v, nil
	case string:
		return strings.ToUpper(v), nil
	}
	return nil, driver.ErrSkip
}

// These types of arguments are Valuers. They write each call into the log of Base.
type (
	Valuer      struct{ Base *Base } // returns a text
	NilValuer   struct{ Base *Base } // passed as a nil pointer, which is NULL without a call
	BadValuer   struct{ Base *Base } // fails with ErrValuer
	OddValuer   struct{ Base *Base } // returns something other than a driver.Value
	PanicValuer struct{ Base *Base } // panics
)

// ErrValuer is the error of a [BadValuer].
var ErrValuer = errors.New("fake: cannot convert myself")

// Value implements [driver.Valuer].
func (v Valuer) Value() (driver.Value, error) {
	v.Base.Write(Driver, "Value()")
	return "value", nil
}

// Value implements [driver.Valuer].
func (v NilValuer) Value() (driver.Value, error) {
	v.Base.Write(Driver, "Value() on nil")
	return "not nil", nil
}

// Value implements [driver.Valuer].
func (v BadValuer) Value() (driver.Value, error) {
	v.Base.Write(Driver, "Value() with an error")
	return nil, ErrValuer
}

// Value implements [driver.Valuer].
func (v OddValuer) Value() (driver.Value, error) {
	v.Base.Write(Driver, "Value() of no driver.Value")
	return []int{1}, nil
}

// Value implements [driver.Valuer].
func (v PanicValuer) Value() (driver.Value, error) {
	v.Base.Write(Driver, "Value() that panics")
	panic("fake: Value")
}

func showValues(values []driver.Value) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(", " + showValue(v))
	}
	return b.String()
}

func showArgs(args []driver.NamedValue) string {
	var b strings.Builder
	for _, arg := range args {
		b.WriteString(", " + showArg(arg))
	}
	return b.String()
}

func showArg(arg driver.NamedValue) string {
	return fmt.Sprintf("%d:%s=%s", arg.Ordinal, arg.Name, showValue(arg.Value))
}

// showValue returns a value and its type, without addresses.
func showValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case time.Time:
		return "time " + v.Format(time.RFC3339Nano)
	case bool, int8, int64, uint64, float64, string, []byte:
		return fmt.Sprintf("%T %v", v, v)
	}
	return reflect.TypeOf(v).String()
}
