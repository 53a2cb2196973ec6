package litestream

import (
	"testing"
)

// TestKilled kills Litestream under load, and starts it again. In between, what it restores is
// intact, and misses only the end. In the end, nothing is missing.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p := open(t, leave, path)
	prepare(t, p)
	r := newReplica(t, path)
	l := startLoad(t, p)
	for range 2 {
		ls := r.start()
		l.grant(100)
		ls.sync()
		replicated := l.acknowledged() // by the next line, at least these
		ls.sync()
		l.grant(100)
		ls.kill()
		l.grant(50)
		l.finish()
		l.checkBeginning(r.restore(), replicated)
	}
	ls := r.start()
	l.grant(100)
	l.finish()
	l.stop()
	ls.sync()
	ls.stop()
	r.check()
}
