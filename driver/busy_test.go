package driver_test

import (
	"bufio"
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// detailed opens databases whose spans have Details.
type detailed struct {
	t      *testing.T
	tracer *tracing.Tracer
	rec    *tracetest.SpanRecorder
}

func newDetailed(t *testing.T) *detailed {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)), Details: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &detailed{t, tracer, rec}
}

func (d *detailed) open(dsn string) *sql.DB {
	d.t.Helper()
	return open(d.t, dsn, driver.Config{Tracing: d.tracer})
}

// conn returns a connection of a new database, and its ID.
func (d *detailed) conn(dsn string) (*sql.Conn, string) {
	d.t.Helper()
	conn, err := d.open(dsn).Conn(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	return conn, d.id(conn)
}

func (d *detailed) id(conn *sql.Conn) (id string) {
	d.t.Helper()
	conn.Raw(func(dc any) error {
		id = fmt.Sprint(dc.(driver.Conn).ID())
		return nil
	})
	return id
}

// last returns the newest ended span with the given name.
func (d *detailed) last(name string) sdktrace.ReadOnlySpan {
	d.t.Helper()
	ended := d.rec.Ended()
	for i := len(ended) - 1; i >= 0; i-- {
		if ended[i].Name() == name {
			return ended[i]
		}
	}
	var names []string
	for _, span := range ended {
		names = append(names, span.Name())
	}
	d.t.Fatalf("there is no span %q, but %q", name, names)
	return nil
}

// waited checks, on the newest ended span with the given name, how a call waited.
func (d *detailed) waited(name string, retries bool, reason, holder string) {
	d.t.Helper()
	span := d.last(name)
	got := [2]string{attr(span, "sqlite.busy.reason"), attr(span, "sqlite.busy.holder")}
	if want := [2]string{reason, holder}; got != want {
		d.t.Errorf("%s: reason and holder are %q, want %q", name, got, want)
	}
	n, wait := attr(span, "sqlite.busy.retries"), attr(span, "sqlite.busy.wait")
	switch seconds, _ := strconv.ParseFloat(wait, 64); {
	case !retries && (n != "" || wait != ""):
		d.t.Errorf("%s: waited %s s, %s retries, want none", name, wait, n)
	case retries && (n == "" || n == "0" || seconds <= 0):
		d.t.Errorf("%s: waited %q s, %q retries, want some", name, wait, n)
	}
}

// patience is a context that signals when it has been asked many times. Only a call that
// waits for a lock does that.
type patience struct {
	context.Context
	asked   atomic.Int64
	waiting chan struct{}
}

func newPatience(ctx context.Context) *patience {
	return &patience{Context: ctx, waiting: make(chan struct{})}
}

func (p *patience) Err() error {
	if p.asked.Add(1) == 100 {
		close(p.waiting)
	}
	return p.Context.Err()
}

const (
	wal     = "_pragma=journal_mode(wal)"
	journal = "_pragma=journal_mode(delete)"
	forever = "_pragma=busy_timeout(600000)"
	briefly = "_pragma=busy_timeout(20)"
	never   = "_pragma=busy_timeout(0)"
)

// The span of a call that waited successfully says how long it waited, and how often it
// retried.
func TestBusyWait(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		name, span string
		mode       string
		block, go_ string // what blocks the call, and what ends that
		ready      func(*detailed, *sql.Conn) func(context.Context) error
	}{
		{"exec", "INSERT t", wal, "BEGIN IMMEDIATE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error { return execErr(ctx, conn, "INSERT INTO t VALUES (?)", 1) }
		}},
		{"several", "INSERT t DELETE t", wal, "BEGIN IMMEDIATE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error { return execErr(ctx, conn, "INSERT INTO t VALUES (1); DELETE FROM t") }
		}},
		{"prepared exec", "INSERT t", wal, "BEGIN IMMEDIATE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			stmt, err := conn.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
			if err != nil {
				d.t.Fatal(err)
			}
			d.t.Cleanup(func() { stmt.Close() })
			return func(ctx context.Context) error { _, err := stmt.ExecContext(ctx, 1); return err }
		}},
		{"query", "SELECT t", journal, "BEGIN EXCLUSIVE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			value[int](d.t, queryRower{conn}, "SELECT count(*) FROM t")
			return func(ctx context.Context) error {
				return conn.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int))
			}
		}},
		{"prepared query", "SELECT t", journal, "BEGIN EXCLUSIVE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			stmt, err := conn.PrepareContext(ctx, "SELECT count(*) FROM t")
			if err != nil {
				d.t.Fatal(err)
			}
			d.t.Cleanup(func() { stmt.Close() })
			return func(ctx context.Context) error { return stmt.QueryRowContext(ctx).Scan(new(int)) }
		}},
		{"columns", "SELECT t", journal, "BEGIN EXCLUSIVE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error {
				rows, err := conn.QueryContext(ctx, "SELECT count(*) FROM t")
				if err != nil {
					return err
				}
				if _, err := rows.Columns(); err != nil {
					return err
				}
				return rows.Close()
			}
		}},
		{"returning", "INSERT t", wal, "BEGIN IMMEDIATE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error {
				return conn.QueryRowContext(ctx, "INSERT INTO t VALUES (?) RETURNING a", 1).Scan(new(int))
			}
		}},
		{"prepare", "PREPARE SELECT t", journal, "BEGIN EXCLUSIVE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			exec(d.t, execer{conn}, "PRAGMA writable_schema=RESET") // drops the cached schema
			return func(ctx context.Context) error {                // reads the schema
				stmt, err := conn.PrepareContext(ctx, "SELECT a FROM t")
				if err != nil {
					return err
				}
				return stmt.Close()
			}
		}},
		{"begin", "BEGIN", wal, "BEGIN IMMEDIATE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error {
				tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
				if err != nil {
					return err
				}
				return tx.Rollback()
			}
		}},
		{"commit", "COMMIT t", journal, "BEGIN; SELECT * FROM t", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error { // waits for readers
				if err := execErr(context.Background(), conn, "BEGIN; INSERT INTO t VALUES (1)"); err != nil {
					return err
				}
				return execErr(ctx, conn, "COMMIT /* t */")
			}
		}},
		{"ping", "PING", journal, "BEGIN EXCLUSIVE", "COMMIT", func(d *detailed, conn *sql.Conn) func(context.Context) error {
			return func(ctx context.Context) error { return conn.PingContext(ctx) }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDetailed(t)
			dsn := file(t, forever, tc.mode)
			blocker, _ := d.conn(dsn)
			exec(t, execer{blocker}, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
			waiter, _ := d.conn(dsn)
			call := tc.ready(d, waiter)
			exec(t, execer{blocker}, tc.block)

			p := newPatience(ctx)
			done := make(chan error, 1)
			go func() { done <- call(p) }()
			select {
			case <-p.waiting:
			case err := <-done:
				t.Fatalf("it does not wait: %v", err)
			}
			exec(t, execer{blocker}, tc.go_)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			name := tc.span
			if tc.name == "commit" {
				name = "COMMIT"
			}
			d.waited(name, true, "", "")

			// The next call has not waited.
			if tc.name != "commit" {
				if err := call(ctx); err != nil {
					t.Fatal(err)
				}
				d.waited(name, false, "", "")
			}
		})
	}
}

