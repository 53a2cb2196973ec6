package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// counting opens a database whose statements are counted.
func counting(t *testing.T, cfg tracing.Config) (*sql.DB, *tracing.Tracer) {
	t.Helper()
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, file(t), driver.Config{Tracing: tracer}), tracer
}

// statementOf returns the statistics of a text.
func statementOf(t *testing.T, tracer *tracing.Tracer, text string) tracing.Statement {
	t.Helper()
	var texts []string
	for _, s := range tracer.Statements() {
		if s.Text == text {
			return s
		}
		texts = append(texts, s.Text)
	}
	t.Fatalf("no statement %q, but %q", text, texts)
	return tracing.Statement{}
}

func TestStatements(t *testing.T) {
	db, tracer := counting(t, tracing.Config{Statements: 100})
	exec(t, db, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
	exec(t, db, "INSERT INTO t(b) VALUES (1), (2), (3)")
	exec(t, db, "INSERT INTO t(b) VALUES (?), (?)", 4, 5)
	exec(t, db, "INSERT INTO t(b) VALUES ('secret')")
	for _, query := range []string{"SELECT a FROM t WHERE b IN (1, 2)", "SELECT a\nFROM t -- why\nWHERE b IN (3,4,5)"} {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if n := value[int](t, db, "SELECT count(*) FROM t ORDER BY b || 'x'"); n != 6 {
		t.Error(n)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "INSERT INTO t(b) VALUES (?)", 9)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO t(a) VALUES (1)"); err == nil {
		t.Fatal("no error")
	}

	s := statementOf(t, tracer, "INSERT INTO t(b) VALUES (?)")
	if s.Calls != 4 || s.Errors != 0 || s.Running != 0 || s.System != "sqlite" || s.Summary != "INSERT t" || s.Rows != 0 || len(s.ID) != 16 {
		t.Errorf("%+v", s)
	}
	if s.Total <= 0 || s.Max <= 0 || s.Max > s.Total || s.P50 <= 0 || s.P50 > s.P95 || s.P95 > s.P99 || s.P99 > s.Max || s.Engine <= 0 || s.Engine > s.Total || s.Mean() != s.Total/4 || time.Since(s.Last) > time.Minute {
		t.Errorf("%+v", s)
	}
	if s := statementOf(t, tracer, "SELECT a FROM t WHERE b IN (?)"); s.Calls != 2 || s.Rows != 5 || s.FullScanSteps < 10 || s.Engine <= 0 || s.Engine > s.Total {
		t.Errorf("%+v", s)
	}
	if s := statementOf(t, tracer, "INSERT INTO t(a) VALUES (?)"); s.Calls != 1 || s.Errors != 1 || !reflect.DeepEqual(s.Codes, map[string]uint64{"1555": 1}) {
		t.Errorf("%+v", s)
	}
	for _, text := range []string{"BEGIN", "COMMIT"} {
		if s := statementOf(t, tracer, text); s.Calls != 1 {
			t.Errorf("%+v", s)
		}
	}
	if all := fmt.Sprint(tracer.Statements()); strings.Contains(all, "secret") || strings.Contains(all, "why") {
		t.Error(all)
	}
	if got, err := tracing.New(tracing.Config{}); err != nil || got.Statements() != nil {
		t.Error("statistics that nobody asked for")
	}
}

func TestStatementsWhileRunning(t *testing.T) {
	db, tracer := counting(t, tracing.Config{Statements: 10})
	exec(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
	rows, err := db.Query("SELECT a FROM t ORDER BY a + 0")
	if err != nil {
		t.Fatal(err)
	}
	if s := statementOf(t, tracer, "SELECT a FROM t ORDER BY a + ?"); s.Running != 1 || s.Calls != 0 || s.Mean() != 0 {
		t.Errorf("%+v", s)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	if s := statementOf(t, tracer, "SELECT a FROM t ORDER BY a + ?"); s.Running != 0 || s.Calls != 1 || s.Rows != 1 || s.Sorts != 1 {
		t.Errorf("%+v", s)
	}
}

// TestStatementsLockWait checks that a wait for another connection's lock is counted.
func TestStatementsLockWait(t *testing.T) {
	db, tracer := counting(t, tracing.Config{Statements: 10})
	exec(t, db, "PRAGMA journal_mode=wal")
	exec(t, db, "CREATE TABLE t(a)")
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec(t, db, "PRAGMA busy_timeout=10000")
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := db.Exec("INSERT INTO t VALUES (1)"); done <- err }()
	eventually(t, func() (bool, string) {
		return slices.ContainsFunc(tracer.Statements(), func(s tracing.Statement) bool {
			return s.Text == "INSERT INTO t VALUES (?)" && s.Running == 1
		}), "the insert does not wait"
	})
	time.Sleep(20 * time.Millisecond)
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := statementOf(t, tracer, "INSERT INTO t VALUES (?)"); s.LockWait < 10*time.Millisecond || s.LockWait > s.Engine {
		t.Errorf("%+v", s)
	}
}

// TestStatementsFold checks that no call is lost when there are more statements than have room, and
// that those which are called most stay.
func TestStatementsFold(t *testing.T) {
	const most, texts, each = 16, 200, 3
	db, tracer := counting(t, tracing.Config{Statements: most})
	db.SetMaxOpenConns(8)
	exec(t, db, "CREATE TABLE t(a)")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range texts {
				for range each {
					rows, err := db.Query(fmt.Sprintf("SELECT a AS c%d FROM t", i))
					if err != nil {
						t.Error(err)
						return
					}
					if err := db.QueryRow("SELECT 1").Scan(new(int)); err != nil {
						t.Error(err)
					}
					_ = rows.Close()
				}
			}
		})
	}
	wg.Wait()
	list := tracer.Statements()
	if len(list) > most+1 {
		t.Errorf("%d statements", len(list))
	}
	var calls, folded uint64
	for _, s := range list {
		calls, folded = calls+s.Calls, folded+s.Folded
		if s.Running != 0 {
			t.Errorf("%+v", s)
		}
		if s.Text == "others" && s.ID != "" {
			t.Errorf("%+v", s)
		}
	}
	if calls != 1+2*4*texts*each || folded < texts-most {
		t.Errorf("%d calls, %d folded", calls, folded)
	}
	if s := statementOf(t, tracer, "SELECT ?"); s.Calls != 4*texts*each {
		t.Errorf("%+v", s)
	}
}

