package litestream

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestBeside checks Litestream beside a pool under load. The WAL is reset again and again, and the
// pool has nothing to report. While the load goes on, the replica can be restored at any time.
func TestBeside(t *testing.T) {
	each(t, func(t *testing.T, s setting) {
		path := newPath(t)
		p := open(t, s, path)
		prepare(t, p)
		l := startLoad(t, p)
		l.grant(100)
		r := newReplica(t, path)
		ls := r.start()
		most := int64(0)
		for range 2 {
			most = max(most, l.untilReset(path))
			replicated := l.acknowledged()
			ls.sync()
			l.grant(50)
			l.checkBeginning(r.restore(), replicated)
		}
		l.finish()
		l.stop()
		ls.sync()
		ls.stop()
		r.check()
		t.Logf("%d rows, %d reads, a WAL of at most %.1f MiB", l.rows(), l.reads.Load(), float64(most)/(1<<20))
	})
}

// TestReopened checks that the pool may be closed and opened again beside Litestream, and while
// Litestream does not run. Litestream has then been started before the pool.
func TestReopened(t *testing.T) {
	each(t, func(t *testing.T, s setting) {
		path := newPath(t)
		p := open(t, s, path)
		prepare(t, p)
		r := newReplica(t, path)
		ls := r.start()
		for round := range 3 {
			l := startLoad(t, p)
			l.grant(60)
			l.finish()
			l.stop()
			if round == 1 {
				ls.stop() // the pool is then the last that has the file open, and removes the WAL
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if round == 1 {
				if n := walBytes(path); n != 0 {
					t.Errorf("the WAL has %d bytes", n)
				}
				ls = r.start()
			}
			p = open(t, s, path)
		}
		ls.sync()
		ls.stop()
		r.check()
	})
}

// TestBackupAndCheckpoints checks that backups and complete checkpoints of the program disturb
// neither the pool nor Litestream.
func TestBackupAndCheckpoints(t *testing.T) {
	each(t, func(t *testing.T, s setting) {
		path := newPath(t)
		p := open(t, s, path)
		prepare(t, p)
		r := newReplica(t, path)
		ls := r.start()
		l := startLoad(t, p)
		blocked := 0
		for i := range 6 {
			l.grant(50)
			acknowledged := l.acknowledged()
			backup := filepath.Join(t.TempDir(), fmt.Sprintf("backup%d.db", i))
			if err := p.Backup(context.Background(), backup); err != nil {
				t.Fatal(err)
			}
			l.checkBeginning(backup, acknowledged)
			c, err := p.Checkpoint(context.Background(), sqlite3.CHECKPOINT_TRUNCATE)
			if err != nil {
				t.Fatal(err)
			}
			if c.Busy {
				blocked++
			}
		}
		l.finish()
		l.stop()
		ls.sync()
		ls.stop()
		r.check()
		t.Logf("Litestream has blocked %d of 6 checkpoints", blocked)
	})
}
