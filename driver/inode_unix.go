//go:build unix

package driver

import (
	"os"
	"syscall"
)

// inode returns a key that identifies a file under all its names.
func inode(info os.FileInfo) (fileKey, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileKey{}, false
	}
	return fileKey{dev: uint64(stat.Dev), ino: uint64(stat.Ino)}, true
}

// links returns the number of names that a file has.
func links(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink)
	}
	return 1
}
