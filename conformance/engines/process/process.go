package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// patience is the timeout of everything that a server normally does within seconds.
const patience = 2 * time.Minute

// A Config describes a server.
type Config struct {
	Name string // in errors
	Path string // of its program
	Args []string

	// Data is its working directory, in the Dir, which it shares with no other server. Its
	// children must keep that directory, because they are found by it. The server's output
	// is appended to the file of this name with ".log" after it.
	Data string

	// Shutdown is the signal that asks it to shut down.
	Shutdown os.Signal

	// Ready returns nil as soon as the server serves. It is called until then.
	Ready func(context.Context) error
}

// A Process is a server that can be killed, paused and started again, with all its children. Its
// methods must not be called concurrently, except for [Process.Running].
type Process struct {
	cfg Config
	dir *Dir

	mu   sync.Mutex // guards what follows
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// New returns a server in d, which is not yet started.
func New(d *Dir, cfg Config) *Process { return &Process{cfg: cfg, dir: d} }

// Start starts the server and waits until it serves, at most two minutes. If it ends before
// that, the error has the end of its log.
func (p *Process) Start() error {
	if p.Running() {
		return fmt.Errorf("%s already runs", p.cfg.Name)
	}
	log, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.dir.command(p.cfg.Data, p.cfg.Path, p.cfg.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // that it ended is enough; the log says why
	}()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	return p.awaitReady(done)
}

func (p *Process) awaitReady(done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := p.cfg.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("%s ended before it was ready: %w\n%s", p.cfg.Name, err, p.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v: %w\n%s", p.cfg.Name, patience, err, p.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill kills the server and all its children with SIGKILL, paused or not, and waits until they
// are gone. It has no effect if the server does not run.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	p.signal(pause) // so that it cannot start children
	signalIn(p.cfg.Data, kill)
	return p.awaitEnd()
}

// Stop asks the server to shut down, and waits until it has ended. It has no effect if the server
// does not run.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	p.signal(p.cfg.Shutdown)
	return p.awaitEnd()
}

func (p *Process) awaitEnd() error {
	_, done := p.current()
	timeout := time.After(patience)
	select {
	case <-done:
	case <-timeout:
		return fmt.Errorf("%s has not ended after %v\n%s", p.cfg.Name, patience, p.Log())
	}
	for len(processesIn(p.cfg.Data)) > 0 {
		select {
		case <-timeout:
			return fmt.Errorf("children of %s have not ended after %v", p.cfg.Name, patience)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// Pause stops the server and all its children with SIGSTOP: its connections stay open, and
// nothing answers.
func (p *Process) Pause() error {
	if !p.Running() {
		return fmt.Errorf("%s does not run", p.cfg.Name)
	}
	p.signal(pause)
	signalIn(p.cfg.Data, pause)
	return nil
}

// Resume lets the server go on after [Process.Pause].
func (p *Process) Resume() error {
	if !p.Running() {
		return fmt.Errorf("%s does not run", p.cfg.Name)
	}
	signalIn(p.cfg.Data, resume)
	return nil
}

// Running reports whether the server's first process has not ended. A paused server runs.
func (p *Process) Running() bool {
	_, done := p.current()
	if done == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

func (p *Process) current() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

func (p *Process) signal(s os.Signal) {
	cmd, _ := p.current()
	_ = cmd.Process.Signal(s) // an error says that it has ended by itself
}

func (p *Process) logPath() string { return p.cfg.Data + ".log" }

// Log returns the last 4 KB of what the server has printed.
func (p *Process) Log() string {
	log, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4<<10):])
}

// FreePort returns a TCP port of the loopback interface that nothing uses. Until its server
// listens, another program can take it; then [Process.Start] fails.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
