package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An askingDriver's connections report whether a *sql.DB has issued a call.
type askingDriver struct{ byDB *bool }

func (d askingDriver) Connect(context.Context) (driver.Conn, error) { return askingConn(d), nil }
func (d askingDriver) Driver() driver.Driver                        { return nil }

type askingConn askingDriver

func (c askingConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	*c.byDB = wrap.ExecutedByDB()
	return driver.RowsAffected(0), nil
}

func (c askingConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	*c.byDB = wrap.QueriedByDB()
	return nil, errors.New("no rows")
}

func (c askingConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	*c.byDB = wrap.BegunByDB()
	return askingTx{}, nil
}

func (c askingConn) Prepare(string) (driver.Stmt, error) { return askingStmt{c}, nil }
func (c askingConn) Begin() (driver.Tx, error)           { return askingTx{}, nil }
func (c askingConn) Close() error                        { return nil }

type askingTx struct{}

func (askingTx) Commit() error   { return nil }
func (askingTx) Rollback() error { return nil }

type askingStmt struct{ conn askingConn }

func (s askingStmt) Close() error  { return nil }
func (s askingStmt) NumInput() int { return 0 }
func (s askingStmt) Exec([]driver.Value) (driver.Result, error) {
	return s.conn.ExecContext(context.Background(), "", nil)
}

func (s askingStmt) Query([]driver.Value) (driver.Rows, error) {
	return s.conn.QueryContext(context.Background(), "", nil)
}

// TestIssuers checks which calls end the use of their connection, by the function that has issued
// them. The second call of each finds its stack known.
func TestIssuers(t *testing.T) {
	var byDB bool
	db := sql.OpenDB(askingDriver{&byDB})
	defer db.Close()
	ctx := t.Context()
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Prepare("")
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []struct {
		name string
		do   func()
		want bool
	}{
		{"DB.Exec", func() { _, _ = db.ExecContext(ctx, "") }, true},
		{"Conn.Exec", func() { _, _ = c.ExecContext(ctx, "") }, false},
		{"Tx.Exec", func() { _, _ = tx.ExecContext(ctx, "") }, false},
		{"Stmt.Exec", func() { _, _ = st.ExecContext(ctx) }, false},
		{"DB.Query", func() { _ = db.QueryRowContext(ctx, "").Err() }, true},
		{"Conn.Query", func() { _ = c.QueryRowContext(ctx, "").Err() }, false},
		{"Tx.Query", func() { _ = tx.QueryRowContext(ctx, "").Err() }, false},
		{"Stmt.Query", func() { _ = st.QueryRowContext(ctx).Err() }, false},
		{"DB.Begin", func() {
			if tx, err := db.BeginTx(ctx, nil); err == nil {
				_ = tx.Rollback()
			}
		}, true},
		{"Conn.Begin", func() {
			if tx, err := c.BeginTx(ctx, nil); err == nil {
				_ = tx.Rollback()
			}
		}, false},
	} {
		for range 2 {
			byDB = !call.want
			if call.do(); byDB != call.want {
				t.Errorf("%s: %t", call.name, byDB)
			}
		}
	}
}
