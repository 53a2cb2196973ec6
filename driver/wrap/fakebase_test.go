package wrap_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A fake is a scripted driver. Its connections, statements and rows have the
// optional interfaces that its kinds say and no others. It writes down what it
// is asked, and does what its hooks say.
//
// A query has as many parameters as it has question marks, or any number if it
// has an asterisk. Every query answers the same rows.
type fake struct {
	conn connKind
	stmt stmtKind
	rows rowsKind
	sets int // result sets of a query, for rows that can have several

	// asksForSets has questions for another result set written down, too.
	asksForSets bool

	mu    sync.Mutex
	conns int
	known map[context.Context]string
	log   []entry
	hooks map[string]hook
}

// A hook is called in an operation of its name, with how often it was called
// before. Its error is the operation's; for IsValid, any error means false.
type hook func(ctx context.Context, n int) error

// An entry is one line of what happened.
type entry struct {
	by   byte // 'p' the program, 'b' the base, 's' the pool's statistics
	text string
}

func (f *fake) write(by byte, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, entry{by, fmt.Sprintf(format, args...)})
}

// asked returns what the base was asked so far, as "conn operation(detail)".
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var texts []string
	for _, e := range f.log {
		if e.by == 'b' {
			texts = append(texts, e.text)
		}
	}
	return texts
}

// on installs h for each of ops, with one count for all.
func (f *fake) on(h hook, ops ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var n atomic.Int64
	counted := func(ctx context.Context, _ int) error { return h(ctx, int(n.Add(1))-1) }
	if f.hooks == nil {
		f.hooks = make(map[string]hook)
	}
	for _, op := range ops {
		f.hooks[op] = counted
	}
}

// off removes all hooks.
func (f *fake) off() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hooks = nil
}

// fail returns a hook that always answers err.
func fail(err error) hook { return func(context.Context, int) error { return err } }

// call writes an operation down and runs its hook. who is what is asked:
// "c1", "c1.stmt" and so on. ctx is nil for operations that have none.
func (f *fake) call(who, op string, ctx context.Context, format string, args ...any) error {
	name := op
	if kind := who[strings.IndexByte(who, '.')+1:]; kind != who {
		name = kind + "." + op
	}
	f.mu.Lock()
	text := who + " " + op + "(" + fmt.Sprintf(format, args...) + ")"
	if ctx != nil {
		text += " ctx=" + f.nameLocked(ctx)
	}
	f.log = append(f.log, entry{'b', text})
	h := f.hooks[name]
	f.mu.Unlock()
	if h == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return h(ctx, 0)
}

// know has contexts that are this very ctx called name in the log.
func (f *fake) know(ctx context.Context, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[context.Context]string)
	}
	f.known[ctx] = name
}

func (f *fake) nameLocked(ctx context.Context) string {
	if name, ok := f.known[ctx]; ok {
		return name
	}
	if ctx == context.Background() {
		return "background"
	}
	return fmt.Sprintf("another: %v", ctx)
}

