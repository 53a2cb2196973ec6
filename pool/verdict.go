package pool

import (
	"context"
	"errors"

	"github.com/ncruces/go-sqlite3"

	sqlitemw "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// routeBySQLite leases the connection for a query that only reads, according to the parser. It
// prepares the query on a reader, once for each version of the schema, to get SQLite's verdict.
func (s *shell) routeBySQLite(ctx context.Context, t *route.Query) (*conn, error) {
	schema := s.pool.schema() // before the reader checks it
	known := t.Verdict.Of(schema)
	if known == 0 && s.pinned == wrap.LaneNone && s.pool.routing.left.Load().In(t.Text) {
		known = route.ToWriter
		t.Verdict.Set(schema, known)
	}
	if known == route.ToWriter {
		return s.forWriteOf(ctx, t)
	}
	c, err := s.forRead(ctx, t)
	if err != nil || !c.reads || known == route.ToReader || s.pinned == wrap.LaneReader {
		return c, err
	}
	answer, err := c.Ask(ctx, t.Text)
	if err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	if !c.initial.watched {
		c.Lease().Use(func() { answer.Session = inspect.UsesSession(c.SQLite(), t.Text) })
	}
	if answer.ReadOnly && !answer.Session {
		t.Verdict.Set(schema, route.ToReader)
		return c, nil
	}
	t.Verdict.Set(schema, route.ToWriter)
	return s.forWriteOf(ctx, t)
}

// explain returns the error of a query, as a [*SessionError] if the query names something that only
// another connection has. It leaves errors as they are that the program expects of another driver,
// or has mapped.
func (s *shell) explain(c *conn, t *route.Query, err error) error {
	names := s.pool.routing.names.Load()
	if err == nil || names == nil || s.pool.cfg.MapError != nil || s.pool.cfg.Compat != sqlitemw.CompatNone || !errors.Is(err, sqlite3.ERROR) || c.session.names.In(t.Text) {
		return err
	}
	if name, _ := names.Find(t.Text); name != "" {
		return &SessionError{name, err}
	}
	return err
}

// forPrepare leases the connection on which a query is prepared. That is a reader, unless
// preparing the query would execute it, or only the writer can prepare it.
func (s *shell) forPrepare(ctx context.Context, t *route.Query) (*conn, error) {
	if s.tx != nil {
		return s.tx, s.mayUse(t)
	}
	if err := s.pool.takeDirtyErr(); err != nil {
		return nil, err
	}
	if !t.Preparable {
		return s.forWriteOf(ctx, t)
	}
	schema := s.pool.schema()
	if s.pinned == wrap.LaneNone && s.pool.routing.left.Load().In(t.Text) {
		return s.forWriteOf(ctx, t)
	}
	c, err := s.forRead(ctx, t)
	if err != nil || !c.reads || s.pinned == wrap.LaneReader || s.pool.routing.writerCapabilities.Load() == nil || t.Verdict.Of(schema) == route.ToReader {
		return c, err
	}
	if _, err := c.Ask(ctx, t.Text); err != nil {
		return s.routeUnprepared(ctx, t, schema, c, err)
	}
	return c, nil
}

// routeUnprepared leases the connection for a query that a reader could not prepare, with error
// err. It returns the writer if that has more functions or the like, from Config.Init or a
// hook, and can prepare the query. Otherwise it returns the reader, which reports the error.
func (s *shell) routeUnprepared(ctx context.Context, t *route.Query, schema uint64, reader *conn, err error) (*conn, error) {
	if !errors.Is(err, sqlite3.ERROR) || !s.pool.writerHasMore(reader) {
		return reader, nil
	}
	c, err := s.forWriteOf(ctx, t)
	if err != nil {
		return nil, err
	}
	if _, err := c.Ask(ctx, t.Text); err != nil {
		if !s.pool.routing.left.Load().Incomplete() {
			t.Verdict.Set(schema, route.ToReader) // the reader reports the error without delay
		}
	} else {
		t.Verdict.Set(schema, route.ToWriter)
	}
	return c, nil
}
