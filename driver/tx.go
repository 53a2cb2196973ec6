package driver

import (
	"context"
	"database/sql/driver"
	"errors"
)

// BeginTx begins a transaction.
func (s *session) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := s.lost(); err != nil {
		return nil, err
	}
	tx, err := s.baseConn.BeginTx(ctx, opts)
	if err != nil {
		s.checkAfterError(err)
		return nil, s.explain(err)
	}
	return sessionTx{s, tx}, nil
}

// A sessionTx is a transaction of the plain driver in a session.
type sessionTx struct {
	session *session
	base    driver.Tx
}

// Commit commits. If the commit fails, or the file is lost, it rolls back what SQLite
// leaves open.
func (tx sessionTx) Commit() error {
	s := tx.session
	if err := s.lost(); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	err := tx.base.Commit()
	s.checkAfterError(err)
	s.checkTxEnd()
	if err == nil {
		err = s.afterWrite()
	}
	return err
}

// Rollback rolls back, even if the transaction's context has ended.
func (tx sessionTx) Rollback() error {
	err := tx.base.Rollback()
	tx.session.checkAfterError(err)
	tx.session.checkTxEnd()
	return err
}