// A caller reads only one row of INSERT ... RETURNING. The commit is done, or fails, when
// the rows are closed.
func TestBusyInClose(t *testing.T) {
	d := newDetailed(t)
	dsn := file(t, briefly, journal)
	reader, id := d.conn(dsn)
	exec(t, execer{reader}, "CREATE TABLE t(a); INSERT INTO t VALUES (0)")
	exec(t, execer{reader}, "BEGIN; SELECT * FROM t")
	writer, _ := d.conn(dsn)
	err := writer.QueryRowContext(context.Background(), "INSERT INTO t VALUES (1) RETURNING a").Scan(new(int))
	if !errors.Is(err, sqlite3.BUSY) {
		t.Fatal(err)
	}
	d.waited("INSERT t", true, "this process", id)
	if got := attr(d.last("INSERT t"), "sqlite.read_only"); got != "false" {
		t.Errorf("sqlite.read_only is %q", got)
	}
	exec(t, execer{reader}, "COMMIT")
}

// The reason of BUSY depends on what blocks the call.
func TestBusyReason(t *testing.T) {
	ctx := context.Background()
	setUp := func(t *testing.T, params ...string) (d *detailed, a, b *sql.Conn, aID string) {
		d = newDetailed(t)
		dsn := file(t, params...)
		a, aID = d.conn(dsn)
		exec(t, execer{a}, "CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES (0)")
		b, _ = d.conn(dsn)
		return d, a, b, aID
	}
	busy := func(t *testing.T, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) || err.Error() != want.Error() {
			t.Errorf("got %#v, want %#v", err, want)
		}
	}

	for _, timeout := range []string{briefly, never} {
		waits := timeout == briefly
		t.Run("a transaction writes/"+timeout, func(t *testing.T) {
			for _, mode := range []string{wal, journal} {
				d, a, b, aID := setUp(t, timeout, mode)
				tx, err := a.BeginTx(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				exec(t, tx, "INSERT INTO t VALUES (1)")
				busy(t, execErr(ctx, b, "INSERT INTO t VALUES (?)", 2), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
				d.waited("INSERT t", waits, "this process", aID)
				_, err = b.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
				busy(t, err, sqlite3.ExtendedErrorCode(sqlite3.BUSY))
				d.waited("BEGIN", waits, "this process", aID)
				busy(t, b.QueryRowContext(ctx, "INSERT INTO t VALUES (2) RETURNING a").Scan(new(int)), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
				d.waited("INSERT t", waits, "this process", aID)
				stmt, err := b.PrepareContext(ctx, "INSERT INTO t VALUES (?)")
				if err != nil {
					t.Fatal(err)
				}
				_, err = stmt.Exec(2)
				stmt.Close()
				if !errors.Is(err, sqlite3.BUSY) {
					t.Errorf("prepared: %v", err)
				}
				d.waited("INSERT t", waits, "this process", aID)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if err := execErr(ctx, b, "INSERT INTO t VALUES (?)", 2); err != nil {
					t.Fatal(err)
				}
				d.waited("INSERT t", false, "", "")
			}
		})
		t.Run("rows that write are open/"+timeout, func(t *testing.T) {
			d, a, b, aID := setUp(t, timeout, journal)
			rows, err := a.QueryContext(ctx, "INSERT INTO t VALUES (1), (2) RETURNING a")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			rows.Next()
			busy(t, execErr(ctx, b, "DELETE FROM t"), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
			d.waited("DELETE t", waits, "this process", aID)
		})
		t.Run("rows are open/"+timeout, func(t *testing.T) {
			d, a, b, aID := setUp(t, timeout, journal)
			rows, err := a.QueryContext(ctx, "SELECT a FROM t UNION ALL SELECT 1")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			rows.Next()
			busy(t, execErr(ctx, b, "DELETE FROM t"), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
			d.waited("DELETE t", waits, "this process", aID)
			tx, err := b.BeginTx(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, tx, "DELETE FROM t")
			busy(t, tx.Commit(), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
			d.waited("COMMIT", waits, "this process", aID)
			rows.Close()
			if err := execErr(ctx, b, "DELETE FROM t"); err != nil {
				t.Fatal(err)
			}
			d.waited("DELETE t", false, "", "")
		})
		t.Run("a shared database in memory/"+timeout, func(t *testing.T) {
			d := newDetailed(t)
			dsn := "file:" + strings.ReplaceAll(t.Name(), "/", "-") + "?mode=memory&cache=shared&" + timeout
			a, aID := d.conn(dsn)
			exec(t, execer{a}, "CREATE TABLE t(a)")
			b, _ := d.conn(dsn)
			exec(t, execer{a}, "BEGIN IMMEDIATE")
			busy(t, execErr(ctx, b, "DELETE FROM t"), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
			d.waited("DELETE t", waits, "this process", aID)
			exec(t, execer{a}, "COMMIT")
		})
	}
	t.Run("a call that executes", func(t *testing.T) {
		d := newDetailed(t)
		dsn := file(t, wal, never)
		under, proceed := make(chan struct{}), make(chan struct{})
		slow := open(t, dsn, driver.Config{Tracing: d.tracer, Init: func(c *sqlite3.Conn) error {
			return c.CreateFunction("slow", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
				close(under)
				<-proceed
				ctx.ResultInt(1)
			})
		}})
		a, err := slow.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		exec(t, execer{a}, "CREATE TABLE t(a)")
		b, _ := d.conn(dsn)
		done := make(chan error, 1)
		go func() { done <- execErr(ctx, a, "INSERT INTO t VALUES (slow())") }()
		<-under
		busy(t, execErr(ctx, b, "DELETE FROM t"), sqlite3.ExtendedErrorCode(sqlite3.BUSY))
		close(proceed)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		d.waited("DELETE t", false, "this process", d.id(a))
	})
	t.Run("snapshot", func(t *testing.T) {
		d, a, b, _ := setUp(t, forever, wal, "_txlock=deferred")
		tx, err := b.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		value[int](t, tx, "SELECT count(*) FROM t")
		exec(t, execer{a}, "INSERT INTO t VALUES (1)")
		_, err = tx.Exec("INSERT INTO t VALUES (2)")
		busy(t, err, sqlite3.BUSY_SNAPSHOT)
		d.waited("INSERT t", false, "snapshot", "")
	})
	t.Run("this connection", func(t *testing.T) {
		d, a, _, _ := setUp(t, forever, wal)
		exec(t, execer{a}, "BEGIN")
		rows, err := a.QueryContext(ctx, "INSERT INTO t VALUES (1), (2) RETURNING a")
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		if err := execErr(ctx, a, "COMMIT"); !errors.Is(err, sqlite3.BUSY) {
			t.Errorf("got %v", err)
		}
		d.waited("COMMIT", false, "this connection", "")
		rows.Close()
		exec(t, execer{a}, "COMMIT")
	})
	t.Run("a constraint is none", func(t *testing.T) {
		d, a, _, _ := setUp(t, forever, wal)
		if err := execErr(ctx, a, "INSERT INTO t VALUES (0)"); !errors.Is(err, sqlite3.CONSTRAINT) {
			t.Errorf("got %v", err)
		}
		d.waited("INSERT t", false, "", "")
	})
}

// Another process holds the lock. No connection of this process is reported as the holder,
// although several wait for the lock.
func TestBusyOtherProcess(t *testing.T) {
	ctx := context.Background()
	if dsn := os.Getenv("SQLITEMW_TEST_HOLD"); dsn != "" {
		db := open(t, dsn, driver.Config{})
		db.SetMaxOpenConns(1)
		exec(t, db, "BEGIN IMMEDIATE")
		fmt.Println("held")
		io.Copy(io.Discard, os.Stdin) // until the parent closes it
		exec(t, db, "COMMIT")
		return
	}
	for _, mode := range []string{wal, journal} {
		t.Run(mode, func(t *testing.T) {
			d := newDetailed(t)
			dsn := file(t, briefly, mode)
			a, _ := d.conn(dsn)
			exec(t, execer{a}, "CREATE TABLE t(a); CREATE TABLE u(a)")
			b, _ := d.conn(dsn)

			release := holdInAnotherProcess(t, dsn, "TestBusyOtherProcess")
			defer release()
			// Both wait, and then one gives up.
			exec(t, execer{a}, "PRAGMA busy_timeout=600000")
			p := newPatience(ctx)
			done := make(chan error, 1)
			go func() { done <- execErr(p, a, "INSERT INTO u VALUES (1)") }()
			<-p.waiting
			if err := execErr(ctx, b, "INSERT INTO t VALUES (1)"); err != sqlite3.ExtendedErrorCode(sqlite3.BUSY) {
				t.Errorf("got %v", err)
			}
			d.waited("INSERT t", true, "other process", "")
			if _, err := b.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable}); err != sqlite3.ExtendedErrorCode(sqlite3.BUSY) {
				t.Errorf("got %v", err)
			}
			d.waited("BEGIN", true, "other process", "")
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			d.waited("INSERT u", true, "", "")

			release = holdInAnotherProcess(t, dsn, "TestBusyOtherProcess")
			defer release()
			// With a WAL, a reader blocks no other connection.
			exec(t, execer{a}, "BEGIN")
			if mode == wal {
				value[int](t, queryRower{a}, "SELECT count(*) FROM t")
			}
			execErr(ctx, b, "DELETE FROM t")
			d.waited("DELETE t", true, "other process", "")
			exec(t, execer{a}, "COMMIT")
		})
	}
}

// holdInAnotherProcess runs this test's binary, whose test takes the write lock. release
// makes it release the lock.
func holdInAnotherProcess(t *testing.T, dsn, test string) (release func()) {
	t.Helper()
	cmd := osexec.Command(must(t, os.Executable), "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "SQLITEMW_TEST_HOLD="+dsn)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "held" {
			return release
		}
	}
	release()
	t.Fatal("the other process does not hold the lock")
	return nil
}

// A context that ends also ends the wait, as on the plain driver.
func TestBusyCancelled(t *testing.T) {
	d := newDetailed(t)
	dsn := file(t, forever, wal)
	a, aID := d.conn(dsn)
	exec(t, execer{a}, "CREATE TABLE t(a)")
	b, _ := d.conn(dsn)
	exec(t, execer{a}, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithCancel(context.Background())
	p := newPatience(ctx)
	done := make(chan error, 1)
	go func() { done <- execErr(p, b, "INSERT INTO t VALUES (1)") }()
	<-p.waiting
	cancel()
	if err := <-done; err != sqlite3.ExtendedErrorCode(sqlite3.BUSY) {
		t.Errorf("got %#v", err)
	}
	d.waited("INSERT t", true, "this process", aID)
	if got := attr(d.last("INSERT t"), "error.type"); got != "context.Canceled" {
		t.Errorf("error.type is %q", got)
	}
	exec(t, execer{a}, "COMMIT")
}

// A program that reads the busy timeout gets it, and one that sets the timeout or a handler
// has it.
func TestBusyTimeoutIsTrue(t *testing.T) {
	ctx := context.Background()
	d := newDetailed(t)
	dsn := file(t, "_pragma=busy_timeout(54321)", wal)
	a, _ := d.conn(dsn)
	exec(t, execer{a}, "CREATE TABLE t(a)")
	conn, _ := d.conn(dsn)
	work := func() { exec(t, execer{conn}, "INSERT INTO t VALUES (1)") }
	rawTimeout := func(c *sqlite3.Conn) int {
		s, _, err := c.Prepare("PRAGMA busy_timeout")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Step()
		return s.ColumnInt(0)
	}
	// A program can ask in each of these ways.
	check := func(want int) {
		t.Helper()
		for _, query := range []string{"PRAGMA busy_timeout", "pragma Busy_Timeout", "PRAGMA main.[busy_timeout]", "SELECT timeout FROM pragma_busy_timeout"} {
			work()
			if got := value[int](t, queryRower{conn}, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
			stmt, err := conn.PrepareContext(ctx, query)
			if err != nil {
				t.Fatal(err)
			}
			work()
			var got int
			if err := stmt.QueryRow().Scan(&got); err != nil || got != want {
				t.Errorf("%s, prepared: %d, %v, want %d", query, got, err, want)
			}
			stmt.Close()
		}
		work()
		conn.Raw(func(dc any) error {
			c := dc.(driver.Conn).Raw()
			dc.(sqldriver.ExecerContext).ExecContext(ctx, "INSERT INTO t VALUES (1)", nil)
			if got := rawTimeout(c); got != want {
				t.Errorf("raw: %d, want %d", got, want)
			}
			return nil
		})
	}
	check(54321)
	exec(t, execer{conn}, "PRAGMA busy_timeout = 12345")
	check(12345)
	exec(t, execer{conn}, "INSERT INTO t VALUES (1); PRAGMA busy_timeout(77); INSERT INTO t VALUES (1)")
	check(77)
	stmt, err := conn.PrepareContext(ctx, "PRAGMA busy_timeout=88") // sets the timeout
	if err != nil {
		t.Fatal(err)
	}
	stmt.Close()
	check(88)
	raw(t, conn, func(c *sqlite3.Conn) { c.BusyTimeout(99 * time.Millisecond) })
	check(99)
	conn.Raw(func(dc any) error {
		return dc.(interface{ BusyTimeout(time.Duration) error }).BusyTimeout(111 * time.Millisecond)
	})
	check(111)

	// The same for a connection that was released and acquired again.
	db := d.open(dsn)
	db.SetMaxOpenConns(1)
	exec(t, db, "INSERT INTO t VALUES (1)")
	again, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, again, func(c *sqlite3.Conn) { c.BusyTimeout(20 * time.Millisecond) })
	again.Close()
	exec(t, db, "INSERT INTO t VALUES (1)")
	exec(t, execer{a}, "BEGIN IMMEDIATE")
	if _, err := db.Exec("DELETE FROM t"); !errors.Is(err, sqlite3.BUSY) {
		t.Error(err)
	}
	d.waited("DELETE t", true, "this process", d.id(a))
	if got, _ := strconv.ParseFloat(attr(d.last("DELETE t"), "sqlite.busy.wait"), 64); got < 0.02 {
		t.Errorf("it waited %v s of 0.02", got)
	}
	if got := value[int](t, db, "PRAGMA busy_timeout"); got != 20 {
		t.Errorf("got %d, want 20", got)
	}

	// SQLite calls the program's handler, and not this package's.
	asked := 0
	handler := func(context.Context, int) bool { asked++; return asked < 3 }
	install := map[string]func(){
		"raw": func() { raw(t, conn, func(c *sqlite3.Conn) { c.BusyHandler(handler) }) },
		"promoted": func() {
			conn.Raw(func(dc any) error {
				return dc.(interface {
					BusyHandler(func(context.Context, int) bool) error
				}).BusyHandler(handler)
			})
		},
	}
	for name, install := range install {
		install()
		asked = 0
		if err := execErr(ctx, conn, "DELETE FROM t"); !errors.Is(err, sqlite3.BUSY) || asked != 3 {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
		d.waited("DELETE t", false, "this process", d.id(a))
	}
	exec(t, execer{a}, "COMMIT")
}

// A handler that Config.Init installs stays installed.
func TestBusyHandlerOfInit(t *testing.T) {
	d := newDetailed(t)
	dsn := file(t, wal)
	var asked atomic.Int64
	db := open(t, dsn, driver.Config{Tracing: d.tracer, Init: func(c *sqlite3.Conn) error {
		return c.BusyHandler(func(context.Context, int) bool { return asked.Add(1) < 5 })
	}})
	exec(t, db, "CREATE TABLE t(a)")
	other, id := d.conn(dsn)
	exec(t, execer{other}, "BEGIN IMMEDIATE")
	if _, err := db.Exec("DELETE FROM t"); !errors.Is(err, sqlite3.BUSY) || asked.Load() != 5 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	d.waited("DELETE t", false, "this process", id)
	exec(t, execer{other}, "COMMIT")
}

// A handler that a pool's hook installs before the first call stays installed too.
func TestBusyHandlerOfHook(t *testing.T) {
	d := newDetailed(t)
	dsn := file(t, wal, never)
	other, id := d.conn(dsn)
	exec(t, execer{other}, "CREATE TABLE t(a)")
	c, err := driver.NewConnector(dsn, driver.Config{Tracing: d.tracer})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Dial(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	asked := 0
	if err := conn.SQLite().BusyHandler(func(context.Context, int) bool { asked++; return asked < 5 }); err != nil {
		t.Fatal(err)
	}
	exec(t, execer{other}, "BEGIN IMMEDIATE")
	if _, err := conn.ExecContext(t.Context(), "DELETE FROM t", nil); !errors.Is(err, sqlite3.BUSY) || asked != 5 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	d.waited("DELETE t", false, "this process", id)
	exec(t, execer{other}, "COMMIT")
}

// Counters of a call without a span are not added to another call.
func TestDetailsOfUnsampled(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	var sample atomic.Bool
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec), sdktrace.WithSampler(switched{&sample})), Details: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, file(t), driver.Config{Tracing: tracer})
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
	for range 3 {
		exec(t, db, "UPDATE t SET a = ?", 1)
		columns(db, "SELECT a FROM t")
	}
	sample.Store(true)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "UPDATE t SET a = ?", 1)
	rows, err := tx.Query("SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, span := range rec.Ended() {
		want := map[string]string{"UPDATE t": "2", "SELECT t": "2"}[span.Name()]
		if got := attr(span, "sqlite.fullscan_steps"); got != want {
			t.Errorf("%s: %s steps, want %q", span.Name(), got, want)
		}
		if got := attr(span, "sqlite.memory_used"); (got != "") != (want != "") {
			t.Errorf("%s: %s bytes", span.Name(), got)
		}
	}
}

type switched struct{ on *atomic.Bool }

func (s switched) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if s.on.Load() {
		return sdktrace.AlwaysSample().ShouldSample(p)
	}
	return sdktrace.NeverSample().ShouldSample(p)
}

