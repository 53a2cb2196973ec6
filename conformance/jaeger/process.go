package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running child whose last output can be read. It ends with its parent where the
// system supports that; see childAttributes.
type process struct {
	command *exec.Cmd
	output  tail          // of both stdout and stderr
	done    chan struct{} // closed when the child has ended and err is set
	err     error         // of exec.Cmd.Wait; read it only after done
}

// startProcess starts the binary with the arguments and exactly this environment, even if it is
// empty.
func startProcess(binary string, arguments, environment []string) (*process, error) {
	p := &process{command: exec.Command(binary, arguments...), done: make(chan struct{})}
	p.command.Env = append([]string{}, environment...) // a nil Env means this process's environment
	p.command.Stdout = &p.output
	p.command.Stderr = &p.output
	p.command.SysProcAttr = childAttributes()
	// A grandchild that keeps the output open would make Wait hang.
	p.command.WaitDelay = time.Second
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return p, nil
}

// run starts the child, reports that on started, and waits for its end. It keeps its OS thread
// all the time: Linux sends the parent death signal when the thread that started the child
// ends, not when the process ends. If the thread were returned to the Go runtime, the child
// could be killed at any moment.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.command.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.command.Wait()
	close(p.done)
}

// ended reports whether the child has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// failure returns the error for a child that ended by itself: its exit status, and the last
// lines of its output. Call it only after done.
func (p *process) failure() error {
	how := errors.New("exit status 0")
	if p.err != nil {
		how = p.err
	}
	return fmt.Errorf("ended by itself: %w; its last output:\n%s", how, &p.output)
}

// stop ends the child and returns when it has ended. It sends SIGTERM. If the child has not
// ended after grace, stop kills it. The error reports a child that had ended before, that ended
// with a failure, or that had to be killed. In all cases the child has ended.
func (p *process) stop(grace time.Duration) error {
	if p.ended() {
		return p.failure()
	}
	asked := p.command.Process.Signal(syscall.SIGTERM)
	if asked == nil || errors.Is(asked, os.ErrProcessDone) {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			if p.err != nil {
				return fmt.Errorf("after SIGTERM: %w; its last output:\n%s", p.err, &p.output)
			}
			return nil
		case <-timer.C:
			asked = fmt.Errorf("still running %v after SIGTERM", grace)
		}
	}
	p.kill()
	return fmt.Errorf("killed: %w; its last output:\n%s", asked, &p.output)
}

// kill kills the child and returns when it has ended.
func (p *process) kill() {
	// The only possible error is that the child has already ended.
	_ = p.command.Process.Kill()
	<-p.done
}
