package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// A disk is a fusefs that is mounted on a directory. Only children may use it.
type disk struct {
	*fusefs.FS
	dir string
}

// newDisk mounts a disk. The end of the test or discard unmounts it. Without FUSE, the test is
// skipped.
func newDisk(t testing.TB, o fusefs.Options) *disk {
	t.Helper()
	needFUSE(t)
	d := &disk{fusefs.New(o), t.TempDir()}
	if err := d.Mount(d.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.discard(t) })
	return d
}

// needFUSE skips the test if FUSE is not available.
func needFUSE(t testing.TB) {
	t.Helper()
	if err := fusefs.Available(); err != nil {
		skip(t, err)
	}
}

// discard unmounts the disk. The children that use it must have ended.
func (d *disk) discard(t testing.TB) {
	if d.FS == nil {
		return
	}
	if err := d.Unmount(); err != nil {
		t.Error(err)
	}
	d.FS = nil
}

// memoryDir makes a directory for an image that is read once. If the system has a memory file
// system, the directory is there, so that no real disk is involved.
func memoryDir(t testing.TB) (dir string, remove func()) {
	t.Helper()
	const shm = "/dev/shm"
	parent := shm
	if info, err := os.Stat(shm); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "faults")
	if err != nil {
		if dir, err = os.MkdirTemp("", "faults"); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() { os.RemoveAll(dir) }
}

// compareImage calls compare for the database name in an image.
func (c *campaign) compareImage(what string, m fusefs.Image, name string, acked []int64, mayLose bool) {
	c.t.Helper()
	c.compareImagePromise(what, m, name, promise{acked: acked, mayLose: mayLose})
}

// compareImagePromise calls comparePromise for the database name in an image.
func (c *campaign) compareImagePromise(what string, m fusefs.Image, name string, p promise) {
	c.t.Helper()
	dir, remove := memoryDir(c.t)
	defer remove()
	if err := m.WriteTo(dir); err != nil {
		c.t.Fatal(err)
	}
	c.comparePromise(what, filepath.Join(dir, name), p)
}

// upTo returns a random duration of up to d.
func upTo(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d))) }
