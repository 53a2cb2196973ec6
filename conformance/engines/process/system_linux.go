package process

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// The signals that processes get.
const (
	kill   = syscall.SIGKILL
	pause  = syscall.SIGSTOP
	resume = syscall.SIGCONT
)

// detached lets a process run as u, unless u is nil, in a process group of its own. Ctrl-C
// then ends the test, and only after it the servers.
func detached(u *user.User) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if u != nil {
		uid, _ := strconv.ParseUint(u.Uid, 10, 32) // always numbers on Linux
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// free returns the free space of a file system in bytes, or 0 if there is no such directory.
func free(dir string) uint64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0
	}
	return s.Bavail * uint64(s.Bsize)
}

// processesIn returns the processes whose working directory is dir.
func processesIn(dir string) []int {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var pids []int
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && cwd == dir {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// signalIn sends a signal to the processes whose working directory is dir, and to those that
// they start meanwhile.
func signalIn(dir string, s syscall.Signal) {
	sent := make(map[int]bool)
	for again := true; again; {
		again = false
		for _, pid := range processesIn(dir) {
			if !sent[pid] {
				sent[pid], again = true, true
				_ = syscall.Kill(pid, s) // it may have ended by itself
			}
		}
	}
}
