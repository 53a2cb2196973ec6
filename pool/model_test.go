package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestPoolMatchesModel checks that a pool behaves like a simple model of it, at every step of
// random operations. It compares which callers are served, in which order, which wait, what is
// open, the counters and the events. In a synctest bubble, the test can wait after each step
// until every goroutine is blocked.
func TestPoolMatchesModel(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 8
	}
	seed := rand.Uint64()
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(round)))
			m := newModel(t, r)
			defer func() {
				if t.Failed() {
					t.Fatalf("seed %d, round %d, steps: %s", seed, round, strings.Join(m.steps, ", "))
				}
			}()
			for range 120 {
				m.step()
				if t.Failed() {
					return
				}
			}
			m.end()
		})
		if t.Failed() {
			return
		}
	}
}

// A model is a model of a pool.
type model struct {
	t     *testing.T
	r     *rand.Rand
	p     *pool.Pool
	l     *ledger
	max   int
	lanes map[string]*modelLane
	held  []*actor
	names int
	steps []string
}

type modelLane struct {
	limit, taken int
	list         []*actor
}

// An actor is a caller that wants a connection, and what it has got.
type actor struct {
	name   string
	lane   string
	lazy   bool // a checkout that may move to the writer
	inTx   bool
	extra  bool
	cancel context.CancelFunc
	on     interface {
		execer
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}
	leave func() error

	// The acquire's goroutine sets these.
	done bool
	err  error
}

func newModel(t *testing.T, r *rand.Rand) *model {
	most := 2 + r.IntN(4)
	p, l := pooled(t, oops(pool.Config{
		MaxConns: most, MinConns: 1 + r.IntN(most), AcquireTimeout: -1, Events: 1 << 16, MaxWaiters: 8,
		LeakAfter: time.Duration(r.IntN(2)) * 30 * time.Millisecond,
		Dirty:     pool.DirtyPolicy(r.IntN(2)),
	}))
	p.KeepTurns() // other tests check which turns are taken, and when
	must(t, p.DB(), "CREATE TABLE t(a)")
	return &model{t: t, r: r, p: p, l: l, max: most, lanes: map[string]*modelLane{
		"reader": {limit: most - 1}, "writer": {limit: 1},
	}}
}

// begin makes an actor ask for a connection of a lane.
func (m *model) begin(a *actor, lane string, acquire func(ctx context.Context) error) {
	if lane == "reader" && m.max == 1 {
		lane = "writer"
	}
	a.lane, a.done, a.err, a.extra = lane, false, nil, false
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(m.t.Context())
	go func() {
		err := acquire(ctx)
		a.err, a.done = err, true
	}()
	synctest.Wait()
	l := m.lanes[lane]
	switch {
	case len(l.list) == 0 && l.taken < l.limit:
		l.taken++
		m.held = append(m.held, a)
	case len(l.list) >= 8:
		if !a.done || !errors.Is(a.err, pool.ErrQueueFull) {
			m.t.Errorf("%s: the queue is full, but its acquire returned %v", a.name, a.err)
		}
		a.cancel()
		if a.leave != nil {
			a.leave()
		}
	default:
		l.list = append(l.list, a)
	}
}

func (m *model) newActor(what string) *actor {
	m.names++
	return &actor{name: fmt.Sprint(what, m.names)}
}

func (m *model) join() {
	a := m.newActor("")
	ctx := context.Background()
	switch m.r.IntN(6) {
	case 0:
		a.name = "read" + a.name
		m.begin(a, "reader", func(ctx context.Context) error {
			c, err := m.p.AcquireRead(ctx)
			if err == nil {
				a.on, a.leave = c, c.Release
			}
			return err
		})
	case 1:
		a.name = "write" + a.name
		m.begin(a, "writer", func(ctx context.Context) error {
			c, err := m.p.AcquireWrite(ctx)
			if err == nil {
				a.on, a.leave = c, c.Release
			}
			return err
		})
	case 2, 3:
		read := m.r.IntN(3) > 0
		c, err := m.p.Acquire(ctx)
		if err != nil {
			m.t.Error(err)
			return
		}
		a.on, a.leave = c, c.Release
		if read {
			a.name = "lazy read" + a.name
			a.lazy = m.max > 1
			m.begin(a, "reader", func(ctx context.Context) error {
				return c.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int))
			})
		} else {
			a.name = "lazy write" + a.name
			m.begin(a, "writer", func(ctx context.Context) error {
				_, err := c.ExecContext(ctx, "UPDATE t SET a = a")
				return err
			})
		}
	default:
		lane := []string{"reader", "writer"}[m.r.IntN(2)]
		a.name = lane + " tx" + a.name
		a.inTx = true
		m.begin(a, lane, func(ctx context.Context) error {
			// The transaction must outlive the context of its acquire.
			tx, err := m.p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: lane == "reader"})
			if err == nil {
				a.on, a.leave = tx, tx.Rollback
			}
			return err
		})
	}
	m.steps = append(m.steps, a.name)
}

