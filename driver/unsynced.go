package driver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// This file handles a WAL whose sync has failed. Connections that are open do not notice pages that
// are missing in it. A connection that opens the WAL first, of all processes, reads it with its
// checksums, and keeps the commits before the first missing page.
//
// The operating system may still show pages that are not on the disk, and take them for clean. So
// before that, everything that it shows is written once more.

// unsyncedFiles are the databases of which a sync of the WAL has failed. dbFiles must be locked.
var unsyncedFiles = map[fileKey]unsyncedFile{}

type unsyncedFile struct {
	born time.Time // creation time of the database; zero if unknown
	lost *FileLostError
}

// loseWAL makes all calls fail, because a sync of the WAL has failed.
func (f *dbFile) loseWAL(err error) {
	lost := &FileLostError{File: f.name + "-wal", Change: NotSynced, Err: err}
	dbFiles.Lock()
	defer dbFiles.Unlock()
	if f.lost.CompareAndSwap(nil, lost) {
		unsyncedFiles[f.key] = unsyncedFile{f.born, lost}
	}
}

// isUnsynced reports whether a sync of the WAL has failed.
func (f *dbFile) isUnsynced() bool {
	lost := f.lost.Load()
	return lost != nil && lost.Change == NotSynced
}

// recoverable returns an error if the first connection of this process to a database cannot
// recover its WAL, whose sync has failed, because another process has it open, or because the disk
// still fails. dbFiles must be locked.
func recoverable(key fileKey, born time.Time, name string) error {
	f, ok := unsyncedFiles[key]
	if !ok {
		return nil
	}
	if same := born.IsZero() || f.born.IsZero() || born.Equal(f.born); same {
		if isSharedMemoryInUse(name + "-shm") {
			return f.lost
		}
		if err := writeAgain(name + "-wal"); err != nil {
			return &FileLostError{File: name + "-wal", Change: NotSynced, Err: err}
		}
	}
	delete(unsyncedFiles, key)
	return nil
}

// writeAgain writes the file's content to where it is, and syncs it. It does nothing if there is no
// such file.
func writeAgain(name string) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for off := int64(0); ; off += int64(len(block)) {
		n, err := file.ReadAt(block, off)
		if err != nil && err != io.EOF {
			return err
		}
		if _, writeErr := file.WriteAt(block[:n], off); writeErr != nil {
			return writeErr
		}
		if err == io.EOF {
			break
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

// deadMansSwitch is the byte of the -shm that every connection with the WAL open locks.
// https://sqlite.org/src/file?name=src/os_unix.c
const deadMansSwitch = 128

// isSharedMemoryInUse reports whether a process has the -shm open. The caller must have no
// connection to its database.
func isSharedMemoryInUse(name string) bool {
	shm, err := os.Open(name)
	if err != nil {
		return false // SQLite says why
	}
	defer shm.Close()
	return isLocked(shm, deadMansSwitch)
}
