package pool

import (
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// A checkout that has leased the writer keeps its connection until it ends, but not always the
// turn; see [core.Conn.Offer]. It offers its turn while it runs nothing and has no transaction
// and no open rows. It must also have left no session state that queries need. Then other
// callers may write, as they could beside an idle connection of any pool.
//
// A checkout of AcquireWrite or of Writer keeps its turn.

// offerTurn lets other callers take the turn until reclaimTurn, if the state of the checkout
// allows it.
func (s *shell) offerTurn() {
	c := s.writer
	if c == nil || s.tx != nil || s.pool.routing.keepTurns || s.pinned != wrap.LaneNone || c.session.marks&route.Visible != 0 || !s.pool.forReaders().Reads() ||
		c.Lease().Panicked() || !c.SQLite().GetAutocommit() || c.writePragmasDiffer() {
		return
	}
	c.Offer()
}

// writePragmasDiffer reports whether a changed pragma on the connection affects writes, above
// all foreign_keys. Then the checkout keeps its turn, so that no other connection writes
// without the setting.
func (c *conn) writePragmasDiffer() bool {
	// While rows are open, a PRAGMA may not have been executed yet.
	if c.session.recheckPragmas && c.Lease().OpenRows() == 0 {
		c.Lease().Use(func() { c.session.pragmasDiffer = inspect.WritePragmas(c.SQLite()) != c.initial.writePragmas })
		c.session.recheckPragmas = false
	}
	return c.session.recheckPragmas || c.session.pragmasDiffer
}
