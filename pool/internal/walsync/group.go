package walsync

import (
	"context"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Group is all files of the process that have the same WAL open. Their commits share syncs. It is
// safe for concurrent use.
type Group struct {
	info os.FileInfo
	lost func(error)
	sync func() error // of a descriptor that was opened before the first of the group's commits

	issued  atomic.Uint64 // the last ticket; changed with mu held
	synced  atomic.Uint64 // the last ticket that is on the disk; changed with mu held
	from    atomic.Int64  // the lowest offset in the WAL of a commit that is not; 0 if there is none
	failed  atomic.Pointer[error]
	crowded atomic.Bool // the last sync was for several commits
	fails   sync.Once

	mu      sync.Mutex // guards the fields below
	users   int        // files, and calls of Wait
	close   func()
	closed  bool
	starts  []int64 // offsets of the commits after synced
	schema  schemaChange
	leading bool // a caller syncs, or has been told to
	waiting []*waiter
}

// A waiter is a call that waits for another's sync.
type waiter struct {
	ticket uint64
	told   chan bool // true if the waiter must sync itself; false if its ticket is settled
}

// A Sync is a sync that a call of [Group.Wait] has made.
type Sync struct {
	Commits uint64 // that it has put on the disk; 0 if another call has done that
	Took    time.Duration
}

// OpenDisk opens the WAL with that name, which is the file info, to sync it. It returns nil if its
// syncs cannot be shared. Only tests change it.
var OpenDisk = openDisk

// groups are the groups in use.
var groups registry

type registry struct {
	sync.Mutex // guards open; Group.mu is taken under it
	open       []*Group
}

// find returns the group of the WAL that is the file info, and counts a use. It returns nil if there is
// none.
func (r *registry) find(info os.FileInfo) *Group {
	r.Lock()
	defer r.Unlock()
	return r.findLocked(info)
}

func (r *registry) findLocked(info os.FileInfo) *Group {
	for _, g := range r.open {
		if os.SameFile(g.info, info) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.users++
			return g
		}
	}
	return nil
}

// join returns the group of the WAL with that name, which is the file info, and counts a use.
func (r *registry) join(name string, info os.FileInfo, lost func(error)) (*Group, error) {
	r.Lock()
	defer r.Unlock()
	if g := r.findLocked(info); g != nil {
		return g, nil
	}
	syncs, closes, err := OpenDisk(name, info)
	if syncs == nil || err != nil {
		return nil, err
	}
	g := &Group{info: info, lost: lost, sync: syncs, close: closes, users: 1}
	r.open = append(r.open, g)
	return g, nil
}

// leave ends a use of the group. The last one syncs what is left.
func (g *Group) leave() {
	g.mu.Lock()
	last := g.users == 1
	left := last && g.Err() == nil && !g.Settled(g.issued.Load())
	if left {
		g.leading = true // no other call can lead, because it would use the group
	} else {
		g.users--
	}
	g.mu.Unlock()
	if left {
		_, _ = g.lead()
		g.leave()
		return
	}
	if !last {
		return
	}
	groups.Lock()
	defer groups.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users == 0 && !g.closed { // no file has joined meanwhile
		g.closed = true
		groups.open = slices.DeleteFunc(groups.open, func(other *Group) bool { return other == g })
		g.close()
	}
}

// issue returns a ticket for a commit whose frames have been written, from an offset on.
// first is its first page.
func (g *Group) issue(from int64, first firstPage) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.starts = append(g.starts, from)
	g.setFrom()
	g.schema.commit(first, g.issued.Load()+1)
	return g.issued.Add(1)
}

// setFrom sets g.from. g.mu must be held.
func (g *Group) setFrom() {
	from := int64(0)
	if len(g.starts) > 0 {
		from = slices.Min(g.starts)
	}
	g.from.Store(from)
}

// mayHold reports whether a commit that is not on the disk may have written at the offset.
func (g *Group) mayHold(off int64) bool {
	from := g.from.Load()
	return from != 0 && off >= from
}

