//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestNoTestIsLeft checks that the tests which go test runs end with it after a timeout. A test
// that hangs holds a connection to this one.
func TestNoTestIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v := tiny(t, "42")
	hangs := fmt.Sprintf(`package tests

import (
	"net"
	"testing"
)

func TestHangs(t *testing.T) {
	c, err := net.Dial("tcp", %q)
	if err != nil {
		t.Fatal(err)
	}
	c.Read(make([]byte, 1))
}
`, l.Addr())
	if err := os.WriteFile(filepath.Join(v.dir, "tests", "hang_test.go"), []byte(hangs), 0o666); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := v.test(ctx, options{}, []string{"tests"}, io.Discard)
		l.Close() // in case the test never connects
		ended <- err
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("%v: %v", err, <-ended)
	}
	defer c.Close()
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	// If it were still running, Read would block.
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
}
