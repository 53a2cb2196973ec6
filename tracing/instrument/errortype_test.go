package instrument

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// errInvalidConn is a variable of a driver, as go-sql-driver/mysql has one.
var errInvalidConn = errors.New("invalid connection")

func TestErrorType(t *testing.T) {
	d := NewDatabase(tracing.Default(), tracing.Source{System: "mysql", Classify: func(err error) (class tracing.ErrorClass) {
		if errors.Is(err, errInvalidConn) {
			class.Type = "mysql.ErrInvalidConn"
		}
		if errors.Is(err, os.ErrInvalid) {
			class.StatusCode = "1045"
		}
		return class
	}})
	defer d.Close()
	wrapped := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{driver.ErrBadConn, "driver.ErrBadConn"},
		{fmt.Errorf("lost: %w", driver.ErrBadConn), "driver.ErrBadConn"},
		{driver.ErrSkip, "driver.ErrSkip"},
		{sql.ErrNoRows, "sql.ErrNoRows"},
		{sql.ErrTxDone, "sql.ErrTxDone"},
		{sql.ErrConnDone, "sql.ErrConnDone"},
		{io.EOF, "io.ErrUnexpectedEOF"},
		{io.ErrUnexpectedEOF, "io.ErrUnexpectedEOF"},
		{io.ErrClosedPipe, "io.ErrClosedPipe"},
		{net.ErrClosed, "net.ErrClosed"},
		{&net.OpError{Op: "write", Err: net.ErrClosed}, "net.ErrClosed"},
		{wrapped(syscall.ECONNREFUSED), "ECONNREFUSED"},
		{wrapped(syscall.ECONNRESET), "ECONNRESET"},
		{wrapped(syscall.EPIPE), "EPIPE"},
		{wrapped(syscall.ETIMEDOUT), "ETIMEDOUT"},
		{wrapped(syscall.EINTR), "*net.OpError"}, // no error of connections
		{errors.Join(driver.ErrBadConn, wrapped(syscall.ECONNRESET)), "ECONNRESET"},
		{fmt.Errorf("%w: %w", driver.ErrBadConn, io.ErrUnexpectedEOF), "io.ErrUnexpectedEOF"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "secret", IsNotFound: true}}, "*net.DNSError"},
		{os.ErrDeadlineExceeded, "timeout"},
		{context.Canceled, "context.Canceled"},
		{fmt.Errorf("call: %w", context.DeadlineExceeded), "context.DeadlineExceeded"},
		{errInvalidConn, "mysql.ErrInvalidConn"},
		{fmt.Errorf("%w: %w", driver.ErrBadConn, errInvalidConn), "mysql.ErrInvalidConn"},
		{os.ErrInvalid, "1045"},
		{errors.Join(os.ErrInvalid, driver.ErrBadConn), "1045"},
		{errors.New("secret"), "*errors.errorString"}, // nothing better is known
	} {
		if got := d.ErrorType(t.Context(), tc.err); got != tc.want {
			t.Errorf("the error.type of %#v is %q, want %q", tc.err, got, tc.want)
		}
	}
}

// What the network itself returns. net says of its own deadlines that they are
// context.DeadlineExceeded, which they are only if the caller's context ended the call.
func TestErrorTypeOfNetwork(t *testing.T) {
	d := NewDatabase(tracing.Default(), tracing.Source{System: "postgresql"})
	defer d.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("there is no network:", err)
	}
	address := listener.Addr().String()

	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	_, timedOut := conn.Read(make([]byte, 1))
	conn.Close()
	_, closed := conn.Read(make([]byte, 1))
	_, dialTimeout := (&net.Dialer{Timeout: -time.Second}).DialContext(t.Context(), "tcp", address)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, callerTimeout := new(net.Dialer).DialContext(ctx, "tcp", address)
	listener.Close()
	_, refused := net.Dial("tcp", address)
	_, noSocket := net.Dial("unix", filepath.Join(t.TempDir(), "s"))

	for _, tc := range []struct {
		what string
		ctx  context.Context
		err  error
		want string
	}{
		{"a read deadline", t.Context(), timedOut, "timeout"},
		{"a closed connection", t.Context(), closed, "net.ErrClosed"},
		{"a dialer's timeout", t.Context(), dialTimeout, "timeout"},
		{"the caller's deadline", ctx, callerTimeout, "context.DeadlineExceeded"},
		{"nothing listens", t.Context(), refused, "ECONNREFUSED"},
		{"no socket", t.Context(), noSocket, "ENOENT"},
	} {
		if got := d.ErrorType(tc.ctx, tc.err); got != tc.want {
			t.Errorf("%s: the error.type of %v is %q, want %q", tc.what, tc.err, got, tc.want)
		}
	}
}
