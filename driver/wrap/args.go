package wrap

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
)

// convertArgs converts the arguments of a call to driver values. It follows database/sql
// (convert.go there), so that results, errors and the driver's calls are the same. stmt is
// nil if there is no statement yet.
//
// The arguments come from database/sql after [Conn] has accepted them: their names are valid
// and separate, and their values are the program's own. convertArgs does not change args,
// because they may be converted again for a statement.
func convertArgs(conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	return convertArgsTo(make([]driver.NamedValue, 0, len(args)), conn, stmt, args)
}

// ConvertArgs converts the arguments that a [DirectConn] receives for stmt, which it has
// prepared on conn. The statement checks each argument, or else the connection, or else the
// rules of database/sql. Then ConvertArgs checks their number. It reuses args for its result.
func ConvertArgs(conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	return convertArgsTo(args[:0], conn, stmt, args)
}

func convertArgsTo(converted []driver.NamedValue, conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	checker := newArgChecker(conn, stmt)
	for _, arg := range args {
		converted = append(converted, arg)
		arg := &converted[len(converted)-1]
		arg.Ordinal = len(converted)
		switch err := checker.check(arg); err {
		case nil:
		case driver.ErrRemoveArgument:
			converted = converted[:len(converted)-1]
		default:
			return nil, fmt.Errorf("sql: converting argument %s type: %w", nameOf(arg), err)
		}
	}
	if checker.want != -1 && len(converted) != checker.want {
		return nil, fmt.Errorf("sql: expected %d arguments, got %d", checker.want, len(converted))
	}
	return converted, nil
}

// An argChecker checks arguments. It asks, in this order: the statement, or the connection if
// the statement checks no arguments; then the statement's column; then the default converter.
// The first one that does not return ErrSkip decides. As in database/sql, errors are compared
// and not unwrapped.
type argChecker struct {
	named driver.NamedValueChecker
	stmt  driver.Stmt // may have columns that convert arguments
	want  int         // the number of arguments, or -1 for any number
}

func newArgChecker(conn driver.Conn, stmt driver.Stmt) argChecker {
	c := argChecker{stmt: stmt, want: -1}
	if stmt != nil {
		c.want = stmt.NumInput()
	}
	var ok bool
	if c.named, ok = stmt.(driver.NamedValueChecker); !ok {
		c.named, _ = conn.(driver.NamedValueChecker)
	}
	return c
}

func (c *argChecker) check(arg *driver.NamedValue) error {
	if c.named != nil {
		if err := c.named.CheckNamedValue(arg); err != driver.ErrSkip {
			return err
		}
	}
	if column, ok := c.stmt.(driver.ColumnConverter); ok {
		if err := c.convertColumn(column, arg); err != driver.ErrSkip {
			return err
		}
	}
	for {
		var err error
		arg.Value, err = driver.DefaultParameterConverter.ConvertValue(arg.Value)
		if err != driver.ErrSkip { // after a Valuer's ErrSkip, its value is converted again
			return err
		}
	}
}

// convertColumn converts an argument with the statement's column converter.
func (c *argChecker) convertColumn(column driver.ColumnConverter, arg *driver.NamedValue) error {
	index := arg.Ordinal - 1
	if c.want >= 0 && c.want <= index {
		return nil // there is no such column; the check of the number returns the error
	}
	if valuer, ok := arg.Value.(driver.Valuer); ok {
		value, err := valueOf(valuer)
		if err != nil {
			return err
		}
		if !driver.IsValue(value) {
			return fmt.Errorf("non-subset type %T returned from Value", value)
		}
		arg.Value = value
	}
	was := arg.Value
	var err error
	arg.Value, err = column.ColumnConverter(index).ConvertValue(was)
	if err != nil {
		return err
	}
	if !driver.IsValue(arg.Value) {
		return fmt.Errorf("driver ColumnConverter error converted %T to unsupported type %T", was, arg.Value)
	}
	return nil
}

// valueOf calls Value. For a nil pointer whose method is its element's, it returns NULL
// without the call (golang.org/issue/8415).
func valueOf(v driver.Valuer) (driver.Value, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() &&
		rv.Type().Elem().Implements(reflect.TypeFor[driver.Valuer]()) {
		return nil, nil
	}
	return v.Value()
}

func nameOf(arg *driver.NamedValue) string {
	if arg.Name == "" {
		return fmt.Sprintf("$%d", arg.Ordinal)
	}
	return fmt.Sprintf("with name %q", arg.Name)
}

// plainArgs converts args for a parent without named parameters.
func plainArgs(args []driver.NamedValue) ([]driver.Value, error) {
	values := make([]driver.Value, len(args))
	for i, arg := range args {
		if arg.Name != "" {
			return nil, errors.New("sql: driver does not support the use of Named Parameters")
		}
		values[i] = arg.Value
	}
	return values, nil
}
