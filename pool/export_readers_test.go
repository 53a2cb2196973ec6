package pool

import "github.com/ncruces/go-sqlite3"

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

// The rest of this file exports how classify classifies a query, for tests outside the package.

// ReaderPrepares reports whether a query may be prepared on a reader.
func ReaderPrepares(query string) bool { return classify(query).preparable }

// ReaderRuns reports whether a query goes to a reader, and whether SQLite is asked first.
func ReaderRuns(query string) (runs, asks bool) {
	where := classify(query).route
	return where != toWriter, where == toAsk
}

// LeavesPragma, LeavesObjects and LeavesJournal report which marks a query may leave on its
// connection.
func LeavesPragma(query string) bool  { return classify(query).marks&markPragma != 0 }
func LeavesObjects(query string) bool { return classify(query).marks&markVisible != 0 }
func LeavesJournal(query string) bool { return classify(query).marks&markJournal != 0 }
