package main

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func millis(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

// check compares a text with the expected one, without the empty line before that.
func check(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPrintTree(t *testing.T) {
	span := func(id, parent byte, name string, kind trace.SpanKind, from, to int, status sdktrace.Status, attrs ...attribute.KeyValue) tracetest.SpanStub {
		of := func(id byte) trace.SpanContext {
			return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{id}})
		}
		s := tracetest.SpanStub{
			Name: name, SpanKind: kind, SpanContext: of(id), StartTime: at(from), EndTime: at(to),
			Status: status, Attributes: attrs,
		}
		if parent > 0 {
			s.Parent = of(parent)
		}
		return s
	}
	ok := sdktrace.Status{}
	conn := attribute.Int64("sqlitemw.connection.id", 7)
	spans := tracetest.SpanStubs{ // as they end
		span(3, 2, "connect", trace.SpanKindInternal, 1, 3, ok, conn),
		span(2, 1, "acquire", trace.SpanKindInternal, 1, 3, ok, conn),
		span(4, 1, "BEGIN", trace.SpanKindClient, 3, 4, ok, conn),
		span(5, 1, "INSERT customers", trace.SpanKindClient, 4, 5,
			sdktrace.Status{Code: codes.Error, Description: "constraint failed"}, conn, attribute.String("error.type", "2067")),
		span(1, 0, "register", trace.SpanKindInternal, 0, 1500, ok),
		span(9, 8, "of another", trace.SpanKindInternal, 12, 120, sdktrace.Status{Code: codes.Error, Description: "late"}),
		span(10, 9, "SELECT", trace.SpanKindClient, 12, 13,
			sdktrace.Status{Code: codes.Error, Description: "interrupted"}, conn, attribute.String("error.type", "context.Canceled")),
	}
	var out strings.Builder
	printTree(&out, spans.Snapshots())
	check(t, out.String(), `
span                   began    took  conn  kind      error
register                +0µs   1.50s        internal
├─ acquire           +1.00ms  2.00ms     7  internal
│  └─ connect        +1.00ms  2.00ms     7  internal
├─ BEGIN             +3.00ms  1.00ms     7  client
└─ INSERT customers  +4.00ms  1.00ms     7  client    2067: constraint failed
of another           +12.0ms   108ms        internal  late
└─ SELECT            +12.0ms  1.00ms     7  client    context.Canceled
`)

	out.Reset()
	printTree(&out, nil)
	check(t, out.String(), "no spans\n")
}

func TestPrintTimeline(t *testing.T) {
	events := []driver.Event{
		// The log no longer has the first events of connection 2.
		{Seq: 10, Time: at(4), Kind: driver.KindRelease, Conn: 2, Duration: millis(2), Age: millis(4)},
		{Seq: 11, Time: at(84), Kind: driver.KindConnect, Conn: 3, Duration: millis(42)},
		{Seq: 12, Time: at(84), Kind: driver.KindAcquire, Conn: 3, Duration: millis(42)},
		{Seq: 13, Time: at(126), Kind: driver.KindDiscard, Conn: 3, Duration: millis(42), Age: millis(42), Reason: driver.ReasonBad},
		{Seq: 14, Time: at(127), Kind: driver.KindClose, Conn: 3, Duration: millis(1), Age: millis(43), Reason: driver.ReasonBad, Err: "10"},
		{Seq: 15, Time: at(130), Kind: driver.KindConnect, Duration: millis(1), Err: "14"},
		{Seq: 16, Time: at(147), Kind: driver.KindAcquire, Conn: 2, Idle: millis(143), Age: millis(147)},
		{Seq: 17, Time: at(168), Kind: driver.KindConnect, Conn: 4, Duration: millis(4)},
	}
	var out strings.Builder
	printTimeline(&out, events, 9)
	check(t, out.String(), `
8 events, 9 older ones dropped

conn  0                                   84.0ms                                     168ms
   2  ·█·······································································▓██████████
   3                       +++++++++++++++++++++█████████████████████x
   4                                                                                    ++
      + connecting   ░▒▓█ in use, more or less of the column's 2.00ms   · idle   x closed

conn   opened    took  uses  in use  longest    idle  closed  because
   2     +0µs     0µs     2  23.0ms   21.0ms   145ms    open
   3  +84.0ms  42.0ms     1  42.0ms   42.0ms  1.00ms  +127ms  bad
   4   +168ms  4.00ms     0     0µs      0µs     0µs    open

the last 8 events
event       at  conn  kind       took  idle before  because
   10  +4.00ms     2  release  2.00ms
   11  +84.0ms     3  connect  42.0ms
   12  +84.0ms     3  acquire  42.0ms
   13   +126ms     3  discard  42.0ms               bad
   14   +127ms     3  close    1.00ms               bad error 10
   15   +130ms        connect  1.00ms               error 14
   16   +147ms     2  acquire     0µs        143ms
   17   +168ms     4  connect  4.00ms
`)

	out.Reset()
	printTimeline(&out, nil, 0)
	check(t, out.String(), "0 events, 0 older ones dropped\n")
}

func TestPrintStats(t *testing.T) {
	rush := pool.Stats{Max: 4, Open: 4, InUse: 3, Idle: 1, Waits: 12, WaitTime: millis(34), Connects: 4, Acquires: 100}
	end := pool.Stats{Max: 4, Acquires: 1234, Releases: 1234, LongestUse: millis(1200), ClosedFor: map[driver.Reason]uint64{
		driver.ReasonShrunk: 3, driver.ReasonExpired: 1,
	}}
	var out strings.Builder
	printStats(&out, rush, end)
	check(t, out.String(), `
                  in the rush  in the end
most connections            4           4
open                        4           0
in use                      3           0
idle                        1           0
utilization               75%          0%  in use, of the maximum
waits                      12           0  calls that found no free connection
time waited            34.0ms         0µs  sum of all waits
connects                    4           0
connect errors              0           0
time connecting           0µs         0µs  all together: open, set pragmas, read them back
longest connect           0µs         0µs
acquires                  100        1234
releases                    0        1234
discards                    0           0  thrown away while in use
time in use               0µs         0µs  all together, from acquire to release
longest use               0µs       1.20s
closes                      0           0
close errors                0           0
  expired                   0           1
  shrunk                    0           3
events                      0           0
events dropped              0           0
`)
}

func TestHuman(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0µs":    999 * time.Nanosecond,
		"999µs":  999_999 * time.Nanosecond,
		"1.00ms": time.Millisecond,
		"12.3ms": 12_345 * time.Microsecond,
		"123ms":  123_456 * time.Microsecond,
		"1.23s":  1_234 * time.Millisecond,
	} {
		if got := human(d); got != want {
			t.Errorf("human(%d) = %q, want %q", d, got, want)
		}
	}
}
