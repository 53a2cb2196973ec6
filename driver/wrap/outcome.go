package wrap

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// An OutcomeError is the error of a call that may or may not have been applied, with
// [Config].Once: the parent returned [driver.ErrBadConn] from a call that is not proven to be a
// read. The program must find out before it repeats the call.
//
// database/sql does not repeat the call, because [errors.Is] reports that an OutcomeError is not
// driver.ErrBadConn. Otherwise errors.Is and [errors.As] see Err and what it wraps.
type OutcomeError struct {
	// Call is the call that failed: "Exec", "Query" or "Commit".
	Call string

	// InTx says that the call was part of a transaction of BeginTx, before its Commit. A server
	// rolls that transaction back when it loses the connection. Then the program may repeat the
	// whole transaction, unless it contained a statement that commits by itself, such as MySQL's
	// CREATE TABLE.
	InTx bool

	// Err is the parent's error.
	Err error
}

func (e *OutcomeError) Error() string {
	return fmt.Sprintf("sqlitemw: the connection was lost during %s, so it is not known whether the server has applied it: find out before you repeat it: %v", e.Call, e.Err)
}

// Is reports whether Err is target. It is never [driver.ErrBadConn].
func (e *OutcomeError) Is(target error) bool {
	return target != driver.ErrBadConn && errors.Is(e.Err, target)
}

// As finds target in Err.
func (e *OutcomeError) As(target any) bool { return errors.As(e.Err, target) }

// classifyOutcome returns classify with the error.type of an OutcomeError. The conventions'
// db.response.status_code is that of its Err.
func classifyOutcome(classify func(error) tracing.ErrorClass) func(error) tracing.ErrorClass {
	return func(err error) (class tracing.ErrorClass) {
		if classify != nil {
			class = classify(err)
		}
		if e := (*OutcomeError)(nil); errors.As(err, &e) {
			class.Type = fmt.Sprintf("%T", e)
		}
		return class
	}
}

// outcome returns the error for the program instead of err, which the parent returned from a call
// that executes query. It marks the connection as lost if it returns an OutcomeError.
func (c *Conn) outcome(call, query string, err error) error {
	if !c.mayBeApplied(err) || sqltext.OnlyReads(c.opener.system, query) {
		return err
	}
	return c.lose(call, err)
}

// commitOutcome is outcome for a commit. database/sql does not repeat a commit, but the program
// might.
func (c *Conn) commitOutcome(err error) error {
	if !c.mayBeApplied(err) {
		return err
	}
	return c.lose("Commit", err)
}

// mayBeApplied reports whether a call with this error may have reached the server, although the
// driver says with driver.ErrBadConn that it has not.
func (c *Conn) mayBeApplied(err error) bool {
	return err != nil && c.opener.once && errors.Is(err, driver.ErrBadConn)
}

func (c *Conn) lose(call string, err error) error {
	c.lost = true
	if c.unfit == "" {
		c.unfit = ReasonBad
	}
	return &OutcomeError{Call: call, InTx: c.inTx, Err: err}
}

// unusable returns the error of a call on a connection that must not be used any more, or nil. A
// call on a lost connection is not sent, so database/sql may repeat it on another.
func (c *Conn) unusable() error {
	switch {
	case c.broken:
		return ErrPanicked
	case c.lost:
		return driver.ErrBadConn
	}
	return nil
}