// Connect and Driver make a fake a connector.
func (f *fake) Connect(ctx context.Context) (driver.Conn, error) {
	if err := f.call("base", "Connect", ctx, ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns++
	return f.conn.make(&fakeConn{f, fmt.Sprintf("c%d", f.conns)}), nil
}

func (f *fake) Driver() driver.Driver { return fakeDriver{f} }

type fakeDriver struct{ f *fake }

func (d fakeDriver) Open(name string) (driver.Conn, error) {
	if err := d.f.call("base", "Open", nil, "%s", name); err != nil {
		return nil, err
	}
	return d.f.Connect(context.Background())
}

// A fakeConn is what all parts of one connection share.
type fakeConn struct {
	f    *fake
	name string
}

func (c *fakeConn) call(op string, ctx context.Context, format string, args ...any) error {
	return c.f.call(c.name, op, ctx, format, args...)
}

// result answers an Exec whose hook said err.
func (c *fakeConn) result(err error) (driver.Result, error) {
	if err != nil {
		return nil, err
	}
	return fakeResult{c}, nil
}

// answer answers a Query whose hook said err.
func (c *fakeConn) answer(err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	return c.f.rows.make(&fakeRows{c: c, sets: c.f.sets}), nil
}

func (c *fakeConn) prepare(query string, err error) (driver.Stmt, error) {
	if err != nil {
		return nil, err
	}
	inputs := strings.Count(query, "?")
	if strings.Contains(query, "*") {
		inputs = -1
	}
	return c.f.stmt.make(&fakeStmt{c, query, inputs}), nil
}

func (c *fakeConn) begin(err error) (driver.Tx, error) {
	if err != nil {
		return nil, err
	}
	return fakeTx{c}, nil
}

// The parts of connections: one for each interface.
type (
	connCore       struct{ c *fakeConn }
	connExec       struct{ c *fakeConn }
	connExecCtx    struct{ c *fakeConn }
	connQuery      struct{ c *fakeConn }
	connQueryCtx   struct{ c *fakeConn }
	connPrepareCtx struct{ c *fakeConn }
	connBeginTx    struct{ c *fakeConn }
	connPing       struct{ c *fakeConn }
	connReset      struct{ c *fakeConn }
	connValid      struct{ c *fakeConn }
	connCheck      struct{ c *fakeConn }
)

func (p connCore) Prepare(query string) (driver.Stmt, error) {
	return p.c.prepare(query, p.c.call("Prepare", nil, "%s", query))
}

func (p connCore) Begin() (driver.Tx, error) { return p.c.begin(p.c.call("Begin", nil, "")) }

func (p connCore) Close() error { return p.c.call("Close", nil, "") }

func (p connExec) Exec(query string, args []driver.Value) (driver.Result, error) {
	return p.c.result(p.c.call("Exec", nil, "%s%s", query, showValues(args)))
}

func (p connExecCtx) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return p.c.result(p.c.call("ExecContext", ctx, "%s%s", query, showArgs(args)))
}

func (p connQuery) Query(query string, args []driver.Value) (driver.Rows, error) {
	return p.c.answer(p.c.call("Query", nil, "%s%s", query, showValues(args)))
}

func (p connQueryCtx) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return p.c.answer(p.c.call("QueryContext", ctx, "%s%s", query, showArgs(args)))
}

func (p connPrepareCtx) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return p.c.prepare(query, p.c.call("PrepareContext", ctx, "%s", query))
}

func (p connBeginTx) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return p.c.begin(p.c.call("BeginTx", ctx, "isolation %d, read-only %t", opts.Isolation, opts.ReadOnly))
}

func (p connPing) Ping(ctx context.Context) error { return p.c.call("Ping", ctx, "") }

func (p connReset) ResetSession(ctx context.Context) error { return p.c.call("ResetSession", ctx, "") }

func (p connValid) IsValid() bool { return p.c.call("IsValid", nil, "") == nil }

func (p connCheck) CheckNamedValue(arg *driver.NamedValue) error {
	if err := p.c.call("CheckNamedValue", nil, "%s", showArg(*arg)); err != nil {
		return err
	}
	return checkSpecial(arg, "connection")
}

// A connKind is a set of optional interfaces of a connection.
type connKind struct {
	name string
	make func(*fakeConn) driver.Conn
}

var connKinds = []connKind{
	{"none", func(c *fakeConn) driver.Conn { return connCore{c} }},
	{"Execer", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExec
		}{connCore{c}, connExec{c}}
	}},
	{"Queryer", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connQuery
		}{connCore{c}, connQuery{c}}
	}},
	{"Execer+Queryer+Checker", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExec
			connQuery
			connCheck
		}{connCore{c}, connExec{c}, connQuery{c}, connCheck{c}}
	}},
	{"ExecerContext", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExecCtx
		}{connCore{c}, connExecCtx{c}}
	}},
	{"QueryerContext", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connQueryCtx
		}{connCore{c}, connQueryCtx{c}}
	}},
	{"ExecerContext+Execer+QueryerContext+Queryer", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExec
			connExecCtx
			connQuery
			connQueryCtx
		}{connCore{c}, connExec{c}, connExecCtx{c}, connQuery{c}, connQueryCtx{c}}
	}},
	{"PrepareContext", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connPrepareCtx
		}{connCore{c}, connPrepareCtx{c}}
	}},
	{"BeginTx", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connBeginTx
		}{connCore{c}, connBeginTx{c}}
	}},
	{"Pinger", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connPing
		}{connCore{c}, connPing{c}}
	}},
	{"Resetter", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connReset
		}{connCore{c}, connReset{c}}
	}},
	{"Validator", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connValid
		}{connCore{c}, connValid{c}}
	}},
	{"Resetter+Validator", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connReset
			connValid
		}{connCore{c}, connReset{c}, connValid{c}}
	}},
	{"Checker", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connCheck
		}{connCore{c}, connCheck{c}}
	}},
	{"SQLite's", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExecCtx
			connPrepareCtx
			connBeginTx
			connCheck
		}{connCore{c}, connExecCtx{c}, connPrepareCtx{c}, connBeginTx{c}, connCheck{c}}
	}},
	{"all with contexts", func(c *fakeConn) driver.Conn {
		return struct {
			connCore
			connExecCtx
			connQueryCtx
			connPrepareCtx
			connBeginTx
			connPing
			connReset
			connValid
			connCheck
		}{connCore{c}, connExecCtx{c}, connQueryCtx{c}, connPrepareCtx{c}, connBeginTx{c}, connPing{c}, connReset{c}, connValid{c}, connCheck{c}}
	}},
}

