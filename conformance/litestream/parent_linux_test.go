package litestream

import "syscall"

// endsWithParent makes a child end with this process, even if this one is killed.
func endsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
