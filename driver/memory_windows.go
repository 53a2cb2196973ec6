package driver

import (
	"errors"
	"syscall"
)

// isOutOfMemoryOS reports whether err means that Windows is out of memory:
// ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY or ERROR_COMMITMENT_LIMIT.
// https://learn.microsoft.com/windows/win32/debug/system-error-codes
func isOutOfMemoryOS(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && (errno == 8 || errno == 14 || errno == 1455)
}
