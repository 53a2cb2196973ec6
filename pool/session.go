package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// This file handles session state: changes that the program makes on a writer's connection and
// that only this connection has. They are the checkout's that made them while it lasts, and the
// next callers' of the connection after that.

// A sessionState is what a writer's connection has that others have not.
type sessionState struct {
	changes         // as they are now
	left    changes // as the last checkout has left them
	stale   bool    // changes may be out of date
	later   bool    // a query that changes them is executed when its rows are stepped
	cause   string  // the query that made them so

	schemaChanging bool // it may have changed the schema, or is about to
	recheckJournal bool // at its release, read the journal mode
}

// changes are how a connection differs from what it was when it was opened.
type changes struct {
	names   *route.Names // what queries can name only there; nil if nothing
	pragmas []string     // pragmas with other values
}

// exist reports whether there are changes, which the program would miss.
func (c *changes) exist() bool { return c.names != nil || len(c.pragmas) > 0 }

// more reports whether c has changes that other has not.
func (c *changes) more(other *changes) bool {
	return c.names.More(other.names) || slices.ContainsFunc(c.pragmas, func(name string) bool { return !slices.Contains(other.pragmas, name) })
}

// affectAll reports whether calls of others that name nothing must see them.
func (c *changes) affectAll() bool {
	return c.names != nil && c.names.Triggers || slices.ContainsFunc(c.pragmas, inspect.AffectsReads)
}

// affectWrites reports whether a pragma affects what the connection writes.
func (c *changes) affectWrites() bool { return slices.ContainsFunc(c.pragmas, inspect.AffectsWrites) }

// differs reports whether the state is not what the last checkout has left.
func (s *sessionState) differs() bool { return s.more(&s.left) || s.left.more(&s.changes) }

// A session is the session state of all connections of the writer.
type session struct {
	left    atomic.Pointer[route.Names] // what ended checkouts have left; nil if nothing
	names   atomic.Pointer[route.Names] // this, and what checkouts have that last
	changed atomic.Bool                 // a pragma differs
	epoch   atomic.Uint64               // counts changes of left

	mu    sync.Mutex // guards conns
	conns map[*conn]sessionState
}

// publish makes the session state of a connection known to all callers.
func (s *session) publish(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[*conn]sessionState{}
	}
	delete(s.conns, c)
	if c.session.exist() || c.session.left.exist() {
		s.conns[c] = c.session
	}
	var left, names *route.Names
	changed := false
	for _, of := range s.conns {
		names = names.With(of.names)
		left = left.With(of.left.names)
		if slices.ContainsFunc(of.left.pragmas, inspect.AffectsReads) {
			left = left.With(&route.Names{Any: true})
		}
		changed = changed || len(of.pragmas) > 0
	}
	s.changed.Store(changed)
	s.names.Store(names)
	if old := s.left.Swap(left); left.More(old) || old.More(left) {
		s.epoch.Add(1)
	}
}

