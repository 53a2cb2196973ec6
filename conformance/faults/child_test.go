package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// The environment variables that pass a child its role and its argument.
const (
	roleVar = "SQLITEMW_FAULTS_ROLE"
	argVar  = "SQLITEMW_FAULTS_ARG"
)

// roles are the programs that this test binary runs as a child, by name. Files add theirs in an
// init function.
var roles = map[string]func(){}

// patience is the timeout of everything that normally takes milliseconds. What takes longer
// counts as hanging.
const patience = 2 * time.Minute

// A child is a process of this test binary that plays a role.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   lockedBuffer // what the child prints
	done  chan struct{}
	err   error // of Wait, once done is closed

	*acks // what it has reported
}

// startChild starts a child in a role. It passes the argument as JSON; see childArgument. Each
// prepare may change the command before it is started. At the end of the test, the child is
// killed if it still runs.
func startChild(t testing.TB, role string, argument any, prepare ...func(*exec.Cmd)) *child {
	t.Helper()
	if roles[role] == nil {
		t.Fatalf("there is no role %q", role)
	}
	arg, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), roleVar+"="+role, argVar+"="+string(arg),
		"GORACE=atexit_sleep_ms=0") // otherwise a child with the race detector sleeps for a second at exit
	c.cmd.ExtraFiles = []*os.File{w} // descriptor 3: reportFD
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	for _, f := range prepare {
		f(c.cmd)
	}
	if err := c.cmd.Start(); err != nil {
		r.Close()
		w.Close()
		t.Fatal(err)
	}
	w.Close()
	c.acks = readAcks(r)
	go func() {
		c.err = c.cmd.Wait()
		<-c.acks.ended // everything that it reported has been read
		close(c.done)
	}()
	t.Cleanup(c.kill)
	return c
}

// childArgument decodes the child's argument into v. Roles call it.
func childArgument(v any) {
	if err := json.Unmarshal([]byte(os.Getenv(argVar)), v); err != nil {
		fatalf("the argument: %v", err)
	}
}

// fatalf prints a message and ends the child.
func fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// tell sends the child a line of JSON. It has no effect if the child has ended.
func (c *child) tell(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, _ = c.stdin.Write(append(line, '\n'))
	}
}

// kill kills the child (SIGKILL) if it still runs, and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// wait waits until the child has ended by itself, and returns its error. A child that has not
// ended after patience hangs: wait kills it and returns false.
func (c *child) wait() (err error, ended bool) {
	select {
	case <-c.done:
		return c.err, true
	case <-time.After(patience):
		c.kill()
		return c.err, false
	}
}

// output returns what the child has printed so far.
func (c *child) output() string { return c.log.String() }

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