// give releases the turn of an actor.
func (m *model) give(a *actor) {
	m.held = slices.DeleteFunc(m.held, func(b *actor) bool { return a == b })
	if !a.extra {
		m.lanes[a.lane].taken--
	}
	m.serve(a.lane)
}

func (m *model) serve(lane string) {
	l := m.lanes[lane]
	for len(l.list) > 0 && l.taken < l.limit {
		m.held = append(m.held, l.list[0])
		l.list = l.list[1:]
		l.taken++
	}
}

func pick[T any](r *rand.Rand, list []T) (_ T, ok bool) {
	if len(list) == 0 {
		var none T
		return none, false
	}
	return list[r.IntN(len(list))], true
}

func (m *model) step() {
	ctx := context.Background()
	say := func(format string, args ...any) { m.steps = append(m.steps, fmt.Sprintf(format, args...)) }
	switch m.r.IntN(22) {
	case 0, 1, 2, 3, 4, 5:
		m.join()
	case 6:
		for range 4 {
			m.join()
		}
	case 7, 8, 9, 10, 11: // a release
		a, ok := pick(m.r, m.held)
		if !ok {
			return
		}
		say("end %s", a.name)
		if tx, ok := a.on.(*sql.Tx); ok && m.r.IntN(2) == 0 {
			a.leave = tx.Commit
		}
		if err := a.leave(); err != nil {
			m.t.Errorf("end %s: %v", a.name, err)
		}
		a.cancel()
		m.give(a)
	case 12, 13: // a waiter gives up
		l := m.lanes[[]string{"reader", "writer"}[m.r.IntN(2)]]
		a, ok := pick(m.r, l.list)
		if !ok {
			return
		}
		say("cancel %s", a.name)
		a.cancel()
		synctest.Wait()
		if !a.done || !errors.Is(a.err, context.Canceled) {
			m.t.Errorf("%s was cancelled, but has %v", a.name, a.err)
		}
		if a.leave != nil {
			a.leave()
		}
		l.list = slices.DeleteFunc(l.list, func(b *actor) bool { return a == b })
	case 14, 15: // a use
		a, ok := pick(m.r, m.held)
		if !ok {
			return
		}
		say("use %s", a.name)
		if a.lane == "writer" && (!a.inTx || !strings.HasPrefix(a.name, "reader")) {
			must(m.t, a.on, "INSERT INTO t VALUES (1)")
		} else if err := a.on.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int)); err != nil {
			m.t.Errorf("%s: %v", a.name, err)
		}
	case 16: // a panic
		a, ok := pick(m.r, m.held)
		if !ok {
			return
		}
		say("crash %s", a.name)
		if !panics(func() { a.on.QueryRowContext(ctx, "SELECT oops()").Scan(new(int)) }) {
			m.t.Errorf("%s has not panicked", a.name)
		}
		a.leave()
		a.cancel()
		m.give(a)
	case 17: // a checkout moves to the writer
		list := slices.DeleteFunc(slices.Clone(m.held), func(a *actor) bool { return !a.lazy || a.lane != "reader" })
		a, ok := pick(m.r, list)
		if !ok {
			return
		}
		say("upgrade %s", a.name)
		a.cancel()
		m.give(a)
		m.begin(a, "writer", func(ctx context.Context) error {
			_, err := a.on.ExecContext(ctx, "UPDATE t SET a = a")
			return err
		})
	case 18: // a transaction that is not ended before its checkout
		list := slices.DeleteFunc(slices.Clone(m.held), func(a *actor) bool { return a.inTx || a.lane != "writer" })
		a, ok := pick(m.r, list)
		if !ok {
			return
		}
		say("dirty %s", a.name)
		must(m.t, a.on, "BEGIN")
		if err := a.leave(); err != nil {
			m.t.Error(err)
		}
		a.cancel()
		m.give(a)
	case 19:
		say("reset")
		m.p.Reset()
	case 20:
		m.max = 1 + m.r.IntN(6)
		say("resize %d", m.max)
		if err := m.p.Resize(m.max); err != nil {
			m.t.Error(err)
		}
		m.lanes["reader"].limit = max(m.max-1, 1)
		m.serve("reader")
	case 21: // the last waiters are let in if there is no progress
		d := time.Duration(1+m.r.IntN(50)) * time.Millisecond
		say("wait %v", d)
		time.Sleep(d)
		synctest.Wait()
		l := m.lanes["reader"]
		for n := len(l.list); n > 0 && l.list[n-1].done; n = len(l.list) {
			l.list[n-1].extra = true
			m.held = append(m.held, l.list[n-1])
			l.list = l.list[:n-1]
		}
	}
	m.check()
}

