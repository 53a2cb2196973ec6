package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/stdlib"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// pgxServer and pgxBroken are what a program gives to package wrap for pgx.
func pgxServer(c driver.Conn) wrap.Server {
	cfg := c.(*stdlib.Conn).Conn().Config()
	return wrap.Server{Address: cfg.Host, Port: int(cfg.Port)}
}

func pgxBroken(c driver.Conn) bool { return c.(*stdlib.Conn).Conn().IsClosed() }

// An eventLog keeps the kinds and reasons of events.
type eventLog struct {
	mu     sync.Mutex
	events []string
}

func (l *eventLog) Record(e wrap.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, strings.TrimSpace(e.Kind.String()+" "+string(e.Reason)))
}

func (l *eventLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}

// errorTypes returns the error.type and the server of each failed call.
func errorTypes(spans *tracetest.SpanRecorder) (failed []string) {
	for _, s := range spans.Ended() {
		var typ, server string
		for _, kv := range s.Attributes() {
			switch kv.Key {
			case "error.type":
				typ = kv.Value.String()
			case "server.address", "server.port":
				server += " " + kv.Value.String()
			}
		}
		if typ != "" {
			failed = append(failed, s.Name()+": "+typ+server)
		}
	}
	return failed
}

func recordingTracer(t *testing.T, spans *tracetest.SpanRecorder) *tracing.Tracer {
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// pgx's connections cannot say that they are dead. Without Broken, a connection that died in a
// call is released, and closed only when the next call gets it.
func TestDeadConnectionOfPgx(t *testing.T) {
	for _, asks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			spans, events := tracetest.NewSpanRecorder(), &eventLog{}
			cfg := wrap.Config{Source: tracing.Source{System: "postgresql"}, Tracing: recordingTracer(t, spans), Recorder: events, Describe: pgxServer}
			want := []string{"connect", "acquire", "release", "close bad", "connect", "acquire", "release"}
			if asks {
				cfg.Broken = pgxBroken
				want = []string{"connect", "acquire", "discard bad", "close bad", "connect", "acquire", "release"}
			}
			db := sql.OpenDB(wrap.NewConnector(startPostgres(t, &transcript{}, nil).connector, cfg))
			ctx, cancel := context.WithCancel(context.Background())
			if rows, err := db.QueryContext(ctx, "select drops"); err == nil {
				t.Error("the call on a connection that is dropped must fail", rows.Close())
			}
			if _, err := db.ExecContext(ctx, "select two"); err != nil {
				t.Error(err)
			}
			if got := events.take(); !slices.Equal(got, want) {
				t.Errorf("Broken %t: the events are %q, want %q", asks, got, want)
			}
			if got := errorTypes(spans); !slices.Equal(got, []string{"select: io.ErrUnexpectedEOF localhost"}) {
				t.Errorf("the failed calls are %q", got)
			}
			cancel()
			db.Close()
			synctest.Wait()
		})
	}
}

// pgx sends an Exec without arguments by the simple protocol. If the connection is lost before the
// answer, it returns driver.ErrBadConn (5.12.0), although the server may have executed the query.
// So database/sql sends it three times. With Once it does not.
func TestOnceOfPgx(t *testing.T) {
	const write = "select drops for update"
	for _, once := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log, sent := &transcript{}, 3
			db := sql.OpenDB(wrap.NewConnector(startPostgres(t, log, nil).connector, wrap.Config{Source: tracing.Source{System: "postgresql"}, Once: once}))
			_, err := db.Exec(write)
			var unknown *wrap.OutcomeError
			if once {
				sent = 1
			}
			if errors.As(err, &unknown) != once || errors.Is(err, driver.ErrBadConn) == once {
				t.Errorf("Once %t: got %v", once, err)
			}
			db.Close()
			synctest.Wait()
			if got := log.heardOf(write); got != sent {
				t.Errorf("Once %t: the server has received the query %d times, want %d", once, got, sent)
			}
		})
	}
}

// heardOf returns how many messages that servers have received contain text.
func (l *transcript) heardOf(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.pending {
		if strings.HasPrefix(h.stream, "connection ") && strings.Contains(h.text, text) {
			n++
		}
	}
	return n
}

