package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

func init() { roles["writer"] = writerRole }

// writerRole writes to a pool, and acknowledges, until it is killed.
func writerRole() {
	var path string
	childArgument(&path)
	r, ctx := openReport(), context.Background()
	p, err := openPool(ctx, pool.Config{Path: path})
	if err != nil {
		fatalf("open: %v", err)
	}
	if _, err := p.DB().Exec(schema); err != nil {
		fatalf("schema: %v", err)
	}
	r.say("ready")
	for id := int64(1); ; id++ {
		if err := writeID(ctx, p.DB(), id, int(id%3)+1, 200); err != nil {
			fatalf("write: %v", err)
		}
		r.ack(id)
	}
}

// A child's acknowledgments can be read after it was killed.
func TestChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	ch := startChild(t, "writer", path)
	ch.mustAwait(t, "ready")
	if !ch.awaitAcks(20) {
		t.Fatalf("no acknowledgements: %s", ch.output())
	}
	ch.kill()
	c := &campaign{name: "child", t: t, figures: map[string]int64{}, errors: map[string]int64{}}
	c.verify("kill", path, ch.acked(), false)
	if n := c.get("acknowledged"); n < 20 || c.get("lost")+c.get("not whole") > 0 {
		t.Error(c.line())
	}
}

// compare finds missing rows, incomplete transactions and a damaged database.
func TestCompare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{schema, inserts(1, 2, 10), inserts(2, 3, 10)} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	figures := func(path string, acked ...int64) string {
		c := &campaign{name: "liar", t: &recordingT{TB: t}, figures: map[string]int64{}, errors: map[string]int64{}}
		c.compare("test", path, acked, false)
		return fmt.Sprintf("lost %d, not whole %d", c.get("lost"), c.get("not whole"))
	}
	for _, tt := range []struct {
		change string
		path   string
		acked  []int64
		want   string
	}{
		{"", path, []int64{1, 2}, "lost 0, not whole 0"},
		{"", path, []int64{1, 2, 3, 4}, "lost 2, not whole 0"},
		{"", path + "2", []int64{1}, "lost 1, not whole 0"},
		{"", path + "2", nil, "lost 0, not whole 0"},
		{`DELETE FROM t WHERE id = 2 AND part = 1`, path, []int64{1, 2}, "lost 0, not whole 1"},
		{`PRAGMA writable_schema = 1; DELETE FROM sqlite_schema WHERE type = 'index'`, path, []int64{1}, "lost 0, not whole 1"},
	} {
		if _, err := db.Exec(tt.change); err != nil {
			t.Fatal(err)
		}
		if got := figures(tt.path, tt.acked...); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.change, got, tt.want)
		}
	}
}

// All errors of one kind are normalized to the same text.
func TestNormalise(t *testing.T) {
	for text, want := range map[string]string{
		"open /tmp/a/b12/n7.db-wal: timed out after 1.5s":          "open nN.db-wal: timed out after N",
		"pool: a.db: 3 wait\nheld for 1m2.5s by connection 12":     "pool: a.db: N wait / held for N by connection N",
		`sqlitemw: open "/dev/shm/faults1/a.db": disk I/O error`:   `sqlitemw: open "a.db": disk I/O error`,
		"sql: Scan error on column index 0, name \"id\": no int64": "sql: Scan error on column index N, name \"id\": no intN",
	} {
		if got := normalise(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// A fatal figure fails the campaign. A campaign prints its line of figures, and details of one
// format only a few times.
func TestCampaign(t *testing.T) {
	liar := &recordingT{TB: t}
	c := &campaign{name: "liar", t: liar, figures: map[string]int64{}, errors: map[string]int64{}}
	c.add("crashes", 3)
	for i := range 20 {
		c.wrong("lost", "row %d", i)
	}
	c.wrongs(5, "lost", "others")
	c.failed(errors.New("disk 1"))
	c.failed(errors.New("disk 2"))
	if got, want := c.line(), "liar: crashes 3, lost 25"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := strings.TrimSpace(c.table()), "2  disk N"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if liar.errors != maxDetails+1 {
		t.Errorf("%d details", liar.errors)
	}
	c.end()
	if liar.errors != maxDetails+2 {
		t.Error("the campaign does not fail")
	}
}

// A recordingT counts errors instead of failing, for the campaign of a liar.
type recordingT struct {
	testing.TB
	errors int
}

func (t *recordingT) Errorf(string, ...any) { t.errors++ }

// Leaks are found.
func TestLeaks(t *testing.T) {
	dir := t.TempDir()
	l := watchLeaks(dir)
	if left := openFiles(l.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	f, err := os.Create(filepath.Join(dir, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if left := openFiles(l.dir); len(left) != 1 && len(openFiles("/")) > 0 {
		t.Errorf("a file is open, but the leaks found are %v", left)
	}
	stop := make(chan struct{})
	defer close(stop)
	if err := within(time.Millisecond, "waiting", func() { <-stop }); err == nil {
		t.Error("within does not report a function that hangs")
	}
	if err := within(time.Minute, "nothing", func() {}); err != nil {
		t.Error(err)
	}
}
