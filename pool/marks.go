package pool

import (
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// What is in this file is of what a program changes of the connection that writes
// and leaves in force, as it would on its only connection.

// bears reports whether queries must go to the writer, to see what a program has
// made there.
func (p *Pool) pinnedToWriter() bool { return marks(p.marks.Load())&markVisible != 0 }

// after is told of a text that was executed on a connection, or, unless done, is
// when its rows are asked for.
func (p *Pool) afterQuery(c *conn, t *parsedQuery, done bool) {
	if c.Wrapped().Panicked() {
		return // and what it had in force is gone
	}
	if (c.schemaChanging || t.marks&markSchema != 0) && !c.lane.reads {
		c.recordSchemaChange(done)
	}
	if t.marks == 0 {
		return
	}
	if t.marks&markJournal != 0 && !c.lane.reads {
		c.recheckJournal = true // a query is executed only when it is asked for its row
		p.afterJournal(c)
	}
	if t.marks&markUndo != 0 && !c.lane.reads {
		c.recheckMarks = true
	}
	if m := t.marks & markConn; m != 0 {
		p.mark(c, m, t.summary())
	}
}

// mark notes what stays in force on the writer's connection. One that reads is not
// lent again.
func (p *Pool) mark(c *conn, m marks, what string) {
	if c.lane.reads {
		c.Wrapped().Retire(wrap.ReasonDirty) // nobody else is to find it changed
		return
	}
	c.recheckJournal = c.recheckJournal || m&markRaw != 0
	c.recheckPragmas = c.recheckPragmas || m&markPragma != 0
	if c.marks&m == m && m&markPragma == 0 {
		return
	}
	first := c.marks&m != m
	c.marks |= m
	p.marks.Or(uint32(m))
	p.recorder.Record(driver.Event{Time: time.Now(), Kind: driver.KindSession, Conn: c.ID(), Lane: c.lane.name})
	if first {
		p.logger.Warn("pool: a change of session state stays on the writer until it is undone or the pool is reset; to change every connection, use Config.Init or Config.Pragmas",
			"conn", c.ID(), "change", what)
	}
}

// forgot is told that a connection which bore marks is closed.
func (p *Pool) recordMarksLost(c *conn) {
	p.unmark(0, 0)
	p.logger.Warn("pool: the session state of the writer is lost, because its connection was closed", "conn", c.ID())
}

// unmark notes what is left in force, if there are no more connections that write
// than so many: else another may bear what this one did.
func (p *Pool) unmark(left marks, most int) {
	if p.writer.count().open <= most {
		p.marks.Store(uint32(left))
	}
}

// undone looks whether what stays in force on the writer's connection still does,
// once a text has detached a file or dropped something. What Raw has done is not
// known, and is there until the connection is closed.
func (p *Pool) recheckMarks(c *conn) {
	m := c.marks
	if m&markAttach != 0 && attached(c.SQLite()) == c.attached {
		m &^= markAttach
	}
	if m&markTemp != 0 {
		var n int64
		err := row(c.SQLite(), "SELECT count(*) FROM sqlite_temp_schema", func(st *sqlite3.Stmt) { n = st.ColumnInt64(0) })
		if err == nil && n == 0 {
			m &^= markTemp
		}
	}
	if m != c.marks {
		c.marks = m
		p.unmark(m, 1)
		p.logger.Info("pool: a change of session state on the writer is undone", "conn", c.ID())
	}
}

// attached is which files a connection has, and by which names, but for its
// temporary one, which SQLite opens when it is first used.
func attached(raw *sqlite3.Conn) string {
	var list strings.Builder
	_ = row(raw, "PRAGMA database_list", func(st *sqlite3.Stmt) {
		if name := st.ColumnText(1); name != "temp" {
			fmt.Fprintf(&list, "%q %q\n", name, st.ColumnText(2))
		}
	})
	return list.String()
}

// beforeJournal closes idle readers, which would keep SQLite from leaving WAL
// mode.
func (p *Pool) beforeJournal(c *conn) {
	if p.readers != nil && !c.lane.reads {
		p.checkpoints.close()
		for c := p.readers.pop(); c != nil; c = p.readers.pop() {
			p.readers.close(c, wrap.ReasonReset)
		}
	}
}

// afterJournal looks how many lanes there can be now: readers beside a writer are
// for WAL mode.
func (p *Pool) afterJournal(c *conn) {
	mode, ok := journalMode(c.SQLite())
	if !ok {
		return
	}
	one := mode != "wal"
	p.keepsCommits(c.SQLite(), one)
	if p.readers != nil && p.oneLane.Swap(one) != one {
		p.logger.Warn("pool: the journal mode has changed, and with it the lanes", "mode", mode, "lanes", p.lanes())
	}
}

// keepsCommits sets what [SynchronousDefault] means in the journal mode that a
// program has set, unless the program has set something else than the other mode's.
func (p *Pool) keepsCommits(raw *sqlite3.Conn, journal bool) {
	if !p.plan.syncs || p.keeper != nil {
		return
	}
	old, now := SynchronousExtra, SynchronousFull
	if journal {
		old, now = now, old
	}
	is := ""
	if err := row(raw, "PRAGMA synchronous", func(st *sqlite3.Stmt) { is = st.ColumnText(0) }); err != nil {
		return
	}
	if s, ok := synchronousOf(is); !ok || s != old {
		return
	}
	// Inside a transaction SQLite refuses it; the journal mode could not change either.
	_ = raw.Exec("PRAGMA synchronous=" + now.String())
}

func journalMode(raw *sqlite3.Conn) (mode string, ok bool) {
	err := row(raw, "PRAGMA journal_mode", func(st *sqlite3.Stmt) { mode = strings.ToLower(st.ColumnText(0)) })
	return mode, err == nil && mode != ""
}
