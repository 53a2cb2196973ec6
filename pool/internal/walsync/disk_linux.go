package walsync

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Supported reports whether commits can share a sync on this operating system.
const Supported = true

// The types of file systems on other machines, which may answer a sync before the disk has: 9P, AFS, Ceph,
// CIFS, CODA, GFS2, Lustre, NFS, OCFS2, SMB and SMB2.
// https://man7.org/linux/man-pages/man2/statfs.2.html
var remote = map[uint32]bool{
	0x01021997: true, 0x5346414f: true, 0x6b414653: true, 0x00c36400: true, 0xff534d42: true, 0x73757245: true,
	0x01161970: true, 0x0bd00bd0: true, 0x6969: true, 0x7461636f: true, 0x517b: true, 0xfe534d42: true,
}

// openDisk opens the WAL to sync it. It returns nil if the file system is not this machine's.
//
// The descriptor must be a separate one, opened before the first write that it vouches for: the
// operating system tells each descriptor once that it could not write a page.
func openDisk(name string, info os.FileInfo) (syncs func() error, closes func(), _ error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	fd := int(file.Fd())
	var fs syscall.Statfs_t
	own, err := file.Stat()
	if err == nil && !os.SameFile(own, info) {
		err = errors.New("its name leads to another file")
	}
	if err == nil {
		err = syscall.Fstatfs(fd, &fs)
	}
	if err != nil || remote[uint32(fs.Type)] {
		file.Close()
		return nil, nil, err
	}
	directory := filepath.Dir(name) // also if another process has created the WAL and never synced it
	return func() error {
		if err := fdatasync(fd); err != nil {
			return err
		}
		if directory != "" {
			if err := syncDirectory(directory); err != nil {
				return err
			}
			directory = ""
		}
		return nil
	}, func() { file.Close() }, nil
}

func fdatasync(fd int) error {
	for {
		if err := syscall.Fdatasync(fd); err != syscall.EINTR {
			return err
		}
	}
}

// syncDirectory syncs a directory, if it can be opened. SQLite does the same with that of a journal.
func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return nil // as in SQLite
	}
	defer d.Close()
	return fdatasync(int(d.Fd()))
}
