package instrument

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// PoolStats has a pool's statistics observed until stop is called, as [Database.Limits] does with
// its limits. The meter provider calls stats whenever it collects. stats must not block.
func (d *Database) PoolStats(stats func() PoolStats) (stop func()) {
	d.takeName()
	return d.tracer.watch(&statsWatch{set: attribute.NewSet(slices.Clone(d.pool.attrs)...), stats: stats})
}

// A statsWatch is the callback that reports one pool's statistics to the meter provider.
type statsWatch struct {
	set          attribute.Set
	stats        func() PoolStats
	closed       PoolStats           // of closed pools of the same series; guarded by statsWatches.mu
	registration metric.Registration // nil if none is registered
}

// observeWith implements [watch].
func (w *statsWatch) observeWith(i *instruments) {
	if w.registration != nil {
		last := w.stats()
		statsWatches.remove(w, last.counters(), i == nil)
		handle(w.registration.Unregister())
		w.registration = nil
	}
	if i == nil {
		return
	}
	statsWatches.add(w, i)
	var err error
	w.registration, err = i.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if together, total := statsWatches.of(w); len(together) > 0 {
			for _, each := range together {
				total.add(each.stats())
			}
			i.stats.observe(o, total, w.set)
		}
		return nil
	}, i.stats.all...)
	handle(err)
}

// statsWatches are the pools that are observed now. Pools of one name and database have the same
// series, and an instrument that is observed twice would keep only one of the values. So the
// callback of the first such pool observes their sums, and those of the others observe nothing.
//
// The lock is never held while a provider is called, because a provider calls back with its own
// lock held.
var statsWatches statsWatchList

type statsWatchList struct {
	mu   sync.Mutex // guards list
	list []observedStats
}

type observedStats struct {
	*statsWatch
	by *instruments
}

func (l *statsWatchList) add(w *statsWatch, i *instruments) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, observedStats{w, i})
}

// remove removes w. If w is closed, another pool of the same series goes on with its last counters.
func (l *statsWatchList) remove(w *statsWatch, last PoolStats, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	together := l.together(w)
	l.list = slices.DeleteFunc(l.list, func(o observedStats) bool { return o.statsWatch == w })
	if i := slices.IndexFunc(together, func(o *statsWatch) bool { return o != w }); closed && i >= 0 {
		last.add(w.closed)
		together[i].closed.add(last)
	}
}

// of returns all pools that have the same series as w, and the counters of closed ones, if w is the
// first of them. Otherwise it returns none.
func (l *statsWatchList) of(w *statsWatch) (together []*statsWatch, closed PoolStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	together = l.together(w)
	if len(together) == 0 || together[0] != w {
		return nil, closed
	}
	for _, each := range together {
		closed.add(each.closed)
	}
	return together, closed
}

// together returns all pools that have the same series as w. It returns none if w is not in the
// list, because it is being unregistered.
func (l *statsWatchList) together(w *statsWatch) (together []*statsWatch) {
	at := slices.IndexFunc(l.list, func(o observedStats) bool { return o.statsWatch == w })
	if at < 0 {
		return nil
	}
	by := l.list[at].by
	for _, o := range l.list {
		if (o.by == by || same(o.by.provider, by.provider)) && o.set.Equals(&w.set) {
			together = append(together, o.statsWatch)
		}
	}
	return together
}
