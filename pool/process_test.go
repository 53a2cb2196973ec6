package pool_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// childVar makes this test binary the child process. Its value is the database that runChild
// uses.
const childVar = "SQLITEMW_POOL_TEST_CHILD"

// runChild commits a row and begins to write another one. It stays in that transaction until
// its input ends or it is killed.
func runChild(path string) int {
	err := func() error {
		db, err := sql.Open(driver.Name, "file:"+path+"?_pragma=busy_timeout(120000)")
		if err != nil {
			return err
		}
		defer db.Close()
		if _, err := db.Exec("INSERT INTO t VALUES ('committed by the child')"); err != nil {
			return err
		}
		c, err := db.Conn(context.Background())
		if err != nil {
			return err
		}
		defer c.Close()
		for _, query := range []string{"BEGIN IMMEDIATE", "INSERT INTO t VALUES ('begun by the child')"} {
			if _, err := c.ExecContext(context.Background(), query); err != nil {
				return err
			}
		}
		fmt.Println("writing")
		io.Copy(io.Discard, os.Stdin)
		_, err = c.ExecContext(context.Background(), "ROLLBACK")
		return err
	}()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// child starts another process. When child returns, that process is in a transaction on p's
// file.
func child(t *testing.T, p *pool.Pool) (cmd *osexec.Cmd, input io.Closer) {
	t.Helper()
	cmd = osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+p.Config().Path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("no process can be started here: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "writing\n" {
		t.Fatalf("the child process prints %q, %v", line, err)
	}
	return cmd, in
}

// TestAnotherProcessWrites checks a lock of another process. After SQLite's busy timeout, and
// not the pool's, a write fails with SQLite's own error. Readers are not affected.
func TestAnotherProcessWrites(t *testing.T) {
	p, l := pooled(t, pool.Config{BusyTimeout: 50 * time.Millisecond})
	must(t, p.DB(), "CREATE TABLE t(a)")
	cmd, in := child(t, p)
	began := time.Now()
	_, err := p.DB().Exec("INSERT INTO t VALUES ('mine')")
	if d := time.Since(began); d < 50*time.Millisecond {
		t.Errorf("the write waited for %v", d)
	}
	var acquire *pool.AcquireError
	if !errors.Is(err, sqlite3.BUSY) || errors.As(err, &acquire) {
		t.Errorf("%T: %v", err, err)
	}
	if _, err := p.DB().Begin(); !errors.Is(err, sqlite3.BUSY) || errors.As(err, &acquire) {
		t.Errorf("%T: %v", err, err)
	}
	var n int
	if err := p.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if s := p.Stats(); s.Timeouts != 0 || s.Discards != 0 {
		t.Errorf("%d timeouts, %d discards", s.Timeouts, s.Discards)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	must(t, p.DB(), "INSERT INTO t VALUES ('mine')")
	l.settled(t, p)
}

// TestAnotherProcessIsKilled checks that when another process is killed in a transaction,
// waiters for its lock continue. What it has committed stays; the rest is rolled back.
func TestAnotherProcessIsKilled(t *testing.T) {
	p, l := pooled(t, pool.Config{BusyTimeout: 10 * time.Minute, AcquireTimeout: 20 * time.Minute})
	must(t, p.DB(), "CREATE TABLE t(a)")
	must(t, p.DB(), "INSERT INTO t VALUES ('mine')")
	for range 3 {
		cmd, _ := child(t, p)
		done := make(chan error)
		for range 4 {
			go func() {
				_, err := p.DB().Exec("INSERT INTO t VALUES ('mine')")
				done <- err
			}()
		}
		for p.Stats().Waiting < 3 { // and one more inside SQLite
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	var mine, committed, begun int
	err := p.DB().QueryRow("SELECT total(a = 'mine'), total(a = 'committed by the child'), total(a = 'begun by the child') FROM t").Scan(&mine, &committed, &begun)
	if err != nil || mine != 13 || committed != 3 || begun != 0 {
		t.Errorf("%d of mine, %d committed, %d begun, %v", mine, committed, begun, err)
	}
	if err := p.DB().QueryRow("PRAGMA integrity_check").Scan(new(string)); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); s.Discards != 0 || s.Dirty != 0 {
		t.Errorf("%d discards, %d dirty", s.Discards, s.Dirty)
	}
	l.settled(t, p)
}