// connOf returns the connKind called name.
func connOf(name string) connKind {
	for _, k := range connKinds {
		if k.name == name {
			return k
		}
	}
	panic("no kind of connection is called " + name)
}

// keepsOnRollback reports whether database/sql itself keeps such a connection
// when it rolls back a transaction whose context has ended.
func (k connKind) keepsOnRollback() bool {
	c := k.make(nil)
	_, resets := c.(driver.SessionResetter)
	_, validates := c.(driver.Validator)
	return resets && validates
}

type fakeTx struct{ c *fakeConn }

func (t fakeTx) Commit() error   { return t.c.call("Commit", nil, "") }
func (t fakeTx) Rollback() error { return t.c.call("Rollback", nil, "") }

type fakeResult struct{ c *fakeConn }

func (r fakeResult) LastInsertId() (int64, error) { return 7, r.c.call("LastInsertId", nil, "") }
func (r fakeResult) RowsAffected() (int64, error) { return 8, r.c.call("RowsAffected", nil, "") }

type fakeStmt struct {
	c      *fakeConn
	query  string
	inputs int
}

func (s *fakeStmt) call(op string, ctx context.Context, format string, args ...any) error {
	return s.c.f.call(s.c.name+".stmt", op, ctx, format, args...)
}

type (
	stmtCore     struct{ s *fakeStmt }
	stmtExecCtx  struct{ s *fakeStmt }
	stmtQueryCtx struct{ s *fakeStmt }
	stmtCheck    struct{ s *fakeStmt }
	stmtConvert  struct{ s *fakeStmt }
)

func (p stmtCore) Close() error { return p.s.call("Close", nil, "%s", p.s.query) }

func (p stmtCore) NumInput() int {
	p.s.call("NumInput", nil, "")
	return p.s.inputs
}

func (p stmtCore) Exec(args []driver.Value) (driver.Result, error) {
	return p.s.c.result(p.s.call("Exec", nil, "%s%s", p.s.query, showValues(args)))
}

func (p stmtCore) Query(args []driver.Value) (driver.Rows, error) {
	return p.s.c.answer(p.s.call("Query", nil, "%s%s", p.s.query, showValues(args)))
}

func (p stmtExecCtx) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.s.c.result(p.s.call("ExecContext", ctx, "%s%s", p.s.query, showArgs(args)))
}

func (p stmtQueryCtx) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.s.c.answer(p.s.call("QueryContext", ctx, "%s%s", p.s.query, showArgs(args)))
}

func (p stmtCheck) CheckNamedValue(arg *driver.NamedValue) error {
	if err := p.s.call("CheckNamedValue", nil, "%s", showArg(*arg)); err != nil {
		return err
	}
	return checkSpecial(arg, "statement")
}

func (p stmtConvert) ColumnConverter(i int) driver.ValueConverter {
	p.s.call("ColumnConverter", nil, "%d", i)
	return fakeColumn(p)
}

type stmtKind struct {
	name string
	make func(*fakeStmt) driver.Stmt
}

