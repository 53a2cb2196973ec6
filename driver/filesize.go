package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// checkSize compares the sizes of the database file and the WAL with what SQLite says they
// contain. A file that was cut short while it was open is lost. SQLite reads zeros, or
// nothing, in place of the missing pages.
//
// It compares sizes only if no other connection has committed meanwhile, and the size of
// the database only if all of the WAL is in it. A hole in the WAL is always reported.
func (s *session) checkSize() error {
	if s.file == nil {
		return nil
	}
	raw := s.baseConn.Raw()
	wal := openWAL(s.file.name + "-wal") // before sizesOf; see lacks
	defer wal.close()
	before, err := sizesOf(raw)
	short, hole := wal.lacks(before)
	if hole || short && damaged(err) {
		return s.cutShort(s.file.name + "-wal")
	}
	if err != nil || before.pages == 0 {
		return err
	}
	info, err := os.Stat(s.file.name)
	if err != nil {
		return nil // dbFile.check reports it
	}
	if after, err := sizesOf(raw); err != nil || after != before {
		return err
	}
	switch {
	case before.frames <= before.moved && info.Size() < before.pages*before.pageSize:
		return s.cutShort(s.file.name)
	case short:
		return s.cutShort(s.file.name + "-wal")
	}
	return nil
}

func (s *session) cutShort(name string) error {
	s.file.lost.CompareAndSwap(nil, &FileLostError{File: name, Change: "truncated"})
	return s.file.lostError()
}

// A WAL starts with a header. Each frame, which holds one page, has a header too, with the
// salts of the first. https://sqlite.org/fileformat2.html#walformat
const (
	walMagic       = 0x377f0682 // the last bit varies
	walHeader      = 32
	walFrameHeader = 24
	walSalts       = 8 // length; at offset 16 of the WAL header and 8 of a frame header
)

// maxFrames is the maximum number of WAL frames that lacks reads. In a longer WAL it reads
// frames at equal distances.
const maxFrames = 4096

// damaged reports whether err says that SQLite has read something that it never wrote.
func damaged(err error) bool {
	return errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT)
}

// A walFile is a WAL opened for reading beside SQLite. SQLite holds no lock on the WAL
// itself, so closing a walFile drops none. The zero walFile stands for a missing WAL.
type walFile struct {
	file   *os.File
	header [walHeader]byte
}

func openWAL(name string) (w walFile) {
	file, err := os.Open(name)
	if err != nil {
		return w
	}
	w.file = file
	if _, err := file.ReadAt(w.header[:], 0); err != nil && err != io.EOF {
		w.close()
		w.file = nil
	}
	return w
}

func (w *walFile) close() {
	if w.file != nil {
		_ = w.file.Close()
	}
}

// lacks reports whether the WAL misses frames that its index lists. z must have been read
// after the WAL was opened. short means that the file is too short. A checkpoint that has
// just truncated the WAL may be the cause. hole means that frames are missing inside the
// file, which is certain. After a WAL was cut short, the next commit makes it as long as
// before, with a hole. If the WAL cannot be read, or is encrypted, lacks returns false.
//
// To restart a WAL, SQLite resets the index, writes a header with new salts, and then
// writes frames. So as long as the header stays the same, all frames in the index have its
// salts.
func (w *walFile) lacks(z sizes) (short, hole bool) {
	if w.file == nil || z.frames == 0 || z.pageSize == 0 {
		return false, false
	}
	info, err := w.file.Stat()
	if err != nil {
		return false, false
	}
	frame := z.pageSize + walFrameHeader
	if info.Size() < walHeader+z.frames*frame {
		return true, false
	}
	if magic := binary.BigEndian.Uint32(w.header[:]); magic != 0 && magic&^1 != walMagic {
		return false, false
	}
	step := (z.frames + maxFrames - 1) / maxFrames
	for i := int64(0); i < z.frames && !hole; i += step {
		var header [walFrameHeader]byte
		if _, err := w.file.ReadAt(header[:], walHeader+i*frame); err != nil {
			return false, false
		}
		hole = !bytes.Equal(header[8:8+walSalts], w.header[16:16+walSalts])
	}
	var again [walHeader]byte
	if _, err = w.file.ReadAt(again[:], 0); err != nil || again != w.header {
		return false, false
	}
	return false, hole
}

// sizes are the sizes that SQLite reports for a database at one moment.
type sizes struct {
	version         string // changes when another connection commits
	pages, pageSize int64
	frames, moved   int64 // frames of the WAL, and those already checkpointed; 0 without a WAL
}

// sizesOf returns the sizes of the main database. With an error it returns the values read
// so far.
func sizesOf(raw *sqlite3.Conn) (sizes, error) {
	var z sizes
	frames, moved, err := raw.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	if err != nil {
		return z, err
	}
	z.frames, z.moved = max(int64(frames), 0), max(int64(moved), 0)
	for _, p := range []struct {
		name string
		n    *int64
	}{{"page_size", &z.pageSize}, {"page_count", &z.pages}} {
		text, err := scalar(raw, "PRAGMA "+p.name)
		if err != nil {
			return z, err
		}
		if *p.n, err = parseInt(text); err != nil {
			return z, err
		}
	}
	z.version, err = scalar(raw, "PRAGMA data_version")
	return z, err
}
