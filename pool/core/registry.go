package core

import (
	"slices"
	"sync"
)

// registry holds the lanes of all pools of the process. Its mutex guards lanes.
var registry struct {
	sync.Mutex
	lanes []*Lane // replaced, never changed
}

func register(l *Lane) {
	registry.Lock()
	defer registry.Unlock()
	registry.lanes = append(slices.Clone(registry.lanes), l)
}

func unregister(l *Lane) {
	registry.Lock()
	defer registry.Unlock()
	registry.lanes = slices.DeleteFunc(slices.Clone(registry.lanes), func(other *Lane) bool { return other == l })
}

// allLanes returns the lanes of all pools of the process, of all engines.
func allLanes() []*Lane {
	registry.Lock()
	defer registry.Unlock()
	return registry.lanes
}

// Lanes returns the lanes that use the queue, of all pools.
func (q *Queue) Lanes() (list []*Lane) {
	for _, l := range allLanes() {
		if l.Queue() == q {
			list = append(list, l)
		}
	}
	return list
}
