package main

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"
)

// TestParentKilled kills the process that started a server.
func TestParentKilled(t *testing.T) {
	parent := exec.Command(fake(t, "parent", "good"))
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	killed := parent.Process.Kill()
	parent.Wait()
	if err != nil || killed != nil {
		t.Fatalf("the parent said %q, error %v; kill: %v", line, err, killed)
	}
	address := strings.TrimSpace(line)
	if !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("the parent said %q, want the server's address", line)
	}
	checkGone(t, address)
}
