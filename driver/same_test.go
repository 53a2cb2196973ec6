package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A program sees the same results, types and errors through this driver as through the
// plain one, with tracing and without. Each case writes what it sees.
func TestSameAsThePlainDriver(t *testing.T) {
	for name, f := range map[string]func(*testing.T, *sql.DB, *transcript){
		"savepoint":    savepoints,
		"raw":          rawConnection,
		"arguments":    arguments,
		"named":        namedArguments,
		"results":      results,
		"types":        columnTypes,
		"errors":       failures,
		"transactions": transactions,
		"cancel":       cancellation,
		"prepared":     prepared,
		"statements":   manyStatements,
		"schema":       schemaChanges,
		"bindings":     bindings,
		"overlaps":     overlaps,
		"rows":         sameRows,
	} {
		t.Run(name, func(t *testing.T) {
			run := func(open func(string, func(*sqlite3.Conn) error) *sql.DB) string {
				var log transcript
				init := func(c *sqlite3.Conn) error {
					return c.CreateFunction("stop", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) { log.stop() })
				}
				db := open(file(t, "_pragma=busy_timeout(60000)", "_pragma=foreign_keys(1)"), init)
				db.SetMaxOpenConns(2)
				defer db.Close()
				f(t, db, &log)
				return log.String()
			}
			plain := func(dsn string, init func(*sqlite3.Conn) error) *sql.DB {
				db, err := sqlite3driver.Open(dsn, init)
				if err != nil {
					t.Fatal(err)
				}
				return db
			}
			want := run(plain)
			if again := run(plain); again != want {
				t.Fatalf("the case is not deterministic\n%s", firstDifference(want, again))
			}
			tracer, _, _ := recordSpans(t)
			for what, tracer := range map[string]*tracing.Tracer{"untraced": nil, "traced": tracer} {
				got := run(func(dsn string, init func(*sqlite3.Conn) error) *sql.DB {
					return open(t, dsn, driver.Config{Init: init, Tracing: tracer})
				})
				if got != want {
					t.Errorf("%s\n%s", what, firstDifference(want, got))
				}
			}
		})
	}
}

// A transcript is the output of a case.
type transcript struct {
	strings.Builder
	stop func() // called by the SQL function stop
}

func (l *transcript) see(what string, values ...any) {
	fmt.Fprintf(l, "%s:", what)
	for _, v := range values {
		if err, ok := v.(error); ok {
			v = describeError(err)
		}
		fmt.Fprintf(l, " %T(%v)", v, v)
	}
	l.WriteByte('\n')
}

// firstDifference shows two transcripts from their first difference on.
func firstDifference(plain, ours string) string {
	a, b := strings.Split(plain, "\n"), strings.Split(ours, "\n")
	i := 0
	for i < len(a)-1 && i < len(b)-1 && a[i] == b[i] {
		i++
	}
	show := func(lines []string) string { return strings.Join(lines[max(0, i-2):min(i+3, len(lines))], "\n\t") }
	return "plain:\n\t" + show(a) + "\nours:\n\t" + show(b)
}

// describeError describes everything that a program can learn about an error.
func describeError(err error) string {
	var code sqlite3.ErrorCode
	var xcode sqlite3.ExtendedErrorCode
	var full *sqlite3.Error
	errors.As(err, &code)
	errors.As(err, &xcode)
	s := fmt.Sprintf("%T %q code=%d/%d full=%t", err, err, code, xcode, errors.As(err, &full))
	for _, target := range []error{context.Canceled, context.DeadlineExceeded, sql.ErrTxDone, sql.ErrNoRows, sqldriver.ErrBadConn, sqldriver.ErrSkip} {
		if errors.Is(err, target) {
			s += " is " + target.Error()
		}
	}
	return s
}

func (l *transcript) rows(what string, rows *sql.Rows, err error) {
	if err != nil {
		l.see(what, err)
		return
	}
	defer rows.Close()
	columns, err := rows.Columns()
	l.see(what, columns, err)
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		err := rows.Scan(dest...)
		l.see("  row", append(append([]any{}, values...), err)...)
	}
	l.see("  end", rows.Err(), rows.Close())
}

