package pool

import (
	"fmt"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Resize changes Config.MaxConns, from now on: [Pool.Config], [Pool.Stats] and
// the metrics say the new number. More readers are opened as they are needed.
// Of fewer, those that are idle are closed now, those used longest ago first, and
// those in use when they are given back. With a maxConns of 1, queries go to the
// connection that writes. A MinConns that is more is no longer kept to.
//
// A pool that was opened with one connection for everything keeps that, and only
// says the new number. Less than 1 is refused with [ErrInvalidConfig]. A pool that
// is closed returns [ErrClosed].
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
		// Whoever waits for a reader is still served by one, if by one only.
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

// maxConns is Config.MaxConns in force.
func (p *Pool) maxConns() int { return int(p.maxOpen.Load()) }

// shrink closes the idle connections that are too many.
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

// surplus reports whether there are more connections than there may be, but for
// those beyond the limit that are closed anyway, and the pool's own. l.mu must be
// held.
func (l *lane) surplus() bool {
	return l.reads && len(l.all)+l.dialing-l.extra-l.ownConns > l.pool.maxConns()-1
}
