package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
)

// The figures of memory, in bytes of the process.
const (
	PerConn      = "bytes/connection"
	PerStatement = "bytes/statement"
)

const (
	memoryConns      = 16
	memoryStatements = 500
)

func memoryWorkload() *Workload {
	return &Workload{
		Name: "memory", What: fmt.Sprintf("a process of its own that opens %d connections and reads 1000 rows on each, then prepares %d statements on one",
			memoryConns, memoryStatements),
		Tour: true, Quiet: true, Options: Options{Synchronous: "normal", Conns: memoryConns + 1}, Seed: seedItems,
		Trial: func(ctx context.Context, e *Env) (Figures, error) {
			// Each contender runs in its own process, because it would reuse memory
			// that another has freed.
			self, err := os.Executable()
			if err != nil {
				return nil, fmt.Errorf("find this program: %w", err)
			}
			var stderr bytes.Buffer
			cmd := exec.CommandContext(ctx, self, "-memory", e.Contender.Name, "-memory-of", e.file)
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				return nil, fmt.Errorf("run %s: %w: %s", cmd, err, stderr.Bytes())
			}
			var conn, statement float64
			if _, err := fmt.Sscan(string(out), &conn, &statement); err != nil {
				return nil, fmt.Errorf("read %q: %w", out, err)
			}
			return Figures{PerConn: conn, PerStatement: statement}, nil
		},
	}
}

// printMemory is what that process runs.
func printMemory(ctx context.Context, c *Contender, file string, out io.Writer) (err error) {
	db, err := c.Open(ctx, file, memoryWorkload().Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var conns []Conn
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Release())
		}
	}()
	more := func(n int) error {
		for range n {
			c, err := db.Acquire(ctx)
			if err != nil {
				return err
			}
			conns = append(conns, c)
			var id, quantity int64
			var name string
			err = c.Rows(ctx, "SELECT id, name, quantity FROM items", []any{&id, &name, &quantity}, func() {})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := more(1); err != nil { // memory needed once, independent of the count
		return err
	}
	base := resident()
	if err := more(memoryConns); err != nil {
		return err
	}
	opened := resident()
	for i := range memoryStatements {
		s, err := conns[0].Prepare(ctx, fmt.Sprintf("SELECT id, name, quantity AS quantity%d FROM items WHERE id = ?", i))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	prepared := resident()
	_, err = fmt.Fprintln(out, (opened-base)/memoryConns, (prepared-opened)/memoryStatements)
	return err
}

// resident returns the memory of the process as the system reports it, because C's and SQLite's
// own memory is not in Go's heap. If the system does not report it, resident returns what Go
// has obtained from the system.
func resident() float64 {
	debug.FreeOSMemory()
	var size, pages float64
	statm, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		if _, err = fmt.Sscan(string(statm), &size, &pages); err == nil {
			return pages * float64(os.Getpagesize())
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys - m.HeapReleased)
}
