package litestream

import (
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func TestMissedResets(t *testing.T) {
	each(t, func(t *testing.T, s setting) {
		path := newPath(t)
		p := open(t, s, path)
		prepare(t, p)
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := p.DB().Exec(query, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec("CREATE TABLE blobs(id INTEGER PRIMARY KEY, data)")
		exec("CREATE TABLE early(a)")
		exec("CREATE TABLE late(a)")
		r := newReplica(t, path)
		ls := r.start()
		for range 100 {
			exec("INSERT INTO blobs(data) VALUES (randomblob(16000))") // 4 pages
		}
		ls.sync()
		t.Logf("wal %d", walBytes(path))
		ls.kill()
		// Two resets.
		restart := func() {
			res, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_RESTART)
			t.Logf("%+v %v", res, err)
		}
		if s.name == "defaults" {
			restart()
		}
		exec("INSERT INTO early VALUES ('first')")
		if s.name == "defaults" {
			restart()
		}
		for i := range 10 {
			exec("INSERT INTO late VALUES (?)", i)
		}
		ls = r.start()
		ls.sync()
		ls.stop()
		d := difference(readContent(t, path), readContent(t, r.restore()))
		t.Logf("difference: %s", d)
	})
}
