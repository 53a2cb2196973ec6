package litestream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience limits each wait for Litestream. It only ends a test that hangs.
const patience = 5 * time.Minute

// program is the path of Litestream's binary.
var program string

func TestMain(m *testing.M) {
	var err error
	if program, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// build builds the Litestream that go.mod names, and returns its path in Go's build cache. The
// first time takes minutes. Litestream needs no C compiler, and the race detector must not reach
// it.
func build() (string, error) {
	cmd := exec.Command("go", "tool", "-n", "litestream")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool -n litestream: %w\n%s", err, &stderr)
	}
	return strings.TrimSpace(string(path)), nil
}

// A replica is a directory into which Litestream replicates one database.
type replica struct {
	t      *testing.T
	db     string // path of the database
	dir    string // the replica
	config string // path of Litestream's configuration
	socket string // of a running Litestream

	restored int // number of restores
}

// newReplica returns an empty replica of a database.
func newReplica(t *testing.T, db string) *replica {
	t.Helper()
	// The path of a socket has at most 104 bytes. That of a test's directory may have more.
	short, err := os.MkdirTemp("", "ls")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	r := &replica{t: t, db: db, dir: t.TempDir(), config: filepath.Join(short, "litestream.yml"), socket: filepath.Join(short, "socket")}
	r.configure(db)
	return r
}

// configure makes the replica that of the database in another file. All settings but the socket
// are Litestream's defaults.
func (r *replica) configure(db string) {
	r.t.Helper()
	r.db = db
	text := fmt.Sprintf("socket: {enabled: true, path: %q}\ndbs: [{path: %q, replica: {type: file, path: %q}}]\n", r.socket, db, r.dir)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// command runs Litestream. The error contains its output.
func (r *replica) command(args ...string) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("litestream %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// restore restores the replica into a new file, and returns its path.
func (r *replica) restore() (path string) {
	r.t.Helper()
	r.restored++
	path = filepath.Join(r.t.TempDir(), fmt.Sprintf("restored%d.db", r.restored))
	if err := r.command("restore", "-config", r.config, "-integrity-check", "full", "-o", path, r.db); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// reset makes Litestream, which must not run, forget what it has replicated.
func (r *replica) reset() {
	r.t.Helper()
	if err := r.command("reset", "-config", r.config, r.db); err != nil {
		r.t.Fatal(err)
	}
}

// snapshot makes Litestream, which must not run, replicate the whole database.
func (r *replica) snapshot() {
	r.t.Helper()
	if err := r.command("replicate", "-config", r.config, "-once", "-force-snapshot"); err != nil {
		r.t.Fatal(err)
	}
}

// A process is a running "litestream replicate".
type process struct {
	*replica
	cmd  *exec.Cmd
	log  output
	done chan struct{} // closed when it has ended and err is set
	err  error
}

// start starts Litestream, and waits until it has replicated the database once. It is killed at
// the end of the test if it still runs then.
func (r *replica) start() *process {
	r.t.Helper()
	_ = os.Remove(r.socket) // of one that was killed
	p := &process{replica: r, cmd: exec.Command(program, "replicate", "-config", r.config), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = endsWithParent()
	started := make(chan error)
	go func() {
		// Linux ends a child with the thread that has started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		if started <- err; err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.kill)
	p.sync()
	return p
}

// sync makes Litestream replicate all that has been committed, and waits for it.
func (p *process) sync() {
	p.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := p.command("sync", "-wait", "-timeout", "300", "-socket", p.socket, p.db)
		switch {
		case err == nil:
			return
		case p.ended():
			p.t.Fatalf("litestream replicate has ended: %v\n%s", p.err, p.log.String())
		case time.Since(began) > patience:
			p.t.Fatalf("%v\n%s", err, p.log.String())
		}
	}
}

// stop ends Litestream as a service manager does. Litestream first replicates what it has not
// replicated yet. stop reports errors that Litestream has logged.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("litestream does not stop:\n%s", p.log.String())
	}
	if p.err != nil {
		p.t.Errorf("litestream: %v\n%s", p.err, p.log.String())
	}
	p.checkLog()
}

// kill kills Litestream.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// checkLog reports errors that Litestream has logged.
func (p *process) checkLog() {
	p.t.Helper()
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN") {
			p.t.Errorf("litestream has logged: %s", line)
		}
	}
}

// An output is what a process has written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
