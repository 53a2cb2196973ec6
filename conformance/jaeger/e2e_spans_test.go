package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// scope is the instrumentation scope of the library's spans. Other spans are the demo's own.
const scope = "github.com/sqlitemw/sqlitemw/tracing"

// readingTime is how long the demo pauses between two rows when it browses.
const readingTime = 2 * time.Millisecond

// cut is the maximum by which Jaeger shortens a duration.
const cut = time.Microsecond

// checkSpans checks that each span has the documented attributes of its kind, and no others.
func checkSpans(t *testing.T, all []Trace) {
	t.Helper()
	kinds := make(map[string]int)
	for _, trace := range all {
		names := spanNames(trace)
		for _, s := range trace.Spans {
			if tag(s, "otel.scope.name") != scope {
				continue
			}
			kind, has := documented(s)
			kinds[kind]++
			if got := slices.Sorted(maps.Keys(s.Tags)); !slices.Equal(got, has) {
				t.Errorf("%s has the attributes\n  %s\nwant\n  %s", s.Operation, strings.Join(got, "\n  "), strings.Join(has, "\n  "))
			}
			if s.StatusError != (tag(s, "error.type") != "") {
				t.Errorf("%s: its error is %v, its error.type %q", s.Operation, s.StatusError, tag(s, "error.type"))
			}
			if typ, code := tag(s, "error.type"), tag(s, "db.response.status_code"); typ != code && !strings.HasPrefix(typ, "context.") {
				t.Errorf("%s: its error.type is %q, its status code %q", s.Operation, typ, code)
			}
			if kind == "query" {
				checkEngine(t, s, names[s.ParentID])
			}
		}
	}
	for _, kind := range []string{"query", "prepare", "transaction", "acquire", "connect", "close"} {
		if kinds[kind] == 0 {
			t.Errorf("no span of kind %s: %v", kind, kinds)
		}
	}
}

