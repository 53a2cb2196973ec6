//go:build !linux

package litestream

import "syscall"

// endsWithParent returns nil, because no other system ends a child with its parent.
func endsWithParent() *syscall.SysProcAttr { return nil }
