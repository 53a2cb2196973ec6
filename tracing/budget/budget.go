// Package budget bounds how many bytes caches keep: each of them, and all of a process
// together. It is a leaf, for the packages of this module that keep what they know of texts.
package budget

import (
	"runtime"
	"sync/atomic"
)

// A Budget is how many bytes caches of one kind may keep. It is safe for concurrent use.
type Budget struct {
	each, all int64
	used      atomic.Int64
}

// New returns a Budget of each bytes for a cache, and all bytes for the caches of a process.
func New(each, all int64) *Budget { return &Budget{each: each, all: all} }

// Used returns how many bytes all caches keep.
func (b *Budget) Used() int64 { return b.used.Load() }

// A Share is what one cache has of a Budget. Like a cache, it is not safe for concurrent use.
// What it has taken is given back when the Share is garbage-collected, with its cache.
type Share struct{ taken *taken }

type taken struct {
	budget *Budget
	bytes  atomic.Int64 // of which only the cleanup reads without the Share
}

// Share returns a new cache's share, of which nothing is taken.
func (b *Budget) Share() *Share {
	s := &Share{&taken{budget: b}}
	runtime.AddCleanup(s, func(t *taken) { t.budget.used.Add(-t.bytes.Load()) }, s.taken)
	return s
}

// Used returns how many bytes the cache keeps.
func (s *Share) Used() int64 { return s.taken.bytes.Load() }

// Take counts n more bytes for the cache and reports true, if it and all may keep so many.
func (s *Share) Take(n int) bool {
	t, more := s.taken, int64(n)
	if t.bytes.Load()+more > t.budget.each {
		return false
	}
	if t.budget.used.Add(more) > t.budget.all {
		t.budget.used.Add(-more)
		return false
	}
	t.bytes.Add(more)
	return true
}

// CanTake reports whether the cache could take n bytes if it gave back all that it has.
func (s *Share) CanTake(n int) bool {
	t, more := s.taken, int64(n)
	return more <= t.budget.each && t.budget.used.Load()-t.bytes.Load()+more <= t.budget.all
}

// Give counts n bytes that the cache keeps no more.
func (s *Share) Give(n int) {
	s.taken.bytes.Add(-int64(n))
	s.taken.budget.used.Add(-int64(n))
}

// Keep puts a value into a map of at most so many, whose bytes share counts, in the place of
// others if need be. It reports whether the key is there then: with this value, or with one
// that it had before. The caller sees to it that nobody else uses the map meanwhile.
func Keep[K comparable, V any](share *Share, kept map[K]V, most int, key K, value V, bytes func(K) int) bool {
	if _, ok := kept[key]; ok {
		return true
	}
	n := bytes(key)
	if !share.CanTake(n) {
		return false
	}
	taken := len(kept) < most && share.Take(n)
	for old := range kept { // any: map order is random
		if taken {
			break
		}
		delete(kept, old)
		share.Give(bytes(old))
		taken = share.Take(n)
	}
	if taken {
		kept[key] = value
	}
	return taken
}
