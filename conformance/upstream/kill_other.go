//go:build !unix

package main

import "os/exec"

// killTree does nothing. Tests that go test leaves running end with their own -timeout.
func killTree(*exec.Cmd) {}
