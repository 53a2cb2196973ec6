//go:build modernc && liars

package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
)

// A lie is a fault of a driver around modernc's. A nil field means that calls are passed on.
type lie struct {
	dsn      func(string) string
	lenient  bool // opens refused DSNs without their parameters
	begin    func(*driver.TxOptions) error
	argument func(driver.Value) driver.Value
	text     func(string) string
	value    func(decl string, v driver.Value) driver.Value
	err      func(error) error
	late     bool // reports errors of Query at the first row
	lazy     bool // executes a Query when its first row is read
	result   func(id, rows int64) (int64, int64)
	typeName func(string) string
	scanType func(reflect.Type) reflect.Type
	nullable bool // reports each column as not nullable
	excess   bool // refuses excess arguments
}

// without returns a function that removes the parameters from a DSN.
func without(params ...string) func(string) string {
	return func(dsn string) string {
		name, query, ok := strings.Cut(dsn, "?")
		if !ok {
			return dsn
		}
		kept := strings.Split(query, "&")
		for _, p := range params {
			for i, pair := range kept {
				if strings.HasPrefix(pair, p+"=") {
					kept[i] = ""
				}
			}
		}
		return name + "?" + strings.Join(kept, "&")
	}
}

var lies = map[string]*lie{
	"honest":              {},
	"no-busy-timeout":     {dsn: without("_busy_timeout", "_timeout")},
	"no-txlock":           {dsn: without("_txlock")},
	"no-defensive":        {dsn: without("_defensive")},
	"no-dqs":              {dsn: without("_dqs")},
	"no-inttotime":        {dsn: without("_inttotime")},
	"no-timezone":         {dsn: without("_timezone")},
	"lenient":             {lenient: true},
	"unescaped-names":     {dsn: unescaped},
	"times-written-in-z":  {argument: inZ},
	"times-read-as-texts": {value: timeAsText},
	"times-read-in-utc":   {value: timeInUTC},
	"boolean":             {value: intAsBool},
	"empty-blobs":         {value: emptyBlob},
	"texts-as-bytes":      {value: textAsBytes},
	"texts-trimmed":       {argument: trimmed},
	"isolation":           {begin: refuseLevels},
	"read-only-enforced":  {begin: refuseReadOnly},
	"no-id":               {result: func(_, rows int64) (int64, int64) { return 0, rows }},
	"no-row-count":        {result: func(id, _ int64) (int64, int64) { return id, 0 }},
	"first-statement":     {text: firstStatement},
	"other-error-texts":   {err: otherText},
	"no-error-codes":      {err: textOnly},
	"wrapped-contexts":    {err: contextAsText},
	"late-errors":         {late: true},
	"lazy-queries":        {lazy: true},
	"excess-arguments":    {excess: true},
	"type-names":          {typeName: baseType},
	"scan-types":          {scanType: func(reflect.Type) reflect.Type { return reflect.TypeFor[any]() }},
	"nullable":            {nullable: true},
}

func init() {
	db, err := sql.Open("sqlite", "")
	if err != nil {
		panic(err)
	}
	base := db.Driver()
	for name, l := range lies {
		sql.Register(name, &liarDriver{base, l})
		targets[name] = target{player.Modernc, "sqlite", "_pragma=busy_timeout(0)"}
	}
}

func unescaped(dsn string) string {
	if strings.HasPrefix(dsn, "file:") {
		return dsn
	}
	if name, err := url.PathUnescape(dsn); err == nil {
		return name
	}
	return dsn
}

func inZ(v driver.Value) driver.Value {
	if t, ok := v.(time.Time); ok {
		return t.UTC().Format(time.RFC3339Nano)
	}
	return v
}

func trimmed(v driver.Value) driver.Value {
	if s, ok := v.(string); ok {
		s, _, _ = strings.Cut(s, "\x00")
		return s
	}
	return v
}