// elsewhere returns a name in a query that belongs to what an ended checkout has left on another
// connection than c, and that connection. It returns nil if there is none.
func (s *session) elsewhere(c *conn, query string) (name string, other *conn) {
	if !s.left.Load().In(query) {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, of := range s.conns {
		if name, _ := of.left.names.Find(query); name != "" && other != c && !c.session.names.Has(name) {
			return name, other
		}
	}
	return "", nil
}

// schema returns the version of what queries can name: of the file's schema, and of the session
// state of the writers.
func (p *Pool) schema() uint64 { return p.base.file.schema.Load() + p.routing.epoch.Load() }

// beforeQuery prepares for the effects of a query on its connection.
func (p *Pool) beforeQuery(c *conn, t *route.Query) {
	if t.Marks&route.Journal != 0 {
		p.beforeJournal(c)
	}
	if t.ForeignKeys != route.NotSet && (t.InTx || !c.SQLite().GetAutocommit()) {
		p.warnForeignKeys(c, t)
	}
}

// warnForeignKeys reports a PRAGMA foreign_keys that SQLite ignores, because it is executed inside
// a transaction. https://sqlite.org/pragma.html#pragma_foreign_keys
func (p *Pool) warnForeignKeys(c *conn, t *route.Query) {
	is := route.NotSet
	c.inspect(func() {
		switch inspect.Pragma(c.SQLite(), "foreign_keys") {
		case "0":
			is = route.Off
		case "1":
			is = route.On
		}
	})
	if is == route.NotSet || is == t.ForeignKeys {
		return
	}
	p.logger.Warn("pool: PRAGMA foreign_keys has no effect inside a transaction; execute it before BEGIN, in the same *sql.Conn",
		"conn", c.ID(), "foreign_keys", map[route.Switch]string{route.On: "on", route.Off: "off"}[is])
}

// afterQuery records the effects of a query on its connection. done is false if the query is
// executed later, when its rows are stepped.
func (p *Pool) afterQuery(c *conn, t *route.Query, done bool) {
	if c.Lease().Panicked() {
		return // the connection is closed, and its session state is lost
	}
	if c.reads {
		if t.Marks&route.OfConn != 0 {
			c.Lease().Retire(wrap.ReasonDirty) // no other caller may find it changed
		}
		return
	}
	if c.session.schemaChanging || t.Marks&route.Schema != 0 {
		c.recordSchemaChange(done)
	}
	if t.Marks&route.Journal != 0 {
		c.session.recheckJournal = true // in case the query is executed later, when its row is stepped
		p.afterJournal(c)
	}
	if t.Marks&route.OfConn != 0 || t.Marks&(route.Undo|route.Schema) != 0 && c.session.exist() {
		c.session.stale, c.session.cause = true, t.Summary()
		c.session.later = c.session.later || !done && t.Marks&route.Attach != 0
	}
	p.afterCall(c)
}

// afterCall finds out what session state a connection has, if a call may have changed it.
func (p *Pool) afterCall(c *conn) {
	if c.session.stale && !c.Lease().Panicked() && c.SQLite().GetAutocommit() {
		c.session.later = c.session.later && c.Lease().OpenRows() > 0
		c.inspect(func() { p.refreshSession(c) })
		c.session.stale = c.session.later
	}
}

// inspect calls f, which reads the state of the connection for the pool, whether or not the context
// of the last call has ended.
func (c *conn) inspect(f func()) {
	c.Lease().Use(func() {
		raw := c.SQLite()
		old := raw.SetInterrupt(context.Background())
		defer raw.SetInterrupt(old)
		f()
	})
}

// beforeRaw prepares for what the program may do with SQLite's connection.
func (p *Pool) beforeRaw(c *conn) {
	if c.reads {
		c.Lease().Retire(wrap.ReasonDirty)
		return
	}
	if !c.initial.objects.Extended() {
		c.inspect(func() { c.initial.objects.Extend(c.SQLite()) })
	}
	c.session.recheckJournal, c.session.schemaChanging = true, true
	c.session.stale, c.session.cause = true, "Raw"
}

// refreshSession finds out what session state a writer's connection has. Only its holder may call
// it, outside transactions.
func (p *Pool) refreshSession(c *conn) {
	raw := c.SQLite()
	pragmas := inspect.PragmasOf(raw)
	defer pragmas.Restore(raw)
	objects := inspect.ObjectsOf(raw)
	if c.initial.objects.Extended() {
		objects.Extend(raw)
	}
	c.session.stale = false
	c.session.names = objects.Beyond(c.initial.objects)
	c.session.pragmas = pragmas.Changed(&c.initial.pragmas)
	p.routing.publish(c)
	p.recordCapabilities(raw, c.session.names)
}

// leaveSession makes the session state of a checkout that ends that of the next ones, and reports
// it.
func (p *Pool) leaveSession(c *conn) {
	is, was := c.session.changes, c.session.left
	c.session.left = is
	p.routing.publish(c)
	switch {
	case is.more(&was):
		p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindSession, Conn: c.ID(), Lane: c.lane.Name()})
		p.logger.Warn("pool: a change of session state stays on the writer until it is undone or the pool is reset; to change every connection, use Config.Init or Config.Pragmas",
			"conn", c.ID(), "change", c.session.cause)
	case was.more(&is):
		p.logger.Info("pool: a change of session state on the writer is undone", "conn", c.ID())
	}
}

// recordSessionLost reports that a connection with session state is closed.
func (p *Pool) recordSessionLost(c *conn) {
	c.session = sessionState{}
	p.routing.publish(c)
	if !p.programConfigures() && !p.routing.names.Load().Incomplete() {
		p.routing.writerCapabilities.Store(nil)
	}
	p.logger.Warn("pool: the session state of the writer is lost, because its connection was closed", "conn", c.ID())
}

// beforeJournal closes the idle readers and the checkpointer's connection, because SQLite
// cannot leave WAL mode while they are open.
func (p *Pool) beforeJournal(c *conn) {
	if p.lanes.readers != nil && !c.reads {
		p.wals.Rest()
		for c := p.lanes.readers.Pop(); c != nil; c = p.lanes.readers.Pop() {
			p.lanes.readers.Close(c, wrap.ReasonReset)
		}
	}
}

// afterJournal updates the number of lanes after a possible change of the journal mode. Readers
// beside a writer need WAL mode.
func (p *Pool) afterJournal(c *conn) {
	mode, ok := inspect.JournalMode(c.SQLite())
	if !ok {
		return
	}
	one := mode != "wal"
	p.keepsCommits(c.SQLite(), one)
	c.rejoinSyncs(!one)
	if !c.reads && !slices.Contains(c.session.pragmas, "synchronous") && !c.session.stale {
		c.initial.pragmas.Set("synchronous", inspect.Pragma(c.SQLite(), "synchronous"))
	}
	if p.lanes.readers != nil && p.lanes.one.Swap(one) != one {
		p.logger.Warn("pool: the journal mode has changed, and with it the lanes", "mode", mode, "lanes", p.countLanes())
	}
}

// keepsCommits sets synchronous to the value of [SynchronousDefault] in the new journal mode,
// unless the program has changed it. journal is true if the new mode is not WAL.
func (p *Pool) keepsCommits(raw *sqlite3.Conn, journal bool) {
	if !p.plan.syncs || p.base.keeper != nil {
		return
	}
	old, now := SynchronousExtra, SynchronousFull
	if journal {
		old, now = now, old
	}
	if s, ok := synchronousOf(inspect.Pragma(raw, "synchronous")); !ok || s != old {
		return
	}
	// Inside a transaction, SQLite refuses this. But there the journal mode cannot have changed
	// either.
	_ = raw.Exec("PRAGMA synchronous=" + now.String())
}
