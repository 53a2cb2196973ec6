package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A result is the parent's own, with all of its methods, traced or not: a program gets them
// through Raw.
func TestResultIsTheParents(t *testing.T) {
	for _, traced := range []bool{false, true} {
		var cfg wrap.Config
		if traced {
			cfg.Tracing = newTracer(t, tracetest.NewSpanRecorder())
		}
		db := sql.OpenDB(wrap.NewConnector(richConnector{}, cfg))
		defer db.Close()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		err = conn.Raw(func(dc any) error {
			res, err := dc.(driver.ExecerContext).ExecContext(t.Context(), "q", nil)
			if _, ok := res.(richResult); !ok {
				t.Errorf("traced %t: an Exec returns a %T", traced, res)
			}
			if err != nil {
				return err
			}
			stmt, err := dc.(driver.Conn).Prepare("q")
			if err != nil {
				return err
			}
			defer stmt.Close()
			res, err = stmt.(driver.StmtExecContext).ExecContext(t.Context(), nil)
			if _, ok := res.(richResult); !ok {
				t.Errorf("traced %t: a statement's Exec returns a %T", traced, res)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A richResult has more methods than a driver.Result, as mysql's result has.
type richResult struct{ driver.Result }

func (richResult) AllRowsAffected() []int64 { return nil }

type richConnector struct{}

func (c richConnector) Connect(context.Context) (driver.Conn, error) { return richConn{}, nil }
func (c richConnector) Driver() driver.Driver                        { return nil }

type richConn struct{ driver.Conn }

func (richConn) Prepare(string) (driver.Stmt, error) { return richStmt{}, nil }
func (richConn) Close() error                        { return nil }
func (richConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return richResult{}, nil
}

type richStmt struct{ driver.Stmt }

func (richStmt) Close() error  { return nil }
func (richStmt) NumInput() int { return 0 }
func (richStmt) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return richResult{}, nil
}
