package core_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestStorm checks that many callers at the same time never have more turns than there are. At
// the end, no turn, no waiter and no connection is left, also if the pool is shut down meanwhile.
// The callers' contexts end, they offer their turns, and opening a connection takes time and may
// fail. Unlike in the test with a model, the goroutines run at the same time.
func TestStorm(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range 12 {
		bubble(t, func(t *testing.T) {
			s := &storm{t: t, seed: seed, round: uint64(round), most: int32(1 + round%3), stalls: core.Stalls(round / 4)}
			s.run(round%2 == 1)
			if t.Failed() {
				t.Logf("seed %d, round %d", seed, round)
			}
		})
	}
}

// A storm is a pool that many goroutines use.
type storm struct {
	t      *testing.T
	seed   uint64
	round  uint64
	most   int32 // turns at most
	stalls core.Stalls
	lane   *core.Lane
	turns  atomic.Int32 // held by callers
	served atomic.Int32
	failed atomic.Int32
}

func (s *storm) run(closes bool) {
	var n atomic.Uint64
	random := func(below int) int { // for the toy, which has no generator of its own
		return rand.New(rand.NewPCG(s.seed, n.Add(1))).IntN(below)
	}
	cfg := writer()
	cfg.Turns, cfg.Stalls, cfg.MaxIdle = int(s.most), s.stalls, 2
	cfg.Most = func() int { return int(s.most) }
	cfg.Keep = func() int { return 1 }
	e := newToy(core.Config{AcquireTimeout: 40 * time.Millisecond, MaxWaiters: 20, MaxConns: int(s.most),
		MaxLifetime: 100 * time.Millisecond, IdleTimeout: 80 * time.Millisecond, ValidateAfter: 5 * time.Millisecond,
		KeepAlive: 80 * time.Millisecond, HealthInterval: 80 * time.Millisecond, LeakAfter: 80 * time.Millisecond}, cfg)
	e.opening = func(ctx context.Context) error {
		select {
		case <-time.After(time.Duration(random(3)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if random(10) == 0 {
			return errors.New("no connection")
		}
		return nil
	}
	s.lane = e.lane()
	e.pool.Start(s.t.Context())
	const workers, uses = 24, 20
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(s.seed, s.round<<32+uint64(i)))
			for range uses {
				s.use(r)
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(s.seed, s.round<<32+workers))
		for range 50 {
			time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
			switch r.IntN(3) {
			case 0:
				s.lane.SetTurns(1 + r.IntN(int(s.most)))
				s.lane.Shrink()
			case 1:
				s.lane.Replace()
			case 2:
				e.pool.Reset()
			}
		}
	})
	if closes {
		time.Sleep(20 * time.Millisecond)
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Millisecond)
		defer cancel()
		_ = e.pool.Shutdown(ctx) // connections are taken away
	}
	wg.Wait()
	time.Sleep(time.Second) // what callers have left behind ends
	synctest.Wait()
	// The pool may be opening the one connection that must be open.
	if n := s.lane.Count(); n.Waiting != 0 || n.Extra != 0 || n.Opening != n.Alone || n.Closing != 0 || n.Open-n.Opening != n.Idle {
		s.t.Errorf("after the storm, there are %+v", n)
	}
	if sum := s.served.Load() + s.failed.Load(); sum != workers*uses || s.served.Load() == 0 || s.failed.Load() == 0 {
		s.t.Errorf("%d calls were served and %d failed, want %d calls", s.served.Load(), s.failed.Load(), workers*uses)
	}
	finish(s.t, e)
}

// use is one use of a connection.
func (s *storm) use(r *rand.Rand) {
	sleep := func() { time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond) }
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(r.IntN(60))*time.Millisecond)
	defer cancel()
	sleep()
	c, err := s.lane.Acquire(ctx, nil)
	if err != nil {
		s.failed.Add(1)
		return
	}
	s.served.Add(1)
	s.hold()
	sleep()
	has := true
	for has && r.IntN(3) == 0 {
		s.turns.Add(-1)
		c.Offer()
		sleep()
		if has = s.lane.Reclaim(ctx, c, nil) == nil; has {
			s.hold()
			sleep()
		}
	}
	if has {
		s.turns.Add(-1)
	}
	s.lane.Release(c)
}

// hold counts a turn that a caller has got.
func (s *storm) hold() {
	if n := s.turns.Add(1); n > s.most && s.stalls != core.StallsExtend {
		s.t.Errorf("%d callers have a turn, want at most %d", n, s.most)
	}
}
