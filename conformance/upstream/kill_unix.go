//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// killTree has a command's end, when its context ends it, be that of the
// processes that it started: go test leaves its tests running.
func killTree(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
