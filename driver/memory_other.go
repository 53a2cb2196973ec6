//go:build !windows

package driver

// isOutOfMemoryOS reports whether err means that the operating system is out of memory.
// ENOMEM is checked elsewhere, and this system has no other such error.
func isOutOfMemoryOS(error) bool { return false }
