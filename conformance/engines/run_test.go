package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/trace"
	"modernc.org/sqlite"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A run is a program that is being played.
type run struct {
	*transcript
	t      *testing.T
	site   site
	db     *sql.DB
	ctx    context.Context
	cancel context.CancelFunc
}

// say records what the program sees, after the server has received everything that led to it.
func (r *run) say(format string, args ...any) {
	synctest.Wait()
	r.write(byProgram, format, args...)
}

// renew gives the run a new context after the last one was canceled. It belongs to a trace, so
// that all spans are recorded.
func (r *run) renew() {
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
	r.ctx, r.cancel = context.WithCancel(context.WithValue(ctx, mine{}, "mine"))
}

// end ends the run's context, and waits for everything that this causes.
func (r *run) end() {
	r.cancel()
	time.Sleep(time.Second)
}

// mine is the key of a value in every context of a program.
type mine struct{}

// stats records the statistics of the pool.
func (r *run) stats() {
	synctest.Wait()
	s := r.db.Stats()
	r.write(byPool, "open %d, in use %d, idle %d; closed for idleness %d %d, age %d", s.OpenConnections, s.InUse, s.Idle, s.MaxIdleClosed, s.MaxIdleTimeClosed, s.MaxLifetimeClosed)
}

// An execer, queryer and preparer is a *sql.DB, *sql.Conn or *sql.Tx.
type (
	execer interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}
	queryer interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}
	preparer interface {
		PrepareContext(context.Context, string) (*sql.Stmt, error)
	}
)

func (r *run) exec(on execer, query string, args ...any) {
	r.result(on.ExecContext(r.ctx, query, args...))
}

func (r *run) query(on queryer, query string, args ...any) {
	r.read(on.QueryContext(r.ctx, query, args...))
}

func (r *run) prepare(on preparer, query string) *sql.Stmt {
	stmt, err := on.PrepareContext(r.ctx, query)
	r.say("prepare: %s", showErr(err))
	return stmt
}

func (r *run) execStmt(stmt *sql.Stmt, args ...any)  { r.result(stmt.ExecContext(r.ctx, args...)) }
func (r *run) queryStmt(stmt *sql.Stmt, args ...any) { r.read(stmt.QueryContext(r.ctx, args...)) }

// conn acquires a connection. The program must release it.
func (r *run) conn() *sql.Conn {
	conn, err := r.db.Conn(r.ctx)
	r.say("conn: %s", showErr(err))
	if err != nil {
		r.t.FailNow()
	}
	return conn
}

func (r *run) begin(opts *sql.TxOptions) *sql.Tx {
	tx, err := r.db.BeginTx(r.ctx, opts)
	r.say("begin %+v: %s", opts, showErr(err))
	return tx
}

// parent calls do with the driver's own connection.
func (r *run) parent(conn *sql.Conn, do func(any) error) {
	r.say("raw: %s", showErr(conn.Raw(func(c any) error {
		if w, ok := c.(*wrap.Conn); ok {
			c = w.Parent()
		}
		r.write(byProgram, "the connection is a %T", c)
		return do(c)
	})))
}

// close closes what the program has open.
func (r *run) close(c interface{ Close() error }) { r.say("close %T: %s", c, showErr(c.Close())) }

func (r *run) result(res sql.Result, err error) {
	if err != nil {
		r.say("no result: %s", showErr(err))
		return
	}
	defer func() {
		if p := recover(); p != nil { // some drivers return a nil result for an empty query
			r.say("panic: %v", p)
		}
	}()
	id, err := res.LastInsertId()
	r.say("last insert ID %d: %s", id, showErr(err))
	n, err := res.RowsAffected()
	r.say("rows affected %d: %s", n, showErr(err))
}

// read reads all result sets to their end.
func (r *run) read(rows *sql.Rows, err error) {
	if err != nil {
		r.say("no rows: %s", showErr(err))
		return
	}
	for set := true; set; set = rows.NextResultSet() {
		r.columns(rows)
		for rows.Next() {
			r.row(rows)
		}
		r.say("end of set: %s", showErr(rows.Err()))
	}
	r.say("end: %s, %s", showErr(rows.Err()), showErr(rows.Close()))
}

func (r *run) columns(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	r.say("columns: %s", showErr(err))
	for _, c := range types {
		length, hasLength := c.Length()
		precision, scale, hasPrecision := c.DecimalSize()
		nullable, knowsNull := c.Nullable()
		r.say("column %q %s as %v; length %d %t; decimal %d %d %t; null %t %t", c.Name(), c.DatabaseTypeName(), c.ScanType(),
			length, hasLength, precision, scale, hasPrecision, nullable, knowsNull)
	}
}

// row records the current row, scanned as the driver returns it and into the types that its
// columns report.
func (r *run) row(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	if err != nil {
		r.say("no columns: %s", showErr(err))
		return
	}
	values, typed := make([]any, len(types)), make([]any, len(types))
	for i := range types {
		values[i] = new(any)
		typed[i] = new(any)
		if scan := types[i].ScanType(); scan != nil { // some drivers report nil for NULL
			typed[i] = reflect.New(reflect.PointerTo(scan)).Interface() // a nil pointer is NULL
		}
	}
	r.say("row: %s %s", showErr(rows.Scan(values...)), showDests(values))
	r.say("as its types: %s %s", showErr(rows.Scan(typed...)), showDests(typed))
}

// scan scans the next row of a query into dests.
func (r *run) scan(query string, dests ...any) {
	rows, err := r.db.QueryContext(r.ctx, query)
	if err != nil {
		r.say("no rows: %s", showErr(err))
		return
	}
	r.say("next: %t", rows.Next())
	r.say("scanned: %s %s", showErr(rows.Scan(dests...)), showDests(dests))
	r.say("end: %s, %s", showErr(rows.Close()), showErr(rows.Err()))
}

func showDests(dests []any) string {
	var b strings.Builder
	for _, d := range dests {
		v := reflect.ValueOf(d).Elem()
		for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
			if v.IsNil() {
				break
			}
			v = v.Elem()
		}
		fmt.Fprintf(&b, " %s", showValue(v.Interface()))
	}
	return b.String()
}

func showValue(v any) string {
	switch v := v.(type) {
	case time.Time:
		return "time " + v.Format(time.RFC3339Nano)
	case string, []byte:
		return fmt.Sprintf("%T %q", v, v)
	}
	return fmt.Sprintf("%T %+v", v, v)
}

// showErr returns an error with the types of all errors that it wraps, and the sentinel errors
// that it matches.
func showErr(err error) string {
	if err == nil {
		return "ok"
	}
	text := fmt.Sprintf("error %q", err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += fmt.Sprintf(" %T", e)
	}
	for _, known := range []error{
		driver.ErrBadConn, driver.ErrSkip, context.Canceled, context.DeadlineExceeded,
		sql.ErrNoRows, sql.ErrTxDone, sql.ErrConnDone, pgx.ErrTxClosed, pgx.ErrTxCommitRollback, mysql.ErrInvalidConn,
	} {
		if err == known {
			text += fmt.Sprintf(", is itself %q", known)
		} else if errors.Is(err, known) {
			text += fmt.Sprintf(", is %q", known)
		}
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		text += fmt.Sprintf(", PostgreSQL's %+v", *e)
	}
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		text += fmt.Sprintf(", MySQL's %d %s %s", e.Number, e.SQLState, e.Message)
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		text += fmt.Sprintf(", SQLite's %d", e.Code())
	}
	return text
}
