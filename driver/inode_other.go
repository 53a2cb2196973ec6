//go:build !unix

package driver

import "os"

// inode returns false, because files are identified by name on this system.
func inode(os.FileInfo) (fileKey, bool) { return fileKey{}, false }

// links returns 1, because an open file cannot be removed on this system.
func links(os.FileInfo) uint64 { return 1 }