func savepoints(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a)")
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	exec(t, tx, "INSERT INTO t VALUES (1)")
	sp := sqlite3driver.Savepoint(tx)
	exec(t, tx, "INSERT INTO t VALUES (2)")
	l.see("rollback", sp.Rollback())
	l.see("count", value[int](t, tx, "SELECT count(*) FROM t"))
	sp = sqlite3driver.Savepoint(tx)
	exec(t, tx, "INSERT INTO t VALUES (3)")
	var failed error
	sp.Release(&failed)
	l.see("release", failed)
	l.see("commit", tx.Commit())
	l.see("count", value[int](t, db, "SELECT count(*) FROM t"))
}

func rawConnection(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, zeroblob(10))")
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	backup := filepath.Join(t.TempDir(), "backup.db")
	err = conn.Raw(func(dc any) error {
		c := dc.(sqlite3driver.Conn)
		l.see("autocommit", c.Raw().GetAutocommit())
		_, promoted := dc.(interface{ GetAutocommit() bool })
		l.see("promoted", promoted)
		if err := c.Raw().CreateFunction("three", 0, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, _ ...sqlite3.Value) { ctx.ResultInt(3) }); err != nil {
			return err
		}
		blob, err := c.Raw().OpenBlob("main", "t", "b", 1, true)
		if err != nil {
			return err
		}
		if _, err := blob.Write([]byte("hello")); err != nil {
			return err
		}
		return errors.Join(blob.Close(), c.Raw().Backup("main", "file:"+backup))
	})
	l.see("raw", err)
	var three int
	err = conn.QueryRowContext(t.Context(), "SELECT three()").Scan(&three)
	l.see("function", three, err)
	rows, err := conn.QueryContext(t.Context(), "SELECT a, b FROM t")
	l.rows("blob", rows, err)
	copied, err := sqlite3driver.Open("file:" + backup)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	rows, err = copied.Query("SELECT a, b FROM t")
	l.rows("backup", rows, err)
}

type (
	named   string
	valuer  struct{ v any }
	pointed struct{ n int }
)

func (v valuer) Value() (sqldriver.Value, error) {
	if err, ok := v.v.(error); ok {
		return nil, err
	}
	return v.v, nil
}

func arguments(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a)")
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))
	for _, arg := range []any{
		nil, true, 1, int8(-8), uint8(8), int64(1) << 62, uint64(1) << 63, float32(1.5), 2.5,
		"text", "", []byte("blob"), []byte{}, []byte(nil), named("named"), when, &when, (*int)(nil),
		sql.NullString{}, sql.NullInt64{Int64: 7, Valid: true}, sql.Null[time.Time]{V: when, Valid: true},
		valuer{"valued"}, valuer{int64(5)}, valuer{when}, valuer{errors.New("no value")}, valuer{struct{}{}},
		sqlite3.ZeroBlob(3), sqlite3.JSON(map[string]int{"a": 1}), sqlite3.JSON(func() {}), sqlite3.Pointer(&pointed{1}),
		struct{ A int }{1}, []int{1}, make(chan int), sql.Out{},
	} {
		what := fmt.Sprintf("%T", arg)
		var typ, text any
		err := db.QueryRow("SELECT typeof(?1), CAST(?1 AS TEXT)", arg).Scan(&typ, &text)
		l.see("query "+what, typ, text, err)
		res, err := db.Exec("INSERT INTO t VALUES (?)", arg)
		l.see("exec "+what, err)
		if err == nil {
			id, _ := res.LastInsertId()
			n, _ := res.RowsAffected()
			l.see("  result", id, n)
		}
		stmt, err := db.Prepare("SELECT typeof(?), ?1")
		if err != nil {
			t.Fatal(err)
		}
		rows, err := stmt.Query(arg)
		l.rows("stmt "+what, rows, err)
		stmt.Close()
	}
	rows, err := db.Query("SELECT typeof(a), a FROM t")
	l.rows("all", rows, err)

	for _, args := range [][]any{{}, {1}, {1, 2}, {1, 2, 3}} {
		_, err := db.Exec("INSERT INTO t SELECT ? + ?", args...)
		l.see(fmt.Sprint("exec count ", len(args)), err)
		rows, err := db.Query("SELECT ? + ?", args...)
		l.rows(fmt.Sprint("query count ", len(args)), rows, err)
		rows, err = db.Query("SELECT ?5", args...)
		l.rows(fmt.Sprint("query ?5 ", len(args)), rows, err)
	}
}

