package conformance

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// What all cases do with a database, and what *sql.DB, *sql.Conn and *sql.Tx
// have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

var background = context.Background()

// Exec executes a text that must go well.
func (s *Session) Exec(db querier, query string, args ...any) {
	_, err := s.ExecContext(background, db, query, args...)
	s.Must(err)
}

// ExecContext executes a text. All that cases execute comes through here.
func (s *Session) ExecContext(ctx context.Context, db querier, query string, args ...any) (sql.Result, error) {
	if len(args) == 0 {
		s.plainText(query)
	}
	return db.ExecContext(ctx, query, args...)
}

// plainText notes a text that is executed without arguments.
func (s *Session) plainText(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plainTexts = append(s.plainTexts, query)
}

// Count returns the number that a query answers, which must go well.
func (s *Session) Count(db querier, query string, args ...any) (n int64) {
	s.Must(db.QueryRowContext(background, query, args...).Scan(&n))
	return n
}

// Conn takes a connection of db's, which must go well.
func (s *Session) Conn(db *sql.DB) *sql.Conn {
	conn, err := db.Conn(background)
	s.Must(err)
	return conn
}

// Begin begins a transaction, which must go well.
func (s *Session) Begin(db interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}) *sql.Tx {
	tx, err := db.BeginTx(background, nil)
	s.Must(err)
	return tx
}

// Prepare prepares a statement, which must go well. The case closes it.
func (s *Session) Prepare(db querier, query string) *sql.Stmt {
	stmt, err := db.PrepareContext(background, query)
	s.Must(err)
	return stmt
}

// Query begins a query, which must go well. The case closes its rows.
func (s *Session) Query(db querier, query string, args ...any) *sql.Rows {
	rows, err := db.QueryContext(background, query, args...)
	s.Must(err)
	return rows
}

// SeeStmtExec executes a statement and sees its result.
func (s *Session) SeeStmtExec(what string, stmt *sql.Stmt, args ...any) {
	res, err := stmt.ExecContext(background, args...)
	s.SeeResult(what, res, err)
}

// SeeStmtQuery sees a statement's rows.
func (s *Session) SeeStmtQuery(what string, stmt *sql.Stmt, args ...any) {
	rows, err := stmt.QueryContext(background, args...)
	s.SeeRows(what, rows, err)
}

// SeeExec executes a text and sees its result.
func (s *Session) SeeExec(db querier, query string, args ...any) {
	res, err := s.ExecContext(background, db, query, args...)
	s.SeeResult(query, res, err)
}

// SeeResult sees what an Exec returned.
func (s *Session) SeeResult(what string, res sql.Result, err error) {
	if err != nil {
		s.See(what, err)
		return
	}
	id, idErr := res.LastInsertId()
	n, nErr := res.RowsAffected()
	s.See(what, id, idErr, n, nErr)
}

// SeeQuery sees a query and all its rows.
func (s *Session) SeeQuery(db querier, query string, args ...any) {
	rows, err := db.QueryContext(background, query, args...)
	s.SeeRows(query, rows, err)
}

// SeeRows sees what a Query returned: columns, their types, and all rows.
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

// SeeRow scans the row that rows are at into values of any type.
func (s *Session) SeeRow(rows *sql.Rows) {
	columns, _ := rows.Columns()
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	err := rows.Scan(dest...)
	s.See("  row", append(values, err)...)
}

// SeeTypes sees the types of columns as they are known then.
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

// Await waits for what database/sql does on goroutines of its own, which must
// be done soon.
func (s *Session) Await(done func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.Must(errors.New("what is awaited does not happen"))
		}
	}
}
