//go:build !linux

package main

import "syscall"

// childAttributes sets nothing, because the parent death signal exists only on Linux. Elsewhere
// a child outlives a parent that is killed, and Ctrl-C at a terminal reaches both.
func childAttributes() *syscall.SysProcAttr {
	return nil
}
