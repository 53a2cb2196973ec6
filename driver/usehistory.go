package driver

import "hash/maphash"

// A useHistory remembers when queries that are not cached were last used. It covers the
// last few hundred queries, by their hash. Two queries with the same hash count as one; at
// worst, the cache then keeps the wrong one. The zero useHistory is empty.
type useHistory struct {
	young, old map[uint64]uint64 // last use by hash; old is the previous generation
}

var useHistorySeed = maphash.MakeSeed()

// note records that a query was used at the given time, which counts uses. It remembers the
// last size queries at least, and twice as many at most.
func (u *useHistory) note(query string, time uint64, size int) {
	if u.young == nil {
		u.young, u.old = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	if len(u.young) >= size {
		u.young, u.old = u.old, u.young
		clear(u.young)
	}
	u.young[maphash.String(useHistorySeed, query)] = time
}

// last returns when a query was last used. ok reports whether the history still has it.
func (u *useHistory) last(query string) (time uint64, ok bool) {
	if u.young == nil {
		return 0, false
	}
	h := maphash.String(useHistorySeed, query)
	if time, ok = u.young[h]; !ok {
		time, ok = u.old[h]
	}
	return time, ok
}
