//go:build unix

package driver

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setsModes reports whether files have permissions and owners that the engine can set.
const setsModes = true

// copyMode gives the named file the permissions and the owner of the database, as far as the
// process may. The owner may always read and write it, because the database's permissions may
// be restricted for a moment only. The file's name is never followed: it may have become a
// symbolic link. On Linux, permissions need version 6.6 for that.
func copyMode(database os.FileInfo, name string) {
	file, err := os.Lstat(name)
	if err != nil || !file.Mode().IsRegular() {
		return
	}
	want, ok := database.Sys().(*syscall.Stat_t)
	is, isOK := file.Sys().(*syscall.Stat_t)
	if !ok || !isOK {
		return
	}
	if is.Uid != want.Uid || is.Gid != want.Gid {
		_ = os.Lchown(name, int(want.Uid), int(want.Gid))
	}
	if perm := database.Mode().Perm() | 0o600; file.Mode().Perm() != perm {
		_ = unix.Fchmodat(unix.AT_FDCWD, name, uint32(perm), unix.AT_SYMLINK_NOFOLLOW)
	}
}
