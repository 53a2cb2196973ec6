package tracing

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sqlitemw/sqlitemw/tracing/budget"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A statement is what the spans of one SQL text show, built once.
type statement struct {
	execute *operation

	preparing sync.Once
	prepares  *operation
}

// prepare is what a text of d is as a call that prepares it, which few texts are.
func (st *statement) prepare(d *Database) *operation {
	st.preparing.Do(func() {
		ex, op := st.execute, operationAttribute("PREPARE")
		attrs := append(d.with(op), ex.attrs[len(d.attrs):]...)
		st.prepares = newOperation("PREPARE "+ex.name, attrs, append(ex.labels[:len(ex.labels):len(ex.labels)], op))
		st.prepares.once = ex.once
	})
	return st.prepares
}

// statements keeps what is built of each text. Text that binds no arguments
// may differ from call to call, so the number kept is bounded, and so are the bytes: of one
// database, and of all of the process. A text too long to be one of few is not kept at all.
type statements struct {
	mu    sync.RWMutex
	kept  map[statementKey]*statement
	share *budget.Share
}

// statementBudget is for the texts of a database, which 512 of a kilobyte take half of, and for
// those of all.
var statementBudget = budget.New(4<<20, 64<<20)

// bytes is what to keep the statement takes: the text, what is shown of it, and as much as was
// measured for what is built of them.
func (key statementKey) bytes() int { return 2*len(key.query) + 1536 }

type statementKey struct {
	query        string
	bound        bool
	doubleQuoted bool
}

const (
	maxStatements    = 512
	maxStatementText = 16 << 10 // bytes
)

// of returns what is known of a query. bound says whether arguments are bound to it, and so
// whether its text may be shown as it is.
func (s *statements) of(d *Database, key statementKey) *statement {
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

// keep keeps a statement, in the place of others if need be, and reports whether it has.
func (s *statements) keep(key statementKey, st *statement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept, s.share = make(map[statementKey]*statement), statementBudget.Share()
	}
	return budget.Keep(s.share, s.kept, maxStatements, key, st, statementKey.bytes)
}

func newStatement(d *Database, key statementKey) *statement {
	info := describe(key.query, key.doubleQuoted)
	if !d.sqlite {
		// Another engine's literals and names are not told apart by SQLite's
		// rules: nothing of the text is safe but its first keyword.
		info = queryInfo{summary: info.operation}
	}
	more := make([]attribute.KeyValue, 0, 2)
	name := info.summary
	if name != "" {
		more = append(more, summaryAttribute(name))
	} else {
		name = d.attrs[0].Value.AsString() // db.system.name: the conventions' last resort
	}
	text := info.sanitized
	if d.tracer.cfg.QueryText == QueryTextSafe && key.bound && (d.sqlite && info.binds() && !info.sensitive || !d.sqlite && sqltext.Binds(d.system, key.query)) {
		text = strings.ToValidUTF8(key.query, "\uFFFD") // or an exporter refuses the batch
	}
	if text != "" && d.tracer.cfg.QueryText != QueryTextOff {
		more = append(more, textAttribute(text))
	}

	labels := d.attrs
	if len(more) > 0 && info.summary != "" && d.label(info.summary) {
		labels = d.with(more[0])
	}
	return &statement{execute: newOperation(name, d.with(more...), labels)}
}
