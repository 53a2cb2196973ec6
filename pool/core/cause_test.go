package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A sceneLease is a lease in a scene: what the waiter saw of it when its wait began and when it
// ended. Without late and first, it was there from the beginning; without gone, to the end.
type sceneLease struct {
	steps          uint64 // entries into the engine during the wait
	ran, runs      bool   // it was inside the engine at the beginning, at the end
	unseen, leaked bool
	tx             bool
	rows           int
	ctx            context.Context
	elsewhere      bool // in a lane of another pool
	byPool, noTurn bool
	late, gone     bool
	first, quiet   int    // the looks that saw it first, and since which it has called nothing; quiet is at least first
	early          uint64 // of steps, those before the look quiet
	ended          bool   // its context has ended
	trace          byte
	owner          string
}

// A scene is what a waiter saw, and the cause and the advice that must come out.
type scene struct {
	name     string
	err      error // nil means ErrAcquireTimeout
	ctx      context.Context
	turns    int // 0 means 1
	reads    bool
	noWait   bool // it failed when it had its turn
	refused  bool
	refusals uint64 // during the wait
	released uint64 // turns, during the wait
	gotTurn  bool   // one of them is the waiter's own
	opening  bool
	failed   error
	cycle    int
	byTrace  bool
	leases   []sceneLease

	cause  Cause
	advice string
	why    string // part of what the error says about the cause
}

// play returns the two snapshots of a scene.
func (s scene) play() (o outcome, after *snapshot) {
	here, there := &Lane{shared: &shared{}, opts: LaneConfig{Reads: s.reads}}, &Lane{shared: &shared{}}
	o = outcome{err: s.err, ctx: s.ctx, lane: here, turns: max(s.turns, 1), refused: s.refused, gotTurn: s.gotTurn, opening: s.opening, failed: s.failed, cycle: s.cycle, byTrace: s.byTrace}
	if o.err == nil {
		o.err = ErrAcquireTimeout
	}
	if o.ctx == nil {
		o.ctx = context.Background()
	}
	start := time.Now()
	before := &snapshot{when: start, released: 7, refused: 3}
	after = &snapshot{when: start.Add(time.Second), released: 7 + s.released, refused: 3 + s.refusals}
	for _, l := range s.leases {
		ctx := l.ctx
		if ctx == nil {
			ctx = context.Background()
		}
		this := sighting{lane: here, conn: &Conn{}, rows: l.rows, hasTurn: !l.noTurn, first: l.first,
			use: use{on: true, number: 5, ctx: ctx, trace: trace.TraceID{l.trace}, owner: l.owner, byPool: l.byPool}}
		if l.elsewhere {
			this.lane = there
		}
		this.does = Activity{Tx: l.tx, Steps: 100, Running: l.ran, Unseen: l.unseen}
		look := max(l.first, l.quiet)
		this.quiet = quiet{look, start.Add(time.Duration(look) * 250 * time.Millisecond), 100 + l.early, l.ran}
		if !l.late && len(before.leases) < mostWatched {
			before.leases = append(before.leases, this)
		}
		this.does.Steps, this.does.Running, this.ended, this.use.leakReported = 100+l.steps, l.runs, l.ended, l.leaked
		if !l.gone {
			after.leases = append(after.leases, this)
		}
	}
	if !s.noWait {
		o.before = before
	}
	return o, after
}

