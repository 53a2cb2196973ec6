package pool_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestBackupAppearsWhenComplete checks that the copy's name appears together with the whole
// copy, and not before.
func TestBackupAppearsWhenComplete(t *testing.T) {
	for _, replace := range []bool{false, true} {
		p := openOwn(t, fileConfig(t))
		accounts(t, p)
		dir := t.TempDir()
		path := filepath.Join(dir, "copy.db")
		during := false
		ctx := &pollContext{Context: t.Context(), f: func(int) error {
			during = during || backupRunning(path)
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("replace %v: copy.db exists before the copy is complete: %v", replace, err)
			}
			return nil
		}}
		if err := p.BackupTo(ctx, path, pool.BackupOptions{Replace: replace}); err != nil || !during {
			t.Errorf("replace %v: %v, during the copy: %v", replace, err, during)
		}
		checkCopy(t, path)
		if left := namesIn(t, dir); len(left) != 1 {
			t.Errorf("replace %v: the directory contains %q", replace, left)
		}
	}
}

// TestBackupReplaces checks a backup to an existing name, with and without permission to
// replace it. The existing file stays until the next copy is complete, also if that copy fails.
func TestBackupReplaces(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	accounts(t, p)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	again := pool.BackupOptions{Replace: true}
	if err := p.BackupTo(t.Context(), path, again); err != nil {
		t.Fatal(err)
	}
	move(t, p)
	if err := p.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("without permission to replace: %v", err)
	}
	ctx := &pollContext{Context: t.Context(), f: func(int) error {
		if backupRunning(path) {
			return context.Canceled
		}
		return nil
	}}
	if err := p.BackupTo(ctx, path, again); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ends: %v", err)
	}
	if n := checkCopy(t, path); n != 0 {
		t.Errorf("after a backup that failed, the copy has %d moves, want 0", n)
	}
	reader, err := sql.Open("sqlitemw", "file:"+filepath.ToSlash(path)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if runtime.GOOS != "windows" { // Windows does not replace an open file
		if n := intOf(t, reader, "SELECT count(*) FROM moved"); n != 0 {
			t.Errorf("%d", n)
		}
	}
	if left := namesIn(t, dir); len(left) == 1 { // otherwise the -wal and -shm of the reader below cause the refusal
		if err := p.BackupTo(t.Context(), path, again); err != nil {
			t.Errorf("beside a reader: %v", err)
		}
	}
	reader.Close()
	for _, ending := range []string{"-wal", "-shm"} { // a reader with mode=ro leaves them
		os.Remove(path + ending)
	}
	if err := p.BackupTo(t.Context(), path, again); err != nil {
		t.Error(err)
	}
	if n := checkCopy(t, path); n != 1 {
		t.Errorf("the copy has %d moves, want 1", n)
	}
	if left := namesIn(t, dir); len(left) != 1 {
		t.Errorf("the directory contains %q", left)
	}
}

// TestBackupReplaceRefusals checks that a backup replaces only a regular file that no
// pool has open. No journal or WAL of another database may be beside it.
func TestBackupReplaceRefusals(t *testing.T) {
	again := pool.BackupOptions{Replace: true}
	cfg := fileConfig(t)
	p := openOwn(t, cfg)
	execOn(t, p.DB(), "CREATE TABLE t(a)")
	other := openOwn(t, fileConfig(t))
	execOn(t, other.DB(), "CREATE TABLE u(a)")
	for _, path := range []string{cfg.Path, other.Config().Path} {
		if err := p.BackupTo(t.Context(), path, again); !errors.Is(err, fs.ErrExist) {
			t.Errorf("to an open database: %v", err)
		}
	}
	dir := t.TempDir()
	if runtime.GOOS != "windows" {
		link := filepath.Join(dir, "hard.db")
		if err := os.Link(cfg.Path, link); err != nil {
			t.Fatal(err)
		}
		if err := p.BackupTo(t.Context(), link, again); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "has it open") {
			t.Errorf("to another name of the pool's own file: %v", err)
		}
		os.Remove(link)
		soft := filepath.Join(dir, "soft.db")
		if err := os.Symlink(filepath.Join(dir, "nowhere"), soft); err != nil {
			t.Fatal(err)
		}
		if err := p.BackupTo(t.Context(), soft, again); !errors.Is(err, fs.ErrExist) {
			t.Errorf("to a symbolic link: %v", err)
		}
		os.Remove(soft)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.db"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.BackupTo(t.Context(), filepath.Join(dir, "dir.db"), again); !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a directory: %v", err)
	}
	for _, ending := range []string{"-journal", "-wal", "-shm"} {
		path := filepath.Join(dir, ending+".db")
		for _, name := range []string{path, path + ending} {
			if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.BackupTo(t.Context(), path, again); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path+ending) {
			t.Errorf("beside a %s: %v", ending, err)
		}
		if text, err := os.ReadFile(path); string(text) != "precious" {
			t.Errorf("beside a %s: %q, %v", ending, text, err)
		}
	}
}