func (switched) Description() string { return "switched" }

// Many connections write concurrently, with a long enough busy timeout.
func TestBusyTogether(t *testing.T) {
	for _, mode := range []string{wal, journal} {
		d := newDetailed(t)
		db := d.open(file(t, forever, mode, "_txlock=immediate"))
		exec(t, db, "CREATE TABLE t(a)")
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					if i%2 == 0 {
						if _, err := db.Exec("INSERT INTO t VALUES (1)"); err != nil {
							t.Error(err)
						}
						continue
					}
					tx, err := db.Begin()
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
						t.Error(err)
					}
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if got := value[int](t, db, "SELECT count(*) FROM t"); got != 160 {
			t.Errorf("%d rows", got)
		}
	}
}

// execer and queryRower adapt a connection for the test helpers.
type execer struct{ conn *sql.Conn }

func (e execer) Exec(query string, args ...any) (sql.Result, error) {
	return e.conn.ExecContext(context.Background(), query, args...)
}

type queryRower struct{ conn *sql.Conn }

func (q queryRower) QueryRow(query string, args ...any) *sql.Row {
	return q.conn.QueryRowContext(context.Background(), query, args...)
}

func execErr(ctx context.Context, conn *sql.Conn, query string, args ...any) error {
	_, err := conn.ExecContext(ctx, query, args...)
	return err
}