// check compares the pool with the model.
func (m *model) check() {
	m.t.Helper()
	synctest.Wait()
	// A holder of a turn may have to open a connection. SQLite may then wait for a lock, such
	// as that of a connection being closed.
	opening := func(a *actor) bool { return !a.done }
	for tries := 0; tries < 10 && slices.ContainsFunc(m.held, opening); tries++ {
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
	waiting := 0
	for _, l := range m.lanes {
		waiting += len(l.list)
		for _, a := range l.list {
			if a.done {
				m.t.Errorf("%s was served or failed (%v) though others are before it", a.name, a.err)
			}
		}
	}
	inUse := map[string]int{}
	extra := 0
	for _, a := range m.held {
		inUse[a.lane]++
		if a.extra {
			extra++
		}
		if !a.done || a.err != nil {
			m.t.Errorf("%s should have a connection: done is %v, error %v", a.name, a.done, a.err)
		}
	}
	s := m.p.Stats()
	if s.ReadersInUse != inUse["reader"] || s.WritersInUse != inUse["writer"] || s.Waiting != waiting || len(m.p.Holders()) != len(m.held) {
		m.t.Errorf("%d readers, %d writers, %d waiting; want %v and %d; holders %v", s.ReadersInUse, s.WritersInUse, s.Waiting, inUse, waiting, m.p.Holders())
	}
	if most := max(m.max-1, inUse["reader"]-extra) + extra; s.Readers > most || s.Writers > 1 {
		m.t.Errorf("%d readers and %d writers are open, want at most %d and one", s.Readers, s.Writers, most)
	}
	if s.Acquires != s.Releases+s.Discards+uint64(len(m.held)) {
		m.t.Errorf("%d acquires, %d releases, %d discards, %d in use", s.Acquires, s.Releases, s.Discards, len(m.held))
	}
	if int(s.Overflows) != m.l.closedFor(driver.ReasonOverflow)+extra && m.l.closedFor(driver.ReasonPanic)+m.l.closedFor(driver.ReasonReset) == 0 {
		m.t.Errorf("%d overflows, %d in use now, %d closed", s.Overflows, extra, m.l.closedFor(driver.ReasonOverflow))
	}
	m.l.check(m.t, m.p)
}

// end releases all connections, or closes the pool while they are in use.
func (m *model) end() {
	if m.r.IntN(2) == 0 {
		for len(m.held) > 0 {
			a := m.held[0]
			a.leave()
			a.cancel()
			m.give(a)
			m.check()
		}
		m.l.settled(m.t, m.p)
		return
	}
	held := m.held
	closed := make(chan error, 1)
	go func() { closed <- m.p.Close() }()
	synctest.Wait()
	for _, l := range m.lanes {
		for _, a := range l.list {
			if !a.done || !errors.Is(a.err, pool.ErrClosed) {
				m.t.Errorf("%s still waits though the pool is closed: %v", a.name, a.err)
			}
			if a.leave != nil {
				a.leave()
			}
			a.cancel()
		}
	}
	for i, a := range held {
		if len(closed) != 0 {
			m.t.Errorf("the pool was closed while %d connections were in use", len(held)-i)
		}
		if err := a.leave(); err != nil {
			m.t.Errorf("end %s: %v", a.name, err)
		}
		a.cancel()
	}
	if err := <-closed; err != nil {
		m.t.Error(err)
	}
	m.l.settled(m.t, m.p)
}
