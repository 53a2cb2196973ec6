package main

import "syscall"

// childAttributes makes a child that can't outlive the thread that starts it,
// so neither its process, even when that is killed (process.run keeps the
// thread until the child has ended). The process group is its own so that
// Ctrl-C at a terminal reaches only the parent, which then stops the child in
// order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
