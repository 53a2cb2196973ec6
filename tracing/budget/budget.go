// Package budget bounds how many bytes caches keep: each cache, and all caches of a process
// together. It imports no other package of this module. The packages that cache what they
// know of queries use it.
//
// This package makes no promise of compatibility yet.
package budget

import (
	"runtime"
	"sync/atomic"
)

// A Budget limits the bytes that caches of one kind may keep. It is safe for concurrent use.
type Budget struct {
	each, all int64
	used      atomic.Int64
}

// New returns a Budget that allows each bytes for one cache, and all bytes for all caches of
// the process.
func New(each, all int64) *Budget { return &Budget{each: each, all: all} }

// Used returns the number of bytes that all caches keep.
func (b *Budget) Used() int64 { return b.used.Load() }

// A Share counts the bytes that one cache takes from a Budget. Like a cache, it is not safe
// for concurrent use. When it is garbage-collected with its cache, its bytes return to the
// Budget.
type Share struct{ taken *taken }

type taken struct {
	budget *Budget
	bytes  atomic.Int64 // atomic for the cleanup, which reads it without the Share
}

// Share returns a share for a new cache. It has taken no bytes.
func (b *Budget) Share() *Share {
	s := &Share{&taken{budget: b}}
	runtime.AddCleanup(s, func(t *taken) { t.budget.used.Add(-t.bytes.Load()) }, s.taken)
	return s
}

// Used returns the number of bytes that the cache keeps.
func (s *Share) Used() int64 { return s.taken.bytes.Load() }

// Take takes n more bytes for the cache and returns true. It returns false and takes none if
// that would exceed the limit for the cache or for all caches.
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

// CanTake reports whether the cache could take n bytes after giving back all of its own.
func (s *Share) CanTake(n int) bool {
	t, more := s.taken, int64(n)
	return more <= t.budget.each && t.budget.used.Load()-t.bytes.Load()+more <= t.budget.all
}

// Give gives back n bytes.
func (s *Share) Give(n int) {
	s.taken.bytes.Add(-int64(n))
	s.taken.budget.used.Add(-int64(n))
}

// Keep stores value in kept, which never has more entries than most. share counts the bytes
// of its entries. If there is no room, Keep removes random entries. It reports whether kept then has
// the key: with this value, or with one that it had before. Keep must not run concurrently
// with other uses of the map.
func Keep[K comparable, V any](share *Share, kept map[K]V, most int, key K, value V, bytes func(K) int) bool {
	if _, ok := kept[key]; ok {
		return true
	}
	n := bytes(key)
	if !share.CanTake(n) {
		return false
	}
	taken := len(kept) < most && share.Take(n)
	for old := range kept { // map order is random
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
