package wrap

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
)

//lint:file-ignore SA1019 a parent may have only the deprecated interfaces, and they count as database/sql counts them

// convertArgs turns the arguments of a call into what a driver is given, as
// database/sql does (convert.go there), so that results, errors and the calls
// a driver sees are the same. stmt is nil where there is no statement yet.
//
// The arguments come from database/sql, which has had [Conn] accept them:
// names are split off and valid, values are the program's own.
// args is left as it is, since it may be converted again for a statement.
func convertArgs(conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	return convertArgsTo(make([]driver.NamedValue, 0, len(args)), conn, stmt, args)
}

// ConvertArgs converts the arguments that a [DirectConn] is given for stmt, which
// it has prepared on conn: each is checked by the statement, or else by the
// connection, or else by database/sql's rules, and then they are counted.
// It uses args for what it returns.
func ConvertArgs(conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	return convertArgsTo(args[:0], conn, stmt, args)
}

func convertArgsTo(converted []driver.NamedValue, conn driver.Conn, stmt driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	check := newArgChecker(conn, stmt)
	for _, arg := range args {
		converted = append(converted, arg)
		arg := &converted[len(converted)-1]
		arg.Ordinal = len(converted)
		switch err := check.one(arg); err {
		case nil:
		case driver.ErrRemoveArgument:
			converted = converted[:len(converted)-1]
		default:
			return nil, fmt.Errorf("sql: converting argument %s type: %w", nameOf(arg), err)
		}
	}
	if check.want != -1 && len(converted) != check.want {
		return nil, fmt.Errorf("sql: expected %d arguments, got %d", check.want, len(converted))
	}
	return converted, nil
}

// An argChecker is who is asked about an argument, in this order: the
// statement, or the connection if it is no checker; the statement's column;
// the default. The first that does not say ErrSkip decides. What they answer
// is compared, not unwrapped, as database/sql does.
type argChecker struct {
	named driver.NamedValueChecker
	stmt  driver.Stmt // which may have columns that convert
	want  int         // how many arguments, or -1 for any number
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

func (c *argChecker) one(arg *driver.NamedValue) error {
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
		if err != driver.ErrSkip { // of a Valuer: then what it left is asked about again
			return err
		}
	}
}

// convertColumn converts an argument as the statement's column wants it.
func (c *argChecker) convertColumn(column driver.ColumnConverter, arg *driver.NamedValue) error {
	index := arg.Ordinal - 1
	if c.want >= 0 && c.want <= index {
		return nil // there is no such column; the count of arguments will say so
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

// valueOf calls Value, except on a nil pointer whose method is its element's,
// which is NULL (golang.org/issue/8415).
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

// plainArgs is for a parent that knows no named parameters.
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
