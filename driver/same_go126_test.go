//go:build !go1.27

package driver_test

import "reflect"

var optionalSince127 []reflect.Type
