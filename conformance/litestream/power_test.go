package litestream

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPowerFailure checks what happens if Litestream has replicated a commit that a power failure
// undoes, because its sync had not ended. The commit was not acknowledged. After the failure, the
// next commits overwrite its frames in the WAL.
//
// Litestream compares the last page that it has replicated with the one that is now in its place.
// If they differ, it begins with a snapshot. If they happen to be the same, the replica keeps the
// other pages of the lost commit. A forced snapshot repairs that too.
func TestPowerFailure(t *testing.T) {
	for _, c := range []struct {
		name     string
		undone   string // is replicated, and undone by the failure
		next     string // is committed next
		snapshot bool   // force one when Litestream is started again
		missed   bool   // the replica keeps what was undone
	}{
		{"other last frame", "INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (2)", false, false},
		{"shorter", "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)", "INSERT INTO b VALUES (2)", false, false},
		{"nothing", "INSERT INTO b VALUES (1)", "", false, false},
		{"same last frame", "BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT", "BEGIN; INSERT INTO a VALUES (2); INSERT INTO b VALUES (1); COMMIT", false, true},
		{"same last frame and a snapshot", "BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT", "BEGIN; INSERT INTO a VALUES (2); INSERT INTO b VALUES (1); COMMIT", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			p := open(t, leave, path)
			run(t, p, "CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0)")
			r := newReplica(t, path)
			ls := r.start()
			run(t, p, "INSERT INTO a VALUES (0)")
			ls.sync()
			durable := walBytes(path)
			run(t, p, c.undone)
			ls.sync()
			ls.kill()

			// After the failure, the disk has the files without the end of the WAL.
			after := newPath(t)
			copyFile(t, path, after)
			copyFile(t, path+"-wal", after+"-wal")
			if walBytes(after) <= durable {
				t.Fatalf("the WAL has %d bytes after the commit, %d before", walBytes(after), durable)
			}
			if err := os.Truncate(after+"-wal", durable); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(stateOf(after), os.DirFS(stateOf(path))); err != nil {
				t.Fatal(err)
			}
			r.configure(after)

			p = open(t, leave, after)
			if c.next != "" {
				run(t, p, c.next)
			}
			if c.snapshot {
				r.snapshot()
			}
			ls = r.start()
			run(t, p, "CREATE TABLE last(x)")
			ls.sync()
			ls.stop()
			if c.missed {
				if difference(readContent(t, after), readContent(t, r.restore())) == "" {
					t.Error("the replica is right: correct the documentation of package pool, if this Litestream notices")
				}
				return
			}
			r.check()
		})
	}
}

// stateOf returns the directory in which Litestream keeps its state of a database.
func stateOf(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-litestream")
}

// copyFile copies a file in another process. If this one opened and closed the database beside
// SQLite, it might lose its locks.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}
