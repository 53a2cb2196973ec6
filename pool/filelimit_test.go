//go:build linux || darwin

package pool_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	osexec "os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// inChild runs the calling test in a child process, whose limits the test may change. It
// reports whether this process is the child.
func inChild(t *testing.T) bool {
	t.Helper()
	const child = "SQLITEMW_POOL_TEST_LIMITED"
	if os.Getenv(child) != "" {
		return true
	}
	cmd := osexec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles limits the length of the files that this process writes; 0 removes the limit. A
// write beyond the limit fails, as on a disk that is full or broken.
func limitFiles(t *testing.T, bytes uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // otherwise the kernel kills the process
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur = limit.Max; bytes > 0 {
		limit.Cur = bytes
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip(err)
	}
}

// TestFailedCheckpoints checks that a failed checkpoint makes the pool degraded immediately,
// with one event and one log line. The pool tries again at growing intervals until a checkpoint
// succeeds. No caller waits for it.
func TestFailedCheckpoints(t *testing.T) {
	if !inChild(t) {
		return
	}
	for name, cfg := range map[string]pool.Config{"lanes": {}, "one lane": {MaxConns: 1}} {
		var lines logged
		cfg.Synchronous, cfg.JournalSizeLimit, cfg.Logger = pool.SynchronousOff, 1<<20, slog.New(&lines)
		p, l := pooled(t, cfg)
		must(t, p.DB(), "CREATE TABLE t(b)")
		must(t, p.DB(), "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO t SELECT randomblob(3900) FROM n")
		if _, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); err != nil {
			t.Fatal(err)
		}
		connects := l.count(driver.KindConnect)
		limitFiles(t, 16<<20) // the size of the database
		for range 1000 {      // the WAL has room for these
			must(t, p.DB(), "INSERT INTO t VALUES (randomblob(3900))")
		}
		until(t, "degraded", func() bool { return strings.HasPrefix(healthOf(p), "degraded") })
		if h := healthOf(p); !strings.Contains(h, "checkpoints of ") || !strings.Contains(h, "disk I/O error in a write") || !strings.Contains(h, "more than its limit, 1.0 MiB") {
			t.Errorf("%s: %s", name, h)
		}
		if err := p.HealthCheck(t.Context()); err != nil || p.Stats().Health != pool.HealthDegraded {
			t.Errorf("%s: the check returns %v: %s", name, err, healthOf(p))
		}
		until(t, "failing", func() bool { return l.count(driver.KindFailing) > 0 })
		if e := l.last(driver.KindFailing); l.count(driver.KindFailing) != 1 || e.Reason != driver.ReasonCheckpoint || e.Err != fmt.Sprint(int(sqlite3.IOERR_WRITE)) {
			t.Errorf("%s: %d events, %+v", name, l.count(driver.KindFailing), e)
		}
		if lines.count("checkpoints fail") != 1 || lines.count("health") != 0 {
			t.Errorf("%s: the log: %q", name, lines.lines)
		}
		if n := l.count(driver.KindConnect) - connects; n > 20 {
			t.Errorf("%s: %d connections were opened for checkpoints", name, n)
		}
		limitFiles(t, 0)
		if name == "lanes" { // without a call
			until(t, "ok", func() bool { return healthOf(p) == "ok " })
		} else if err := p.HealthCheck(t.Context()); err != nil || healthOf(p) != "ok " {
			t.Errorf("%s: the check returns %v: %s", name, err, healthOf(p))
		}
		until(t, "recovered", func() bool { return l.count(driver.KindRecovered) > 0 && lines.count("checkpoints succeed again") > 0 })
		if e := l.last(driver.KindRecovered); l.count(driver.KindRecovered) != 1 || e.Reason != driver.ReasonCheckpoint || lines.count("checkpoints succeed again") != 1 {
			t.Errorf("%s: %d events, %+v; the log: %q", name, l.count(driver.KindRecovered), e, lines.lines)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestUnwritableFile checks that a file that cannot be written is reported like a
// full disk. The file contains what has been acknowledged.
func TestUnwritableFile(t *testing.T) {
	if !inChild(t) {
		return
	}
	for name, cfg := range map[string]pool.Config{"WAL": {}, "journal": {DisableWAL: true}} {
		cfg.Synchronous = pool.SynchronousOff
		p, l := pooled(t, cfg)
		must(t, p.DB(), "CREATE TABLE t(b)")
		limitFiles(t, 1<<20)
		written := 0
		for range 1000 {
			if _, err := p.DB().ExecContext(context.Background(), "INSERT INTO t VALUES (randomblob(3900))"); err != nil {
				break
			}
			written++
		}
		if h := healthOf(p); !strings.HasPrefix(h, "degraded writes to ") || !strings.Contains(h, "disk I/O error in a write") || written == 1000 {
			t.Errorf("%s: after %d writes, health is %s", name, written, h)
		}
		limitFiles(t, 0)
		must(t, p.DB(), "INSERT INTO t VALUES (1)")
		if h := healthOf(p); h != "ok " || l.count(driver.KindFailing) != 1 || l.count(driver.KindRecovered) != 1 {
			t.Errorf("%s: %d failures, %d recoveries, %s", name, l.count(driver.KindFailing), l.count(driver.KindRecovered), h)
		}
		if n := intOf(t, p.DB(), "SELECT count(*) FROM t"); n != written+1 {
			t.Errorf("%s: %d rows of %d", name, n, written+1)
		}
	}
}

// TestUncreatableJournal checks that a write fails, and is counted, if its journal cannot
// be created.
func TestUncreatableJournal(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	p, _ := pooled(t, pool.Config{Path: filepath.Join(dir, "a.db"), DisableWAL: true})
	must(t, p.DB(), "CREATE TABLE t(a)")
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	_, err := p.DB().Exec("INSERT INTO t VALUES (1)")
	if h := healthOf(p); err == nil || !strings.HasPrefix(h, "degraded writes to ") {
		t.Errorf("%v: %s", err, h)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "INSERT INTO t VALUES (1)")
	if h := healthOf(p); h != "ok " {
		t.Error(h)
	}
}
