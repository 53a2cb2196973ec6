package walsync

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A disk is a disk whose syncs take a millisecond. It knows which commits were written when the last
// sync began.
type disk struct {
	mu              sync.Mutex
	written, synced int
	syncs           int
	fails           error
}

func (d *disk) write() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written++
}

func (d *disk) sync() error {
	d.mu.Lock()
	upTo := d.written
	d.mu.Unlock()
	time.Sleep(time.Millisecond)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.fails != nil {
		return d.fails
	}
	d.synced = upTo
	return nil
}

func (d *disk) has(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced >= n
}

// groupOf returns a group with the disk's syncs, in use by one file.
func groupOf(d *disk) *Group {
	return &Group{sync: d.sync, close: func() {}, lost: func(error) {}, users: 1}
}

// commit writes a commit, issues its ticket, and returns both numbers.
func (d *disk) commit(g *Group, turn *sync.Mutex) (ticket uint64, n int) {
	turn.Lock()
	defer turn.Unlock()
	d.write()
	d.mu.Lock()
	n = d.written
	d.mu.Unlock()
	return g.issue(int64(n), firstPage{}), n
}

// TestWaitersAreOnDisk checks that each wait ends only when its commit was written before a sync
// began, with any number of committers, and that they share syncs. No committer waits for others: a lone
// committer takes as long as one sync.
func TestWaitersAreOnDisk(t *testing.T) {
	for _, committers := range []int{1, 2, 8, 100} {
		synctest.Test(t, func(t *testing.T) {
			d := &disk{}
			g := groupOf(d)
			var turn sync.Mutex
			var wg sync.WaitGroup
			const each = 20
			var made atomic.Uint64
			began := time.Now()
			for range committers {
				wg.Go(func() {
					for range each {
						ticket, n := d.commit(g, &turn)
						s, err := g.Wait(t.Context(), ticket)
						if err != nil || !d.has(n) {
							t.Errorf("commit %d: %v, on the disk: %t", n, err, d.has(n))
						}
						made.Add(s.Commits)
					}
				})
			}
			wg.Wait()
			took, all := time.Since(began), committers*each
			if made.Load() != uint64(all) || !g.Settled(g.Issued()) || len(g.starts) != 0 || g.from.Load() != 0 || g.leading {
				t.Errorf("%d commits in the syncs, of %d; %d starts", made.Load(), all, len(g.starts))
			}
			if committers == 1 && took != each*time.Millisecond {
				t.Errorf("%d lone commits took %v", each, took)
			}
			if most := 2*each + 2; d.syncs > most {
				t.Errorf("%d committers: %d syncs for %d commits", committers, d.syncs, all)
			}
		})
	}
}

// TestLiarIsCaught checks that the disk of these tests notices commits that get their ticket before
// they are written.
func TestLiarIsCaught(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		g := groupOf(d)
		var wrong atomic.Int64
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				for range 5 {
					ticket := g.issue(1, firstPage{})
					time.Sleep(time.Duration(i) * 100 * time.Microsecond)
					d.write()
					d.mu.Lock()
					n := d.written
					d.mu.Unlock()
					if _, err := g.Wait(t.Context(), ticket); err != nil || !d.has(n) {
						wrong.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if wrong.Load() == 0 {
			t.Error("early tickets are not noticed")
		}
	})
}

// TestWaitEndsWithContext checks that a wait ends with its context, whether it waits for another's
// sync or has been told to sync, and that the others do not wait any longer.
func TestWaitEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		g := groupOf(d)
		var turn sync.Mutex
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Microsecond)
				ctx := t.Context()
				if i%3 != 0 {
					short, cancel := context.WithTimeout(ctx, time.Duration(i%7)*100*time.Microsecond)
					defer cancel()
					ctx = short
				}
				ticket, n := d.commit(g, &turn)
				began := time.Now()
				switch _, err := g.Wait(ctx, ticket); {
				case err == nil:
					if !d.has(n) {
						t.Errorf("commit %d is not on the disk", n)
					}
				case !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
				}
				if d := time.Since(began); d > 2*time.Millisecond {
					t.Errorf("commit %d has waited for %v", n, d)
				}
			})
		}
		wg.Wait()
		if g.leading || len(g.waiting) != 0 || g.users != 1 {
			t.Errorf("leading %t, %d waiting, %d users", g.leading, len(g.waiting), g.users)
		}
		last, n := d.commit(g, &turn)
		if _, err := g.Wait(t.Context(), last); err != nil || !d.has(n) {
			t.Error(err)
		}
	})
}