func TestStatementsErrors(t *testing.T) {
	for _, n := range []int{-1, 10_001} {
		_, err := tracing.New(tracing.Config{Statements: n})
		var config *tracing.ConfigError
		if !errors.As(err, &config) || !strings.Contains(err.Error(), fmt.Sprint(n)) {
			t.Error(n, err)
		}
	}
	db, tracer := counting(t, tracing.Config{Statements: 10, Filter: func(_ context.Context, _, query string) bool { return query != "SELECT 2" }})
	for range 2 {
		if n := value[int](t, db, "SELECT 2"); n != 2 {
			t.Error(n)
		}
	}
	if list := tracer.Statements(); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// TestStatementsAfterPanics checks that no call is lost and none seems to run after a panic of a
// function of the program.
func TestStatementsAfterPanics(t *testing.T) {
	panics := true
	db, tracer := counting(t, tracing.Config{
		Statements: 10, TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(&panicking{on: &panics})),
		ContextAttributes: func(ctx context.Context) []attribute.KeyValue {
			if ctx.Value(panicKey{}) != nil {
				panic("attributes")
			}
			return nil
		},
	})
	for _, ctx := range []context.Context{context.WithValue(t.Context(), panicKey{}, true), t.Context()} {
		func() {
			defer func() { _ = recover() }()
			_, _ = db.ExecContext(ctx, "SELECT 1")
		}()
	}
	panics = false
	exec(t, db, "SELECT 1")
	if s := statementOf(t, tracer, "SELECT ?"); s.Running != 0 || s.Calls != 2 || s.Errors != 1 {
		t.Errorf("%+v", s)
	}
}

type panicKey struct{}

// panicking is a span processor that panics at the end of a span.
type panicking struct {
	sdktrace.SpanProcessor
	on *bool
}

func (p *panicking) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (p *panicking) OnEnd(s sdktrace.ReadOnlySpan) {
	if *p.on && s.Name() != "connect" && s.Name() != "acquire" && s.Name() != "close" {
		panic("span")
	}
}
func (p *panicking) Shutdown(context.Context) error { return nil }
