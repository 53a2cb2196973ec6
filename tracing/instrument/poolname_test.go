package instrument

import "testing"

// TestPoolName checks which names are given, and that a name is free again when its last user has
// released it.
func TestPoolName(t *testing.T) {
	held := make(map[string][]*PoolName)
	take := func(want string) {
		t.Helper()
		n := TakePoolName("a")
		held[n.String()] = append(held[n.String()], n)
		if n.String() != want {
			t.Errorf("the name is %q, want %q", n, want)
		}
	}
	share := func(name string) { held[name] = append(held[name], SharePoolName(name)) }
	release := func(name string) {
		last := len(held[name]) - 1
		held[name][last].Release()
		held[name][last].Release()
		held[name] = held[name][:last]
	}
	take("a")
	take("a#2")
	share("a#3")
	share("a#3")
	take("a#4")
	release("a#3")
	take("a#5")
	release("a#3")
	take("a#3")
	release("a#2")
	release("a")
	take("a")
	take("a#2")
	take("a#6")
	share("a")
	release("a")
	take("a#7")
	for name, names := range held {
		for range names {
			release(name)
		}
	}
	take("a")
	release("a")
	poolNames.Lock()
	users, free := poolNames.users["a"], poolNames.free["a"]
	poolNames.Unlock()
	if users != 0 || free != 0 {
		t.Errorf("%d users are left, and %d is free", users, free)
	}
	const many = 20000 // quadratic time would exceed the test's timeout
	var names []*PoolName
	for n := range many {
		name := TakePoolName("b")
		if want := withSuffix("b", n+1); name.String() != want {
			t.Fatalf("the name is %q, want %q", name, want)
		}
		names = append(names, name)
	}
	for _, name := range names {
		name.Release()
	}
}
