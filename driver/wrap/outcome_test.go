package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

const (
	insertText = "INSERT INTO t VALUES (?)"
	readText   = "SELECT a FROM t WHERE b = ?"
)

// executes are the fake's operations that execute something.
var executes = []string{"Exec", "ExecContext", "Query", "QueryContext", "stmt.Exec", "stmt.ExecContext", "stmt.Query", "stmt.QueryContext"}

// A lostAnswer is a hook for operations that the server executes, but whose answer is lost.
type lostAnswer struct {
	executed atomic.Int64
	err      error
}

func (l *lostAnswer) hook(context.Context, int) error {
	l.executed.Add(1)
	return l.err
}

// With Once, database/sql executes no write twice, whatever the parent's interfaces. It repeats
// reads as it does without.
func TestOnce(t *testing.T) {
	type call struct {
		name  string
		do    func(db *sql.DB, query string) error
		text  string // OutcomeError.Call
		inTx  bool
		tries int64 // how often database/sql makes the call
	}
	query := func(rows *sql.Rows, err error) error {
		if err == nil {
			rows.Close()
		}
		return err
	}
	inTx := func(do func(*sql.Tx, string) error) func(*sql.DB, string) error {
		return func(db *sql.DB, text string) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return do(tx, text)
		}
	}
	prepared := func(do func(*sql.Stmt) error) func(*sql.DB, string) error {
		return func(db *sql.DB, text string) error {
			stmt, err := db.Prepare(text)
			if err != nil {
				return err
			}
			defer stmt.Close()
			return do(stmt)
		}
	}
	calls := []call{
		{"db.Exec", func(db *sql.DB, text string) error { _, err := db.Exec(text, 1); return err }, "Exec", false, 3},
		{"db.Query", func(db *sql.DB, text string) error { return query(db.Query(text, 1)) }, "Query", false, 3},
		{"stmt.Exec", prepared(func(s *sql.Stmt) error { _, err := s.Exec(1); return err }), "Exec", false, 3},
		{"stmt.Query", prepared(func(s *sql.Stmt) error { return query(s.Query(1)) }), "Query", false, 3},
		{"tx.Exec", inTx(func(tx *sql.Tx, text string) error { _, err := tx.Exec(text, 1); return err }), "Exec", true, 1},
		{"tx.Query", inTx(func(tx *sql.Tx, text string) error { return query(tx.Query(text, 1)) }), "Query", true, 1},
		{"tx.Prepare, stmt.Exec", inTx(func(tx *sql.Tx, text string) error {
			stmt, err := tx.Prepare(text)
			if err != nil {
				return err
			}
			_, err = stmt.Exec(1)
			return err
		}), "Exec", true, 3},
		{"conn.Exec", func(db *sql.DB, text string) error {
			conn, err := db.Conn(context.Background())
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.ExecContext(context.Background(), text, 1)
			return err
		}, "Exec", false, 1},
	}
	for _, f := range bases(fake.ConnKinds, fake.StmtKinds, fake.RowsOf("SQLite's")) {
		for _, c := range calls {
			for _, mode := range []struct {
				once, write, intercepted, wraps bool
			}{
				{once: true, write: true},
				{once: true, write: true, intercepted: true},
				{once: true, write: true, wraps: true},
				{once: true},
				{write: true},
			} {
				name := fmt.Sprintf("%s of %s and %s, %+v", c.name, f.Conn.Name, f.Stmt.Name, mode)
				f := &fake.Base{Conn: f.Conn, Stmt: f.Stmt, Rows: f.Rows}
				lost := &lostAnswer{err: driver.ErrBadConn}
				if mode.wraps {
					lost.err = fmt.Errorf("the leader is gone: %w: %w", driver.ErrBadConn, fake.ErrFault)
				}
				f.On(lost.hook, executes...)
				text, executed := readText, c.tries
				if mode.write {
					text = insertText
				}
				if mode.write && mode.once {
					executed = 1
				}
				events := &recorder{}
				cfg := wrap.Config{Source: tracing.Source{System: "sqlite"}, Once: mode.once, Recorder: events}
				if mode.intercepted {
					cfg.Interceptors = []sqlmw.Interceptor{sqlmw.NullInterceptor{}}
				}
				db := sql.OpenDB(wrap.NewConnector(f, cfg))
				err := c.do(db, text)
				if got := lost.executed.Load(); got != executed {
					t.Errorf("%s: executed %d times, want %d: %v", name, got, executed, err)
				}
				var outcome *wrap.OutcomeError
				known := !mode.write || !mode.once
				switch {
				case known && (errors.As(err, &outcome) || !errors.Is(err, driver.ErrBadConn)):
					t.Errorf("%s: got %v, want the parent's error", name, err)
				case !known && (!errors.As(err, &outcome) || outcome.Call != c.text || outcome.InTx != c.inTx || outcome.Err != lost.err):
					t.Errorf("%s: got %#v, want an OutcomeError of %s", name, err, c.text)
				case !known && (errors.Is(err, driver.ErrBadConn) || errors.Is(err, fake.ErrFault) != mode.wraps):
					t.Errorf("%s: %v must be the cause, and not driver.ErrBadConn", name, err)
				}
				story := events.story()
				if !known && !slices.Contains(story, "1 discard bad") {
					t.Errorf("%s: the lost connection must be discarded: %q", name, story)
				}
				if n := db.Stats(); !known && n.Idle != 0 || n.InUse != 0 {
					t.Errorf("%s: %d connections are idle and %d in use, want none", name, n.Idle, n.InUse)
				}
				db.Close()
				if left := f.Left(); len(left) > 0 {
					t.Errorf("%s: left %q", name, left)
				}
			}
		}
	}
}

