//go:build unix

package faults

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The libraries with which another process has a database open. They lock differently: ncruces
// uses open file description locks, and the C library uses process locks.
const (
	libPlain = "ncruces"
	libC     = "C library"
)

// shellPath finds SQLite's command line shell, which uses the C library.
func shellPath() (string, error) { return exec.LookPath("sqlite3") }

// libraries returns the libraries that this machine has. Debian's package sqlite3 contains the
// C library's shell.
func libraries(t testing.TB) []string {
	if _, err := shellPath(); err != nil {
		t.Logf("the C library is left out: %v: install the package sqlite3", err)
		return []string{libPlain}
	}
	return []string{libPlain, libC}
}

// An other is another process that has a database open and executes SQL.
type other struct {
	library string
	process *os.Process
	in      io.WriteCloser
	lines   chan string // what it prints; closed at the end
	end     func()
}

// said is the line that an other prints when it has executed its input.
const said = "-- said"

func init() { roles["other"] = otherRole }

// otherRole executes each line of its input. It prints rows and errors as the C library's shell
// does.
func otherRole() {
	var path string
	childArgument(&path)
	ctx := context.Background()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		fatalf("%v", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		fatalf("%v", err)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		err := func() error {
			query := in.Text()
			if !strings.HasPrefix(query, "SELECT") && !strings.HasPrefix(query, "PRAGMA") {
				_, err := conn.ExecContext(ctx, query)
				return err
			}
			rows, err := conn.QueryContext(ctx, query)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var v any
				columns, _ := rows.Columns()
				into := make([]any, len(columns))
				for i := range into {
					into[i] = new(any)
				}
				into[0] = &v
				if err := rows.Scan(into...); err != nil {
					return err
				}
				fmt.Println(v)
			}
			return rows.Err()
		}()
		if err != nil {
			fmt.Println("Error:", err)
		}
		fmt.Println(said)
	}
}

// startOther starts another process that has a database open. It ends with the test.
func startOther(t testing.TB, library, path string) *other {
	t.Helper()
	in, childIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := &other{library: library, in: childIn, lines: make(chan string, 1024)}
	use := func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stdout, cmd.Stderr = in, childOut, childOut }
	if library == libC {
		shell, err := shellPath()
		if err != nil {
			t.Skipf("the C library's shell: %v: install the package sqlite3", err)
		}
		cmd := exec.Command(shell, "-batch", "-noheader", path)
		use(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		o.process = cmd.Process
		o.end = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	} else {
		c := startChild(t, "other", path, use)
		o.process, o.end = c.cmd.Process, c.kill
	}
	in.Close()
	childOut.Close()
	go func() {
		defer close(o.lines)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			o.lines <- s.Text()
		}
	}()
	t.Cleanup(o.stop)
	if _, err := o.do("PRAGMA busy_timeout=10000"); err != nil {
		t.Fatalf("%s: %v", library, err)
	}
	return o
}

// errOther is an error of another process, or a missing answer.
var errOther = errors.New("another process")

// do executes a statement and returns what the process prints.
func (o *other) do(query string) (lines []string, err error) {
	mark := query + "\n"
	if o.library == libC {
		mark = query + ";\n.print " + said + "\n"
	}
	if _, err := io.WriteString(o.in, mark); err != nil {
		return nil, fmt.Errorf("%w: %w", errOther, err)
	}
	return o.answer(query)
}

// answer returns what the process prints until it has finished.
func (o *other) answer(query string) (lines []string, err error) {
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-o.lines:
			switch {
			case !ok:
				return lines, fmt.Errorf("%w (%s) has ended at %q", errOther, o.library, query)
			case line == said:
				return lines, err
			case strings.Contains(line, "rror:") || strings.Contains(line, "rror near line"):
				err = fmt.Errorf("%w (%s): %s", errOther, o.library, line)
			default:
				lines = append(lines, line)
			}
		case <-timeout:
			return lines, fmt.Errorf("%w (%s) does not answer %q", errOther, o.library, query)
		}
	}
}

// pause stops the process wherever it is, and resume continues it.
func (o *other) pause() error  { return o.process.Signal(syscall.SIGSTOP) }
func (o *other) resume() error { return o.process.Signal(syscall.SIGCONT) }

// stop kills the process.
func (o *other) stop() {
	if o.end == nil {
		return
	}
	end := o.end
	o.end = nil
	o.in.Close()
	end()
	for range o.lines {
	}
}
