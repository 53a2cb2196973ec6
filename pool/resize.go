package pool

import "fmt"

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
	was := 0
	err := p.core.WhileOpen(func() {
		was = p.core.SetMaxConns(maxConns)
		if p.lanes.readers != nil {
			// Callers that wait for a reader still get one, one after the other.
			p.lanes.readers.SetTurns(max(maxConns-1, 1))
		}
	})
	if err != nil || was == maxConns {
		return err
	}
	if p.lanes.readers != nil {
		p.lanes.readers.Shrink()
	}
	p.logger.Info("pool: resized", "max", maxConns, "was", was, "lanes", p.countLanes())
	return nil
}
