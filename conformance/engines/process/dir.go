package process

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// A Dir is a directory for the data of servers. It is in memory if there is enough.
//
// Its guard kills the processes that work in it, and removes it, at the end of the test. The
// guard is a process, so that it does so also if the test is killed.
type Dir struct {
	path  string
	owner *user.User // of the servers and their files; nil for this process's user
}

// guard kills the processes that work in the directory $1 and removes it, as soon as its
// standard input ends. A process may start another one while its siblings are being killed,
// hence the rounds.
const guard = `
cat >/dev/null
found=1
while [ $found = 1 ]; do
	found=0
	for p in /proc/[0-9]*; do
		case "$(readlink "$p/cwd")" in "$1" | "$1"/*) kill -9 "${p#/proc/}" && found=1 ;; esac
	done
	[ $found = 0 ] || sleep 0.05
done
rm -rf "$1"`

// NewDir makes a directory for servers. If this process is root, which most servers refuse to
// run as, then they run as owner, and the directory is theirs. Otherwise, or if owner is empty,
// they run as this process's user.
func NewDir(t testing.TB, owner string) *Dir {
	t.Helper()
	path, err := os.MkdirTemp(memory(), "sqlitemw-servers-")
	if err != nil {
		t.Fatal(err)
	}
	d := &Dir{path: path}
	if err := d.prepare(owner); err != nil {
		os.RemoveAll(path)
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", guard, "guard", d.path)
	cmd.SysProcAttr = detached(nil) // so that Ctrl-C does not end the guard
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		os.RemoveAll(path)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("removing %s: %v", d.path, err)
		}
	})
	return d
}

func (d *Dir) prepare(owner string) (err error) {
	if d.path, err = filepath.EvalSymlinks(d.path); err != nil { // as /proc shows it
		return err
	}
	if err := os.Chmod(d.path, 0o755); err != nil {
		return err
	}
	if owner == "" || os.Getuid() != 0 {
		return nil
	}
	if d.owner, err = user.Lookup(owner); err != nil {
		return err
	}
	return d.own(d.path)
}

// memory returns a directory in memory if there are 2 GB for it, or else the one for temporary
// files. Servers of tests use up to 500 MB.
func memory() string {
	const shm = "/dev/shm"
	if free(shm) > 2<<30 {
		return shm
	}
	return ""
}

// Path returns the path of a file in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Make makes a directory in the directory, for the servers alone, and returns its path.
func (d *Dir) Make(name string) (string, error) {
	path := d.Path(name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	return path, d.own(path)
}

func (d *Dir) own(path string) error {
	if d.owner == nil {
		return nil
	}
	uid, err := strconv.Atoi(d.owner.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(d.owner.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// Run runs a program to its end, as the servers' user and in the directory. An error has its
// output.
func (d *Dir) Run(path string, args ...string) error {
	cmd := d.command(d.path, path, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}

// command returns a command that runs as the servers' user in a process group of its own.
func (d *Dir) command(in, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = in
	cmd.Env = append(os.Environ(), "HOME="+d.path, "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = detached(d.owner)
	return cmd
}
