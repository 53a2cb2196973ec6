package instrument

import (
	"fmt"
	"sync"
)

// poolNames are the names of the process's pools. Two pools with the same name would share the
// series of all metrics of connections.
var poolNames = struct {
	sync.Mutex
	users map[string]int
}{users: make(map[string]int)}

// A PoolName is a name that a pool has until it calls Release.
type PoolName struct {
	name     string
	released bool // guarded by poolNames
}

// TakePoolName takes a name for a pool. If another pool of the process has it, the name gets the
// first free suffix: "app.db", "app.db#2", "app.db#3".
func TakePoolName(name string) *PoolName {
	poolNames.Lock()
	defer poolNames.Unlock()
	free := name
	for n := 2; poolNames.users[free] > 0; n++ {
		free = fmt.Sprintf("%s#%d", name, n)
	}
	poolNames.users[free]++
	return &PoolName{name: free}
}

// SharePoolName takes exactly this name, which the program has chosen. Other pools may have it
// too, but TakePoolName does not return it.
func SharePoolName(name string) *PoolName {
	poolNames.Lock()
	defer poolNames.Unlock()
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
	if poolNames.users[n.name]--; poolNames.users[n.name] == 0 {
		delete(poolNames.users, n.name)
	}
}
