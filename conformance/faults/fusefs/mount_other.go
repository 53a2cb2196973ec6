//go:build !linux

package fusefs

import "errors"

var errPlatform = errors.New("FUSE cannot be used: mounting is implemented on Linux only")

type mount struct{}

// Available returns the reason why this process cannot mount.
func Available() error { return errPlatform }

// Mount fails.
func (f *FS) Mount(string) error { return errPlatform }

// Unmount does nothing.
func (f *FS) Unmount() error { return nil }

// DetachDead does nothing.
func DetachDead() []string { return nil }
