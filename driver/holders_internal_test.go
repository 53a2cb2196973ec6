package driver

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/ncruces/go-sqlite3"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/tracing"
)

func detailedConnector(t *testing.T, dsn string) *Connector {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(), Details: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConnector(dsn, Config{Tracing: tracer})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func countSharedFiles() (files, holders int) {
	sharedFiles.Lock()
	defer sharedFiles.Unlock()
	for _, f := range sharedFiles.files {
		holders += len(f.all())
	}
	return len(sharedFiles.files), holders
}

// A sharedFile is forgotten when no connection has the file open. All names of a file lead
// to the same sharedFile.
func TestSharedFilesAreForgotten(t *testing.T) {
	filesBefore, holdersBefore := countSharedFiles()
	check := func(files, holders int) {
		t.Helper()
		if f, h := countSharedFiles(); f != filesBefore+files || h != holdersBefore+holders {
			t.Errorf("%d files with %d holders, want %d with %d", f-filesBefore, h-holdersBefore, files, holders)
		}
	}
	dir := filepath.ToSlash(t.TempDir())
	connect := func(dsn string) (close func()) {
		t.Helper()
		db := sql.OpenDB(detailedConnector(t, dsn))
		t.Cleanup(func() { db.Close() })
		var conns []*sql.Conn
		for range 3 {
			conn, err := db.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(context.Background(), "CREATE TABLE IF NOT EXISTS t(a)"); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		return func() {
			for _, conn := range conns {
				conn.Close()
			}
			db.Close()
		}
	}
	closeA := connect("file:" + dir + "/a.db")
	check(1, 3)
	closeB := connect("file:" + dir + "/b.db")
	check(2, 6)
	if err := os.Symlink(dir+"/a.db", dir+"/c.db"); err == nil && runtime.GOOS != "windows" {
		closeC := connect("file:" + dir + "/c.db")
		check(2, 9)
		closeC()
		check(2, 6)
	}
	closeShared := connect("file:/one?vfs=memdb")
	check(3, 9)
	closePrivate := connect("file:one?vfs=memdb")
	closeMemory := connect(":memory:")
	check(3, 9)
	closeA()
	check(2, 6)
	closeB()
	closeShared()
	closePrivate()
	closeMemory()
	check(0, 0)

	// A connection that fails to open leaves no sharedFile.
	if err := os.WriteFile(dir+"/d.db", []byte("this is no database, though as long as the header of one would have to be, which is a hundred bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := detailedConnector(t, "file:"+dir+"/d.db").Connect(t.Context()); err == nil {
		t.Error("it opens what is no database")
	}
	check(0, 0)
}

// judge gives the right reason for every kind of BUSY.
func TestJudge(t *testing.T) {
	f := &sharedFile{}
	other := &holder{id: 7}
	for _, tc := range []struct {
		err    error
		hold   hold
		file   *sharedFile
		reason string
		holder ConnID
	}{
		{sqlite3.BUSY_SNAPSHOT, writes, f, "snapshot", 0},
		{sqlite3.BUSY_RECOVERY, writes, f, "recovery", 0},
		{sqlite3.BUSY_TIMEOUT, writes, f, "timeout", 0},
		{sqlite3.BUSY, writes, f, "this process", 7},
		{errors.Join(sqlite3.BUSY), mayWrite, f, "this process", 7},
		{sqlite3.BUSY, reads, f, "this process", 7}, // it has no WAL
		{sqlite3.BUSY, reads, &sharedFile{wal: os.DevNull}, "other process", 0},
		{sqlite3.BUSY, awaits, f, "other process", 0},
		{sqlite3.BUSY, holdsNone, f, "other process", 0},
		{sqlite3.BUSY, -hold(holdClock() + 1<<40), f, "other process", 0}, // it has just retried
		{sqlite3.BUSY, -1, f, "this process", 7},                          // it has stopped retrying
		{sqlite3.BUSY, holdsNone, &sharedFile{private: true}, "this process", 0},
		{sqlite3.BUSY, holdsNone, nil, "this connection", 0},
		{sqlite3.LOCKED, writes, f, "", 0},
		{sqlite3.INTERRUPT, writes, f, "", 0},
		{errors.New("no such table"), writes, f, "", 0},
	} {
		w := &lockWatch{file: tc.file}
		if tc.file != nil {
			tc.file.holders.Store(&[]*holder{&w.self, other})
		}
		other.publish(tc.hold)
		for holdClock() < lockGrantedAfter {
			runtime.Gosched()
		}
		w.judge(tc.err)
		if w.reason != tc.reason || w.holder != tc.holder {
			t.Errorf("%v, hold %d: %q by %d, want %q by %d", tc.err, tc.hold, w.reason, w.holder, tc.reason, tc.holder)
		}
	}
}