var stmtKinds = []stmtKind{
	{"none", func(s *fakeStmt) driver.Stmt { return stmtCore{s} }},
	{"contexts", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}}
	}},
	{"all", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
			stmtCheck
			stmtConvert
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}, stmtCheck{s}, stmtConvert{s}}
	}},
	{"ExecContext", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
		}{stmtCore{s}, stmtExecCtx{s}}
	}},
	{"QueryContext", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtQueryCtx
		}{stmtCore{s}, stmtQueryCtx{s}}
	}},
	{"Checker", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtCheck
		}{stmtCore{s}, stmtCheck{s}}
	}},
	{"Converter", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtConvert
		}{stmtCore{s}, stmtConvert{s}}
	}},
	{"contexts+Checker", func(s *fakeStmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
			stmtCheck
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}, stmtCheck{s}}
	}},
}

// The types of argument that only the fake knows.
type (
	special struct{}         // accepted by a checker
	column  struct{}         // accepted by a column
	removed struct{}         // removed by a checker
	refused struct{}         // refused by a checker and a column, with errRefused
	odd     struct{}         // turned into no driver.Value by a column
	letters struct{ string } // left to the default by everybody, which refuses it
)

var errRefused = errors.New("fake: refused")

// checkSpecial is what all checkers do: they leave what they do not know to
// the next, and keep int8 as it is.
func checkSpecial(arg *driver.NamedValue, by string) error {
	switch arg.Value.(type) {
	case special:
		arg.Value = "special to the " + by
		return nil
	case int8:
		return nil
	case removed:
		return driver.ErrRemoveArgument
	case refused:
		return errRefused
	}
	return driver.ErrSkip
}

type fakeColumn struct{ s *fakeStmt }

func (c fakeColumn) ConvertValue(v any) (driver.Value, error) {
	c.s.call("ConvertValue", nil, "%s", showValue(v))
	switch v := v.(type) {
	case column:
		return "a column's", nil
	case refused:
		return nil, errRefused
	case odd:
		return v, nil
	case string:
		return strings.ToUpper(v), nil
	}
	return nil, driver.ErrSkip
}

// The types of argument that convert themselves. They say so in the fake's log.
type (
	valuer     struct{ f *fake }
	nilValuer  struct{ f *fake } // passed as a nil pointer
	badValuer  struct{ f *fake }
	oddValuer  struct{ f *fake }
	panicValue struct{ f *fake }
)

var errValuer = errors.New("fake: cannot convert myself")

func (v valuer) Value() (driver.Value, error) {
	v.f.write('b', "Value()")
	return "value", nil
}

func (v nilValuer) Value() (driver.Value, error) {
	v.f.write('b', "Value() on nil")
	return "not nil", nil
}

func (v badValuer) Value() (driver.Value, error) {
	v.f.write('b', "Value() with an error")
	return nil, errValuer
}

func (v oddValuer) Value() (driver.Value, error) {
	v.f.write('b', "Value() of no driver.Value")
	return []int{1}, nil
}

func (v panicValue) Value() (driver.Value, error) {
	v.f.write('b', "Value() that panics")
	panic("fake: Value")
}

// A fakeRows answers two rows for each result set.
type fakeRows struct {
	c    *fakeConn
	row  int
	set  int
	sets int
}

func (r *fakeRows) call(op string, format string, args ...any) error {
	return r.c.f.call(r.c.name+".rows", op, nil, format, args...)
}

var fakeColumns = []string{"id", "name"}

func (r *fakeRows) step() ([]driver.Value, error) {
	if err := r.call("Next", ""); err != nil {
		return nil, err
	}
	if r.row == 2 {
		return nil, io.EOF
	}
	r.row++
	return []driver.Value{int64(10*r.set + r.row), []byte{'a' + byte(r.row)}}, nil
}

type (
	rowsCore      struct{ r *fakeRows }
	rowsNextSet   struct{ r *fakeRows }
	rowsTypeName  struct{ r *fakeRows }
	rowsNullable  struct{ r *fakeRows }
	rowsScanType  struct{ r *fakeRows }
	rowsLength    struct{ r *fakeRows }
	rowsPrecision struct{ r *fakeRows }
)

func (p rowsCore) Columns() []string {
	p.r.call("Columns", "")
	return fakeColumns
}

func (p rowsCore) Close() error { return p.r.call("Close", "") }

func (p rowsCore) Next(dest []driver.Value) error {
	values, err := p.r.step()
	copy(dest, values)
	return err
}

