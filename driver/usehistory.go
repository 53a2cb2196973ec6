package driver

import "hash/maphash"

// A recency remembers when texts were used last that are not kept: that of the last
// few hundred, by their hash. Two texts of one hash are one to it, which at worst
// has the wrong one kept. The zero recency remembers nothing yet.
type useHistory struct {
	young, old map[uint64]uint64 // the times by hash; old is what young was before it was full
}

var useHistorySeed = maphash.MakeSeed()

// note remembers that a text was used at a time, of a clock that counts uses. It
// keeps the last size texts, and at most twice as many.
func (r *useHistory) note(text string, time uint64, size int) {
	if r.young == nil {
		r.young, r.old = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	if len(r.young) >= size {
		r.young, r.old = r.old, r.young
		clear(r.young)
	}
	r.young[maphash.String(useHistorySeed, text)] = time
}

// last returns when a text was used last, if that is remembered.
func (r *useHistory) last(text string) (time uint64, ok bool) {
	if r.young == nil {
		return 0, false
	}
	h := maphash.String(useHistorySeed, text)
	if time, ok = r.young[h]; !ok {
		time, ok = r.old[h]
	}
	return time, ok
}