// A commit is not repeated without Once either, but the program learns that its outcome is
// unknown. What changes no data is repeated: a begin, a prepare, and all that happens before a call
// is sent. A rollback has only one outcome.
func TestOnceElsewhere(t *testing.T) {
	ctx := context.Background()
	tx := func(end func(*sql.Tx) error) func(*sql.DB) error {
		return func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			return end(tx)
		}
	}
	for _, tc := range []struct {
		op      string
		do      func(*sql.DB) error
		tries   int // of the operation, which fails the first time
		unknown bool
	}{
		{"Commit", tx((*sql.Tx).Commit), 1, true},
		{"Rollback", tx((*sql.Tx).Rollback), 1, false},
		{"BeginTx", tx((*sql.Tx).Rollback), 2, false},
		{"PrepareContext", func(db *sql.DB) error {
			stmt, err := db.Prepare(insertText)
			if err == nil {
				stmt.Close()
			}
			return err
		}, 2, false},
		{"Connect", func(db *sql.DB) error { _, err := db.Exec(insertText, 1); return err }, 2, false},
		{"ResetSession", func(db *sql.DB) error {
			if err := db.Ping(); err != nil {
				return err
			}
			_, err := db.Exec(insertText, 1)
			return err
		}, 1, false},
		{"CheckNamedValue", func(db *sql.DB) error { _, err := db.ExecContext(ctx, insertText, fake.Special{}); return err }, 2, false},
	} {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
		f.On(fake.Once(fake.Fail(driver.ErrBadConn)), tc.op)
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Source: tracing.Source{System: "sqlite"}, Once: true}))
		err := tc.do(db)
		var outcome *wrap.OutcomeError
		if errors.As(err, &outcome) != tc.unknown || tc.unknown && outcome.Call != tc.op {
			t.Errorf("%s: got %v, and the outcome must be unknown: %t", tc.op, err, tc.unknown)
		}
		if tc.op != "Rollback" && !tc.unknown && err != nil {
			t.Errorf("%s must be repeated, but failed: %v", tc.op, err)
		}
		tries := 0
		for _, asked := range f.Asked() {
			if strings.Contains(asked, " "+tc.op+"(") {
				tries++
			}
		}
		if tries != tc.tries {
			t.Errorf("%s was called %d times, want %d: %q", tc.op, tries, tc.tries, f.Asked())
		}
		db.Close()
	}
}

