package instrument

import (
	"strconv"
	"strings"
	"sync"
)

// poolNames are the names of the process's pools. Two pools with the same name would share the
// series of all metrics of connections.
//
// A name without its suffix has an entry in free: the first suffix that may be free. All before
// it are in use. So taking a name takes the same time however many pools there are.
var poolNames = struct {
	sync.Mutex
	users map[string]int
	free  map[string]int
}{users: make(map[string]int), free: make(map[string]int)}

// A PoolName is a name that a pool has until it calls Release. All methods are safe for
// concurrent use.
type PoolName struct {
	name     string
	released bool // guarded by poolNames
}

// TakePoolName takes a name for a pool. If another pool of the process has it, the name gets the
// first free suffix: "app.db", "app.db#2", "app.db#3".
func TakePoolName(name string) *PoolName {
	poolNames.Lock()
	defer poolNames.Unlock()
	n := max(poolNames.free[name], 1)
	for poolNames.users[withSuffix(name, n)] > 0 {
		n++
	}
	poolNames.free[name] = n + 1
	return addPoolName(withSuffix(name, n))
}

// SharePoolName takes exactly this name, which the program has chosen. Other pools may have it
// too, but TakePoolName does not return it.
func SharePoolName(name string) *PoolName {
	poolNames.Lock()
	defer poolNames.Unlock()
	return addPoolName(name)
}

func addPoolName(name string) *PoolName {
	poolNames.users[name]++
	return &PoolName{name: name}
}

// String returns the name.
func (n *PoolName) String() string { return n.name }

// Release gives the name back. A second call does nothing.
func (n *PoolName) Release() {
	poolNames.Lock()
	defer poolNames.Unlock()
	if n.released {
		return
	}
	n.released = true
	if poolNames.users[n.name]--; poolNames.users[n.name] > 0 {
		return
	}
	delete(poolNames.users, n.name)
	delete(poolNames.free, n.name) // the name itself is free again
	if i := strings.LastIndexByte(n.name, '#'); i >= 0 {
		name := n.name[:i]
		suffix, err := strconv.Atoi(n.name[i+1:])
		if free, ok := poolNames.free[name]; ok && err == nil && suffix > 1 && suffix < free {
			poolNames.free[name] = suffix
		}
	}
}

// withSuffix returns the nth name that is made of name.
func withSuffix(name string, n int) string {
	if n == 1 {
		return name
	}
	return name + "#" + strconv.Itoa(n)
}
