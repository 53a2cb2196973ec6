package walkeeper

import (
	"os"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// DefaultLimit is the default of Config.JournalSizeLimit, in bytes.
const DefaultLimit = 64 << 20

// A size knows the length of a WAL. Its path and page size are set when the database is open.
type size struct {
	path     string // of the database; empty if it has no file
	pageSize int64  // 0 while the database is being opened
	limit    int64  // Config.JournalSizeLimit
}

// checkpointPages is the length of the WAL at which it is checkpointed: SQLite's default.
// https://sqlite.org/c3ref/wal_autocheckpoint.html
const checkpointPages = 1000

// minLimitPages is the smallest limit in use. With a smaller one, most of the time would be
// spent on checkpoints.
const minLimitPages = 64

// Limit returns how many bytes the WAL may have. It returns the default if the limit is
// negative, or zero, which means that the WAL is emptied.
func (s *size) Limit() int64 {
	limit := s.limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	return max(limit, s.bytes(minLimitPages))
}

// bytes returns how many bytes of the WAL so many pages take.
func (s *size) bytes(pages int64) int64 {
	return walHeader + pages*(max(s.pageSize, smallestPage)+frameHeader)
}

// pages returns how many pages fit into so many bytes of the WAL.
func (s *size) pages(bytes int64) int64 {
	return max(bytes-walHeader, 0) / (max(s.pageSize, smallestPage) + frameHeader)
}

// smallestPage is SQLite's smallest page size. It is used until the page size is known.
const smallestPage = 512

// walHeader and frameHeader are the sizes of a WAL's header and of the header of each frame.
// https://sqlite.org/fileformat2.html#walformat
const (
	walHeader   = 32
	frameHeader = 24
)

// Stats returns the size of the WAL's file, and its limit.
func (s *size) Stats() (stats core.WALStats) {
	if s.path == "" {
		return stats
	}
	if s.limit >= 0 {
		stats.Limit = s.Limit()
	}
	info, err := os.Stat(s.path + "-wal")
	if err != nil || info.Size() < walHeader {
		return stats
	}
	stats.Bytes, stats.Frames = info.Size(), (info.Size()-walHeader)/(s.pageSize+frameHeader)
	return stats
}

// checkLength records whether a WAL with so many pages in use is within its limit.
func (s *size) checkLength(host Host, pages int64) {
	if s.pageSize == 0 { // the database is being opened
		return
	}
	if s.bytes(pages) <= s.Limit() || s.limit < 0 {
		host.Fits()
	} else if !host.CheckpointsFail() {
		// Otherwise that failure reports the reason and the length.
		host.TooLong()
	}
}
