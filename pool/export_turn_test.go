package pool

// KeepTurns makes every checkout keep its turn until it ends, also while it runs nothing.
func (p *Pool) KeepTurns() { p.routing.keepTurns = true }
