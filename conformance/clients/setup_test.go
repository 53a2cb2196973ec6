package clients

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A setup is a way to open a database.
type setup struct {
	name   string
	driver string // what clients are told
	open   func(t *testing.T, dsn string) (*sql.DB, error)
}

var (
	plain = setup{"plain", "sqlite3", byName("sqlite3")}

	// untraced is what a program without an OpenTelemetry SDK gets.
	untraced = setup{"untraced", driver.Name, byName(driver.Name)}

	traced = setup{"traced", driver.Name, func(t *testing.T, dsn string) (*sql.DB, error) {
		return byConfig(dsn, driver.Config{Tracing: recordSpans(t)})
	}}

	// withoutCache prepares every statement anew, withSmallCache has to let
	// statements go all the time.
	withoutCache = setup{"without statement cache", driver.Name, func(_ *testing.T, dsn string) (*sql.DB, error) {
		return byConfig(dsn, driver.Config{StatementCache: -1})
	}}
	withSmallCache = setup{"with a small statement cache", driver.Name, func(_ *testing.T, dsn string) (*sql.DB, error) {
		return byConfig(dsn, driver.Config{StatementCache: 2})
	}}
)

func byName(name string) func(*testing.T, string) (*sql.DB, error) {
	return func(_ *testing.T, dsn string) (*sql.DB, error) { return sql.Open(name, dsn) }
}

func byConfig(dsn string, cfg driver.Config) (*sql.DB, error) {
	c, err := driver.NewConnector(dsn, cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// transcript runs p on a new database, and fails the test if p stops.
func (s setup) transcript(t *testing.T, p program) string {
	t.Helper()
	text, why := s.run(t, p)
	if why != "" {
		t.Fatalf("%s: stopped at %s\n%s", s.name, why, text)
	}
	return text
}

// run runs p on a new database. The texts of errors may name files, hence the
// same directory's name every time.
func (s setup) run(t *testing.T, p program) (text, why string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	dsn := "file:app.db?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)"
	db, err := s.open(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{db: db, driver: s.driver, dsn: dsn, dir: filepath.ToSlash(dir)}
	why = a.run(p)
	// Closing waits for nothing: a connection that is still in use would be a
	// program's own leak.
	if n := db.Stats().InUse; n > 0 && why == "" {
		t.Errorf("%s: %d connections in use at the end", s.name, n)
	}
	if err := db.Close(); err != nil {
		t.Errorf("%s: close: %v", s.name, err)
	}
	return a.transcript.String(), why
}

// recordSpans returns a tracer that makes spans. The test fails if there are
// none when it is over, or if one has not ended, or ended twice.
func recordSpans(t *testing.T) *tracing.Tracer {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if len(rec.Started()) == 0 {
			t.Error("no spans")
		}
		// A goroutine of database/sql's ends what a context has ended, and
		// Close does not wait for it.
		for deadline := time.Now().Add(10 * time.Second); len(rec.Ended()) < len(rec.Started()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Error(unended(rec))
				return
			}
		}
		times := make(map[trace.SpanID]int)
		for _, s := range rec.Ended() {
			times[s.SpanContext().SpanID()]++
		}
		for _, s := range rec.Started() {
			if n := times[s.SpanContext().SpanID()]; n != 1 {
				t.Errorf("span %q ended %d times", s.Name(), n)
			}
		}
		if len(times) != len(rec.Started()) {
			t.Errorf("%d spans started, %d others ended", len(rec.Started()), len(times))
		}
	})
	return tracer
}

// unended names the spans that have started but not ended.
func unended(rec *tracetest.SpanRecorder) string {
	names := ""
	for _, s := range rec.Started() {
		if s.EndTime().IsZero() {
			names += fmt.Sprintf(" %q", s.Name())
		}
	}
	return "spans have not ended:" + names
}
