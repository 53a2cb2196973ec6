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
	now := time.Now()
	var oldest *reading
	for _, other := range p.base.file.users() {
		for _, l := range other.core.Lanes() {
			for _, lent := range l.Conns() {
				h, ok := l.Holder(lent, now)
				if !ok || h.Rows == 0 && !h.Tx {
					continue
				}
				since := h.Since()
				if n := connOf(lent).doing.readStart.Load(); n != 0 {
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
