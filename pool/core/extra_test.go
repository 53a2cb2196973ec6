package core

import "testing"

// TestConnectionsBeyondTheLimit checks that the number of connections beyond the limit is
// limited for each pool. Their reserved address space is limited for all pools together.
func TestConnectionsBeyondTheLimit(t *testing.T) {
	const limit = 32 << 20
	pools := [2]*Lane{}
	admitted := 0
	for i := range pools {
		l := &Lane{shared: &shared{cfg: Config{ConnMemory: limit}}}
		pools[i] = l
		for l.reserveLocked() {
			admitted++
		}
	}
	if want := min(2*maxExtra, maxExtraMemory/limit); int64(admitted) != want {
		t.Errorf("%d connections are let in, want %d", admitted, want)
	}
	for _, l := range pools {
		for l.beyond.turns > 0 {
			l.unreserveLocked()
		}
	}
	if n := extraMemory.Load(); n != 0 {
		t.Errorf("%d bytes are still reserved after all releases", n)
	}
}