func timeAsText(_ string, v driver.Value) driver.Value {
	if t, ok := v.(time.Time); ok {
		return t.Format(time.RFC3339Nano)
	}
	return v
}

func timeInUTC(_ string, v driver.Value) driver.Value {
	if t, ok := v.(time.Time); ok {
		return t.UTC()
	}
	return v
}

func intAsBool(decl string, v driver.Value) driver.Value {
	if n, ok := v.(int64); ok && decl == "BOOLEAN" {
		return n > 0
	}
	return v
}

func emptyBlob(_ string, v driver.Value) driver.Value {
	if b, ok := v.([]byte); ok && b == nil {
		return []byte{}
	}
	return v
}

func textAsBytes(decl string, v driver.Value) driver.Value {
	if s, ok := v.(string); ok && decl == "" {
		return []byte(s)
	}
	return v
}

func refuseLevels(o *driver.TxOptions) error {
	if o.Isolation != 0 {
		return errors.New("isolation level not supported")
	}
	return nil
}

func refuseReadOnly(o *driver.TxOptions) error {
	if o.ReadOnly {
		return errors.New("no read-only transactions")
	}
	return nil
}

func firstStatement(s string) string {
	first, _, _ := strings.Cut(s, ";")
	return first
}

// A liarError has another text than the error that it wraps.
type liarError struct {
	error
	text string
}

func (e *liarError) Error() string { return e.text }
func (e *liarError) Unwrap() error { return e.error }

func otherText(err error) error {
	_, text, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err
	}
	return &liarError{err, text}
}

func textOnly(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.New(err.Error())
}

func contextAsText(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New(err.Error())
	}
	return err
}

func baseType(decl string) string {
	base, _, _ := strings.Cut(decl, "(")
	return base
}

// A liarDriver adds a lie to another driver.
type liarDriver struct {
	base driver.Driver
	*lie
}

func (d *liarDriver) Open(dsn string) (driver.Conn, error) {
	if d.dsn != nil {
		dsn = d.dsn(dsn)
	}
	c, err := d.base.Open(dsn)
	if err != nil && d.lenient {
		name, _, _ := strings.Cut(dsn, "?")
		c, err = d.base.Open(name)
	}
	if err != nil {
		return nil, d.wrong(err)
	}
	return &liarConn{c.(fullConn), d.lie}, nil
}

// wrong returns the error that replaces err.
func (l *lie) wrong(err error) error {
	if err == nil || err == io.EOF || l.err == nil {
		return err
	}
	return l.err(err)
}

func (l *lie) query(query string) string {
	if l.text == nil {
		return query
	}
	return l.text(query)
}

func (l *lie) arguments(query string, args []driver.NamedValue) ([]driver.NamedValue, error) {
	if n := strings.Count(query, "?"); l.excess && n < len(args) {
		return nil, errors.New("too many arguments")
	}
	if l.argument == nil {
		return args, nil
	}
	wrong := make([]driver.NamedValue, len(args))
	for i, a := range args {
		a.Value = l.argument(a.Value)
		wrong[i] = a
	}
	return wrong, nil
}

// A fullConn has the methods of modernc's connections.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type liarConn struct {
	fullConn
	*lie
}

func (c *liarConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.begin != nil {
		if err := c.begin(&o); err != nil {
			return nil, err
		}
	}
	tx, err := c.fullConn.BeginTx(ctx, o)
	if err != nil {
		return nil, c.wrong(err)
	}
	return &liarTx{tx, c.lie}, nil
}

func (c *liarConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.fullConn.PrepareContext(ctx, c.query(query))
	if err != nil {
		return nil, c.wrong(err)
	}
	return &liarStmt{s.(fullStmt), c.lie, query}, nil
}

func (c *liarConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	args, err := c.arguments(query, args)
	if err != nil {
		return nil, err
	}
	r, err := c.fullConn.ExecContext(ctx, c.query(query), args)
	return c.wrongResult(r), c.wrong(err)
}

