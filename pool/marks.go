package pool

import (
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// This file handles session state: changes that the program makes on the writer's connection
// and that stay, as they would on the only connection of a program.

// pinnedToWriter reports whether queries must go to the writer, because they must see its
// session state.
func (p *Pool) pinnedToWriter() bool { return route.Marks(p.routing.marks.Load())&route.Visible != 0 }

// afterQuery records the effects of a query on its connection. done is false if the query is
// executed later, when its rows are stepped.
func (p *Pool) afterQuery(c *conn, t *route.Query, done bool) {
	if c.Lease().Panicked() {
		return // the connection is closed, and its session state is lost
	}
	if (c.session.schemaChanging || t.Marks&route.Schema != 0) && !c.reads {
		c.recordSchemaChange(done)
	}
	if t.Marks == 0 {
		return
	}
	if t.Marks&route.Journal != 0 && !c.reads {
		c.session.recheckJournal = true // in case the query is executed later, when its row is stepped
		p.afterJournal(c)
	}
	if t.Marks&route.Undo != 0 && !c.reads {
		c.session.recheckMarks = true
	}
	if m := t.Marks & route.OfConn; m != 0 {
		p.mark(c, m, t.Summary())
	}
}

// mark records session state on the writer's connection. A marked reader is not leased again.
// what describes the change in the log.
func (p *Pool) mark(c *conn, m route.Marks, what string) {
	if c.reads {
		c.Lease().Retire(wrap.ReasonDirty) // no other caller may find it changed
		return
	}
	c.session.recheckJournal = c.session.recheckJournal || m&route.Raw != 0
	c.session.recheckPragmas = c.session.recheckPragmas || m&route.Pragma != 0
	if c.session.marks&m == m && m&route.Pragma == 0 {
		return
	}
	first := c.session.marks&m != m
	c.session.marks |= m
	p.routing.marks.Or(uint32(m))
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindSession, Conn: c.ID(), Lane: c.lane.Name()})
	if first {
		p.logger.Warn("pool: a change of session state stays on the writer until it is undone or the pool is reset; to change every connection, use Config.Init or Config.Pragmas",
			"conn", c.ID(), "change", what)
	}
}

// recordMarksLost reports that a connection with marks is closed.
func (p *Pool) recordMarksLost(c *conn) {
	p.unmark(0, 0)
	p.logger.Warn("pool: the session state of the writer is lost, because its connection was closed", "conn", c.ID())
}

// unmark sets the pool's marks to left, if the writer's lane has at most this many open
// connections. If it has more, others may have the same marks.
func (p *Pool) unmark(left route.Marks, most int) {
	if p.lanes.writer.Count().Open <= most {
		p.routing.marks.Store(uint32(left))
	}
}

// recheckMarks clears the marks of the writer's connection that no longer apply. A query may
// have detached a file or dropped an object. The effects of Raw are unknown, so its mark stays
// until the connection is closed.
func (p *Pool) recheckMarks(c *conn) {
	m := c.session.marks
	if m&route.Attach != 0 && inspect.Attached(c.SQLite()) == c.initial.attached {
		m &^= route.Attach
	}
	if m&route.Temp != 0 {
		var n int64
		err := inspect.Rows(c.SQLite(), "SELECT count(*) FROM sqlite_temp_schema", func(st *sqlite3.Stmt) { n = st.ColumnInt64(0) })
		if err == nil && n == 0 {
			m &^= route.Temp
		}
	}
	if m != c.session.marks {
		c.session.marks = m
		p.unmark(m, 1)
		p.logger.Info("pool: a change of session state on the writer is undone", "conn", c.ID())
	}
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
	is := ""
	if err := inspect.Rows(raw, "PRAGMA synchronous", func(st *sqlite3.Stmt) { is = st.ColumnText(0) }); err != nil {
		return
	}
	if s, ok := synchronousOf(is); !ok || s != old {
		return
	}
	// Inside a transaction, SQLite refuses this. But there the journal mode cannot have changed
	// either.
	_ = raw.Exec("PRAGMA synchronous=" + now.String())
}
