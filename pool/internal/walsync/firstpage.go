package walsync

import (
	"bytes"
	"hash/maphash"
)

// Every read transaction reads the first page of the database. Every commit that makes the database
// longer, or shorter, writes its header. So a reader that has read the header of a commit has not
// seen the commit, unless the rest of the page has changed: that is the beginning of the schema.
// https://sqlite.org/fileformat2.html#the_database_header

// A firstPage is what a transaction has written as the first page.
type firstPage struct {
	written bool
	sum     uint64 // of what is not the header's own; 0 if unknown
}

var firstPageSeed = maphash.MakeSeed()

// sumOfFirstPage returns a sum of the first page. It does not depend on the file's change counter,
// its size, its free list and the version that wrote it. ok is false if it is another page.
func sumOfFirstPage(page []byte) (sum uint64, ok bool) {
	const size = 100
	if len(page) < 512 || !bytes.HasPrefix(page, []byte("SQLite format 3\x00")) {
		return 0, false
	}
	var h maphash.Hash
	h.SetSeed(firstPageSeed)
	h.Write(page[16:24])
	h.Write(page[40:92])
	h.Write(page[size:])
	return h.Sum64() | 1, true
}

// A schemaChange is the last commit of a group that has changed more of the first page than its header.
type schemaChange struct {
	sum    uint64 // of the first page; 0 if unknown
	ticket uint64
}

// commit records a commit with that ticket.
func (s *schemaChange) commit(p firstPage, ticket uint64) {
	if p.written && (p.sum == 0 || p.sum != s.sum) {
		*s = schemaChange{p.sum, ticket}
	}
}
