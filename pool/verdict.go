package pool

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// A verdict is the lane of a query, as SQLite says once it has prepared it: for as long as
// the schema is what it was then. A query may read a view, which shows only then whether it
// asks for what the writer alone knows, or call a function that the writer alone has.
type verdict struct{ v atomic.Uint64 }

// of returns the verdict for a schema, as file.schema counts them, or 0 for none.
func (v *verdict) of(schema uint64) route {
	const bits = 2
	if n := v.v.Load(); n>>bits == schema {
		return route(n & (1<<bits - 1))
	}
	return 0
}

func (v *verdict) set(schema uint64, r route) { v.v.Store(schema<<2 | uint64(r)) }

// ask leases what a query is to be on that reads, as far as its text tells. A reader has
// SQLite prepare it, once for each schema.
func (s *shell) routeBySQLite(ctx context.Context, t *parsedQuery) (*conn, error) {
	schema := s.pool.file.schema.Load() // before the reader looks at it
	known := t.verdict.of(schema)
	if known == toWriter {
		return s.forWrite(ctx)
	}
	c, err := s.forRead(ctx)
	if err != nil || !c.lane.reads || known == toReader || s.pinned == wrap.LaneReader {
		return c, err
	}
	answer, err := c.Ask(ctx, t.query)
	if err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	if !c.watched {
		c.Wrapped().Use(func() { answer.Session = usesSession(c.SQLite(), t.query) })
	}
	if answer.ReadOnly && !answer.Session {
		t.verdict.set(schema, toReader)
		return c, nil
	}
	t.verdict.set(schema, toWriter)
	return s.forWrite(ctx)
}

// forPrepare leases what a query is to be prepared on: a reader, unless to prepare it is to
// execute it, or the writer alone can.
func (s *shell) forPrepare(ctx context.Context, t *parsedQuery) (*conn, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if !t.preparable {
		return s.forWrite(ctx)
	}
	schema := s.pool.file.schema.Load()
	c, err := s.forRead(ctx)
	if err != nil || !c.lane.reads || s.pinned == wrap.LaneReader || s.pool.writerCapabilities.Load() == nil || t.verdict.of(schema) == toReader {
		return c, err
	}
	if _, err := c.Ask(ctx, t.query); err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	return c, nil
}

// askWriter leases what a query is to be on that a reader cannot prepare. That is the
// reader, for its error, unless the writer has functions or the like that it has not, by a
// hook or Config.Init, and can prepare the query.
func (s *shell) routeUnprepared(ctx context.Context, t *parsedQuery, schema uint64, reader *conn, err error) (*conn, error) {
	if !errors.Is(err, sqlite3.ERROR) || !s.pool.writerHasMore(reader) {
		return reader, nil
	}
	c, err := s.forWrite(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.Ask(ctx, t.query); err != nil {
		t.verdict.set(schema, toReader) // which says so at once
	} else {
		t.verdict.set(schema, toWriter)
	}
	return c, nil
}

// asksSession is what a connection that is not watched says of Answer.Session.
func usesSession(raw *sqlite3.Conn, query string) (asks bool) {
	const opcode, function = 1, 5
	_ = row(raw, "EXPLAIN "+query, func(st *sqlite3.Stmt) {
		if op := st.ColumnText(opcode); op == "Function" || op == "PureFunc" {
			name, _, _ := strings.Cut(st.ColumnText(function), "(")
			asks = asks || sqltext.IsSessionFunction(name)
		}
	})
	return asks
}
