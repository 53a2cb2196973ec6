package instrument

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/budget"
	"github.com/sqlitemw/sqlitemw/tracing/internal/summary"
)

// A statement holds the operations of one query, built once.
type statement struct {
	execute *operation

	preparing sync.Once
	prepares  *operation
}

// prepare returns the operation that prepares the query. It is built when first needed,
// because few queries are prepared.
func (st *statement) prepare(d *Database) *operation {
	st.preparing.Do(func() {
		ex, op := st.execute, operationAttribute("PREPARE")
		attrs := append(d.with(op), ex.attrs[len(d.attrs):]...)
		st.prepares = newOperation("PREPARE "+ex.name, attrs, append(ex.labels[:len(ex.labels):len(ex.labels)], op))
		st.prepares.once = ex.once
	})
	return st.prepares
}

// statements keeps the statement of each query. Queries that bind no arguments may differ in
// every call. So the number of statements is bounded, and so are their bytes, for the
// database and for the process. A query longer than maxStatementText is not kept, because it
// is unlikely to repeat.
type statements struct {
	mu    sync.RWMutex
	kept  map[statementKey]*statement
	share *budget.Share
}

// statementBudget limits the bytes of statements to 4 MiB for each database and 64 MiB for
// the process. 512 queries of 1 KiB use about half of 4 MiB.
var statementBudget = budget.New(4<<20, 64<<20)

// bytes returns the memory that a statement uses: the query as written and as shown, and 1536
// bytes for the rest, as measured.
func (key statementKey) bytes() int { return 2*len(key.query) + 1536 }

type statementKey struct {
	query        string
	bound        bool // see Database.binds
	doubleQuoted bool
}

const (
	maxStatements    = 512
	maxStatementText = 16 << 10 // bytes
)

// get returns the statement of a query, and keeps it if it can.
func (s *statements) get(d *Database, key statementKey) *statement {
	s.mu.RLock()
	st := s.kept[key]
	s.mu.RUnlock()
	if st != nil {
		return st
	}

	st = newStatement(d, key)
	if len(key.query) > maxStatementText || !s.keep(key, st) {
		st.execute.once = true
	}
	return st
}

// keep keeps a statement, in place of others if there is no room, and reports whether it did.
func (s *statements) keep(key statementKey, st *statement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept, s.share = make(map[statementKey]*statement), statementBudget.Share()
	}
	return budget.Keep(s.share, s.kept, maxStatements, key, st, statementKey.bytes)
}

func newStatement(d *Database, key statementKey) *statement {
	info := summary.Describe(d.dialect, key.query, key.doubleQuoted)
	if !d.readable {
		// The rules of one dialect cannot tell another's literals from its names. Only the first
		// keyword of the query is safe.
		info = summary.Info{Summary: info.Operation}
	}
	more := make([]attribute.KeyValue, 0, 2)
	name := info.Summary
	if name != "" {
		more = append(more, summaryAttribute(name))
	} else {
		name = d.attrs[0].Value.AsString() // db.system.name, the conventions' last resort
	}
	text := info.Sanitized
	if d.tracer.cfg.QueryText == tracing.QueryTextSafe && key.bound && info.Binds() && !info.Sensitive {
		text = strings.ToValidUTF8(key.query, "\uFFFD") // or an exporter refuses the batch
	}
	if text != "" && d.tracer.cfg.QueryText != tracing.QueryTextOff {
		more = append(more, textAttribute(text))
	}

	labels := d.attrs
	if len(more) > 0 && info.Summary != "" && d.isLabel(info.Summary) {
		labels = d.with(more[0])
	}
	st := &statement{execute: newOperation(name, d.with(more...), labels)}
	if d.tracer.tallies.most > 0 {
		st.execute.tally.Store(d.tracer.tallies.of(d, summary.Collapse(d.dialect, info.Sanitized), name))
	}
	return st
}