// documented returns the kind of a span, and the expected keys of its tags, sorted and
// including Jaeger's own. Keys that only some spans of the kind have are expected if the span
// has them. Other checks verify whether it should.
func documented(s Span) (kind string, keys []string) {
	keys = []string{"db.namespace", "db.system.name", "otel.scope.name", "span.kind", "sqlitemw.connection.id"}
	some := []string{"otel.scope.version"}
	switch {
	case s.Kind == "internal":
		kind = s.Operation
		switch kind {
		case "acquire":
			keys = append(keys, "sqlitemw.connection.new")
			some = append(some, "sqlitemw.connection.lane", "sqlitemw.acquire.queue_position", "sqlitemw.acquire.wait")
		case "close":
			keys = append(keys, "sqlitemw.connection.close_reason")
		case "connect":
			keys = append(keys, "sqlitemw.connect.pragmas", "sqlitemw.connect.pragmas.duration")
		default:
			kind = "undocumented"
		}
	case tag(s, "db.operation.name") == "PREPARE":
		kind = "prepare"
		keys = append(keys, "db.operation.name", "db.query.summary", "db.query.text")
	case tag(s, "db.operation.name") != "":
		kind = "transaction"
		keys = append(keys, "db.operation.name", "sqlitemw.transaction.id")
	default:
		kind = "query"
		keys = append(keys, "db.query.summary", "db.query.text")
		some = append(some, "sqlitemw.engine.duration")
	}
	if kind == "query" || s.Operation == "COMMIT" {
		some = append(some, "sqlitemw.sync.duration") // in the pool
	}
	if s.Kind == "client" && kind != "transaction" {
		some = append(some, "sqlitemw.transaction.id")
	}
	if s.StatusError {
		keys = append(keys, "error", "error.type", "otel.status_code")
		if _, ok := s.Tags["db.response.status_code"]; ok {
			keys = append(keys, "db.response.status_code", "otel.status_description") // the engine's text for the code
		}
	}
	for _, key := range some {
		if _, ok := s.Tags[key]; ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return kind, keys
}

// checkEngine checks that calls that return rows, and no others, report SQLite's share of their
// time, and that a commit's sync is a part of its time.
func checkEngine(t *testing.T, s Span, parent string) {
	t.Helper()
	if sync, ok := s.Tags["sqlitemw.sync.duration"].(float64); ok && (sync <= 0 || time.Duration(sync*float64(time.Second)) > s.Duration+cut) {
		t.Errorf("%s took %v, and its sync %v s", s.Operation, s.Duration, sync)
	}
	seconds, ok := s.Tags["sqlitemw.engine.duration"].(float64)
	// A query that begins with WITH may select, and write the selected rows.
	if reads := strings.HasPrefix(s.Operation, "SELECT ") && !strings.Contains(s.Operation, "INSERT"); ok != reads {
		t.Errorf("%s has the engine's duration: %v", s.Operation, ok)
	}
	if !ok {
		return
	}
	engine := time.Duration(seconds * float64(time.Second))
	if engine <= 0 || engine > s.Duration+cut {
		t.Errorf("%s took the engine %v of %v", s.Operation, engine, s.Duration)
	}
	if rest := s.Duration + cut - engine; parent == "browse" && rest < readingTime {
		t.Errorf("%s took the engine %v of %v, in which its reader paused for %v", s.Operation, engine, s.Duration, readingTime)
	}
}

// checkTransactions checks that all calls of a transaction have its ID, and that no other span
// has one. It returns the number of transactions. Jaeger's times are cut to microseconds, so
// the order of two spans that begin in the same microsecond is unknown.
func checkTransactions(t *testing.T, all []Trace) int {
	t.Helper()
	type transaction struct {
		trace, connection  string
		begun, ended       int
		from, to, finished time.Time // its start, and the start and the end of its end
	}
	found := make(map[string]*transaction)
	for _, trace := range all {
		for _, s := range trace.Spans {
			id := tag(s, "sqlitemw.transaction.id")
			if id == "" {
				continue
			}
			tx := found[id]
			if tx == nil {
				tx = &transaction{trace: s.TraceID, connection: tag(s, "sqlitemw.connection.id")}
				found[id] = tx
			}
			if s.TraceID != tx.trace || tag(s, "sqlitemw.connection.id") != tx.connection {
				t.Errorf("%s belongs to transaction %s, but is on another connection or in another trace", s.Operation, id)
			}
			switch s.Operation {
			case "BEGIN":
				tx.begun++
				tx.from = s.Start
			case "COMMIT", "ROLLBACK":
				tx.ended++
				tx.to, tx.finished = s.Start, s.Start.Add(s.Duration+cut)
			}
		}
	}
	for id, tx := range found {
		if tx.begun != 1 || tx.ended != 1 {
			t.Errorf("transaction %s began %d times, and ended %d times", id, tx.begun, tx.ended)
		}
	}
	for _, trace := range all {
		for _, s := range trace.Spans {
			id := tag(s, "sqlitemw.transaction.id")
			if tx := found[id]; tx != nil && (s.Start.Before(tx.from) || s.Start.After(tx.finished)) {
				t.Errorf("%s belongs to transaction %s, but began outside of it", s.Operation, id)
			}
			if s.Kind != "client" {
				continue
			}
			for inside, tx := range found {
				if tag(s, "sqlitemw.connection.id") == tx.connection && s.Start.After(tx.from) && s.Start.Before(tx.to) && id != inside {
					t.Errorf("%s began within transaction %s, but has the ID %q", s.Operation, inside, id)
				}
			}
		}
	}
	return len(found)
}

// checkOrderTransaction checks that an order is exactly one transaction.
func checkOrderTransaction(t *testing.T, order Trace) {
	t.Helper()
	ids := make(map[string]bool)
	for _, s := range order.Spans {
		if id := tag(s, "sqlitemw.transaction.id"); s.Kind == "client" {
			ids[id] = true
		} else if id != "" {
			t.Errorf("%s is not a call, but has the transaction ID %s", s.Operation, id)
		}
	}
	if len(ids) != 1 || ids[""] {
		t.Errorf("the calls of an order belong to the transactions %v", slices.Sorted(maps.Keys(ids)))
	}
}

// checkPool checks that an acquire that waited in a pool reports for how long, and at which
// position in the queue.
func checkPool(t *testing.T, online Trace) {
	t.Helper()
	for _, s := range online.Spans {
		if s.Operation != "acquire" {
			continue
		}
		seconds, _ := s.Tags["sqlitemw.acquire.wait"].(float64)
		if wait := time.Duration(seconds * float64(time.Second)); wait <= 0 || wait > s.Duration+cut {
			t.Errorf("it waited %v of %v", s.Duration, wait)
		}
		if place, lane := tag(s, "sqlitemw.acquire.queue_position"), tag(s, "sqlitemw.connection.lane"); place != "1" || lane != "writer" {
			t.Errorf("it waited at place %q for a %q", place, lane)
		}
		return
	}
	t.Error("it has not acquired a connection")
}

// checkConnections checks that each connection is opened within the acquire that needed it, and
// that the acquire reports it. It also checks that the close of a connection belongs to the
// same connection.
func checkConnections(t *testing.T, all []Trace) {
	t.Helper()
	// On a slow machine, readers that wait for a connection look as if they waited for each
	// other.
	reasons := []string{"expired", "surplus", "shrunk", "database closed", "bad", "sick", "panic", "other", "pool closed", "overflow"}
	connects := make(map[string]Span) // by span
	opened := make(map[string]bool)   // connections
	for _, trace := range all {
		asked := make(map[string]Span) // the connect within an acquire
		for _, s := range trace.Spans {
			if s.Operation == "connect" {
				asked[s.ParentID] = s
				connects[s.ID] = s
				opened[tag(s, "sqlitemw.connection.id")] = true
			}
		}
		for _, s := range trace.Spans {
			if s.Operation != "acquire" {
				continue
			}
			connect, opened := asked[s.ID]
			if got := tag(s, "sqlitemw.connection.new"); got != fmt.Sprint(opened) || s.ParentID == "" {
				t.Errorf("an acquire below %q says that its connection is new: %s; it is: %v", s.ParentID, got, opened)
			}
			if !opened {
				continue
			}
			if tag(connect, "sqlitemw.connection.id") != tag(s, "sqlitemw.connection.id") {
				t.Error("an acquire and the connect within it have different connections")
			}
			if connect.Kind != "internal" || connect.Start.Before(s.Start) || connect.Start.Add(connect.Duration).After(s.Start.Add(s.Duration+2*cut)) {
				t.Errorf("connect is not within its acquire: %+v, %+v", connect, s)
			}
		}
	}
	for _, trace := range all {
		for _, s := range trace.Spans {
			id := tag(s, "sqlitemw.connection.id")
			if tag(s, "otel.scope.name") == scope && !opened[id] {
				t.Errorf("%s has the connection %q, which was never opened", s.Operation, id)
			}
			if s.Operation != "close" {
				continue
			}
			if len(s.Links) == 1 && tag(connects[s.Links[0].SpanID], "sqlitemw.connection.id") != id {
				t.Errorf("the close of connection %s is linked to the connect of another", id)
			}
			if reason := tag(s, "sqlitemw.connection.close_reason"); !slices.Contains(reasons, reason) {
				t.Errorf("a connection was closed for the reason %q", reason)
			}
		}
	}
}
