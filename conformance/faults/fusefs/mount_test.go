//go:build linux

package fusefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain runs the child programs that use a mounted file system. The process that serves it
// must not use it.
func TestMain(m *testing.M) {
	if name := os.Getenv("FUSEFS_CHILD"); name != "" {
		if err := children[name](os.Getenv("FUSEFS_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var children = map[string]func(dir string) error{
	"files": useFiles, "map": useMap, "locks": useLocks, "errors": seeErrors, "write": writeOnce,
	"serve": serve, "sync": writeDuringSync,
}

func mounted(t *testing.T, o Options) (*FS, string) {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	f, dir := New(o), t.TempDir()
	if err := f.Mount(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
		if mounts, _ := os.ReadFile("/proc/self/mounts"); bytes.Contains(mounts, []byte(dir)) {
			t.Error("still mounted")
		}
	})
	return f, dir
}

func command(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "FUSEFS_CHILD="+name, "FUSEFS_DIR="+dir,
		"GORACE=atexit_sleep_ms=0") // otherwise each child sleeps for a second
	return c
}

func run(t *testing.T, name, dir string) {
	t.Helper()
	if out, err := command(t, name, dir).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

// An ordinary program sees an ordinary directory.
func TestFiles(t *testing.T) {
	f, dir := mounted(t, Options{Strict: true})
	run(t, "files", dir)
	m := f.Freeze(rand.New(rand.NewPCG(1, 1)))
	if len(m) != 2 || string(m["b"]) != "hello, world" || !bytes.Equal(m["c"], make([]byte, 100)) {
		t.Errorf("image: %q", m)
	}
}

func useFiles(dir string) error {
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	if _, err := os.Open(a); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open of a missing file: %v", err)
	}
	if err := os.WriteFile(a, []byte("hello"), 0o600); err != nil {
		return err
	}
	if _, err := os.OpenFile(a, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("exclusive: %v", err)
	}
	h, err := os.OpenFile(a, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := h.WriteAt([]byte(", world"), 5); err != nil {
		return err
	}
	before, err := h.Stat()
	if err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return err
	}
	after, err := os.Stat(b)
	if err != nil {
		return err
	}
	if !os.SameFile(before, after) || after.Size() != 12 || after.Mode() != 0o600 {
		return fmt.Errorf("after the rename: %v, before: %v", after, before)
	}
	if err := h.Sync(); err != nil {
		return err
	}
	if err := os.WriteFile(c, []byte("x"), 0o644); err != nil {
		return err
	}
	if err := os.Remove(c); err != nil {
		return err
	}
	z, err := os.Create(c)
	if err != nil {
		return err
	}
	if err := unix.Fallocate(int(z.Fd()), 0, 0, 100); err != nil {
		return err
	}
	if err := errors.Join(z.Sync(), z.Close()); err != nil {
		return err
	}
	if err := os.Link(c, a); err != nil {
		return err
	}
	if err := os.Remove(a); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err != nil || len(names) != 2 {
		return fmt.Errorf("the directory: %v, %v", names, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return err
	}
	if err := os.Remove(b); err != nil { // while it is open; an image may still have it
		return err
	}
	got := make([]byte, 12)
	if _, err := h.ReadAt(got, 0); err != nil || string(got) != "hello, world" {
		return fmt.Errorf("a file removed while it was open: %q, %v", got, err)
	}
	if err := os.Link("/proc/self/fd/"+fmt.Sprint(h.Fd()), b); err == nil {
		return errors.New("a link across file systems")
	}
	back, err := os.Create(b)
	if err != nil {
		return err
	}
	if _, err := back.WriteString("hello, world"); err != nil {
		return err
	}
	if err := errors.Join(back.Sync(), back.Close(), h.Close()); err != nil {
		return err
	}
	if d, err = os.Open(dir); err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Two mappings of shared memory, with two descriptors, see each other's writes, also after the
// file was opened once more and has grown.
func TestSharedMapping(t *testing.T) {
	_, dir := mounted(t, Options{})
	run(t, "map", dir)
	_, dir = mounted(t, Options{Locks: true})
	run(t, "map", dir)
}

func useMap(dir string) error {
	const page = 32 << 10 // the size that SQLite maps at a time
	name := filepath.Join(dir, "a.db-shm")
	mapped := func(size int64) ([]byte, error) {
		h, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		defer h.Close()
		if err := unix.Fallocate(int(h.Fd()), 0, 0, size); err != nil {
			return nil, err
		}
		return unix.Mmap(int(h.Fd()), size-page, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	a, err := mapped(page)
	if err != nil {
		return err
	}
	copy(a, "one")
	if _, err := mapped(2 * page); err != nil {
		return err
	}
	b, err := mapped(page)
	if err != nil {
		return err
	}
	if string(b[:3]) != "one" {
		return fmt.Errorf("the second mapping has %q", b[:3])
	}
	copy(b, "two")
	if string(a[:3]) != "two" {
		return fmt.Errorf("the first mapping has %q", a[:3])
	}
	if &a[0] == &b[0] {
		return fmt.Errorf("it is one mapping: %p", unsafe.Pointer(&a[0]))
	}
	return nil
}

// Open file description locks exclude other descriptors, and end with their descriptor.
func TestDescriptorLocks(t *testing.T) {
	f, dir := mounted(t, Options{Locks: true})
	f.Inject(Nth(4, syscall.ENOLCK, func(op Op) bool { return op.Kind == Lock }))
	run(t, "locks", dir)
}

func useLocks(dir string) error {
	open := func() (*os.File, error) { return os.OpenFile(filepath.Join(dir, "a"), os.O_RDWR|os.O_CREATE, 0o644) }
	lock := func(h *os.File, typ int16) error {
		return unix.FcntlFlock(h.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: typ, Start: 120, Len: 1})
	}
	a, err := open()
	if err != nil {
		return err
	}
	b, err := open()
	if err != nil {
		return err
	}
	if err := lock(a, unix.F_WRLCK); err != nil {
		return err
	}
	if err := lock(b, unix.F_RDLCK); !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("the second descriptor: %v", err)
	}
	test := unix.Flock_t{Type: unix.F_RDLCK, Start: 120, Len: 1}
	if err := unix.FcntlFlock(b.Fd(), unix.F_OFD_GETLK, &test); err != nil || test.Type != unix.F_WRLCK {
		return fmt.Errorf("holder of the lock: %v, %v", test, err)
	}
	if err := a.Close(); err != nil {
		return err
	}
	if err := lock(b, unix.F_WRLCK); err != nil {
		return fmt.Errorf("after the first was closed: %v", err)
	}
	if err := lock(b, unix.F_RDLCK); !errors.Is(err, unix.ENOLCK) {
		return fmt.Errorf("the fault: %v", err)
	}
	return errors.Join(lock(b, unix.F_UNLCK), b.Close())
}

// A process gets the errno that was injected, and ENOSPC from a full disk.
func TestErrors(t *testing.T) {
	f, dir := mounted(t, Options{})
	f.SetQuota(1000)
	f.Inject(func(op Op) syscall.Errno {
		if errno, ok := seen[op.Kind]; ok && strings.HasPrefix(op.Name, "bad") || op.Kind == SyncDir {
			return errno
		}
		return 0
	})
	f.Load(Image{"bad": []byte("bad"), "bad-open": nil})
	run(t, "errors", dir)
	if n := f.Injected(); n < int64(len(seen)) {
		t.Errorf("injected: %d", n)
	}
}

// seen are the errnos that TestErrors injects.
var seen = map[Kind]syscall.Errno{
	Read: syscall.EIO, Write: syscall.EDQUOT, Sync: syscall.EIO, SyncDir: syscall.EIO, Truncate: syscall.EROFS,
	Allocate: syscall.ENOSPC, Create: syscall.EACCES, Unlink: syscall.EPERM, Rename: syscall.EIO, Link: syscall.EMLINK,
}

func seeErrors(dir string) error {
	bad, good := filepath.Join(dir, "bad"), filepath.Join(dir, "good")
	h, err := os.OpenFile(bad, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, readErr := h.ReadAt(make([]byte, 3), 0)
	_, writeErr := h.WriteAt([]byte("x"), 0)
	_, createErr := os.Create(bad + "2")
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	for kind, err := range map[Kind]error{
		Read: readErr, Write: writeErr, Sync: unix.Fdatasync(int(h.Fd())), SyncDir: d.Sync(), Truncate: h.Truncate(1),
		Allocate: unix.Fallocate(int(h.Fd()), 0, 0, 10), Create: createErr, Unlink: os.Remove(bad), Rename: os.Rename(bad, good), Link: os.Link(bad, bad+"3"),
	} {
		if !errors.Is(err, seen[kind]) {
			return fmt.Errorf("%s: %v, want %v", kind, err, seen[kind])
		}
	}
	if err := os.WriteFile(good, make([]byte, 1001), 0o644); !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("a full disk: %v", err)
	}
	return nil
}

// A process that is killed during a blocked operation ends, and its mount can be removed.
func TestStallAndKill(t *testing.T) {
	f, dir := mounted(t, Options{})
	stall := f.Stall(func(op Op) bool { return op.Kind == Write })
	c := command(t, "write", dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stall.Reached():
	case <-time.After(time.Minute):
		t.Error("no operation was blocked")
	}
	if err := c.Process.Kill(); err != nil {
		t.Error(err)
	}
	// The kernel ends the process once the operation has completed.
	if err := f.Unmount(); err == nil {
		t.Log("unmounted before the process was gone")
	}
	if err := c.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if err := f.Mount(dir); err != nil {
		t.Fatal(err)
	}
	run(t, "write", dir)
}

// A WAL can be written and read while another descriptor syncs it.
func TestWriteDuringSync(t *testing.T) {
	f, dir := mounted(t, Options{})
	stall := f.Stall(func(op Op) bool { return op.Kind == Sync && op.ReadOnly })
	c := command(t, "sync", dir)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		<-stall.Reached()
		for f.Size("a-wal") < 4 {
			time.Sleep(time.Millisecond)
		}
	}()
	select {
	case <-written:
	case <-time.After(time.Minute):
		t.Error("a sync blocks a write")
	}
	stall.Release()
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}

// writeDuringSync writes after a sync by another descriptor has begun, which ends later.
func writeDuringSync(dir string) error {
	name := filepath.Join(dir, "a-wal")
	w, err := os.Create(name)
	if err != nil {
		return err
	}
	r, err := os.Open(name)
	if err != nil {
		return err
	}
	if _, err := w.WriteString("ab"); err != nil {
		return err
	}
	synced := make(chan error, 1)
	go func() { synced <- unix.Fdatasync(int(r.Fd())) }()
	for range 2 {
		time.Sleep(10 * time.Millisecond)
		if _, err := w.WriteString("c"); err != nil {
			return err
		}
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "abcc" {
		return fmt.Errorf("read %q, %v", text, err)
	}
	a, errA := r.Stat()
	b, errB := os.Stat(name)
	if err := errors.Join(errA, errB, <-synced); err != nil || !os.SameFile(a, b) {
		return fmt.Errorf("%v, the same file: %v", err, os.SameFile(a, b))
	}
	return nil
}

// When the serving process dies, callers get an error, and DetachDead finds the mount.
func TestServerDies(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	server := command(t, "serve", dir)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	// Now a child of the server is blocked on the disk.
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil { // until the child has ended too
		t.Error(err)
	}
	_ = server.Wait()
	if dirs := DetachDead(); len(dirs) != 1 || dirs[0] != dir {
		t.Errorf("detached: %v, want %s", dirs, dir)
	}
}

func serve(dir string) error {
	f := New(Options{})
	if err := f.Mount(dir); err != nil {
		return err
	}
	stall := f.Stall(func(op Op) bool { return op.Kind == Write })
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "FUSEFS_CHILD=write")
	c.Stdout = os.Stdout // it is closed when both have ended
	if err := c.Start(); err != nil {
		return err
	}
	<-stall.Reached()
	fmt.Print(".")
	select {}
}

func writeOnce(dir string) error { return os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o644) }
