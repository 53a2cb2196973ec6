package pool

// KeepTurns has every checkout keep its turn until it ends, whether it does
// something or not.
func (p *Pool) KeepTurns() { p.keepTurns = true }