// TestBackupKeepsConcurrentFile checks that a file that appears under the name during the copy
// is not changed.
func TestBackupKeepsConcurrentFile(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	accounts(t, p)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	ctx := &pollContext{Context: t.Context(), f: func(int) error {
		if backupRunning(path) {
			return os.WriteFile(path, []byte("precious"), 0o600)
		}
		return nil
	}}
	if err := p.Backup(ctx, path); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("copy.db is %q, %v", text, err)
	}
	if left := namesIn(t, dir); len(left) != 1 {
		t.Errorf("the directory contains %q", left)
	}
}

// TestBackupLongName checks a backup to a name of the maximum length.
func TestBackupLongName(t *testing.T) {
	p := openOwn(t, fileConfig(t))
	path := filepath.Join(t.TempDir(), strings.Repeat("é", 120)+".db")
	if err := p.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if left := namesIn(t, filepath.Dir(path)); len(left) != 1 || left[0] != filepath.Base(path) {
		t.Errorf("the directory contains %q", left)
	}
}

// backupOf and backupTo turn this test binary into a process that copies the first file to the
// second. It does that again and again until it is killed.
const (
	backupOf = "SQLITEMW_POOL_TEST_BACKUP_OF"
	backupTo = "SQLITEMW_POOL_TEST_BACKUP_TO"
)

func killedInBackup(of, to string) {
	p, err := pool.Open(context.Background(), pool.Config{Path: of, Logger: slog.New(slog.DiscardHandler)})
	for err == nil {
		fmt.Println("again")
		err = p.BackupTo(context.Background(), to, pool.BackupOptions{Replace: true})
	}
	fmt.Println(err)
	os.Exit(1)
}

// TestBackupKilled checks that when a process is killed during a backup, the copy's name
// belongs to a whole copy or does not exist. The next backup removes the files that the process
// left.
func TestBackupKilled(t *testing.T) {
	cfg := fileConfig(t)
	cfg.Synchronous = pool.SynchronousOff
	p := openOwn(t, cfg)
	accounts(t, p)
	dir := t.TempDir()
	path := filepath.Join(dir, "copy.db")
	there := 0
	for i := range 6 {
		child := exec.Command(os.Args[0], "-test.run", "^$")
		child.Env = append(os.Environ(), backupOf+"="+cfg.Path, backupTo+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for range 1 + i/2 { // kill it in the first copy and in later ones
			lines.Scan()
		}
		for end := time.Now().Add(time.Minute); len(temporaries(path)) == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(i*7) * time.Millisecond)
		if lines.Text() != "again" {
			t.Fatal(lines.Text())
		}
		child.Process.Kill()
		child.Wait()
		if _, err := os.Lstat(path); err == nil {
			there++
			checkCopy(t, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	if there == 0 {
		t.Error("no copy was made")
	}
	// One may be of a live process on another machine, and one is old.
	foreign, old := filepath.Join(dir, ".copy.db.backup-0badcafe-1-abc"), filepath.Join(dir, ".copy.db.backup-0badcafe-1-old")
	mine := filepath.Join(dir, ".copy.db-mine.backup-0badcafe-1-old") // of another name
	for _, name := range []string{foreign, old, mine} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{old, mine} {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.BackupTo(t.Context(), path, pool.BackupOptions{Replace: true}); err != nil {
		t.Error(err)
	}
	if left := namesIn(t, dir); len(left) != 3 || len(temporaries(path)) != 1 || temporaries(path)[0] != foreign {
		t.Errorf("the directory contains %q", left)
	}
}
