package pool

import "testing"

// A turn is taken only as it was found: not if its holder has used it and let go
// of it again meanwhile, by when what made it free may be otherwise.
func TestATurnIsTakenAsItWasFound(t *testing.T) {
	yes := func() bool { return true }
	var u turn
	if !u.isHeld() || u.seize(yes) {
		t.Error("a turn that is held is taken")
	}
	u.park()
	if u.isHeld() || u.seize(func() bool { return false }) {
		t.Error("it is taken though it may not be")
	}
	if !u.keep() || !u.isHeld() {
		t.Error("who has parked it cannot go on")
	}
	u.park()
	if u.seize(func() bool {
		if !u.keep() {
			t.Error("who has parked it cannot go on")
		}
		u.park() // with rows open, say
		return true
	}) {
		t.Error("it is taken in another state than was looked at")
	}
	if !u.seize(yes) || u.isHeld() || u.keep() || u.seize(yes) {
		t.Error("it is not taken, or twice")
	}
	u.hold()
	if !u.isHeld() || !u.keep() {
		t.Error("it is not held anew")
	}
}
