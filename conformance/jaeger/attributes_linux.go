package main

import "syscall"

// childAttributes makes a child that cannot outlive the thread that starts it, and so neither
// its process, even if that is killed. process.run keeps the thread until the child has ended.
// The child has its own process group, so that Ctrl-C at a terminal reaches only the parent,
// which then stops the child.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
