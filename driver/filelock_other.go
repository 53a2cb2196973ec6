//go:build !linux

package driver

import "os"

// isLocked returns false. Commits share syncs only on Linux.
func isLocked(*os.File, int64) bool { return false }
