package driver_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens dsn through a connector with cfg, and closes the database when the test ends.
// The test fails if a connection or a span is left.
func open(t *testing.T, dsn string, cfg driver.Config) *sql.DB {
	t.Helper()
	var log eventLog
	cfg.Recorder = driver.Tee(cfg.Recorder, &log)
	c, err := driver.NewConnector(dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		// If a transaction's context ends, a goroutine rolls it back and closes its
		// connection. Close does not wait for that goroutine.
		eventually(t, func() (bool, string) {
			opened, closed := log.count(driver.KindConnect), log.count(driver.KindClose)
			return opened == closed, fmt.Sprintf("%d connections opened, %d closed", opened, closed)
		})
	})
	return db
}

// file returns the DSN of a new database with the given parameters.
func file(t *testing.T, params ...string) string {
	dsn := "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "test.db"))
	if len(params) > 0 {
		dsn += "?" + strings.Join(params, "&")
	}
	return dsn
}

func exec(t *testing.T, db interface {
	Exec(string, ...any) (sql.Result, error)
}, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func value[T any](t *testing.T, db interface {
	QueryRow(string, ...any) *sql.Row
}, query string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// eventually waits for something that another goroutine is about to do.
func eventually(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		done, what := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Error(what)
			return
		}
	}
}

// eventLog records all events, and counts the successful ones.
type eventLog struct {
	mu     sync.Mutex
	events []driver.Event
}

func (l *eventLog) Record(e driver.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *eventLog) count(kind driver.Kind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		if e.Kind == kind && e.Err == "" {
			n++
		}
	}
	return n
}

// recordSpans returns a tracer, its provider and a recorder. The test fails if a started
// span is not ended exactly once.
func recordSpans(t *testing.T) (*tracing.Tracer, *sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	tracer, err := tracing.New(tracing.Config{TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, func() (bool, string) {
			started, ended := len(rec.Started()), len(rec.Ended())
			return started == ended, fmt.Sprintf("%d spans started, %d ended", started, ended)
		})
	})
	return tracer, provider, rec
}

// openFiles lists the files below dir that this process has open.
func openFiles(t *testing.T, dir string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("open files are listed in /proc/self/fd, which is Linux's")
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, dir) {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

// dsnDir returns the directory of a database named by file.
func dsnDir(dsn string) string {
	path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
	return filepath.Dir(path)
}

// raw calls f with SQLite's own connection, obtained as a program would.
func raw(t *testing.T, conn *sql.Conn, f func(*sqlite3.Conn)) {
	t.Helper()
	err := conn.Raw(func(dc any) error {
		f(dc.(sqlite3driver.Conn).Raw())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
