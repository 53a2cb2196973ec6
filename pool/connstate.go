package pool

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// isChanged reports whether a reader has changed since it was opened. On a watched reader, the
// authorizer has reported every statement that might have changed it. Otherwise the program has
// an authorizer of its own, and isChanged compares connState. Its callers do that only if a
// statement has been prepared since. A cached statement could change the connection only
// through a function of the program.
func (c *conn) isChanged() bool {
	return c.Changed() || !c.initial.watched && inspect.State(c.SQLite()) != c.initial.state
}

// programConfigures reports whether the program has the connections when they are opened.
func (p *Pool) programConfigures() bool { return p.cfg.Init != nil || p.cfg.Hooks.AfterConnect != nil }

// recordCapabilities records what a writer can prepare, if it may be able to prepare more than a
// reader. That is so if the program has had its connection when it was opened, or if it has session
// state that queries can name but the pool does not know (names). Of several writers, one with such
// state counts.
func (p *Pool) recordCapabilities(raw *sqlite3.Conn, names *route.Names) {
	switch others := p.routing.names.Load().Incomplete(); {
	case p.plan.readers == 0, others && !names.Incomplete():
	case names.Incomplete(), p.programConfigures():
		has := inspect.Capabilities(raw)
		p.routing.writerCapabilities.Store(&has)
	default:
		p.routing.writerCapabilities.Store(nil)
	}
}

// writerHasMore reports whether the writer may be able to prepare a query that reader cannot.
func (p *Pool) writerHasMore(reader *conn) (more bool) {
	writers := p.routing.writerCapabilities.Load()
	if writers != nil {
		reader.Lease().Use(func() { more = inspect.Capabilities(reader.SQLite()) != *writers })
	}
	return more
}