func namedArguments(t *testing.T, db *sql.DB, l *transcript) {
	for _, args := range [][]any{
		{sql.Named("a", 1), sql.Named("b", 2)},
		{sql.Named("b", 2)},
		{sql.Named("c", 2)},
		{1, sql.Named("b", 2)},
		{sql.Named("1a", 2)},
		{sql.Named("a", struct{}{})},
		{sql.Named("a", sqlite3.JSON([]int{1}))},
		{1, 2, 3, 4},
	} {
		rows, err := db.Query("SELECT :a, @b, $a, ?1", args...)
		l.rows(fmt.Sprint(args), rows, err)
		_, err = db.Exec("SELECT :a", args...)
		l.see("exec", err)
	}
}

func results(t *testing.T, db *sql.DB, l *transcript) {
	for _, query := range []string{
		"CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE)",
		"INSERT INTO t(a) VALUES (1), (2)",
		"UPDATE t SET a = a + 10",
		"CREATE INDEX i ON t(a)",
		"DELETE FROM t WHERE a = 11",
		"INSERT INTO t(a) VALUES (5); INSERT INTO t(a) VALUES (6)",
		"SELECT 1",
		"",
		"-- nothing",
	} {
		res, err := db.Exec(query)
		l.see(query, err)
		if err == nil {
			id, err := res.LastInsertId()
			l.see("  id", id, err)
			n, err := res.RowsAffected()
			l.see("  rows", n, err)
		}
	}
	rows, err := db.Query("INSERT INTO t(a) VALUES (7), (8) RETURNING id, a")
	l.rows("returning", rows, err)
	var id int
	l.see("row", db.QueryRow("INSERT INTO t(a) VALUES (?), (?) RETURNING id", 9, 10).Scan(&id), id)
	l.see("count", value[int](t, db, "SELECT count(*) FROM t"))
	l.see("no row", db.QueryRow("SELECT 1 WHERE 0").Scan(&id))
}

func columnTypes(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, `CREATE TABLE t(i INTEGER NOT NULL, r REAL, s TEXT, b BLOB, o BOOLEAN, d DATETIME, v VARCHAR(10), n DECIMAL(5,2), x);
		INSERT INTO t VALUES (1, 1.5, 's', x'01', 1, '2026-01-02 03:04:05', 'v', 1, NULL), (2, NULL, NULL, NULL, 0, 5, 7, 'n', 9)`)
	rows, err := db.Query("SELECT *, i + 1 FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	see := func(what string) {
		types, err := rows.ColumnTypes()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range types {
			nullable, nok := c.Nullable()
			length, lok := c.Length()
			precision, scale, pok := c.DecimalSize()
			l.see(what, c.Name(), c.DatabaseTypeName(), c.ScanType().String(), nullable, nok, length, lok, precision, scale, pok)
		}
	}
	see("before")
	for rows.Next() {
		see("row")
	}
	l.see("sets", rows.NextResultSet(), rows.Err())
	rows, err = db.Query("SELECT * FROM t")
	l.rows("values", rows, err)
	var when time.Time
	l.see("time", db.QueryRow("SELECT d FROM t").Scan(&when), when)
	var b sql.RawBytes
	rows, err = db.Query("SELECT s, b FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		l.see("bytes", rows.Scan(&b, new([]byte)), string(b))
	}
}

