package cluster

import (
	"context"
	"database/sql/driver"
	"sync/atomic"
	"time"
)

// A replay makes readers wait until their standby has replayed what the pool has written.
//
// A write costs nothing for that: it is only counted. A reader that comes after writes asks the
// primary how far its log is now, on a connection of its own. That is at least as far as each commit
// that a caller knows of. Readers that come at the same time share the question.
type replay struct {
	pool   *Pool
	writes atomic.Uint64 // calls that may have written

	asking chan struct{} // holds one token: that of the reader that asks; guards the fields below
	probe  driver.Conn   // on which it asks; nil if it is not open
	of     *server       // of probe
	epoch  uint64        // of that server

	target atomic.Pointer[target]
}

// A target is a position that standbys must have replayed.
type target struct {
	writes   uint64 // replay.writes before the question
	position uint64
	of       *server
	epoch    uint64
}

// A standby that has not replayed enough is asked again after replayFirst, and then after twice as
// long each time, up to replayMost. A standby nearby replays a commit within a millisecond.
const (
	replayFirst = 500 * time.Microsecond
	replayMost  = 16 * time.Millisecond
)

func newReplay(p *Pool) *replay { return &replay{pool: p, asking: make(chan struct{}, 1)} }

// wait waits until the standby of c has replayed what the pool has written, at most for
// Config.ReplayTimeout. It reports whether that is so.
func (r *replay) wait(ctx context.Context, c *conn) bool {
	position := r.pool.cfg.Position
	if position == nil || r.writes.Load() == 0 {
		return true
	}
	began := time.Now()
	want, ok := r.find(ctx)
	if !ok {
		return false
	}
	pause := replayFirst
	for c.server.replayed.Load() < want {
		var got uint64
		err := c.Lease().Do(func() (err error) {
			got, err = position.Replayed(c.begin(ctx, nil), c.wrapped.Parent())
			return err
		})
		c.calls.done()
		if err != nil {
			return false
		}
		raise(&c.server.replayed, got)
		if got >= want {
			break
		}
		if time.Since(began)+pause > r.pool.cfg.ReplayTimeout || !sleep(ctx, pause) {
			return false
		}
		pause = min(2*pause, replayMost)
	}
	return true
}

// raise sets v to n, if n is larger.
func raise(v *atomic.Uint64, n uint64) {
	for {
		was := v.Load()
		if n <= was || v.CompareAndSwap(was, n) {
			return
		}
	}
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// find returns the position that includes every write that has ended.
func (r *replay) find(ctx context.Context) (position uint64, ok bool) {
	writes := r.writes.Load()
	if t := r.target.Load(); t != nil && t.writes >= writes && t.isOf(r.pool.roster.primary()) {
		return t.position, true
	}
	select {
	case r.asking <- struct{}{}:
	case <-ctx.Done():
		return 0, false
	}
	defer func() { <-r.asking }()
	primary := r.pool.roster.primary()
	if primary == nil {
		return 0, false
	}
	if t := r.target.Load(); t != nil && t.writes >= writes && t.isOf(primary) { // another reader has asked meanwhile
		return t.position, true
	}
	t := &target{writes: r.writes.Load(), of: primary, epoch: primary.epoch.Load()}
	var err error
	if t.position, err = r.ask(ctx, primary); err != nil {
		return 0, false
	}
	r.target.Store(t)
	return t.position, true
}

// isOf reports whether the target is still right: that server is the primary, and was all the time.
func (t *target) isOf(s *server) bool { return t.of == s && t.epoch == s.epoch.Load() }

// ask asks the primary how far its log is.
func (r *replay) ask(ctx context.Context, s *server) (position uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.pool.cfg.CheckTimeout)
	defer cancel()
	if r.probe != nil && (r.of != s || r.epoch != s.epoch.Load()) {
		r.close()
	}
	panicked := r.pool.guard.Protect("asking the primary for its position", func() {
		if r.probe == nil {
			r.of, r.epoch = s, s.epoch.Load()
			if r.probe, err = s.Connector.Connect(ctx); err != nil {
				r.probe = nil
				return
			}
		}
		position, err = r.pool.cfg.Position.Written(ctx, r.probe)
	})
	if panicked != nil {
		err = panicked
	}
	if err != nil {
		r.close()
	}
	return position, err
}

// close closes the connection. The caller has the token.
func (r *replay) close() {
	if c := r.probe; c != nil {
		r.probe = nil
		_ = r.pool.guard.Protect("closing a connection", func() { _ = c.Close() })
	}
}

// stop closes the connection at the end of the pool. It reports whether it could before ctx has
// ended.
func (r *replay) stop(ctx context.Context) bool {
	select {
	case r.asking <- struct{}{}:
		r.close()
		return true
	case <-ctx.Done():
		return false
	}
}
