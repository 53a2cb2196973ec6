//go:build !linux

package walsync

import "os"

// Supported reports whether commits can share a sync on this operating system.
const Supported = false

func openDisk(string, os.FileInfo) (syncs func() error, closes func(), _ error) { return nil, nil, nil }
