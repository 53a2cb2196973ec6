package core_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestLanesMatchModel checks that lanes behave like a simple model of them, after every step of
// random operations: which callers are served, in which order, what is open, and the counters.
func TestLanesMatchModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var total core.Stats // the test is worth little if these are rare
	resumed := 0
	for round := range 100 {
		bubble(t, func(t *testing.T) {
			m := newModel(t, rand.New(rand.NewPCG(seed, uint64(round))))
			defer func() {
				if t.Failed() {
					t.Fatalf("seed %d, round %d, %s, steps: %s", seed, round, m.setup, strings.Join(m.steps, ", "))
				}
			}()
			for range 100 {
				m.step()
				if t.Failed() {
					return
				}
			}
			m.end()
			total.Waits += m.stats.Waits
			total.Cancels += m.stats.Cancels
			total.Refusals += m.stats.Refusals
			total.Overflows += m.stats.Overflows
			total.TurnsTaken += m.stats.TurnsTaken
			total.Discards += m.stats.Discards
			resumed += m.resumed
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d waits, %d cancels, %d refusals, %d extra readers, %d turns taken, %d discards, %d holders that got a new turn",
		total.Waits, total.Cancels, total.Refusals, total.Overflows, total.TurnsTaken, total.Discards, resumed)
	if min(total.Waits, int64(total.Cancels), int64(total.Refusals), int64(total.Overflows), int64(total.TurnsTaken), int64(total.Discards), int64(resumed)) < 20 {
		t.Error("the operations are too rare")
	}
}

// A model is a model of a toy's lanes.
type model struct {
	t     *testing.T
	r     *rand.Rand
	toy   *toy
	lanes []*modelLane
	most  int // MaxWaiters
	setup string
	steps []string
	names int
	stats core.Stats // the counters

	resumed int // holders that waited for a new turn and got it
}

// A modelQueue is a model of a queue of turns.
type modelQueue struct {
	limit, taken int
	waiters      []*actor
}

// A modelLane is a model of a lane.
type modelLane struct {
	*core.Lane
	queue      *modelQueue
	stalls     core.Stalls
	limit      int // of connections
	maxIdle    int
	generation int
	idle       []int // generations of the idle connections; the one used last comes last
	held       []*actor
}

func (l *modelLane) open() int { return len(l.idle) + len(l.held) }

func (l *modelLane) extra() (n int) {
	for _, a := range l.held {
		if a.extra {
			n++
		}
	}
	return n
}

// An actor is a caller.
type actor struct {
	name       string
	lane       *modelLane
	call       *call // its acquire, or its Reclaim
	conn       *core.Conn
	generation int // of its connection
	extra      bool
	offers     bool // its turn
	turnless   bool // its turn was taken
	reclaims   bool // it waits in Reclaim
}

func newModel(t *testing.T, r *rand.Rand) *model {
	m := &model{t: t, r: r, most: r.IntN(3) * 4}
	names := []wrap.Lane{wrap.LaneReader, wrap.LaneWriter}
	var lanes []core.LaneConfig
	share := r.IntN(3) == 0
	for i := range 1 + r.IntN(2) {
		turns := 1 + r.IntN(3)
		l := &modelLane{stalls: core.Stalls(r.IntN(3)), limit: turns, maxIdle: r.IntN(3), queue: &modelQueue{limit: turns}}
		cfg := core.LaneConfig{Name: names[i], Turns: turns, MaxIdle: l.maxIdle, Stalls: l.stalls, Most: func() int { return l.limit }}
		if share {
			l.stalls, cfg.Stalls = core.StallsTakeOffers, core.StallsTakeOffers
			if i == 1 {
				l.queue = m.lanes[0].queue
			}
		}
		m.lanes = append(m.lanes, l)
		lanes = append(lanes, cfg)
		m.setup += fmt.Sprintf("lane %d: %d turns, %d idle, stalls %d; ", i, turns, l.maxIdle, l.stalls)
	}
	m.toy = newToy(core.Config{MaxWaiters: m.most, Events: 1 << 14}, lanes...)
	for i, l := range m.lanes {
		l.Lane = m.toy.pool.Lanes()[i]
		if share && i == 1 {
			l.SetQueue(m.lanes[0].Queue())
		}
	}
	m.setup += fmt.Sprintf("shared %v, at most %d waiters", share, m.most)
	m.toy.pool.Start(t.Context())
	t.Cleanup(func() {
		if t.Failed() { // let all goroutines end
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = m.toy.pool.Shutdown(ctx)
		}
	})
	return m
}

// step does a random operation and compares the lanes with the model.
func (m *model) step() {
	l := m.lanes[m.r.IntN(len(m.lanes))]
	held := slices.DeleteFunc(slices.Clone(l.held), func(a *actor) bool { return a.reclaims })
	turnless := slices.DeleteFunc(slices.Clone(held), func(a *actor) bool { return !a.turnless })
	pick := func(list []*actor) *actor { return list[m.r.IntN(len(list))] }
	switch op := m.r.IntN(20); {
	case op < 4:
		m.acquire(l)
	case op == 4:
		m.tryAcquire(l)
	case op < 8 && len(held) > 0:
		m.release(pick(held))
	case op == 8 && len(l.queue.waiters) > 0:
		m.cancel(pick(l.queue.waiters))
	case op == 9 && len(held) > 0:
		m.offer(pick(held))
	case op == 10 && len(held) > 0:
		m.reclaim(pick(held))
	case op == 11:
		m.resize(l)
	case op == 12 && m.r.IntN(2) == 0:
		m.note("replace %s", l.Name())
		l.Replace()
		l.generation++
	case op == 13 || op == 17:
		m.pass()
	case op == 14 && m.r.IntN(4) == 0:
		m.reset()
	case op < 17 && len(held) > 0:
		m.offer(pick(held))
	case op > 17 && len(turnless) > 0:
		m.reclaim(pick(turnless))
	}
	m.check()
}

func (m *model) note(format string, args ...any) {
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
}

func (m *model) newActor(l *modelLane) *actor {
	m.names++
	return &actor{name: fmt.Sprint("a", m.names), lane: l}
}

// joins models a caller that wants a turn. It reports whether it has got one, or waits. If not,
// the queue is full.
func (m *model) joins(a *actor) (got, waits bool) {
	q := a.lane.queue
	switch {
	case len(q.waiters) == 0 && q.taken < q.limit:
		q.taken++
		return true, false
	case m.most > 0 && len(q.waiters) >= m.most:
		m.stats.Refusals++
		return false, false
	}
	q.waiters = append(q.waiters, a)
	m.stats.PeakWaiting = max(m.stats.PeakWaiting, m.waiting())
	return false, true
}

// lend models that a has a turn and takes a connection.
func (m *model) lend(a *actor) {
	l := a.lane
	for len(l.idle) > 0 {
		last := len(l.idle) - 1
		a.generation = l.idle[last]
		l.idle = l.idle[:last]
		if a.generation == l.generation {
			m.lent(a)
			return
		}
		m.closed(wrap.ReasonReset)
	}
	a.generation = l.generation
	m.stats.Connects++
	m.lent(a)
}

func (m *model) lent(a *actor) {
	a.lane.held = append(a.lane.held, a)
	m.stats.Acquires++
	inUse := 0
	for _, l := range m.lanes {
		inUse += len(l.held)
	}
	m.stats.PeakInUse = max(m.stats.PeakInUse, inUse)
}

func (m *model) closed(why wrap.Reason) {
	if m.stats.ClosedFor == nil {
		m.stats.ClosedFor = map[wrap.Reason]uint64{}
	}
	m.stats.Closes++
	m.stats.ClosedFor[why]++
}

// served models that the waiter a gets a turn.
func (m *model) served(a *actor) {
	q := a.lane.queue
	q.waiters = slices.DeleteFunc(q.waiters, func(other *actor) bool { return other == a })
	if a.reclaims {
		a.reclaims, a.turnless = false, false
		m.resumed++
		return
	}
	m.stats.Waits++
	m.lend(a)
}

// serve models that free turns go to the first waiters.
func (m *model) serve(q *modelQueue) {
	for len(q.waiters) > 0 && q.taken < q.limit {
		q.taken++
		m.served(q.waiters[0])
	}
}

func (m *model) acquire(l *modelLane) {
	a := m.newActor(l)
	m.note("%s acquires %s", a.name, l.Name())
	got, waits := m.joins(a)
	a.call = beginAs(m.t, l.Lane, a.name)
	switch {
	case got:
		m.lend(a)
	case !waits:
		if err := a.call.fails(m.t); !errors.Is(err, core.ErrQueueFull) {
			m.t.Errorf("%s: %v, but the queue is full", a.name, err)
		}
	}
}

func (m *model) tryAcquire(l *modelLane) {
	a := m.newActor(l)
	m.note("%s tries %s", a.name, l.Name())
	q := l.queue
	free := len(q.waiters) == 0 && q.taken < q.limit
	c, err := l.TryAcquire(m.t.Context())
	if (c != nil) != free || err != nil {
		m.t.Errorf("%s: TryAcquire returned %v, %v; a turn is free: %v", a.name, c != nil, err, free)
	}
	if free {
		q.taken++
		a.conn = c
		m.lend(a)
	}
}

func (m *model) release(a *actor) {
	l := a.lane
	m.note("%s releases", a.name)
	l.Release(a.conn)
	// The connection first: it still counts as open.
	why := wrap.Reason("")
	switch {
	case a.extra:
		why = wrap.ReasonOverflow
	case a.generation != l.generation:
		why = wrap.ReasonReset
	case l.open()-l.extra() > l.limit:
		why = wrap.ReasonShrunk
	case l.maxIdle > 0 && len(l.idle) >= l.maxIdle:
		why = wrap.ReasonOverflow
	}
	l.held = slices.DeleteFunc(l.held, func(other *actor) bool { return other == a })
	if a.extra {
		m.stats.Discards++
	} else {
		m.stats.Releases++
	}
	if why != "" {
		m.closed(why)
	} else {
		l.idle = append(l.idle, a.generation)
	}
	if !a.turnless && !a.extra {
		l.queue.taken--
	}
	m.serve(l.queue)
}

func (m *model) cancel(a *actor) {
	m.note("%s cancels", a.name)
	a.call.cancel(nil)
	if err := a.call.fails(m.t); !errors.Is(err, context.Canceled) || len(explained(m.t, err).Holders) == 0 {
		m.t.Errorf("%s: %v", a.name, err)
	}
	q := a.lane.queue
	q.waiters = slices.DeleteFunc(q.waiters, func(other *actor) bool { return other == a })
	a.reclaims, a.call = false, nil
	m.stats.Cancels++
	m.stats.Waits++
}

func (m *model) offer(a *actor) {
	if a.turnless || a.extra { // an engine that extends a lane does not offer its turns
		return
	}
	m.note("%s offers", a.name)
	a.conn.Offer()
	a.offers = true
}

func (m *model) reclaim(a *actor) {
	m.note("%s reclaims", a.name)
	a.offers = false
	got, waits := true, false
	if a.turnless {
		got, waits = m.joins(a)
	}
	a.call = startCall(core.WithOwner(m.t.Context(), a.name), func(ctx context.Context) (*core.Conn, error) {
		return nil, a.lane.Reclaim(ctx, a.conn, nil)
	})
	switch {
	case got:
		a.call.returns(m.t)
		a.turnless = false
	case waits:
		a.reclaims = true
	default:
		if err := a.call.fails(m.t); !errors.Is(err, core.ErrQueueFull) {
			m.t.Errorf("%s: %v, but the queue is full", a.name, err)
		}
		a.call = nil
	}
}

// resize changes the numbers of turns and connections.
func (m *model) resize(l *modelLane) {
	n := 1 + m.r.IntN(4)
	m.note("%s has %d turns", l.Name(), n)
	for _, other := range m.lanes {
		if other.queue == l.queue {
			other.limit = n
		}
	}
	l.queue.limit = n
	for _, other := range m.lanes {
		if other.queue != l.queue {
			continue
		}
		other.Shrink()
		for len(other.idle) > 0 && other.open()-other.extra() > n {
			other.idle = other.idle[1:]
			m.closed(wrap.ReasonShrunk)
		}
	}
	l.SetTurns(n)
	m.serve(l.queue)
}

// reset replaces all connections.
func (m *model) reset() {
	m.note("reset")
	m.toy.pool.Reset()
	for _, l := range m.lanes {
		l.generation++
		for range l.idle {
			m.closed(wrap.ReasonReset)
		}
		l.idle = nil
	}
}

// pass lets time pass until every stall is resolved. That serves the last waiters of a lane that
// is extended. In another, it gives the offered turns to the first waiters.
func (m *model) pass() {
	m.note("time passes")
	time.Sleep(300 * time.Millisecond)
	synctest.Wait()
	for _, l := range m.lanes {
		q := l.queue
		switch l.stalls {
		case core.StallsExtend:
			for len(q.waiters) > 0 {
				a := q.waiters[len(q.waiters)-1]
				a.extra = !a.reclaims
				m.served(a)
				m.stats.Overflows++
			}
		case core.StallsTakeOffers:
			for _, holder := range m.inOrder(q) {
				if holder.offers && len(q.waiters) > 0 {
					holder.offers, holder.turnless = false, true
					m.stats.TurnsTaken++
					q.taken--
					m.serve(q)
				}
			}
		}
	}
}

// inOrder returns the holders of a queue's turns in the order in which offers are taken.
func (m *model) inOrder(q *modelQueue) (list []*actor) {
	for _, l := range m.lanes {
		if l.queue != q {
			continue
		}
		for _, c := range l.Conns() {
			for _, a := range l.held {
				if a.conn == c {
					list = append(list, a)
				}
			}
		}
	}
	return list
}