// MySQL's driver fails with a variable of its own when a connection dies in a call. The program's
// Classify names it.
func TestDeadConnectionOfMySQL(t *testing.T) {
	for _, named := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			spans, events := tracetest.NewSpanRecorder(), &eventLog{}
			src := tracing.Source{System: "mysql"}
			want := "select: *errors.errorString"
			if named {
				src.Classify = func(err error) (class tracing.ErrorClass) {
					if errors.Is(err, mysql.ErrInvalidConn) {
						class.Type = "mysql.ErrInvalidConn"
					}
					return class
				}
				want = "select: mysql.ErrInvalidConn"
			}
			db := sql.OpenDB(wrap.NewConnector(startMySQL(t, &transcript{}, "").connector,
				wrap.Config{Source: src, Tracing: recordingTracer(t, spans), Recorder: events}))
			if _, err := db.Exec("select drops"); !errors.Is(err, mysql.ErrInvalidConn) {
				t.Errorf("got %v, want mysql.ErrInvalidConn", err)
			}
			if got := errorTypes(spans); !slices.Equal(got, []string{want}) {
				t.Errorf("the failed calls are %q, want %q", got, want)
			}
			if got := events.take(); !slices.Contains(got, "discard bad") {
				t.Errorf("the connection must be discarded: %q", got)
			}
			db.Close()
			synctest.Wait()
		})
	}
}

// MySQL's driver returns driver.ErrBadConn if it could not send a call, on a connection that the
// server has closed while it was idle. With Once, that fails a call that would be executed, because
// package wrap cannot know. A call that is prepared first is repeated: its prepare has failed.
func TestOnceAfterIdleConnectionDied(t *testing.T) {
	for _, tc := range []struct {
		once, fails bool
		query       string
		args        []any
	}{
		{false, false, "insert one 1", nil},
		{true, true, "insert one 1", nil},
		{true, false, "select two", nil},
		{true, false, "insert one ?", []any{1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := startMySQL(t, &transcript{}, "")
			events := &eventLog{}
			db := sql.OpenDB(wrap.NewConnector(s.connector, wrap.Config{
				Source: tracing.Source{System: "mysql"}, Recorder: events, Once: tc.once,
			}))
			if _, err := db.Exec(tc.query, tc.args...); err != nil {
				t.Fatal(err)
			}
			s.drop()
			synctest.Wait()
			_, err := db.Exec(tc.query, tc.args...)
			var unknown *wrap.OutcomeError
			if errors.As(err, &unknown) != tc.fails || (err != nil) != tc.fails {
				t.Errorf("%+v: got %v", tc, err)
			}
			if _, err := db.Exec(tc.query, tc.args...); err != nil {
				t.Errorf("%+v: the next call failed: %v", tc, err)
			}
			want := []string{"connect", "acquire", "release", "acquire", "discard bad", "close bad", "connect", "acquire", "release"}
			if got := events.take(); !slices.Equal(got[:min(len(got), len(want))], want) {
				t.Errorf("%+v: the events are %q, want %q", tc, got, want)
			}
			db.Close()
			synctest.Wait()
		})
	}
}

// Raw leads to the driver's own connection, and Observe records the life of any wrapped database.
func TestReachThrough(t *testing.T) {
	for _, e := range engines {
		if e.raw != "*stdlib.Conn" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			db := sql.OpenDB(wrap.NewConnector(e.start(t, &transcript{}).connector, wrap.Config{Source: tracing.Source{System: e.system}}))
			o, err := core.Observe(t.Context(), db, core.ObserveConfig{})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := db.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			host := ""
			if err := wrap.Raw(conn, func(c *stdlib.Conn) error { host = c.Conn().Config().Host; return nil }); err != nil || host != "localhost" {
				t.Errorf("Raw returned %v, and the host is %q", err, host)
			}
			err = wrap.Raw(conn, func(fmt.Stringer) error { t.Error("called"); return nil })
			if err == nil || !strings.Contains(err.Error(), "*stdlib.Conn") || !strings.Contains(err.Error(), "fmt.Stringer") {
				t.Errorf("the error %v must name both types", err)
			}
			conn.Close()
			db.Close()
			synctest.Wait()
			var kinds []string
			for _, e := range o.Events() {
				kinds = append(kinds, e.Kind.String())
			}
			if want := []string{"connect", "acquire", "release", "close"}; !slices.Equal(kinds, want) {
				t.Errorf("Observe has recorded %q, want %q", kinds, want)
			}
			o.Close()
		})
	}
}
