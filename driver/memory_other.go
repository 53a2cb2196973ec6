//go:build !windows

package driver

// isOutOfMemoryOS reports whether err is the operating system's, beside ENOMEM.
func isOutOfMemoryOS(error) bool { return false }
