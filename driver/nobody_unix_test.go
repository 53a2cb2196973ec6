//go:build unix

package driver_test

import "syscall"

// asNobody makes a process run as a user to whom permissions apply.
func asNobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
