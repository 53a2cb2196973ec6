//go:build go1.27

package driver_test

import (
	sqldriver "database/sql/driver"
	"reflect"
)

var optionalSince127 = []reflect.Type{reflect.TypeFor[sqldriver.RowsColumnScanner]()}
