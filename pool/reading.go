package pool

import (
	"fmt"
	"time"
)

// A reading is a lease with open rows or an open transaction. It keeps the pages that it reads
// in the WAL.
type reading struct {
	Holder
	lasted time.Duration // how long it has lasted
}

func (r *reading) String() string {
	return fmt.Sprintf("it has been read for %v by a %s", r.lasted.Round(time.Millisecond), r.Holder)
}

// oldestReading returns the longest reading in all pools of this process that have the file
// open, or nil.
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
