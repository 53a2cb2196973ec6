package pool

import (
	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool/internal/route"
)

// IdleReaders returns the SQLite connections of the idle readers. The test must be the pool's
// only caller.
func (p *Pool) IdleReaders() []*sqlite3.Conn {
	if p.lanes.readers == nil {
		return nil
	}
	var list []*sqlite3.Conn
	for _, c := range p.lanes.readers.Conns() {
		if !c.IdleSince().IsZero() {
			list = append(list, connOf(c).SQLite())
		}
	}
	return list
}

// The rest of this file exports what package route says of a query, for tests outside the package.

// ReaderPrepares reports whether a query may be prepared on a reader.
func ReaderPrepares(text string) bool { return route.Parse(text).Preparable }

// ReaderRuns reports whether a query goes to a reader, and whether SQLite is asked first.
func ReaderRuns(text string) (runs, asks bool) {
	where := route.Parse(text).Route
	return where != route.ToWriter, where == route.Ask
}

// LeavesPragma, LeavesObjects and LeavesJournal report which marks a query may leave on its
// connection.
func LeavesPragma(text string) bool  { return route.Parse(text).Marks&route.Pragma != 0 }
func LeavesObjects(text string) bool { return route.Parse(text).Marks&(route.Attach|route.Temp) != 0 }
func LeavesJournal(text string) bool { return route.Parse(text).Marks&route.Journal != 0 }