func failures(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE p(id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL, c CHECK (c > 0)); CREATE TABLE f(p REFERENCES p)")
	exec(t, db, "INSERT INTO p VALUES (1, 1, 1, 1)")
	for _, query := range []string{
		"INSERT INTO p VALUES (1, 2, 1, 1)",
		"INSERT INTO p VALUES (2, 1, 1, 1)",
		"INSERT INTO p VALUES (2, 2, NULL, 1)",
		"INSERT INTO p VALUES (2, 2, 1, 0)",
		"INSERT INTO f VALUES (7)",
		"SELECT nope FROM p",
		"SELEC 1",
		"SELECT abs(-9223372036854775808)",
		"SELECT 1; SELECT 2",
		"SELECT json('{')",
		"PRAGMA nothing_of_the_kind",
		"ROLLBACK",
		"ATTACH '/no/such/dir/x.db' AS x",
	} {
		_, err := db.Exec(query)
		l.see("exec "+query, err)
		_, err = db.Exec(query, 1)
		l.see("exec 1 "+query, err)
		rows, err := db.Query(query)
		l.rows("query "+query, rows, err)
		stmt, err := db.Prepare(query)
		l.see("prepare "+query, err)
		if err == nil {
			_, err = stmt.Exec()
			l.see("  exec", err, stmt.Close())
		}
	}
	rows, err := db.Query("SELECT 1 UNION ALL SELECT abs(-9223372036854775808)")
	l.rows("in iteration", rows, err)
}

func transactions(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a); CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE f(p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
	for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
		for _, readOnly := range []bool{false, true} {
			what := fmt.Sprintf("%v %t", level, readOnly)
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			l.see(what, err)
			if err != nil {
				continue
			}
			_, err = tx.Exec("INSERT INTO t VALUES (?)", int(level))
			l.see("  insert", err)
			l.see("  commit", tx.Commit(), tx.Commit(), tx.Rollback())
			_, err = db.Exec("INSERT INTO t VALUES (99)")
			l.see("  after", err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "INSERT INTO f VALUES (7)")
	l.see("commit fails", tx.Commit(), tx.Rollback())
	l.see("count", value[int](t, db, "SELECT count(*) FROM f"), value[int](t, db, "SELECT count(*) FROM t"))

	ctx, cancel := context.WithCancel(t.Context())
	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "INSERT INTO t VALUES (1000)")
	cancel()
	// It is a race whether the transaction has been rolled back by now.
	err = tx.Commit()
	l.see("commit cancelled", errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone))
	l.see("count", value[int](t, db, "SELECT count(*) FROM t WHERE a = 1000"))
}

// endless counts forever, after it has called stop.
const endless = "WITH RECURSIVE n(i) AS (SELECT stop() UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n WHERE i = ?"

func cancellation(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a)")
	stmt, err := db.Prepare(endless)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for _, early := range []bool{true, false} {
		for i, call := range []func(context.Context) error{
			func(ctx context.Context) error {
				_, err := db.ExecContext(ctx, strings.Replace(endless, "?", "2", 1))
				return err
			},
			func(ctx context.Context) error {
				_, err := db.ExecContext(ctx, endless, 2)
				return err
			},
			func(ctx context.Context) error {
				_, err := stmt.ExecContext(ctx, 2)
				return err
			},
			func(ctx context.Context) error {
				var n int
				err := db.QueryRowContext(ctx, endless, 2).Scan(&n)
				// Either SQLite or database/sql notices first.
				if errors.Is(err, context.Canceled) || errors.Is(err, sqlite3.INTERRUPT) {
					return nil
				}
				return fmt.Errorf("the query went on: %w", err)
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if l.stop = cancel; early {
				cancel()
			}
			l.see(fmt.Sprint("call ", i), call(ctx))
			cancel()
		}
	}
	exec(t, db, "INSERT INTO t VALUES (1)")
	l.see("usable", value[int](t, db, "SELECT count(*) FROM t"))
}

