package walsync

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// open opens a database in WAL mode at FULL, with its WAL in a group whose syncs are counted.
func open(t *testing.T, name string) (*sqlite3.Conn, *File, *Group) {
	t.Helper()
	c, err := sqlite3.Open("file:" + name + "?vfs=" + VFS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Exec("PRAGMA journal_mode=wal; PRAGMA synchronous=full; PRAGMA wal_autocheckpoint=0; SELECT * FROM sqlite_schema"); err != nil {
		t.Fatal(err)
	}
	wal, err := c.FileControl("main", sqlite3.FCNTL_JOURNAL_POINTER)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := wal.(*File)
	if !ok {
		t.Fatalf("the WAL is a %T", wal)
	}
	g, err := f.Join(func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if g == nil {
		t.Skip("syncs cannot be shared here")
	}
	return c, f, g
}

func do(t *testing.T, c *sqlite3.Conn, text string) {
	t.Helper()
	if err := c.Exec(text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// TestOnlySyncsOfCommitsAreDeferred checks which of SQLite's syncs are deferred: that of a commit
// in a call that will wait for it, and no other.
func TestOnlySyncsOfCommitsAreDeferred(t *testing.T) {
	c, f, g := open(t, filepath.Join(t.TempDir(), "test.db"))
	counted := &countedFile{osFile: f.osFile}
	f.osFile = counted
	for _, step := range []struct {
		text     string
		deferred bool // Defer has been called
		tickets  uint64
		syncs    int // made at once
	}{
		{"CREATE TABLE t(a)", false, 0, 2}, // of the header, and of the commit
		{"INSERT INTO t VALUES (1)", false, 0, 1},
		{"INSERT INTO t VALUES (2)", true, 1, 0},
		{"INSERT INTO t VALUES (3); INSERT INTO t VALUES (4)", true, 2, 0},
		{"BEGIN; INSERT INTO t VALUES (5); COMMIT", true, 1, 0},
		{"BEGIN; INSERT INTO t VALUES (5); ROLLBACK", true, 0, 0},
		{"SAVEPOINT s; INSERT INTO t VALUES (6); RELEASE s", true, 1, 0},
		{"SELECT * FROM t", true, 0, 0},
		{"PRAGMA user_version=7", true, 1, 0},
		{"VACUUM", true, 1, 0},
		{"PRAGMA wal_checkpoint(passive)", true, 0, 1},
		{"INSERT INTO t VALUES (8)", true, 1, 1}, // the WAL begins anew: its header is synced at once
		{"INSERT INTO t VALUES (9); PRAGMA wal_checkpoint(restart)", true, 1, 1},
		{"PRAGMA synchronous=normal; INSERT INTO t VALUES (10)", true, 0, 1},
		{"PRAGMA synchronous=full", true, 0, 0},
		{"PRAGMA wal_autocheckpoint=1; INSERT INTO t VALUES (11)", true, 1, 1},
		{"INSERT INTO t VALUES (12)", false, 0, 3}, // of the header, the commit and the checkpoint
	} {
		counted.syncs = 0
		before := g.Issued()
		if step.deferred {
			f.Defer()
		}
		do(t, c, step.text)
		ticket := f.Deferred()
		if n := g.Issued() - before; n != step.tickets || counted.syncs != step.syncs || ticket != 0 != (n > 0) || ticket > g.Issued() {
			t.Errorf("%s: %d tickets, the last is %d; %d syncs; want %d and %d", step.text, n, ticket, counted.syncs, step.tickets, step.syncs)
		}
		if _, err := g.Wait(t.Context(), g.Issued()); err != nil {
			t.Fatal(err)
		}
	}
}

type countedFile struct {
	osFile
	syncs int
	err   error
}

func (f *countedFile) Sync(flags vfs.SyncFlag) error {
	f.syncs++
	if f.err != nil {
		return f.err
	}
	return f.osFile.Sync(flags)
}

// TestSeen checks that a connection knows whether it has read a page of a commit that is not on the
// disk, also from its cache and after the WAL has begun anew. Pages that others have written before
// do not count.
func TestSeen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "test.db")
	w, wf, g := open(t, name)
	do(t, w, "CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
	r, rf, rg := open(t, name)
	if rg != g {
		t.Fatal("two connections to one WAL are in two groups")
	}
	write := func(text string) uint64 {
		wf.Defer()
		do(t, w, text)
		return wf.Deferred()
	}
	settle := func() {
		if _, err := g.Wait(t.Context(), g.Issued()); err != nil {
			t.Fatal(err)
		}
	}
	first := write("UPDATE a SET x=2")
	do(t, r, "SELECT * FROM b")
	if seen := rf.Seen(); seen != 0 {
		t.Errorf("a table that has not changed: %d", seen)
	}
	do(t, r, "SELECT * FROM a")
	if seen := rf.Seen(); seen != first || wf.Seen() != first {
		t.Errorf("a table that has: %d, and %d on the writer; want %d", seen, wf.Seen(), first)
	}
	second := write("UPDATE b SET x=2")
	do(t, r, "SELECT * FROM a")
	if seen := rf.Seen(); seen != first {
		t.Errorf("again: %d, want %d", seen, first)
	}
	do(t, r, "SELECT * FROM b")
	if seen := rf.Seen(); seen != second {
		t.Errorf("the other table: %d, want %d", seen, second)
	}
	settle()
	if rf.Seen() != 0 || wf.Seen() != 0 {
		t.Error("seen after the sync")
	}
	do(t, w, "PRAGMA wal_checkpoint(restart)")
	third := write("UPDATE a SET x=3")
	do(t, r, "SELECT * FROM a")
	if seen := rf.Seen(); seen != third {
		t.Errorf("after the WAL has begun anew: %d, want %d", seen, third)
	}
	settle()
	do(t, r, "SELECT * FROM a")
	if rf.Seen() != 0 {
		t.Error("read from the cache after the sync")
	}
}

// TestGrowthIsNotSeen checks that a reader of one table does not see a commit that only makes the
// database longer, or shorter, for another one. It sees a change of the schema, also behind such
// commits, and after a rollback of one that was written to the WAL already.
func TestGrowthIsNotSeen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "test.db")
	w, wf, g := open(t, name)
	do(t, w, "CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO b VALUES (1)")
	r, rf, _ := open(t, name)
	write := func(text string) (ticket uint64) {
		t.Helper()
		wf.Defer()
		do(t, w, text)
		return wf.Deferred()
	}
	seen := func() uint64 {
		t.Helper()
		do(t, r, "SELECT * FROM b")
		return rf.Seen()
	}
	settle := func() {
		t.Helper()
		if _, err := g.Wait(t.Context(), g.Issued()); err != nil {
			t.Fatal(err)
		}
	}
	const grow = "INSERT INTO a SELECT randomblob(3000) FROM json_each('[1,2,3,4,5,6,7,8,9,10]')"
	write(grow) // the first one of the group
	settle()
	for _, text := range []string{grow, "DELETE FROM a WHERE rowid > 5", grow} {
		if write(text) == 0 {
			t.Fatalf("%s has no ticket", text)
		}
		if n := seen(); n != 0 {
			t.Errorf("%s is seen as %d", text, n)
		}
	}
	change := write("CREATE TABLE c(x)")
	write(grow)
	if n := seen(); n != change {
		t.Errorf("the schema is seen as %d, want %d", n, change)
	}
	settle()
	// The cache is small, so that this transaction writes the first page before it ends.
	do(t, w, "PRAGMA cache_size=1; PRAGMA cache_spill=1")
	write("BEGIN; CREATE TABLE d(x); " + strings.Repeat(grow+";", 20) + "ROLLBACK")
	write("INSERT INTO a VALUES (1)")
	settle()
	if again := write("CREATE TABLE d(x)"); seen() != again {
		t.Errorf("a schema that was rolled back before is seen as %d, want %d", rf.Seen(), again)
	}
	version := write("PRAGMA user_version=9")
	if n := seen(); n != version {
		t.Errorf("user_version is seen as %d, want %d", n, version)
	}
}

// TestNoSyncAfterFailure checks that no sync of any connection succeeds after one has failed, so
// that no checkpoint copies frames that may be missing.
func TestNoSyncAfterFailure(t *testing.T) {
	name := filepath.Join(t.TempDir(), "test.db")
	w, wf, g := open(t, name)
	other, _, _ := open(t, name)
	do(t, w, "CREATE TABLE t(a)")
	counted := &countedFile{osFile: wf.osFile, err: errors.New("broken")}
	wf.osFile = counted
	if err := w.Exec("INSERT INTO t VALUES (1)"); !errors.Is(err, sqlite3.IOERR_FSYNC) {
		t.Error(err)
	}
	if g.Err() != counted.err {
		t.Error(g.Err())
	}
	counted.err = nil
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*sqlite3.Conn{w, other} {
		if _, _, err := c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE); !errors.Is(err, sqlite3.IOERR_FSYNC) {
			t.Errorf("checkpoint: %v", err)
		}
		if err := c.Exec("INSERT INTO t VALUES (2)"); !errors.Is(err, sqlite3.IOERR_FSYNC) {
			t.Errorf("commit: %v", err)
		}
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Errorf("the database has changed: %v", err)
	}
}