// After the loss, nothing is sent on the connection any more: the transaction cannot be committed
// by mistake, and the parent cannot reconnect in it.
func TestNothingIsSentOnALostConnection(t *testing.T) {
	f := newFake()
	f.On(fake.Once(fake.Fail(driver.ErrBadConn)), executes...)
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Once: true}))
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var outcome *wrap.OutcomeError
	if _, err := tx.Exec(insertText, 1); !errors.As(err, &outcome) || !outcome.InTx {
		t.Fatalf("got %v, want an OutcomeError of a transaction", err)
	}
	sent := len(f.Asked())
	for name, err := range map[string]error{
		"Exec":    second(tx.Exec(insertText, 1)),
		"Query":   second(tx.Query(readText, 1)),
		"Prepare": second(tx.Prepare(readText)),
		"Commit":  tx.Commit(),
	} {
		if err != driver.ErrBadConn {
			t.Errorf("%s returned %v, want driver.ErrBadConn, because nothing was sent", name, err)
		}
	}
	if asked := f.Asked()[sent:]; !slices.Equal(asked, []string{"c1 Close()"}) {
		t.Errorf("the parent was called: %q", asked)
	}
}

func second[T any](_ T, err error) error { return err }

// The rows of a write may fail after it was applied. database/sql does not repeat the query then,
// but the connection is lost, and the program must know.
func TestOutcomeOfRows(t *testing.T) {
	for _, op := range []string{"rows.Next", "rows.Close", "rows.NextResultSet"} {
		for text, unknown := range map[string]bool{"INSERT INTO t VALUES (?) RETURNING a": true, readText: false} {
			f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("all"), Sets: 2}
			f.On(fake.Fail(driver.ErrBadConn), op)
			events := &recorder{}
			db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Source: tracing.Source{System: "postgresql"}, Once: true, Recorder: events}))
			rows, err := db.Query(text, 1)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
			}
			rows.NextResultSet()
			closed := rows.Close()
			err = errors.Join(rows.Err(), closed)
			var outcome *wrap.OutcomeError
			if errors.As(err, &outcome) != unknown {
				t.Errorf("%s of %q: got %v, and the outcome must be unknown: %t", op, text, err, unknown)
			}
			if got := slices.Contains(events.story(), "1 discard bad"); unknown && !got {
				t.Errorf("%s of %q: the connection must be discarded: %q", op, text, events.story())
			}
			db.Close()
		}
	}
}

// Spans and events show a call whose outcome is unknown by its type, and the engine's code if
// there is one.
func TestOutcomeInSpans(t *testing.T) {
	for _, code := range []string{"", "10"} {
		f := newFake()
		f.On(fake.Fail(fmt.Errorf("%w: %w", driver.ErrBadConn, io.ErrUnexpectedEOF)), executes...)
		spans := tracetest.NewSpanRecorder()
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{
			Source: tracing.Source{System: "sqlite", Classify: func(error) tracing.ErrorClass { return tracing.ErrorClass{StatusCode: code} }},
			Once:   true, Tracing: newTracer(t, spans),
		}))
		if _, err := db.Exec(insertText, 1); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "unexpected EOF") {
			t.Errorf("the error must have its cause, got %v", err)
		}
		if n := len(spans.Ended()); n != 1 {
			t.Fatalf("there are %d spans, want 1", n)
		}
		s := spans.Ended()[0]
		if typ, status := attr(s, "error.type"), attr(s, "db.response.status_code"); typ != "*wrap.OutcomeError" || status != code {
			t.Errorf("error.type is %q and the code %q, want *wrap.OutcomeError and %q", typ, status, code)
		}
		db.Close()
	}
}