func prepared(t *testing.T, db *sql.DB, l *transcript) {
	exec(t, db, "CREATE TABLE t(a, b)")
	insert, err := db.Prepare("INSERT INTO t VALUES (:a, :b)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range 3 {
		_, err := insert.Exec(i, fmt.Sprint(i))
		l.see("insert", err)
	}
	_, err = insert.Exec(sql.Named("a", 7))
	l.see("bindings are cleared", err)
	_, err = insert.Exec()
	l.see("none", err)
	query, err := db.Prepare("SELECT * FROM t WHERE a >= ?")
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	for _, args := range [][]any{{1}, {2}, {}, {1, 2}} {
		rows, err := query.Query(args...)
		l.rows(fmt.Sprint("query ", args), rows, err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := tx.Stmt(query).Query(2)
	l.rows("in a transaction", rows, err)
}

func manyStatements(t *testing.T, db *sql.DB, l *transcript) {
	_, err := db.Exec("CREATE TABLE t(a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
	l.see("exec", err)
	_, err = db.Exec("INSERT INTO t VALUES (?); INSERT INTO t VALUES (3)", 1)
	l.see("with arguments", err)
	_, err = db.Exec("INSERT INTO t VALUES (?); -- comment", 1)
	l.see("with a comment", err)
	rows, err := db.Query("SELECT 1; SELECT 2")
	l.rows("query", rows, err)
	rows, err = db.Query("SELECT a FROM t;  ")
	l.rows("trailing", rows, err)
}

// The connection, its statements and its rows have the same optional interfaces as the
// plain driver's. The connection has more, which tracing needs.
func TestInterfaces(t *testing.T) {
	plain := interfacesOf(t, &sqlite3driver.SQLite{})
	ours := interfacesOf(t, &driver.Driver{})
	for _, extra := range []string{"conn Pinger", "conn QueryerContext", "conn SessionResetter", "conn Validator"} {
		if !ours[extra] || plain[extra] {
			t.Errorf("%s: ours %t, plain %t", extra, ours[extra], plain[extra])
		}
		delete(ours, extra)
	}
	if !reflect.DeepEqual(plain, ours) {
		t.Errorf("plain: %v\nours:  %v", plain, ours)
	}
}

func interfacesOf(t *testing.T, d sqldriver.Driver) map[string]bool {
	t.Helper()
	conn, err := d.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, err := conn.Prepare("SELECT 1 AS a")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	rows, err := stmt.(sqldriver.StmtQueryContext).QueryContext(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	has := make(map[string]bool)
	for name, object := range map[string]any{"conn": conn, "stmt": stmt, "rows": rows} {
		for _, typ := range optional {
			// The plain driver's rows also happen to be a statement.
			if (name == "rows") == strings.HasPrefix(typ.Name(), "Rows") && reflect.TypeOf(object).Implements(typ) {
				has[name+" "+typ.Name()] = true
			}
		}
	}
	return has
}

var optional = append([]reflect.Type{
	reflect.TypeFor[sqldriver.ConnBeginTx](),
	reflect.TypeFor[sqldriver.ConnPrepareContext](),
	reflect.TypeFor[sqldriver.ExecerContext](),
	reflect.TypeFor[sqldriver.Execer](),
	reflect.TypeFor[sqldriver.QueryerContext](),
	reflect.TypeFor[sqldriver.Queryer](),
	reflect.TypeFor[sqldriver.Pinger](),
	reflect.TypeFor[sqldriver.SessionResetter](),
	reflect.TypeFor[sqldriver.Validator](),
	reflect.TypeFor[sqldriver.NamedValueChecker](),
	reflect.TypeFor[sqldriver.StmtExecContext](),
	reflect.TypeFor[sqldriver.StmtQueryContext](),
	reflect.TypeFor[sqldriver.ColumnConverter](),
	reflect.TypeFor[sqldriver.RowsNextResultSet](),
	reflect.TypeFor[sqldriver.RowsColumnTypeScanType](),
	reflect.TypeFor[sqldriver.RowsColumnTypeDatabaseTypeName](),
	reflect.TypeFor[sqldriver.RowsColumnTypeLength](),
	reflect.TypeFor[sqldriver.RowsColumnTypeNullable](),
	reflect.TypeFor[sqldriver.RowsColumnTypePrecisionScale](),
	reflect.TypeFor[sqlite3driver.Conn](),
}, optionalSince127...)
