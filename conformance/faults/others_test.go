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

// The libraries by which another process has a database open. They lock
// differently: ncruces' with locks of open file descriptions, the C library with
// locks of processes.
const (
	libPlain = "ncruces"
	libC     = "C library"
)

// shellPath finds SQLite's command line shell, which is the C library.
func shellPath() (string, error) { return exec.LookPath("sqlite3") }

// libraries returns the libraries that this machine has. Debian's package sqlite3
// has the C library's shell.
func libraries(t testing.TB) []string {
	if _, err := shellPath(); err != nil {
		t.Logf("without the C library beside: %v: install the package sqlite3", err)
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

// said is how an other says that it is through with what it was given.
const said = "-- said"

func init() { roles["other"] = otherRole }

// otherRole executes each line of its input and prints its rows, and errors as the
// C library's shell does.
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

// startOther starts another process that has a database open. It is ended when the
// test ends.
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

// errOther is an error of another process, or of no answer.
var errOther = errors.New("another process")

// do executes a statement and returns what it prints.
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

// answer returns what the other prints until it is through.
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

// pause stops the process where it is, and resume has it go on.
func (o *other) pause() error  { return o.process.Signal(syscall.SIGSTOP) }
func (o *other) resume() error { return o.process.Signal(syscall.SIGCONT) }

// stop ends the process by a kill.
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
