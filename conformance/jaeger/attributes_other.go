//go:build !linux

package main

import "syscall"

// childAttributes asks for nothing: the parent death signal is Linux's own.
// Elsewhere a child outlives a parent that is killed, and Ctrl-C at a terminal
// reaches both.
func childAttributes() *syscall.SysProcAttr {
	return nil
}
