package driver

import (
	"io"
	"os"
	"syscall"
)

// isLocked reports whether a process has locked the byte of the file at offset.
func isLocked(file *os.File, offset int64) bool {
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: offset, Len: 1}
	err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock)
	return err != nil || lock.Type != syscall.F_UNLCK
}
