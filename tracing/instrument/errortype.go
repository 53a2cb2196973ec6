package instrument

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"reflect"
	"syscall"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// errorType returns the error.type of err, and its class.
func (c *Call) errorType(err error) (typ string, class tracing.ErrorClass) {
	class = c.db.classify(err)
	callerErr := c.callerErr()
	switch {
	case class.Type != "":
		typ = class.Type
	case class.StatusCode == "" && callerErr == nil && isNetTimeout(err):
		typ = nameOf(err) // net's own deadlines say of themselves that they are context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		typ = "context.Canceled"
	case errors.Is(err, context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && errors.Is(callerErr, context.DeadlineExceeded):
		typ = "context.DeadlineExceeded"
	case class.Interrupted && callerErr != nil:
		typ = "context.Canceled"
	case class.StatusCode != "":
		typ = class.StatusCode
	default:
		typ = nameOf(err)
	}
	return typ, class
}

// timeout is the error.type of a network operation that has taken too long. The conventions give
// it as an example.
const timeout = "timeout"

// isNetTimeout reports whether a dial or an operation of a connection has timed out by itself.
func isNetTimeout(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Timeout()
}

// nameOf returns the name of err if it wraps a well-known value, or else its type. The values of
// package errors all have the same type, which says nothing.
//
// Values that say more about the cause come first: a driver may wrap the network's error together
// with driver.ErrBadConn.
func nameOf(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if name := errnoName(errno); name != "" {
			return name
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "*net.DNSError"
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.name
		}
	}
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return timeout
	}
	return typeOf(err)
}

var sentinels = []struct {
	err  error
	name string
}{
	{net.ErrClosed, "net.ErrClosed"},
	{io.ErrUnexpectedEOF, "io.ErrUnexpectedEOF"},
	{io.EOF, "io.ErrUnexpectedEOF"}, // to a call that fails with it, no end is expected
	{io.ErrClosedPipe, "io.ErrClosedPipe"},
	{sql.ErrNoRows, "sql.ErrNoRows"},
	{sql.ErrTxDone, "sql.ErrTxDone"},
	{sql.ErrConnDone, "sql.ErrConnDone"},
	{driver.ErrBadConn, "driver.ErrBadConn"},
	{driver.ErrSkip, "driver.ErrSkip"},
}

// errnoName returns the name of an error of the operating system, as in "ECONNREFUSED". It returns
// "" if the error is not one that connections have.
func errnoName(errno syscall.Errno) string {
	for _, e := range errnos {
		if e.errno == errno {
			return e.name
		}
	}
	return ""
}

type errnoEntry struct {
	errno syscall.Errno
	name  string
}

// typeOf returns the Go type of err. It looks through *fmt.wrapError, which says nothing, and
// takes the first of joined errors. Unlike semconv.ErrorType, it does not let the error
// choose its type: the error might choose anything, which must not become a label.
func typeOf(err error) string {
	for {
		var inner error
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			if errs := e.Unwrap(); len(errs) > 0 {
				inner = errs[0]
			}
		case interface{ Unwrap() error }:
			if reflect.TypeOf(err).String() == "*fmt.wrapError" {
				inner = e.Unwrap()
			}
		}
		if inner == nil {
			return reflect.TypeOf(err).String()
		}
		err = inner
	}
}
