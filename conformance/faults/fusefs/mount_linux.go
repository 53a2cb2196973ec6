package fusefs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// mount is the mount of an FS.
type mount struct {
	dir    string
	server *fuse.Server
}

// Available returns nil if this process can mount, or an error that names what is missing.
func Available() error {
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("FUSE cannot be used: %w", err)
	}
	dev.Close()
	if os.Geteuid() == 0 {
		return nil
	}
	for _, name := range []string{"fusermount3", "fusermount"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return errors.New("FUSE cannot be used: the process is not root, and fusermount3 is not installed")
}

// Mount mounts the file system on an empty directory.
func (f *FS) Mount(dir string) error {
	server, err := fs.Mount(dir, &root{fs: f}, mountOptions(f.options))
	if err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	f.mount = mount{dir, server}
	return closeOnExec()
}

// closeOnExec keeps the FUSE device from the children of this process. As long as a child had
// it open, the kernel would treat the file system as alive after this process has died, and
// callers would block forever.
func closeOnExec() error {
	const fds = "/proc/self/fd"
	list, err := os.ReadDir(fds)
	if err != nil {
		return err
	}
	for _, e := range list {
		name, err := os.Readlink(filepath.Join(fds, e.Name()))
		if fd, numberErr := strconv.Atoi(e.Name()); err == nil && numberErr == nil && name == device {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

const device = "/dev/fuse"

// DetachDead unmounts the file systems of this package whose process has died, as a test does
// that exceeds its timeout. It returns where they were mounted.
func DetachDead() (dirs []string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != fsName {
			continue
		}
		var st syscall.Stat_t
		if errors.Is(syscall.Stat(fields[1], &st), syscall.ENOTCONN) && syscall.Unmount(fields[1], syscall.MNT_DETACH) == nil {
			dirs = append(dirs, fields[1])
		}
	}
	return dirs
}

// unmountPatience is how long Unmount waits for ending processes to close their files.
const unmountPatience = 5 * time.Second

// Unmount releases all stalls and unmounts the file system. If a process still uses
// it after five seconds, Unmount detaches it, so that nothing stays mounted, and
// returns an error.
func (f *FS) Unmount() error {
	f.Inject(nil)
	f.releaseAll()
	var err error
	for end := time.Now().Add(unmountPatience); ; time.Sleep(10 * time.Millisecond) {
		if err = syscall.Unmount(f.dir, 0); err == nil || !errors.Is(err, syscall.EBUSY) || time.Now().After(end) {
			break
		}
	}
	if errors.Is(err, syscall.EPERM) {
		return f.server.Unmount() // without root, fusermount unmounts
	}
	if err != nil {
		err = fmt.Errorf("unmount %s: %w", f.dir, err)
		if detachErr := syscall.Unmount(f.dir, syscall.MNT_DETACH); detachErr != nil {
			return errors.Join(err, detachErr)
		}
		return err // the server ends with the last process that uses the file system
	}
	f.server.Wait()
	return nil
}
