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

// A verdict caches the lane that SQLite decided for a query when it prepared it. It is valid
// for one version of the schema. Only SQLite knows whether a view asks for what only the writer
// knows, and whether only the writer has a function.
type verdict struct{ v atomic.Uint64 }

// of returns the verdict for a schema version (file.schema), or 0 if there is none.
func (v *verdict) of(schema uint64) route {
	const bits = 2
	if n := v.v.Load(); n>>bits == schema {
		return route(n & (1<<bits - 1))
	}
	return 0
}

func (v *verdict) set(schema uint64, r route) { v.v.Store(schema<<2 | uint64(r)) }

// routeBySQLite leases the connection for a query that only reads, according to the parser. It
// prepares the query on a reader, once for each version of the schema, to get SQLite's verdict.
func (s *shell) routeBySQLite(ctx context.Context, t *parsedQuery) (*conn, error) {
	schema := s.pool.base.file.schema.Load() // before the reader checks it
	known := t.verdict.of(schema)
	if known == toWriter {
		return s.forWrite(ctx)
	}
	c, err := s.forRead(ctx)
	if err != nil || !c.reads || known == toReader || s.pinned == wrap.LaneReader {
		return c, err
	}
	answer, err := c.Ask(ctx, t.query)
	if err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	if !c.initial.watched {
		c.Lease().Use(func() { answer.Session = usesSession(c.SQLite(), t.query) })
	}
	if answer.ReadOnly && !answer.Session {
		t.verdict.set(schema, toReader)
		return c, nil
	}
	t.verdict.set(schema, toWriter)
	return s.forWrite(ctx)
}

// forPrepare leases the connection on which a query is prepared. That is a reader, unless
// preparing the query would execute it, or only the writer can prepare it.
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
	schema := s.pool.base.file.schema.Load()
	c, err := s.forRead(ctx)
	if err != nil || !c.reads || s.pinned == wrap.LaneReader || s.pool.routing.writerCapabilities.Load() == nil || t.verdict.of(schema) == toReader {
		return c, err
	}
	if _, err := c.Ask(ctx, t.query); err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	return c, nil
}

// routeUnprepared leases the connection for a query that a reader could not prepare, with error
// err. It returns the writer if that has more functions or the like, from Config.Init or a
// hook, and can prepare the query. Otherwise it returns the reader, which reports the error.
func (s *shell) routeUnprepared(ctx context.Context, t *parsedQuery, schema uint64, reader *conn, err error) (*conn, error) {
	if !errors.Is(err, sqlite3.ERROR) || !s.pool.writerHasMore(reader) {
		return reader, nil
	}
	c, err := s.forWrite(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.Ask(ctx, t.query); err != nil {
		t.verdict.set(schema, toReader) // the reader reports the error without delay
	} else {
		t.verdict.set(schema, toWriter)
	}
	return c, nil
}

// usesSession returns Answer.Session for a connection that is not watched.
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
