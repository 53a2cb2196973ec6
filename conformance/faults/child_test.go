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

// The environment variables by which a child knows its role and its argument.
const (
	roleVar = "SQLITEMW_FAULTS_ROLE"
	argVar  = "SQLITEMW_FAULTS_ARG"
)

// roles are what this test binary does when it is started as a child. Files add
// theirs in an init function.
var roles = map[string]func(){}

// patience is how long anything may take that takes milliseconds on a good day:
// longer, and it hangs.
const patience = 2 * time.Minute

// A child is this test binary, started again in a role.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   lockedBuffer // what it prints
	done  chan struct{}
	err   error // of Wait, once done is closed

	*acks // what it has reported
}

// startChild starts a child in a role. The argument reaches it as JSON; see
// childArgument. Each prepare may change the command before it is started. The
// child is killed, if it is still there, when the test ends.
func startChild(t testing.TB, role string, argument any, prepare ...func(*exec.Cmd)) *child {
	t.Helper()
	if roles[role] == nil {
		t.Fatalf("no role has the name %q", role)
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
		"GORACE=atexit_sleep_ms=0") // else a child under the race detector waits for a second at its end
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
		<-c.acks.ended // all it has reported is known
		close(c.done)
	}()
	t.Cleanup(c.kill)
	return c
}

// childArgument decodes a child's argument into v. It is called by a role.
func childArgument(v any) {
	if err := json.Unmarshal([]byte(os.Getenv(argVar)), v); err != nil {
		fatalf("the argument: %v", err)
	}
}

// fatalf ends a child with a message.
func fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// tell sends the child a line, as JSON. A child that has ended hears nothing.
func (c *child) tell(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, _ = c.stdin.Write(append(line, '\n'))
	}
}

// kill kills the child at once (SIGKILL), if it is still there, and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// wait waits until the child has ended by itself, and returns how. A child that
// is not through after patience hangs: it is killed, and wait returns false.
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
