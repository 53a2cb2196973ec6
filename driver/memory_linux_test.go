package driver_test

import (
	"errors"
	"os"
	osexec "os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// If the operating system has no memory for a connection, opening it returns an OpenError
// and does not panic.
func TestNoMemoryForAConnection(t *testing.T) {
	if os.Getenv("SQLITEMW_NO_MEMORY") == "" {
		cmd := again(t, "SQLITEMW_NO_MEMORY=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	db := open(t, file(t), driver.Config{MemoryLimit: 256 << 20})
	if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: addressSpace(t) + 128<<20, Max: addressSpace(t) + 128<<20}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		t.Skip(err)
	}
	first, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	err = db.PingContext(t.Context())
	var failure *driver.OpenError
	if !errors.As(err, &failure) || !errors.Is(err, sqlite3.NOMEM) || !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("%v", err)
	}
	if _, err := first.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Error(err)
	}
}

// again returns a command that runs this test in a new process.
func again(t *testing.T, env string) *osexec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env)
	return cmd
}

// addressSpace returns the size of the process's address space.
func addressSpace(t *testing.T) uint64 {
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.ParseUint(strings.Fields(string(stat))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}
