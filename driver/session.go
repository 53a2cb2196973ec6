package driver

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
)

// A session is the innermost connection of ours: the plain driver's, with what
// it lacks. Package wrap serves texts with arguments on it in one call.
type session struct {
	baseConn
	term func(*sqlite3.Conn) error // nil once called
}

// baseConn is what a connection of the plain driver can do.
type baseConn interface {
	sqlite3driver.Conn
	driver.ExecerContext
	driver.NamedValueChecker
}

var _ driver.Pinger = &session{}

func newSession(base driver.Conn) *session { return &session{baseConn: base.(baseConn)} }

// Ping reads the first page of the file, as the plain driver's does not.
func (s *session) Ping(ctx context.Context) error {
	raw := s.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	_, err := scalar(raw, "PRAGMA schema_version")
	return err
}

// Close calls Term, once, and closes the connection whatever it says.
func (s *session) Close() error {
	var err error
	if term := s.term; term != nil {
		s.term = nil
		err = term(s.Raw())
	}
	if closeErr := s.baseConn.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}