// TestFailedSync checks that a failed sync fails all who wait and all later waits, also if the next
// sync would succeed, but not commits that are on the disk.
func TestFailedSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, broken := &disk{}, errors.New("broken")
		g := groupOf(d)
		var lost atomic.Int64
		g.lost = func(err error) {
			if lost.Add(1); err != broken {
				t.Error(err)
			}
		}
		var turn sync.Mutex
		before, _ := d.commit(g, &turn)
		if _, err := g.Wait(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		d.fails = broken
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				ticket, _ := d.commit(g, &turn)
				if _, err := g.Wait(t.Context(), ticket); err != broken || lost.Load() != 1 {
					t.Errorf("%v, lost %d", err, lost.Load())
				}
			})
		}
		wg.Wait()
		d.fails = nil
		after, _ := d.commit(g, &turn)
		if _, err := g.Wait(t.Context(), after); err != broken {
			t.Error(err)
		}
		if _, err := g.Wait(t.Context(), before); err != nil || !g.Settled(before) {
			t.Errorf("a commit that was on the disk: %v", err)
		}
		if lost.Load() != 1 || d.syncs != 2 {
			t.Errorf("lost %d times, %d syncs", lost.Load(), d.syncs)
		}
	})
}

// TestLastUseSyncs checks that commits for which no call waits are synced before the descriptor is
// closed, and that Retain keeps it open.
func TestLastUseSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		g := groupOf(d)
		closed := 0
		g.close = func() { closed++ }
		var turn sync.Mutex
		ticket, _ := d.commit(g, &turn)
		_, n := d.commit(g, &turn)
		g.Retain()
		g.leave()
		if closed != 0 || d.syncs != 0 {
			t.Errorf("closed %d times, %d syncs", closed, d.syncs)
		}
		if _, err := g.Wait(t.Context(), ticket); err != nil {
			t.Error(err)
		}
		_, last := d.commit(g, &turn)
		g.Release()
		if closed != 1 || !d.has(n) || !d.has(last) {
			t.Errorf("closed %d times, on the disk %t and %t", closed, d.has(n), d.has(last))
		}
	})
}

// TestTicketAt checks which ticket a page at an offset of the WAL belongs to, also when the WAL
// has begun anew.
func TestTicketAt(t *testing.T) {
	d := &disk{}
	g := groupOf(d)
	g.sync = func() error { return nil }
	for _, from := range []int64{100, 200, 300} {
		g.issue(from, firstPage{})
	}
	at := func(off int64) uint64 {
		if !g.mayHold(off) {
			return 0
		}
		return g.ticketAt(off, false)
	}
	for off, want := range map[int64]uint64{50: 0, 100: 1, 199: 1, 200: 2, 299: 2, 300: 3, 1000: 3} {
		if got := at(off); got != want {
			t.Errorf("offset %d: ticket %d, want %d", off, got, want)
		}
	}
	g.issue(32, firstPage{})
	if got := []uint64{at(31), at(32), at(150)}; !slices.Equal(got, []uint64{0, 4, 4}) {
		t.Errorf("after the WAL has begun anew: %d", got)
	}
	if _, err := g.Wait(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	g.issue(500, firstPage{})
	if got := []uint64{at(32), at(499), at(500)}; !slices.Equal(got, []uint64{0, 0, 5}) {
		t.Errorf("after a sync: %d", got)
	}
}
