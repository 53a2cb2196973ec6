package core

import "testing"

// TestTurnIsTakenInExaminedOffer checks that a turn is taken only in the offer that was
// examined. If its holder has reclaimed and offered it again meanwhile, the reason to take it
// may no longer apply.
func TestTurnIsTakenInExaminedOffer(t *testing.T) {
	yes := func() bool { return true }
	var u turn
	if !u.isHeld() || u.take(yes) {
		t.Error("a held turn is taken")
	}
	u.offer()
	if u.isHeld() || u.take(func() bool { return false }) {
		t.Error("a turn is taken though may returned false")
	}
	if !u.reclaim() || !u.isHeld() {
		t.Error("the holder cannot reclaim its offered turn")
	}
	u.offer()
	if u.take(func() bool {
		if !u.reclaim() {
			t.Error("the holder cannot reclaim its offered turn")
		}
		u.offer() // perhaps with open rows
		return true
	}) {
		t.Error("a turn is taken in another offer than the examined one")
	}
	if !u.take(yes) || u.isHeld() || u.reclaim() || u.take(yes) {
		t.Error("an offered turn is not taken, or is taken twice")
	}
	u.hold()
	if !u.isHeld() || !u.reclaim() {
		t.Error("the turn is not held again")
	}
}
