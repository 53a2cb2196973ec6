package litestream

import "testing"

// TestBeside checks Litestream beside a pool under load, started before the pool and after it. The
// pool reports nothing, and the WAL is reset again and again.
func TestBeside(t *testing.T) {
	each(t, func(t *testing.T, s setting) {
		path := newPath(t)
		p := open(t, s, path)
		prepare(t, p)
		l := startLoad(t, p)
		l.grant(200)
		r := newReplica(t, path)
		ls := r.start()
		most := int64(0)
		for range 3 {
			most = max(most, l.untilReset(path))
		}
		ls.sync()
		readContent(t, r.restore())
		l.stop()
		ls.stop()
		r.check()
		t.Logf("%d rows, %d reads, at most %.1f MiB of WAL", l.rows(), l.reads.Load(), float64(most)/(1<<20))
	})
}