// ticketAt returns the last ticket of a commit that is not on the disk and may have written at the
// offset, or 0. If the page there is the first one, it is a commit that has changed the schema.
func (g *Group) ticketAt(off int64, first bool) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, from := range slices.Backward(g.starts) {
		if off >= from {
			ticket := g.synced.Load() + uint64(i) + 1
			if first {
				ticket = min(ticket, g.schema.ticket)
			}
			return ticket
		}
	}
	return 0
}

// Retain keeps the group in use until Release, so that a commit can be waited for after its file
// has been closed.
func (g *Group) Retain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users++
}

// Release ends what Retain began.
func (g *Group) Release() { g.leave() }

// Issued returns the last ticket. No connection sees a commit with a later one.
func (g *Group) Issued() uint64 { return g.issued.Load() }

// Settled reports whether the commit with that ticket is on the disk.
func (g *Group) Settled(ticket uint64) bool { return g.synced.Load() >= ticket }

// Err returns the error of the first sync that has failed, or nil. After that, the operating
// system may have dropped pages that it could not write, and later syncs do not tell.
func (g *Group) Err() error {
	if err := g.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Wait waits until the commit with that ticket is on the disk. It fails if a sync has failed, or
// with ctx's error; the commit stands in both cases. The caller may make the sync itself. That it
// cannot interrupt, whatever ctx says.
func (g *Group) Wait(ctx context.Context, ticket uint64) (Sync, error) {
	if g.Settled(ticket) {
		return Sync{}, nil
	}
	g.mu.Lock()
	if err := g.Err(); err != nil || g.Settled(ticket) {
		g.mu.Unlock()
		return Sync{}, err
	}
	g.users++
	defer g.leave()
	if !g.leading {
		g.leading = true
		g.mu.Unlock()
		return g.lead()
	}
	w := &waiter{ticket, make(chan bool, 1)}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	select {
	case lead := <-w.told:
		if lead {
			return g.lead()
		}
		return Sync{}, g.outcome(ticket)
	case <-ctx.Done():
		return Sync{}, g.giveUp(ctx, w)
	}
}

// giveUp ends the wait of w.
func (g *Group) giveUp(ctx context.Context, w *waiter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, w); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return ctx.Err()
	}
	if lead := <-w.told; lead { // it has been told meanwhile
		g.appoint()
		return ctx.Err()
	}
	return g.outcome(w.ticket)
}

// outcome returns the error of a settled wait.
func (g *Group) outcome(ticket uint64) error {
	if g.Settled(ticket) {
		return nil
	}
	return g.Err()
}

// lead syncs for all commits that have been written, and appoints who syncs next.
func (g *Group) lead() (Sync, error) {
	if g.crowded.Load() {
		// The caller has handed on the turn to write, and the next writer may need its processor.
		runtime.Gosched()
	}
	upTo := g.issued.Load() // before the sync begins
	began := time.Now()
	err := g.sync()
	made := Sync{Took: time.Since(began)}
	if err != nil {
		g.fail(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err = g.Err(); err == nil {
		made.Commits = upTo - g.synced.Load()
		g.crowded.Store(made.Commits > 1)
		g.starts = slices.Delete(g.starts, 0, int(made.Commits))
		g.setFrom()
		g.synced.Store(upTo)
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(w *waiter) bool {
		settled := err != nil || w.ticket <= upTo
		if settled {
			w.told <- false
		}
		return settled
	})
	g.appoint()
	return made, err
}

// appoint tells one waiter to sync. g.mu must be held.
func (g *Group) appoint() {
	if g.leading = len(g.waiting) > 0; g.leading {
		g.waiting[0].told <- true
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
}

// fail records that a sync has failed.
func (g *Group) fail(err error) {
	g.fails.Do(func() {
		g.lost(err)
		g.failed.Store(&err)
	})
}
