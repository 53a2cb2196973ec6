//go:build !unix

package driver_test

import "syscall"

func asNobody() *syscall.SysProcAttr { return nil }
