package core

import "sync/atomic"

// A turn records whether the holder of a connection also has the turn. The value is a state and
// a counter of offers. Because of the counter, a waiter takes only the offer that it has
// examined. Only the holder calls the methods, except take and revoke.
type turn struct{ v atomic.Uint64 }

const (
	turnHeld    = iota
	turnOffered // the holder runs nothing, so the turn may be taken
	turnTaken
	turnStates
)

func (t *turn) isHeld() bool { return t.v.Load()%turnStates == turnHeld }

func (t *turn) isOffered() bool { return t.v.Load()%turnStates == turnOffered }

func (t *turn) offer() { t.v.Store((t.v.Load()/turnStates+1)*turnStates + turnOffered) }

// hold sets the state to turnHeld, for a new use or a new turn.
func (t *turn) hold() { t.v.Store(t.v.Load() / turnStates * turnStates) }

// dispense sets the state to turnTaken, for a use that needs no turn.
func (t *turn) dispense() { t.v.Store(t.v.Load()/turnStates*turnStates + turnTaken) }

// reclaim ends an offer. It reports whether the holder still has the turn, which can then no
// longer be taken.
func (t *turn) reclaim() bool {
	v := t.v.Load()
	return v%turnStates == turnHeld || v%turnStates == turnOffered && t.v.CompareAndSwap(v, v-turnOffered)
}

// take takes an offered turn if may returns true for the state in which it was offered.
func (t *turn) take(may func() bool) bool {
	v := t.v.Load()
	return v%turnStates == turnOffered && may() && t.v.CompareAndSwap(v, v-turnOffered+turnTaken)
}

// revoke takes the turn from its holder, which must not be in a call. It reports whether it
// did; the turn may have been taken already.
func (t *turn) revoke() bool {
	v := t.v.Load()
	return v%turnStates != turnTaken && t.v.CompareAndSwap(v, v/turnStates*turnStates+turnTaken)
}
