package faults

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// newTmpfs mounts a tmpfs of size bytes. It is unmounted at the end of the test. If this
// process may not mount, the test is skipped.
func newTmpfs(t testing.TB, size int) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, errors.New("a small disk cannot be mounted: the process is not root"))
	}
	dir = t.TempDir()
	err := syscall.Mount("sqlitemw-full", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	if errors.Is(err, syscall.EPERM) {
		skip(t, fmt.Errorf("a small disk cannot be mounted: %w", err))
	} else if err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		// MNT_DETACH: it is gone once the last process that uses it has ended.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
