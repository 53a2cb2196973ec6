package dqlite

import (
	"errors"
	"reflect"
	"strconv"

	"github.com/sqlitemw/sqlitemw/pool/internal/cluster"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// ErrNoLeader is wrapped by the error of a call that found no leader within Config.FailoverTimeout.
var ErrNoLeader = cluster.ErrNoPrimary

// ReasonLeader is the reason of the events wrap.KindFailing and wrap.KindRecovered when there is no
// leader.
const ReasonLeader = cluster.ReasonPrimary

// Classify returns the code of an error of go-dqlite's driver, its type Error. That has SQLite's
// codes.
func Classify(err error) tracing.ErrorClass {
	for ; err != nil; err = errors.Unwrap(err) {
		if code, ok := codeOf(err); ok {
			return tracing.ErrorClass{StatusCode: strconv.FormatInt(code, 10)}
		}
	}
	return tracing.ErrorClass{}
}

// codeOf returns the field Code of a struct with the driver's two fields. The driver cannot be
// imported here, because it needs a C library.
func codeOf(err error) (int64, bool) {
	v := reflect.ValueOf(err)
	if v.Kind() != reflect.Struct || v.NumField() != 2 {
		return 0, false
	}
	code, message := v.FieldByName("Code"), v.FieldByName("Message")
	if !code.IsValid() || !code.CanInt() || !message.IsValid() || message.Kind() != reflect.String {
		return 0, false
	}
	return code.Int(), true
}
