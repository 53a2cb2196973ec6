package main

import (
	"os"
	"syscall"
)

// datasync waits until f's data is on the disk, by the call that SQLite makes for a WAL.
func datasync(f *os.File) error {
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(f.Fd())))
}

// memoryFileSystem returns the name of dir's file system if it keeps files in memory, or "". The
// numbers are those of https://man7.org/linux/man-pages/man2/statfs.2.html.
func memoryFileSystem(dir string) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", os.NewSyscallError("statfs", err)
	}
	switch uint32(s.Type) { // its type differs between processors
	case 0x01021994:
		return "tmpfs", nil
	case 0x858458f6:
		return "ramfs", nil
	default:
		return "", nil
	}
}
