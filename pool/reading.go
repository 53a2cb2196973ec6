package pool

import (
	"fmt"
	"time"
)

// A reading is a use of a connection that reads, and so keeps what it reads in the
// WAL: it has rows or a transaction open.
type reading struct {
	Holder
	lasted time.Duration // for how long
}

func (r *reading) String() string {
	return fmt.Sprintf("it has been read for %v by a %s", r.lasted.Round(time.Millisecond), r.Holder)
}

// oldestReading returns the reading that has lasted longest, of all pools of this
// process that have the file, or nil.
func (p *Pool) oldestReading() *reading {
	openPools.Lock()
	pools := openPools.list
	openPools.Unlock()
	now := time.Now()
	var oldest *reading
	for _, other := range pools {
		if other.file != p.file {
			continue
		}
		for _, l := range other.allLanes() {
			for _, c := range l.conns() {
				h, ok := c.holder(now)
				if !ok || h.Rows == 0 && !h.Tx {
					continue
				}
				since := h.since
				if n := c.lease.readStart.Load(); n != 0 {
					since = time.Unix(0, n)
				}
				if d := now.Sub(since); oldest == nil || d > oldest.lasted {
					oldest = &reading{h, d}
				}
			}
		}
	}
	return oldest
}
