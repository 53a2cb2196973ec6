package driver

import (
	"os"
	"time"
)

// This file handles a WAL whose sync has failed. Connections that are open do not notice pages that
// are missing in it. A connection that opens the WAL first, of all processes, reads it with its
// checksums, and keeps the commits before the first missing page.

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
// recover its WAL, whose sync has failed, because another process has it open. dbFiles must be
// locked.
func recoverable(key fileKey, born time.Time, name string) error {
	f, ok := unsyncedFiles[key]
	if !ok {
		return nil
	}
	same := born.IsZero() || f.born.IsZero() || born.Equal(f.born)
	if same && isSharedMemoryInUse(name+"-shm") {
		return f.lost
	}
	delete(unsyncedFiles, key)
	return nil
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
