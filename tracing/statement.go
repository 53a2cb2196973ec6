package tracing

import (
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
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
// may differ from call to call, so the number kept is bounded, and a text too
// long to be one of few is not kept at all.
type statements struct {
	mu   sync.RWMutex
	kept map[statementKey]*statement
}

type statementKey struct {
	query string
	bound bool
}

const (
	maxStatements    = 512
	maxStatementText = 16 << 10 // bytes
)

// of returns what is known of query; bound says whether arguments are bound
// to it, and so whether its text may be shown as it is.
func (s *statements) of(d *Database, query string, bound bool) *statement {
	key := statementKey{query, bound}
	s.mu.RLock()
	st := s.kept[key]
	s.mu.RUnlock()
	if st != nil {
		return st
	}

	st = newStatement(d, query, bound)
	if len(query) > maxStatementText {
		st.execute.once = true
		return st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = make(map[statementKey]*statement)
	}
	for old := range s.kept {
		if len(s.kept) < maxStatements {
			break
		}
		delete(s.kept, old) // any: map order is random
	}
	s.kept[key] = st
	return st
}

func newStatement(d *Database, query string, bound bool) *statement {
	info := describe(query)
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
	if d.tracer.cfg.QueryText == QueryTextSafe && bound && (info.parameters || !d.sqlite) && !info.sensitive {
		text = strings.ToValidUTF8(query, "\uFFFD") // or an exporter refuses the batch
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
