package core

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// maxExtra is how many connections beyond the limit a lane may have.
const maxExtra = 128

// maxExtraMemory limits the address space that connections beyond the limit reserve, in all
// pools together: extra readers, and extra writers (see offer.go). Each reserves as much as it
// may ever use. With 32-bit addresses, there are 2 to 4 GiB for everything, and a connection
// reserves 32 MiB unless Config.MemoryLimit says otherwise. With 64 bits, there is no limit.
const maxExtraMemory int64 = (512<<20)*(1-bits.UintSize/64) + math.MaxInt64*(bits.UintSize/64)

var extraMemory atomic.Int64 // reserved by extra readers

// reserveLocked counts one more connection beyond the limit, and reports whether that is
// allowed. l.mu must be held.
func (l *Lane) reserveLocked() bool {
	if l.beyond.turns >= maxExtra {
		return false
	}
	if n := l.cfg.ConnMemory; extraMemory.Add(n) > maxExtraMemory {
		extraMemory.Add(-n)
		return false
	}
	l.beyond.turns++
	return true
}

// unreserveLocked undoes reserveLocked. l.mu must be held.
func (l *Lane) unreserveLocked() {
	l.beyond.turns--
	extraMemory.Add(-l.cfg.ConnMemory)
}
