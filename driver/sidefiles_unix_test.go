//go:build unix

package driver_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestSideFilesModes checks that the WAL, its index and the journal get the permissions and the
// owner of the database, as SQLite's own VFS gives them: nobody else may read rows in them, and
// everybody who may write the database may write them.
// https://sqlite.org/src/file/src/os_unix.c (findCreateFileMode)
func TestSideFilesModes(t *testing.T) {
	for _, name := range []string{driver.Name, driver.NameMattn, driver.NameModernc, pool.Name} {
		for _, mode := range []os.FileMode{0o600, 0o640, 0o664, 0o666} {
			for _, journal := range []string{"wal", "delete"} {
				t.Run(name+"/"+mode.String()+"/"+journal, func(t *testing.T) {
					path := filepath.Join(t.TempDir(), "a b%.db")
					if err := os.WriteFile(path, nil, mode); err != nil {
						t.Fatal(err)
					}
					if err := os.Chmod(path, mode); err != nil { // whatever the umask
						t.Fatal(err)
					}
					owner := os.Getuid()
					if owner == 0 {
						owner = 65534
						if err := os.Chown(path, owner, owner); err != nil {
							t.Fatal(err)
						}
					}
					db, err := sql.Open(name, driver.FileURI(path)+"?_journal_mode="+journal)
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					if _, err := db.Exec("CREATE TABLE t(a)"); err != nil {
						t.Fatal(err)
					}
					tx, err := db.Begin()
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					if _, err := tx.Exec("INSERT INTO t VALUES ('secret')"); err != nil {
						t.Fatal(err)
					}
					files := []string{"-journal"}
					if journal == "wal" {
						files = []string{"-wal", "-shm"}
					}
					for _, suffix := range files {
						info, err := os.Stat(path + suffix)
						if err != nil {
							t.Fatal(err)
						}
						if got := info.Mode().Perm(); got != mode && (suffix != "-shm" || canSetModes(t)) {
							t.Errorf("%s has %v", suffix, got)
						}
						if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid != owner {
							t.Errorf("%s is owned by %d, want %d", suffix, uid, owner)
						}
					}
				})
			}
		}
	}
}

// canSetModes reports whether the system can set permissions without following a link.
func canSetModes(t *testing.T) bool {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return unix.Fchmodat(unix.AT_FDCWD, name, 0o640, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// TestSideFilesAfterChmod checks that a database can be written again after its permissions were
// restricted for a while and files beside it were made meanwhile.
func TestSideFilesAfterChmod(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, driver.FileURI(path)+"?_journal_mode=wal", driver.Config{})
	exec(t, db, "CREATE TABLE t(a)")
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	other := open(t, driver.FileURI(path), driver.Config{})
	exec(t, other, "INSERT INTO t VALUES (1)")
	for _, suffix := range []string{"-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o644 && canSetModes(t) {
			t.Errorf("%s has %v", suffix, got)
		}
	}
}
