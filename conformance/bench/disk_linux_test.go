package main

import (
	"os"
	"strings"
	"testing"
)

func TestMemoryFileSystem(t *testing.T) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Skip(err)
	}
	if !strings.Contains(string(mounts), " /dev/shm tmpfs ") {
		t.Skip("/dev/shm is no tmpfs here")
	}
	if got, err := memoryFileSystem("/dev/shm"); got != "tmpfs" || err != nil {
		t.Errorf("/dev/shm: %q, %v", got, err)
	}
	if got, err := memoryFileSystem("/proc"); got != "" || err != nil {
		t.Errorf("/proc: %q, %v", got, err)
	}
}
