package pool

import "testing"

// A turn is taken only as it was found: not if its holder has used it and let go
// of it again meanwhile, by when what made it free may be otherwise.
func TestATurnIsTakenAsItWasFound(t *testing.T) {
	yes := func() bool { return true }
	var u turn
	if !u.isHeld() || u.take(yes) {
		t.Error("a turn that is held is taken")
	}
	u.offer()
	if u.isHeld() || u.take(func() bool { return false }) {
		t.Error("it is taken though it may not be")
	}
	if !u.reclaim() || !u.isHeld() {
		t.Error("who has parked it cannot go on")
	}
	u.offer()
	if u.take(func() bool {
		if !u.reclaim() {
			t.Error("who has parked it cannot go on")
		}
		u.offer() // with rows open, say
		return true
	}) {
		t.Error("it is taken in another state than was looked at")
	}
	if !u.take(yes) || u.isHeld() || u.reclaim() || u.take(yes) {
		t.Error("it is not taken, or twice")
	}
	u.hold()
	if !u.isHeld() || !u.reclaim() {
		t.Error("it is not held anew")
	}
}
