package pool

import (
	"fmt"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Resize changes Config.MaxConns. [Pool.Config], [Pool.Stats] and the metrics return the new
// number. If it is larger, readers are opened as needed. If it is smaller, idle readers are
// closed now, those used longest ago first. Leased readers are closed when they are given back.
// With a maxConns of 1, all queries go to the writer. A larger MinConns is no longer reached.
//
// A pool that was opened with one connection for everything keeps one, and only returns the new
// number. Resize refuses less than 1 with [ErrInvalidConfig]. It returns [ErrClosed] if the
// pool is closed.
func (p *Pool) Resize(maxConns int) error {
	if maxConns < 1 {
		return fmt.Errorf("%w: MaxConns is %d: use a positive number", ErrInvalidConfig, maxConns)
	}
	p.mu.Lock()
	if p.closing.Load() {
		p.mu.Unlock()
		return ErrClosed
	}
	was := p.maxOpen.Swap(int64(maxConns))
	if p.readers != nil {
		// Callers that wait for a reader still get one, one after the other.
		p.readers.queue.resize(max(maxConns-1, 1))
	}
	p.mu.Unlock()
	if was == int64(maxConns) {
		return nil
	}
	if p.readers != nil {
		p.readers.shrink()
	}
	p.logger.Info("pool: resized", "max", maxConns, "was", was, "lanes", p.lanes())
	return nil
}

// maxConns returns the current Config.MaxConns.
func (p *Pool) maxConns() int { return int(p.maxOpen.Load()) }

// shrink closes surplus idle connections.
func (l *lane) shrink() {
	for {
		l.mu.Lock()
		if len(l.idle) == 0 || !l.surplus() {
			l.mu.Unlock()
			return
		}
		c := l.idle[0]
		l.idle = append(l.idle[:0], l.idle[1:]...)
		l.mu.Unlock()
		l.close(c, wrap.ReasonShrunk)
	}
}

// surplus reports whether there are too many readers. It does not count readers beyond the
// limit, which are closed at their release, nor the pool's own connections. l.mu must be held.
func (l *lane) surplus() bool {
	return l.reads && len(l.all)+l.dialing-l.extra-l.ownConns > l.pool.maxConns()-1
}
