package conformance

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A querier has the methods that *sql.DB, *sql.Conn and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

var background = context.Background()

// Exec executes query. It ends the case on an error.
func (s *Session) Exec(db querier, query string, args ...any) {
	_, err := s.ExecContext(background, db, query, args...)
	s.Must(err)
}

// ExecContext executes query. Everything that cases execute passes through here.
func (s *Session) ExecContext(ctx context.Context, db querier, query string, args ...any) (sql.Result, error) {
	if len(args) == 0 {
		s.plainText(query)
	}
	return db.ExecContext(ctx, query, args...)
}

// plainText records a query that is executed without arguments.
func (s *Session) plainText(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plainTexts = append(s.plainTexts, query)
}

// Count returns the number that query returns. It ends the case on an error.
func (s *Session) Count(db querier, query string, args ...any) (n int64) {
	s.Must(db.QueryRowContext(background, query, args...).Scan(&n))
	return n
}

// Conn acquires a connection of db. It ends the case on an error.
func (s *Session) Conn(db *sql.DB) *sql.Conn {
	conn, err := db.Conn(background)
	s.Must(err)
	return conn
}

// Begin begins a transaction. It ends the case on an error.
func (s *Session) Begin(db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}) *sql.Tx {
	tx, err := db.BeginTx(background, nil)
	s.Must(err)
	return tx
}

// Prepare prepares a statement, which the case must close. It ends the case on an error.
func (s *Session) Prepare(db querier, query string) *sql.Stmt {
	stmt, err := db.PrepareContext(background, query)
	s.Must(err)
	return stmt
}

// Query starts a query, whose rows the case must close. It ends the case on an error.
func (s *Session) Query(db querier, query string, args ...any) *sql.Rows {
	rows, err := db.QueryContext(background, query, args...)
	s.Must(err)
	return rows
}

// SeeStmtExec executes a statement and records its result.
func (s *Session) SeeStmtExec(what string, stmt *sql.Stmt, args ...any) {
	res, err := stmt.ExecContext(background, args...)
	s.SeeResult(what, res, err)
}

// SeeStmtQuery records a statement's rows.
func (s *Session) SeeStmtQuery(what string, stmt *sql.Stmt, args ...any) {
	rows, err := stmt.QueryContext(background, args...)
	s.SeeRows(what, rows, err)
}

// SeeExec executes query and records its result.
func (s *Session) SeeExec(db querier, query string, args ...any) {
	res, err := s.ExecContext(background, db, query, args...)
	s.SeeResult(query, res, err)
}

// SeeResult records the result of an Exec.
func (s *Session) SeeResult(what string, res sql.Result, err error) {
	if err != nil {
		s.See(what, err)
		return
	}
	id, idErr := res.LastInsertId()
	n, nErr := res.RowsAffected()
	s.See(what, id, idErr, n, nErr)
}

// SeeQuery records a query and all its rows.
func (s *Session) SeeQuery(db querier, query string, args ...any) {
	rows, err := db.QueryContext(background, query, args...)
	s.SeeRows(query, rows, err)
}

// SeeRows records the result of a Query: columns, their types, and all rows.
func (s *Session) SeeRows(what string, rows *sql.Rows, err error) {
	if err != nil {
		s.See(what, err)
		return
	}
	defer rows.Close()
	columns, err := rows.Columns()
	s.See(what, columns, err)
	s.SeeTypes(rows)
	for rows.Next() {
		s.SeeRow(rows)
	}
	s.See("  end", rows.Err(), rows.NextResultSet(), rows.Close())
}

// SeeRow records the current row, scanned into values of any type.
func (s *Session) SeeRow(rows *sql.Rows) {
	columns, _ := rows.Columns()
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	err := rows.Scan(dest...)
	s.See("  row", append(values, err)...)
}

// SeeTypes records the types of the columns as they are known at that moment.
func (s *Session) SeeTypes(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	if err != nil {
		s.See("  types", err)
	}
	for _, c := range types {
		nullable, nok := c.Nullable()
		length, lok := c.Length()
		precision, scale, pok := c.DecimalSize()
		s.See("  type", c.Name(), c.DatabaseTypeName(), c.ScanType().String(), nullable, nok, length, lok, precision, scale, pok)
	}
}

// Await waits until done returns true, for work that database/sql does on its own goroutines.
// After 10 seconds it ends the case.
func (s *Session) Await(done func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.Must(errors.New("the awaited condition has not come true within 10s"))
		}
	}
}
