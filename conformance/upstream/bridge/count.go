package bridge

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
)

// These environment variables of a test say where counts are written, and whether an
// OpenTelemetry SDK is installed. Without the first, nothing is counted.
const (
	EnvDir   = "SQLITEMW_UPSTREAM_COUNTS"
	EnvTrace = "SQLITEMW_UPSTREAM_TRACE"
)

// A Mark is a byte in the file of a package's counts.
type Mark byte

const (
	Connection Mark = 'c' // sqlitemw opened a connection
	Span       Mark = 's' // sqlitemw ended a span; only the first is marked
)

// Counts are the counts of a package's tests.
type Counts struct {
	Connections int
	Traced      bool // whether there was a span
}

// counts is the file. Its contents remain even if the test process crashes, as examples that
// fail make it do.
var counts *os.File

// Count is called once, before any test, with the name of the tested package.
func Count(pkg string) {
	if os.Getenv(EnvTrace) != "" {
		otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(&spans{})))
	}
	dir := os.Getenv(EnvDir)
	if dir == "" {
		return
	}
	var err error
	counts, err = os.OpenFile(file(dir, pkg), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		panic(err)
	}
}

// Read returns the counts that the tests of pkg left in dir, or zero if they never began.
func Read(dir, pkg string) (Counts, error) {
	marks, err := os.ReadFile(file(dir, pkg))
	if err != nil && !os.IsNotExist(err) {
		return Counts{}, err
	}
	return Counts{
		Connections: bytes.Count(marks, []byte{byte(Connection)}),
		Traced:      bytes.IndexByte(marks, byte(Span)) >= 0,
	}, nil
}

func file(dir, pkg string) string { return filepath.Join(dir, url.PathEscape(pkg)) }

func leave(m Mark) {
	if counts == nil {
		return
	}
	if _, err := counts.Write([]byte{byte(m)}); err != nil {
		panic(err)
	}
}

// spans is a span processor that discards spans.
type spans struct{ first sync.Once }

func (s *spans) OnStart(context.Context, trace.ReadWriteSpan) {}

func (s *spans) OnEnd(trace.ReadOnlySpan) { s.first.Do(func() { leave(Span) }) }

func (s *spans) Shutdown(context.Context) error { return nil }

func (s *spans) ForceFlush(context.Context) error { return nil }
