package pool

import "github.com/ncruces/go-sqlite3"

// IdleReaders returns SQLite's connections of the idle readers, for a test that
// is the pool's only user.
func (p *Pool) IdleReaders() []*sqlite3.Conn {
	if p.readers == nil {
		return nil
	}
	var list []*sqlite3.Conn
	p.readers.mu.Lock()
	defer p.readers.mu.Unlock()
	for _, c := range p.readers.idle {
		list = append(list, c.SQLite())
	}
	return list
}

// What a text is taken for, where tests are not of the package.

// ReaderPrepares reports whether a text may be prepared on a reader.
func ReaderPrepares(query string) bool { return classify(query).preparable }

// ReaderRuns reports whether a text is a reader's, and whether SQLite is asked
// first.
func ReaderRuns(query string) (runs, asks bool) {
	where := classify(query).route
	return where != toWriter, where == toAsk
}

// LeavesPragma, LeavesObjects and LeavesJournal report what a text is taken to
// leave behind on its connection.
func LeavesPragma(query string) bool  { return classify(query).marks&markPragma != 0 }
func LeavesObjects(query string) bool { return classify(query).marks&markVisible != 0 }
func LeavesJournal(query string) bool { return classify(query).marks&markJournal != 0 }
