package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// checkSize compares the size of the database's file with what SQLite takes it to hold,
// and the WAL with what SQLite has written to it. A file that was cut short while it was
// open is lost: SQLite reads zeros, or nothing, where there were pages.
//
// It says nothing while others write, or while not all of the WAL is in the database.
func (s *session) checkSize() error {
	if s.file == nil {
		return nil
	}
	raw := s.baseConn.Raw()
	wal := openWAL(s.file.name + "-wal") // first; see lacks
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
		return nil // which a look says
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

// A WAL has a header, and each page in it has another, with the salts of the first.
// https://sqlite.org/fileformat2.html#walformat
const (
	walMagic       = 0x377f0682 // but for the last bit
	walHeader      = 32
	walFrameHeader = 24
	walSalts       = 8 // bytes, at 16 in the first and at 8 in the others
)

// mostFrames is how many frames of a WAL are looked at, at most: then they are evenly
// spaced.
const maxFrames = 4096

// damaged reports whether an error says that SQLite has read what it never wrote.
func damaged(err error) bool {
	return errors.Is(err, sqlite3.NOTADB) || errors.Is(err, sqlite3.CORRUPT)
}

// A walFile is a WAL, to be read beside SQLite, which has no lock on the file that
// closing this one could drop. The zero walFile is none.
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

// lacks reports whether the WAL is too short for the frames in its index, of which z was
// read after the WAL was opened, or lacks some of them: one that was cut short is as long
// as ever after the next commit, with a hole in it. That it is too short may also be
// because a checkpoint has just cut it; a hole is for sure. What cannot be read, or is
// encrypted, lacks nothing.
//
// Who begins a WAL anew resets its index, and then writes a header with other salts, and
// then frames: so those that the index had once there was this header have its salts, for
// as long as it is there.
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

// sizes are what SQLite says of a database at one moment.
type sizes struct {
	version         string // another one after a commit of another connection's
	pages, pageSize int64
	frames, moved   int64 // of the WAL; 0 if there is none
}

// sizesOf returns with an error what it has found out before that.
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