func (c *liarConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	args, err := c.arguments(query, args)
	if err != nil {
		return nil, err
	}
	return c.rows(func() (driver.Rows, error) { return c.fullConn.QueryContext(ctx, c.query(query), args) })
}

func (c *liarConn) Ping(ctx context.Context) error { return c.wrong(c.fullConn.Ping(ctx)) }

type liarTx struct {
	driver.Tx
	*lie
}

func (t *liarTx) Commit() error   { return t.wrong(t.Tx.Commit()) }
func (t *liarTx) Rollback() error { return t.wrong(t.Tx.Rollback()) }

// A fullStmt has the methods of modernc's statements.
type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type liarStmt struct {
	fullStmt
	*lie
	text string
}

func (s *liarStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	args, err := s.arguments(s.text, args)
	if err != nil {
		return nil, err
	}
	r, err := s.fullStmt.ExecContext(ctx, args)
	return s.wrongResult(r), s.wrong(err)
}

func (s *liarStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	args, err := s.arguments(s.text, args)
	if err != nil {
		return nil, err
	}
	return s.rows(func() (driver.Rows, error) { return s.fullStmt.QueryContext(ctx, args) })
}

// wrongResult returns the result that replaces r.
func (l *lie) wrongResult(r driver.Result) driver.Result {
	if r == nil || l.result == nil {
		return r
	}
	id, _ := r.LastInsertId()
	n, _ := r.RowsAffected()
	id, n = l.result(id, n)
	return liarResult{id, n}
}

type liarResult struct{ id, n int64 }

func (r liarResult) LastInsertId() (int64, error) { return r.id, nil }
func (r liarResult) RowsAffected() (int64, error) { return r.n, nil }

// rows returns the rows of a query.
func (l *lie) rows(query func() (driver.Rows, error)) (driver.Rows, error) {
	if l.lazy {
		return &lateRows{query: query}, nil
	}
	rows, err := query()
	if err != nil {
		if l.late {
			return &lateRows{query: func() (driver.Rows, error) { return nil, err }}, nil
		}
		return nil, l.wrong(err)
	}
	return &liarRows{rows.(fullRows), l}, nil
}

// lateRows make their query when the first row is read.
type lateRows struct {
	query func() (driver.Rows, error)
	rows  driver.Rows
}

func (r *lateRows) Columns() []string {
	if r.rows == nil {
		return []string{"late"}
	}
	return r.rows.Columns()
}

func (r *lateRows) Close() error {
	if r.rows == nil {
		return nil
	}
	return r.rows.Close()
}

func (r *lateRows) Next(dest []driver.Value) (err error) {
	if r.rows == nil {
		if r.rows, err = r.query(); err != nil {
			return err
		}
	}
	return r.rows.Next(dest)
}

// A fullRows has the methods of modernc's rows.
type fullRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

type liarRows struct {
	fullRows
	*lie
}

func (r *liarRows) Next(dest []driver.Value) error {
	if err := r.fullRows.Next(dest); err != nil {
		return r.wrong(err)
	}
	if r.value != nil {
		for i := range dest {
			dest[i] = r.value(r.fullRows.ColumnTypeDatabaseTypeName(i), dest[i])
		}
	}
	return nil
}

func (r *liarRows) ColumnTypeDatabaseTypeName(i int) string {
	name := r.fullRows.ColumnTypeDatabaseTypeName(i)
	if r.typeName == nil {
		return name
	}
	return r.typeName(name)
}

func (r *liarRows) ColumnTypeScanType(i int) reflect.Type {
	t := r.fullRows.ColumnTypeScanType(i)
	if r.scanType == nil {
		return t
	}
	return r.scanType(t)
}

func (r *liarRows) ColumnTypeNullable(i int) (bool, bool) {
	if r.nullable {
		return false, true
	}
	return r.fullRows.ColumnTypeNullable(i)
}