func (p rowsNextSet) HasNextResultSet() bool {
	if p.r.c.f.asksForSets {
		p.r.call("HasNextResultSet", "")
	}
	return p.r.set+1 < p.r.sets
}

func (p rowsNextSet) NextResultSet() error {
	if err := p.r.call("NextResultSet", ""); err != nil {
		return err
	}
	if p.r.set+1 >= p.r.sets {
		return io.EOF
	}
	p.r.set++
	p.r.row = 0
	return nil
}

func (p rowsTypeName) ColumnTypeDatabaseTypeName(i int) string {
	p.r.call("DatabaseTypeName", "%d", i)
	return []string{"INTEGER", "TEXT"}[i]
}

func (p rowsNullable) ColumnTypeNullable(i int) (nullable, ok bool) {
	p.r.call("Nullable", "%d", i)
	return i == 1, true
}

func (p rowsScanType) ColumnTypeScanType(i int) reflect.Type {
	p.r.call("ScanType", "%d", i)
	return []reflect.Type{reflect.TypeFor[int64](), reflect.TypeFor[string]()}[i]
}

func (p rowsLength) ColumnTypeLength(i int) (length int64, ok bool) {
	p.r.call("Length", "%d", i)
	return int64(i), i == 1
}

func (p rowsPrecision) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	p.r.call("PrecisionScale", "%d", i)
	return 3, 2, i == 0
}

type rowsKind struct {
	name string
	make func(*fakeRows) driver.Rows
}

// rowsKinds gains those of Go 1.27 in a file of their own.
var rowsKinds = []rowsKind{
	{"none", func(r *fakeRows) driver.Rows { return rowsCore{r} }},
	{"all", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsNextSet
			rowsTypeName
			rowsNullable
			rowsScanType
			rowsLength
			rowsPrecision
		}{rowsCore{r}, rowsNextSet{r}, rowsTypeName{r}, rowsNullable{r}, rowsScanType{r}, rowsLength{r}, rowsPrecision{r}}
	}},
	{"SQLite's", func(r *fakeRows) driver.Rows { return newTypedFakeRows(r) }},
	{"NextResultSet", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsNextSet
		}{rowsCore{r}, rowsNextSet{r}}
	}},
	{"SQLite's+NextResultSet", func(r *fakeRows) driver.Rows {
		return struct {
			typedFakeRows
			rowsNextSet
		}{newTypedFakeRows(r), rowsNextSet{r}}
	}},
	{"DatabaseTypeName", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsTypeName
		}{rowsCore{r}, rowsTypeName{r}}
	}},
	{"Nullable", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsNullable
		}{rowsCore{r}, rowsNullable{r}}
	}},
	{"ScanType", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsScanType
		}{rowsCore{r}, rowsScanType{r}}
	}},
	{"Length", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsLength
		}{rowsCore{r}, rowsLength{r}}
	}},
	{"PrecisionScale", func(r *fakeRows) driver.Rows {
		return struct {
			rowsCore
			rowsPrecision
		}{rowsCore{r}, rowsPrecision{r}}
	}},
}

// typedFakeRows have the interfaces of ncruces/go-sqlite3's rows.
type typedFakeRows struct {
	rowsCore
	rowsTypeName
	rowsNullable
	rowsScanType
}

func newTypedFakeRows(r *fakeRows) typedFakeRows {
	return typedFakeRows{rowsCore{r}, rowsTypeName{r}, rowsNullable{r}, rowsScanType{r}}
}

func rowsOf(name string) rowsKind {
	for _, k := range rowsKinds {
		if k.name == name {
			return k
		}
	}
	panic("no kind of rows is called " + name)
}

func showValues(values []driver.Value) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(", " + showValue(v))
	}
	return b.String()
}

func showArgs(args []driver.NamedValue) string {
	var b strings.Builder
	for _, arg := range args {
		b.WriteString(", " + showArg(arg))
	}
	return b.String()
}

func showArg(arg driver.NamedValue) string {
	return fmt.Sprintf("%d:%s=%s", arg.Ordinal, arg.Name, showValue(arg.Value))
}

// showValue shows a value and its type, but no address.
func showValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case time.Time:
		return "time " + v.Format(time.RFC3339Nano)
	case bool, int8, int64, uint64, float64, string, []byte:
		return fmt.Sprintf("%T %v", v, v)
	}
	return reflect.TypeOf(v).String()
}