// TestCauseOf checks the cause of failed acquires, and the advice.
func TestCauseOf(t *testing.T) {
	mine, cancel := context.WithCancel(context.Background())
	defer cancel()
	others, cancelOthers := context.WithCancel(context.Background())
	defer cancelOthers()
	traced := trace.ContextWithSpanContext(mine, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{4}, SpanID: trace.SpanID{1}}))
	type key struct{}
	broken := errors.New("broken")
	idleTx, idleRows, idleConn := sceneLease{tx: true}, sceneLease{rows: 1}, sceneLease{}
	leakedTx := sceneLease{tx: true, leaked: true}
	statement, busy := sceneLease{ran: true, runs: true}, sceneLease{steps: 500, tx: true}
	scenes := []scene{
		// The pool or its configuration refuses the call.
		{name: "closed", err: ErrClosed, cause: CauseClosed, advice: adviseClosed},
		{name: "closed, while a transaction is idle", err: ErrClosed, leases: []sceneLease{idleTx}, cause: CauseClosed, advice: adviseClosed},
		{name: "the queue is full", err: ErrQueueFull, noWait: true, leases: []sceneLease{busy}, cause: CauseQueueFull, advice: adviseQueueFull},
		{name: "the hook refuses what it could have", noWait: true, refused: true, cause: CauseHook, advice: adviseHook},
		{name: "the hook refuses until the context ends", err: context.Canceled, noWait: true, refused: true, cause: CauseHook, advice: adviseHook},
		{name: "the hook refuses the one before", refusals: 12, cause: CauseHook, advice: adviseHook},
		{name: "the hook refuses some, and others take turns", refusals: 2, released: 9, leases: []sceneLease{{late: true}}, cause: CauseOverload, advice: adviseWriters},

		// No connection can be opened.
		{name: "opening hangs", noWait: true, opening: true, cause: CauseConnect, advice: adviseOpening},
		{name: "opening hangs until the context ends", err: context.DeadlineExceeded, noWait: true, opening: true, cause: CauseConnect, advice: adviseOpening},
		{name: "opening fails, then hangs", noWait: true, opening: true, failed: broken, cause: CauseConnect, advice: adviseOpenable},
		{name: "another call's opening hangs", opening: true, cause: CauseConnect, advice: adviseOpening},
		{name: "other calls' openings fail", released: 3, failed: broken, cause: CauseConnect, advice: adviseOpenable},
		{name: "an opening failed, and one of three readers is idle", turns: 3, reads: true, failed: broken, leases: []sceneLease{idleRows}, cause: CauseConnect, advice: adviseOpenable},
		{name: "an opening beside an idle transaction", opening: true, leases: []sceneLease{idleTx}, cause: CauseIdle, advice: adviseSelf},
		{name: "an opening failed beside holders of all turns", turns: 2, failed: broken, leases: []sceneLease{busy, busy}, cause: CauseSlow, advice: adviseUse},

		// Holders do nothing.
		{name: "an idle transaction", leases: []sceneLease{idleTx}, cause: CauseIdle, advice: adviseSelf, why: "the holder has done nothing since the wait began"},
		{name: "open rows", leases: []sceneLease{idleRows}, cause: CauseIdle, advice: adviseSelf},
		{name: "a connection kept for nothing", leases: []sceneLease{idleConn}, cause: CauseIdle, advice: adviseGiveBack},
		{name: "an idle transaction, with the same context", ctx: mine, leases: []sceneLease{{tx: true, ctx: mine}}, cause: CauseIdle, advice: adviseSelf, why: "itself"},
		{name: "an idle transaction, with a value added to the context", ctx: context.WithValue(mine, key{}, 1), leases: []sceneLease{{tx: true, ctx: mine}}, cause: CauseIdle, advice: adviseSelf, why: "itself"},
		{name: "an idle transaction of half the wait", released: 1, leases: []sceneLease{{tx: true, first: lookHalf}}, cause: CauseIdle, advice: adviseSelf, why: "the holder has done nothing for the last 750ms"},
		{name: "a transaction that came in the second half, idle", released: 1, leases: []sceneLease{{tx: true, first: lookLate}}, cause: CauseIdle, advice: adviseSelf, why: "the holder has done nothing for the last 500ms"},
		{name: "a transaction that came in the second half, idle, after many", released: 4, leases: []sceneLease{{tx: true, first: lookLate}}, cause: CauseOverload, advice: adviseWriters},
		{name: "a transaction that came at the end, after another", released: 1, leases: []sceneLease{{tx: true, late: true}}, cause: CauseSlow, advice: adviseUse, why: "1 use ended during the wait, and the holder came after that"},
		{name: "a transaction that worked, then idle for most of the wait", leases: []sceneLease{{tx: true, steps: 9, early: 9, quiet: lookHalf}}, cause: CauseIdle, advice: adviseSelf, why: "for the last"},
		{name: "a transaction that came and worked, then idle for most of the wait", released: 1, leases: []sceneLease{{tx: true, first: lookHalf, steps: 9, early: 9}}, cause: CauseIdle, advice: adviseSelf, why: "for the last"},
		{name: "a transaction that worked, then idle for a while", leases: []sceneLease{{tx: true, steps: 9, early: 9, quiet: lookLate}}, cause: CauseSlow, advice: adviseUse, why: "the holder has used the connection during the wait"},
		{name: "two of three readers are idle", turns: 3, reads: true, leases: []sceneLease{idleRows, idleRows, busy}, cause: CauseIdle, advice: adviseSelf, why: "2 of 3 holders have done nothing since"},
		{name: "all readers are idle", turns: 2, reads: true, leases: []sceneLease{idleRows, idleRows}, cause: CauseIdle, advice: adviseSelf, why: "the holders have done nothing"},
		{name: "one of two readers is idle, the other slow", turns: 2, reads: true, leases: []sceneLease{idleRows, statement}, cause: CauseIdle, advice: adviseSelf, why: "1 of 2 holders has done nothing since the wait began"},
		{name: "an idle holder without a turn is not in the way", leases: []sceneLease{{noTurn: true}, busy}, cause: CauseSlow, advice: adviseUse},

		// The same, and reported.
		{name: "a leaked transaction", leases: []sceneLease{leakedTx}, cause: CauseLeak, advice: adviseLeak},
		{name: "leaked rows", leases: []sceneLease{{rows: 2, leaked: true}}, cause: CauseLeak, advice: adviseLeak},
		{name: "a leaked connection", leases: []sceneLease{{leaked: true}}, cause: CauseLeak, advice: adviseLeakConn},
		{name: "a leaked transaction, with the same context", ctx: mine, leases: []sceneLease{{tx: true, leaked: true, ctx: mine}}, cause: CauseLeak, advice: adviseSelf, why: "itself"},
		{name: "two of three readers are leaked, one takes turns", turns: 3, reads: true, released: 5, leases: []sceneLease{{rows: 1, leaked: true}, {rows: 1, leaked: true}, {late: true}}, cause: CauseLeak, advice: adviseLeak},
		{name: "reported as leaked, and active", leases: []sceneLease{{steps: 3, tx: true, leaked: true}}, cause: CauseSlow, advice: adviseUse},

		// Holders are active.
		{name: "a long statement", leases: []sceneLease{statement}, cause: CauseSlow, advice: adviseStatement, why: "inside a statement"},
		{name: "a long statement, which began during the wait", leases: []sceneLease{{steps: 1, runs: true}}, cause: CauseSlow, advice: adviseStatement},
		{name: "many short statements", leases: []sceneLease{busy}, cause: CauseSlow, advice: adviseUse},
		{name: "many short statements, one under way", leases: []sceneLease{{steps: 500, runs: true, tx: true}}, cause: CauseSlow, advice: adviseStatement},
		{name: "many short statements, with the same context", ctx: mine, leases: []sceneLease{{steps: 9, tx: true, ctx: mine}}, cause: CauseSlow, advice: adviseUse},
		{name: "a statement ended, then nothing", leases: []sceneLease{{ran: true, steps: 1}}, cause: CauseSlow, advice: adviseUse},
		{name: "calls that the pool does not see", leases: []sceneLease{{unseen: true}}, cause: CauseSlow, advice: adviseRaw, why: "does not see its calls"},
		{name: "calls that the pool does not see, in a function of the program", leases: []sceneLease{{unseen: true, ran: true, runs: true}}, cause: CauseSlow, advice: adviseRaw, why: "does not see its calls"},
		{name: "all readers are slow", turns: 2, reads: true, leases: []sceneLease{statement, busy}, cause: CauseSlow, advice: adviseStatement},
		{name: "one of three readers is idle, the others slow", turns: 3, reads: true, leases: []sceneLease{idleRows, statement, statement}, cause: CauseSlow, advice: adviseStatement},
		{name: "the first connection is opened, and used since then", leases: []sceneLease{{late: true, runs: true}}, cause: CauseSlow, advice: adviseStatement},
		{name: "the holder releases it when the wait ends", released: 1, leases: []sceneLease{{gone: true}}, cause: CauseSlow, advice: adviseTime},

		// Holders take turns.
		{name: "writers take turns", released: 40, leases: []sceneLease{{gone: true}, {late: true, runs: true}}, cause: CauseOverload, advice: adviseWriters, why: "40 uses ended"},
		{name: "readers take turns", turns: 2, reads: true, released: 80, leases: []sceneLease{{late: true}, {late: true}}, cause: CauseOverload, advice: adviseReaders},
		{name: "a reader stays, two take turns", turns: 3, reads: true, released: 80, leases: []sceneLease{idleRows, {late: true}, {late: true}}, cause: CauseOverload, advice: adviseReaders},
		{name: "turns are taken, none is seen at the end", released: 5, cause: CauseOverload, advice: adviseWriters},

		// The caller waits for itself, or others do.
		{name: "a cycle of one", cycle: 1, leases: []sceneLease{idleTx}, cause: CauseCycle, advice: adviseSelf, why: "the caller waits for itself"},
		{name: "a cycle of one, without rows or a transaction", cycle: 1, leases: []sceneLease{idleConn}, cause: CauseCycle, advice: adviseGiveBack},
		{name: "a cycle of two", cycle: 2, leases: []sceneLease{idleTx}, cause: CauseCycle, advice: adviseOrder},
		{name: "a cycle of one, of a trace", cycle: 1, byTrace: true, leases: []sceneLease{idleTx}, cause: CauseCycle, advice: adviseSelf, why: "the caller seems to wait for itself, because the holder has the same trace"},
		{name: "a cycle of two, of traces", cycle: 2, byTrace: true, leases: []sceneLease{idleTx}, cause: CauseCycle, advice: adviseOrder, why: "seem to wait"},
		{name: "a deadlock", err: ErrDeadlock, cycle: 1, leases: []sceneLease{{tx: true, leaked: true}}, cause: CauseCycle, advice: adviseSelf},

		// The pool itself, or another pool.
		{name: "a backup", leases: []sceneLease{{byPool: true, steps: 9, runs: true}}, cause: CauseUpkeep, advice: adviseUpkeep},
		{name: "a checkpoint waits for readers", leases: []sceneLease{{byPool: true}}, cause: CauseUpkeep, advice: adviseUpkeep},
		{name: "a turn without a connection", cause: CauseUpkeep, advice: adviseTurn},
		{name: "another pool of the file", leases: []sceneLease{{elsewhere: true, tx: true}}, cause: CauseOther, advice: adviseOther},
		{name: "another pool of the file, with the same context", ctx: mine, leases: []sceneLease{{elsewhere: true, tx: true, ctx: mine}}, cause: CauseOther, advice: adviseSelf, why: "itself"},
		{name: "another pool of the file, slow", leases: []sceneLease{{elsewhere: true, steps: 3, runs: true}}, cause: CauseOther, advice: adviseOther},

		// The context ends. The advice is about the holders of the wait.
		{name: "canceled, an idle transaction", err: context.Canceled, ctx: mine, leases: []sceneLease{{tx: true, ctx: others}}, cause: CauseCancelled, advice: adviseSelf},
		{name: "canceled, a leaked transaction", err: context.Canceled, leases: []sceneLease{leakedTx}, cause: CauseCancelled, advice: adviseLeak},
		{name: "deadline, a long statement", err: context.DeadlineExceeded, leases: []sceneLease{statement}, cause: CauseCancelled, advice: adviseStatement},
		{name: "deadline, writers take turns", err: context.DeadlineExceeded, released: 3, leases: []sceneLease{{gone: true}, {late: true}}, cause: CauseCancelled, advice: adviseTime},
		{name: "deadline, own rows, which database/sql has closed", err: context.DeadlineExceeded, ctx: mine, released: 1, leases: []sceneLease{{rows: 1, ctx: mine, gone: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "deadline, own transaction, which database/sql rolls back", err: context.DeadlineExceeded, ctx: mine, leases: []sceneLease{{tx: true, ctx: mine, steps: 1, runs: true, ended: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "deadline, own transaction, which database/sql has rolled back", err: context.DeadlineExceeded, ctx: mine, leases: []sceneLease{{ctx: mine, steps: 1, ended: true, tx: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "deadline, own rows, and others take turns since then", err: context.DeadlineExceeded, ctx: mine, released: 2, leases: []sceneLease{{rows: 1, ctx: mine, gone: true}, {late: true, runs: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "deadline, own rows, whose end has given the waiter a turn", err: context.DeadlineExceeded, ctx: mine, released: 2, gotTurn: true, leases: []sceneLease{{rows: 1, ctx: mine, gone: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "timeout, as the holder gives the waiter a turn", released: 2, gotTurn: true, leases: []sceneLease{{gone: true}}, cause: CauseSlow, advice: adviseTime},
		{name: "deadline, another's rows, which have been closed", err: context.DeadlineExceeded, ctx: mine, released: 1, leases: []sceneLease{{rows: 1, ctx: others, gone: true}}, cause: CauseCancelled, advice: adviseTime},
		{name: "deadline, own trace", err: context.DeadlineExceeded, ctx: traced, released: 1, leases: []sceneLease{{rows: 1, trace: 4, gone: true}}, cause: CauseCancelled, advice: adviseSelf, why: "itself"},
		{name: "deadline, own name", err: context.DeadlineExceeded, ctx: WithOwner(mine, "me"), released: 1, leases: []sceneLease{{rows: 1, owner: "me", gone: true}}, cause: CauseCancelled, advice: adviseSelf, why: "the same name"},
		{name: "one of two readers has the caller's trace", ctx: traced, turns: 2, reads: true, leases: []sceneLease{{rows: 1, trace: 4}, idleRows}, cause: CauseIdle, advice: adviseSelf, why: "the same trace"},
		{name: "half of many readers are idle", turns: 400, reads: true, leases: append(slices.Repeat([]sceneLease{idleRows, busy}, 200), busy), cause: CauseIdle, advice: adviseSelf},
		{name: "many readers are busy", turns: 400, reads: true, leases: slices.Repeat([]sceneLease{busy}, 400), cause: CauseSlow, advice: adviseUse},
		{name: "canceled, another pool", err: context.Canceled, leases: []sceneLease{{elsewhere: true, tx: true}}, cause: CauseCancelled, advice: adviseOther},
		{name: "canceled, a backup", err: context.Canceled, leases: []sceneLease{{byPool: true}}, cause: CauseCancelled, advice: adviseTime},
	}
	if len(scenes) < 40 {
		t.Errorf("only %d scenes", len(scenes))
	}
	for _, s := range scenes {
		o, after := s.play()
		got := causeOf(o, after)
		if got.cause != s.cause || got.advice != s.advice || !strings.Contains(got.why, s.why) {
			t.Errorf("%s: cause %q (%s), advice %q; want %q (%s), %q", s.name, got.cause, got.why, got.advice, s.cause, s.why, s.advice)
		}
	}
}

// TestAcquireErrorText checks that the text of an error says each thing once, and ends with the
// advice.
func TestAcquireErrorText(t *testing.T) {
	h := Holder{Conn: 3, Pool: "a", Lane: "writer", Held: 2 * time.Second, Tx: true}
	elsewhere := Holder{Conn: 4, Pool: "b", Lane: "writer", Held: time.Second}
	again := Holder{Conn: 3, Pool: "a", Lane: "writer", Held: time.Second, gone: true}
	gone := Holder{Conn: 5, Pool: "a", Lane: "writer", Rows: 1, gone: true}
	for _, test := range []struct {
		err  AcquireError
		want string
	}{
		{AcquireError{Err: ErrAcquireTimeout, Waited: time.Second, Place: 1, Cause: CauseIdle, why: "why", Holders: []Holder{h}, Advice: "do it"},
			`pool: acquire a writer of "a": timed out after 1s as the first in the queue, 0 waiting; cause: idle: why; held: connection 3 for 2s, in a transaction; do it`},
		{AcquireError{Err: ErrAcquireTimeout, Waited: time.Second, Place: 12, Waiting: 2, Cause: CauseOther, Holders: []Holder{elsewhere}, Advice: "do it"},
			`pool: acquire a writer of "a": timed out after 1s as the 12th in the queue, 2 waiting; cause: other; held: writer of "b", connection 4 for 1s; do it`},
		{AcquireError{Err: context.Canceled, Waited: time.Second, Place: 2, Cause: CauseCancelled, Holders: []Holder{gone}, Advice: "do it"},
			`pool: acquire a writer of "a": context canceled after 1s as the second in the queue, 0 waiting; cause: cancelled; held: connection 5 for 0s when the wait began, with open rows of a query; do it`},
		{AcquireError{Err: context.Canceled, Waited: time.Second, Place: 1, Cause: CauseCancelled, Holders: []Holder{h, again}, Advice: "do it"},
			`pool: acquire a writer of "a": context canceled after 1s as the first in the queue, 0 waiting; cause: cancelled; held: connection 3 for 2s, in a transaction; do it`},
		{AcquireError{Err: ErrQueueFull, Waiting: 2, Cause: CauseQueueFull, Advice: "do it"},
			`pool: acquire a writer of "a": the queue is full, 2 waiting; cause: queue full; do it`},
		{AcquireError{Err: ErrAcquireTimeout, Waited: time.Second, Cause: CauseConnect, why: "why", Connect: errors.New("broken"), Advice: "do it"},
			`pool: acquire a writer of "a": timed out after 1s, 0 waiting; cause: connect: why (broken); do it`},
	} {
		e := test.err
		e.Pool, e.Lane = "a", "writer"
		if got := e.Error(); got != test.want {
			t.Errorf("%s\nwant\n%s", got, test.want)
		}
	}
	for n, want := range map[int]string{1: "first", 10: "tenth", 11: "11th", 13: "13th", 21: "21st", 22: "22nd", 113: "113th", 123: "123rd"} {
		if got := ordinal(n); got != want {
			t.Errorf("ordinal(%d) is %q", n, got)
		}
	}
}

// An uncomparable is a context that panics when it is compared with ==.
type uncomparable struct {
	context.Context
	_ []int
}

// TestSameContext checks which contexts are taken for the same.
func TestSameContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	value := context.WithValue(context.Background(), key{}, 1)
	child, cancelChild := context.WithCancel(ctx)
	defer cancelChild()
	for _, test := range []struct {
		a, b context.Context
		want bool
	}{
		{context.Background(), context.Background(), false},
		{context.TODO(), context.TODO(), false},
		{nil, ctx, false},
		{ctx, ctx, true},
		{ctx, context.WithValue(ctx, key{}, 1), true},
		{ctx, child, false},
		{value, value, true},
		{value, context.WithValue(context.Background(), key{}, 1), false},
		{uncomparable{Context: value}, uncomparable{Context: value}, false},
		{uncomparable{Context: ctx}, uncomparable{Context: ctx}, true},
	} {
		if got := sameContext(test.a, test.b); got != test.want {
			t.Errorf("sameContext(%v, %v) is %v", fmt.Sprint(test.a), fmt.Sprint(test.b), got)
		}
	}
}

// TestAdviseLimit checks that the advice for a full lane names the setting that limits it.
func TestAdviseLimit(t *testing.T) {
	for limit, want := range map[string]string{"": adviseReaders, "Config.MaxReaders": "shorten the queries, or raise Config.MaxReaders or Config.AcquireTimeout"} {
		l := &Lane{shared: &shared{}, opts: LaneConfig{Limit: limit}}
		if got := l.advise(adviseReaders); got != want {
			t.Errorf("with %q: %q, want %q", limit, got, want)
		}
	}
}
