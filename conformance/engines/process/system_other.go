//go:build !linux

package process

import (
	"os/user"
	"syscall"
)

// Need never lets a test come this far.
const (
	kill   = syscall.SIGKILL
	pause  = syscall.SIGKILL
	resume = syscall.SIGKILL
)

func detached(*user.User) *syscall.SysProcAttr { return nil }
func free(string) uint64                       { return 0 }
func processesIn(string) []int                 { return nil }
func signalIn(string, syscall.Signal)          {}
