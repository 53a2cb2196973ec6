package cluster

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

var (
	// ErrNoPrimary is wrapped by the error of an acquire that found no primary within
	// Config.FailoverTimeout.
	ErrNoPrimary = errors.New("no server is the primary")

	// ErrTwoPrimaries is wrapped by every error of an acquire while two servers say that they are
	// the primary and neither is newer. Neither is used.
	ErrTwoPrimaries = errors.New("two servers are the primary")

	// ErrDemoted is wrapped by the errors of a connection whose server is no longer the primary.
	ErrDemoted = errors.New("the server is no longer the primary")

	errWrongRole = errors.New("the server has another role")
	errNoStandby = errors.New("no standby can be used")
	errNoAnswer  = errors.New("the server does not answer")
)

// A primaryError says why there is no primary.
type primaryError struct {
	why     error // ErrNoPrimary or ErrTwoPrimaries
	servers []string
	waited  error // the end of the wait; nil if there was none
	causes  []error
}

func (e *primaryError) Error() string { return "pool: " + e.text() }

// text is Error without the prefix.
func (e *primaryError) text() string {
	text := e.why.Error() + ": " + strings.Join(e.servers, "; ")
	if e.why == ErrTwoPrimaries {
		return text + ": stop the one that must not be"
	}
	return text
}

// Unwrap returns ErrNoPrimary or ErrTwoPrimaries, the context's error, and why the servers could not
// be asked.
func (e *primaryError) Unwrap() []error {
	list := append([]error{e.why}, e.causes...)
	if e.waited != nil {
		list = append(list, e.waited)
	}
	return list
}

// demoted returns the error of the connections to a server that is no longer the primary.
func demoted(name string) error { return fmt.Errorf("pool: %q: %w", name, ErrDemoted) }

// An interruptedError is the error of a call that the pool has ended. Whether the server has done
// what the call asked for is unknown. It does not unwrap to driver.ErrBadConn, so that database/sql
// does not repeat the call.
type interruptedError struct {
	why error // ErrDemoted or core.ErrClosed
	err error // of the driver
}

func (e *interruptedError) Error() string {
	return fmt.Sprintf("%v, and what became of the call is unknown: %v", e.why, e.err)
}

func (e *interruptedError) Unwrap() []error {
	if errors.Is(e.err, driver.ErrBadConn) {
		return []error{e.why}
	}
	return []error{e.why, e.err}
}

// isBroken reports whether an error of a call shows that the connection is not usable any more. A
// driver of a network protocol cannot go on after a call that it has left in the middle.
func isBroken(err error) bool {
	for _, target := range []error{
		driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded,
		context.Canceled, context.DeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var op *net.OpError
	var lost *wrap.OutcomeError
	return errors.As(err, &op) || errors.As(err, &lost)
}
