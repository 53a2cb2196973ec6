package pool

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// A checkout that has leased the writer keeps its connection until it ends, but not always the
// turn; see [core.Conn.Offer]. It offers its turn while it runs nothing and has no transaction
// and no open rows. Then other callers may write, as
// they could beside an idle connection of any pool. They do not see its session state.
//
// A checkout of AcquireWrite or of Writer keeps its turn.

// offerTurn lets other callers take the turn until reclaimTurn, if the state of the checkout
// allows it.
func (s *shell) offerTurn() {
	if c := s.writer; s.mayOffer() {
		c.Offer()
	}
}

// offerTurnAfterQuery is offerTurn after a query. A call of a *sql.DB that only reads offers its
// turn also while its rows are open, because it will not write. So a program may write, or read
// what only the writer knows, between rows.
func (s *shell) offerTurnAfterQuery(t *route.Query) {
	switch c := s.writer; {
	case !s.mayOffer():
	case t.Selects && c.Lease().OpenRows() == 1 && c.SQLite().TxnState("") != sqlite3.TXN_WRITE && wrap.QueriedByDB():
		c.OfferWithRows()
	default:
		c.Offer()
	}
}

func (s *shell) mayOffer() bool {
	c := s.writer
	return c != nil && s.tx == nil && !s.pool.routing.keepTurns && s.pinned == wrap.LaneNone && s.pool.forReaders().Reads() &&
		!c.Lease().Panicked() && c.SQLite().GetAutocommit() && !c.writePragmasDiffer() && !(c.session.left.exist() && c.session.affectAll())
}

// writePragmasDiffer reports whether a changed pragma on the connection affects writes, above
// all foreign_keys. Then the checkout keeps its turn, so that no other connection writes
// without the setting. While rows are open, a PRAGMA may not have been executed yet.
func (c *conn) writePragmasDiffer() bool { return c.session.stale || c.session.affectWrites() }
