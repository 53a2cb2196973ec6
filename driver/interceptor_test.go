package driver_test

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver"
)

// retry is a program's interceptor that retries calls that failed with errFault.
type retry struct {
	sqlmw.NullInterceptor
	seen *[]string
}

var errFault = errors.New("fault")

func (r retry) ConnExecContext(ctx context.Context, conn sqldriver.ExecerContext, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	*r.seen = append(*r.seen, "retry "+query)
	res, err := conn.ExecContext(ctx, query, slices.Clone(args))
	if errors.Is(err, errFault) {
		return conn.ExecContext(ctx, query, args)
	}
	return res, err
}

func (r retry) ConnQueryContext(ctx context.Context, conn sqldriver.QueryerContext, query string, args []sqldriver.NamedValue) (context.Context, sqldriver.Rows, error) {
	rows, err := conn.QueryContext(ctx, query, slices.Clone(args))
	if err == nil {
		// It also makes every query twice.
		if err := rows.Close(); err != nil {
			return ctx, nil, err
		}
		rows, err = conn.QueryContext(ctx, query, args)
	}
	return ctx, rows, err
}

// faults is an interceptor that fails the first exec, and every third row.
type faults struct {
	sqlmw.NullInterceptor
	seen  *[]string
	execs int
	rows  int
}

func (f *faults) ConnExecContext(ctx context.Context, conn sqldriver.ExecerContext, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	*f.seen = append(*f.seen, "faults "+query)
	if f.execs++; f.execs%2 == 1 {
		return nil, errFault
	}
	return conn.ExecContext(ctx, query, args)
}

func (f *faults) RowsNext(_ context.Context, rows sqldriver.Rows, dest []sqldriver.Value) error {
	if f.rows++; f.rows == 3 {
		return errFault
	}
	return rows.Next(dest)
}

// A program's interceptors wrap tracing, in order. A call that they repeat has another
// span, and a call that they answer themselves has none.
func TestInterceptors(t *testing.T) {
	tracer, _, rec := recordSpans(t)
	var seen []string
	db := open(t, file(t), driver.Config{
		Tracing:      tracer,
		Interceptors: []sqlmw.Interceptor{retry{seen: &seen}, &faults{seen: &seen}},
	})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a)")
	exec(t, db, "INSERT INTO t VALUES (?), (2), (3), (4)", 1)
	if want := []string{"retry CREATE TABLE t(a)", "faults CREATE TABLE t(a)", "faults CREATE TABLE t(a)"}; !slices.Equal(seen[:3], want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
	if got, want := spanNames(rec), []string{"CREATE TABLE t", "INSERT t"}; !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v: a fault before the call is no call", got, want)
	}
	rows, err := db.Query("SELECT a FROM t WHERE a > ?", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if n != 2 || !errors.Is(rows.Err(), errFault) {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	if got, want := spanNames(rec)[2:], []string{"SELECT t", "SELECT t"}; !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
}

// A connection with a damaged file is closed on release, and the next call opens another.
func TestSickConnectionIsRetired(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, path string)
		call  string
		is    error
	}{
		"cut short": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		}, "SELECT sum(length(b)) FROM t", sqlite3.CORRUPT},
		"overwritten": {func(t *testing.T, path string) {
			write(t, path, strings.Repeat("no database ", 9999))
		}, "SELECT sum(length(b)) FROM t", nil},
		"gone": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "INSERT INTO t VALUES ('x')", sqlite3.READONLY},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			var log eventLog
			db := open(t, path, driver.Config{Recorder: &log})
			db.SetMaxOpenConns(1)
			exec(t, db, "CREATE TABLE t(b)")
			for range 100 {
				exec(t, db, "INSERT INTO t VALUES (?)", strings.Repeat("x", 500))
			}
			exec(t, db, "PRAGMA cache_size = 1")
			tc.spoil(t, path)
			_, err := db.Exec(tc.call)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("the spoilt file says %v", err)
			}
			last := log.events[len(log.events)-1]
			if last.Kind != driver.KindClose || last.Reason != driver.ReasonSick {
				t.Errorf("the last event is %v, %q", last.Kind, last.Reason)
			}
		})
	}
}

// An interceptor may return its own statement instead of the connection's.
func TestInterceptorsOwnStatement(t *testing.T) {
	db := open(t, file(t), driver.Config{Interceptors: []sqlmw.Interceptor{ownStmt{}}})
	stmt, err := db.Prepare("SELECT ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if _, err := stmt.Exec(1); err == nil || err.Error() != "my own" {
		t.Errorf("exec: %v", err)
	}
	if _, err := stmt.Query(1); err == nil || err.Error() != "my own" {
		t.Errorf("query: %v", err)
	}
}

type ownStmt struct{ sqlmw.NullInterceptor }

func (ownStmt) ConnPrepareContext(ctx context.Context, _ sqldriver.ConnPrepareContext, _ string) (context.Context, sqldriver.Stmt, error) {
	return ctx, mine{}, nil
}

type mine struct{}

func (mine) Close() error                                     { return nil }
func (mine) NumInput() int                                    { return 1 }
func (mine) Exec([]sqldriver.Value) (sqldriver.Result, error) { return nil, errors.New("my own") }
func (mine) Query([]sqldriver.Value) (sqldriver.Rows, error)  { return nil, errors.New("my own") }
