//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// killTree makes the end of a command's context also end the processes that the command
// started, because go test leaves its tests running.
func killTree(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
