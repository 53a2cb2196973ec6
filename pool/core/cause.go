package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Cause is the reason why an acquire failed, as far as the pool has seen it during the wait.
type Cause string

const (
	CauseClosed    Cause = "closed"     // the pool is closed
	CauseQueueFull Cause = "queue full" // Config.MaxWaiters calls were waiting
	CauseCancelled Cause = "cancelled"  // the caller's context ended while it waited for a holder
	CauseConnect   Cause = "connect"    // no connection could be opened; see AcquireError.Connect
	CauseHook      Cause = "hook"       // Hooks.BeforeAcquire refused every connection
	CauseCycle     Cause = "cycle"      // the caller waits for itself, or it and other holders wait for each other; see [WithOwner]
	CauseIdle      Cause = "idle"       // connections are held, and nothing has been done with them for most of the wait
	CauseLeak      Cause = "leak"       // the same, and Config.LeakAfter has reported a holder
	CauseSlow      Cause = "slow"       // connections are held, and used, all the time
	CauseOverload  Cause = "overload"   // connections are released, but there are too many waiters
	CauseUpkeep    Cause = "upkeep"     // the pool itself has the connection or the turn, such as for a backup or a checkpoint
	CauseOther     Cause = "other"      // another pool of this process holds the file's write lock
)

// A verdict is the cause of a failed acquire, with what the error says about it.
type verdict struct {
	cause  Cause
	why    string // what the pool has seen; empty if the cause says it all
	advice string // what the program can do about it
}

// An outcome is how an acquire failed, with what the pool has seen of it.
type outcome struct {
	err      error
	before   *snapshot // when the wait for a turn began; nil if it did not wait for a turn when it failed
	suspects []stuck   // holders that waited for each other, when the waiter looked last
	refused  bool      // Hooks.BeforeAcquire refused what it could have had
	gotTurn  bool      // it got a turn as it ended, and has released that

	// The rest is about the end.
	ctx     context.Context
	lane    *Lane
	turns   int   // limit of the queue
	opening bool  // a connection of the lane is being opened
	failed  error // of the last attempt to open one, if that ended during the wait
	cycle   int   // number of callers that wait for each other, of which the waiter is one
	byTrace bool  // some of them are known only by their traces
}

// What a program can do. Each is one sentence.
const (
	adviseClosed    = "do not use a pool after its Shutdown or Close"
	adviseQueueFull = "make fewer calls at the same time, or raise Config.MaxWaiters"
	adviseOpenable  = "correct what keeps connections from being opened"
	adviseOpening   = "find out why opening takes so long: Config.Init, a hook or the file system"
	adviseHook      = "let Config.Hooks.BeforeAcquire accept a connection"
	adviseSelf      = "close the rows or use the transaction before asking the database again"
	adviseGiveBack  = "close the connection, or use it, before asking the database again"
	adviseOrder     = "acquire connections in the same order everywhere, or release one before asking for the next"
	adviseLeak      = "close the rows or end the transaction where that holder acquired its connection"
	adviseLeakConn  = "close the connection where that holder acquired it"
	adviseStatement = "shorten the statement"
	adviseUse       = "shorten the transaction or the loop over the rows"
	adviseRaw       = "return from Raw, and close the connection or make its next call"
	adviseWriters   = "shorten the transactions, or raise Config.AcquireTimeout"
	adviseReaders   = "shorten the queries, or raise Config.MaxConns or Config.AcquireTimeout"
	adviseUpkeep    = "repeat the call when the backup or checkpoint has ended, or raise Config.AcquireTimeout"
	adviseTurn      = "find out whether Config.Hooks.BeforeAcquire hangs, or repeat the call later"
	adviseOther     = "open the file once in the process and share that pool, or shorten the other pool's transactions"
	adviseTime      = "give the call more time"
)

// advise returns an advice with the settings that the engine has.
func (l *Lane) advise(advice string) string {
	remedy := ""
	switch advice {
	case adviseStatement:
		remedy = l.cfg.Remedies.Statement
	case adviseUse:
		remedy = l.cfg.Remedies.Use
	case adviseReaders:
		return strings.Replace(advice, "Config.MaxConns", cmp.Or(l.opts.Limit, "Config.MaxConns"), 1)
	}
	if remedy == "" {
		return advice
	}
	return advice + ", or " + remedy
}

// causeOf returns the cause of a failed acquire, from what happened between two snapshots. It
// uses nothing else.
func causeOf(o outcome, after *snapshot) verdict {
	switch {
	case errors.Is(o.err, ErrClosed):
		return verdict{CauseClosed, "", adviseClosed}
	case errors.Is(o.err, ErrQueueFull):
		return verdict{CauseQueueFull, "", adviseQueueFull}
	case o.refused:
		return verdict{CauseHook, "Config.Hooks.BeforeAcquire refused every connection", adviseHook}
	case o.before == nil:
		return o.connect()
	}
	v := o.judge(parties(o.before, after), after)
	if v.cause == CauseConnect || v.cause == CauseHook || errors.Is(o.err, ErrAcquireTimeout) || errors.Is(o.err, ErrDeadlock) {
		return v
	}
	// database/sql ends rows and transactions with the same context, perhaps before now.
	for _, s := range o.before.leases {
		if p := (party{sighting: s, before: &s}); s.hasTurn && after.find(s) == nil {
			if why := o.seemsCaller(p); why != "" {
				return verdict{CauseCancelled, why, adviseIdle([]party{p})}
			}
		}
	}
	v.cause = CauseCancelled
	if v.advice == adviseWriters || v.advice == adviseReaders || v.advice == adviseUpkeep {
		v.advice = adviseTime // the setting would not have helped
	}
	return v
}

func (o outcome) connect() verdict {
	if o.failed != nil {
		return verdict{CauseConnect, "a connection could not be opened", adviseOpenable}
	}
	return verdict{CauseConnect, "a connection is still being opened", adviseOpening}
}

// A party is a lease that had a turn when a wait ended, or, if it is gone, when the wait began.
type party struct {
	sighting
	before *sighting // nil if no look of the wait saw it
	gone   bool
}

// parties returns the leases that the waiter waited for: those that have a turn now, or if there
// are none, those that had one.
func parties(before, after *snapshot) (list []party) {
	for _, s := range after.leases[:min(len(after.leases), mostWatched)] {
		if s.hasTurn {
			list = append(list, party{sighting: s, before: before.find(s)})
		}
	}
	if len(list) > 0 {
		return list
	}
	for i, s := range before.leases {
		if s.hasTurn {
			list = append(list, party{sighting: s, before: &before.leases[i], gone: true})
		}
	}
	return list
}

// isIdle reports whether the holder has called nothing since a look at it. When the context of a
// transaction ends, database/sql rolls it back, which is not the holder's call.
func (p party) isIdle() bool {
	if p.before == nil || p.gone || p.use.byPool || p.does.Unseen {
		return false
	}
	steps := p.does.Steps - p.before.quiet.steps
	return steps == 0 && !p.does.Running || steps == 1 && p.ended && !p.before.quiet.running
}

// isIdleFor reports whether the holder has been idle for long enough to explain the wait: for half
// of it, or since it came, if few uses ended before.
func (p party) isIdleFor(few bool) bool {
	return p.isIdle() && (p.before.quiet.look <= lookHalf || few && p.before.first == p.before.quiet.look)
}

// judge returns the cause of a wait for parties.
func (o outcome) judge(list []party, after *snapshot) verdict {
	var kept, idle, running, unseen, elsewhere, upkeep, gone []party
	released := after.released - o.before.released
	if o.gotTurn {
		released--
	}
	few := released <= uint64(o.turns)
	for _, p := range list {
		if p.gone {
			gone = append(gone, p)
			continue
		}
		if p.before != nil && p.before.first <= lookHalf {
			kept = append(kept, p)
		}
		switch {
		case p.lane != o.lane:
			elsewhere = append(elsewhere, p)
		case p.use.byPool:
			upkeep = append(upkeep, p)
		}
		switch {
		case p.isIdleFor(few):
			idle = append(idle, p)
		case p.does.Unseen:
			unseen = append(unseen, p)
		case p.does.Running:
			running = append(running, p)
		}
	}
	none := len(list) == len(gone) // no connection is held now
	switch {
	case o.failed != nil && len(kept) < o.turns, o.opening && none && len(gone) == 0:
		return o.connect()
	case after.refused > o.before.refused && none && released == 0:
		return verdict{CauseHook, "Config.Hooks.BeforeAcquire refused the connections", adviseHook}
	case o.cycle == 1 && o.byTrace:
		return verdict{CauseCycle, seemsToWait + "trace", adviseIdle(list)}
	case o.cycle == 1:
		return verdict{CauseCycle, "the caller waits for itself", adviseIdle(list)}
	case o.cycle > 1 && o.byTrace:
		return verdict{CauseCycle, "the holders seem to wait for each other, because waiters have the holders' traces", adviseOrder}
	case o.cycle > 1:
		return verdict{CauseCycle, "the holders wait for each other", adviseOrder}
	case len(gone) > 0 && released <= uint64(len(gone)):
		return releasedLate(gone)
	case none && released > 0:
		return o.overload(released)
	case none:
		return verdict{CauseUpkeep, "no connection is held, but the pool itself or a hook of the program has the turn", adviseTurn}
	case len(elsewhere) == len(list):
		return o.elsewhere(list)
	case len(upkeep) == len(list):
		return verdict{CauseUpkeep, "the pool itself has the connection", adviseUpkeep}
	case 2*len(idle) >= max(min(o.turns, mostWatched), len(list)):
		return o.idle(idle, len(list), after.when)
	case len(kept) < len(list) && !few:
		return o.overload(released)
	case len(kept) == 0 && released > 0:
		return verdict{CauseSlow, usesEnded(released) + plural(list, ", and the holder came after that", ", and the holders came after that"), adviseUse}
	case len(running) > 0:
		return verdict{CauseSlow, plural(list, "the holder is inside a statement", "the holders are in use, and some are inside a statement"), adviseStatement}
	case len(unseen) == len(list):
		return verdict{CauseSlow, "the program has the engine's own connection, and the pool does not see its calls", adviseRaw}
	}
	when := "all the time"
	if slices.ContainsFunc(list, party.isIdle) {
		when = "during the wait"
	}
	return verdict{CauseSlow, plural(list, "the holder has used the connection ", "the holders have used the connections ") + when, adviseUse}
}

// idle returns the cause if so many connections, of so many holders, are idle that this explains
// the wait.
func (o outcome) idle(list []party, of int, now time.Time) verdict {
	since := "since the wait began"
	last := list[0].before.quiet
	for _, p := range list[1:] {
		if p.before.quiet.look > last.look {
			last = p.before.quiet
		}
	}
	if last.look > 0 {
		since = fmt.Sprintf("for the last %s", now.Sub(last.when).Round(time.Millisecond))
	}
	are := plural(list, "the holder has", "the holders have")
	if len(list) < of {
		are = fmt.Sprintf("%d of %d holders %s", len(list), of, plural(list, "has", "have"))
	}
	v := verdict{CauseIdle, are + " done nothing " + since, adviseIdle(list)}
	for _, p := range list {
		if p.use.leakReported {
			v.cause = CauseLeak
			v.why = plural(list, "the holder was reported as leaked, and has done nothing ", "a holder was reported as leaked, and none has done anything ") + since
			v.advice = adviseLeak
			if p.rows == 0 && !p.does.Tx {
				v.advice = adviseLeakConn
			}
		}
	}
	for _, p := range list {
		if why := o.seemsCaller(p); why != "" {
			v.why += "; " + why
			v.advice = adviseIdle(list)
			break
		}
	}
	return v
}

// elsewhere returns the cause if the holders are of other pools.
func (o outcome) elsewhere(list []party) verdict {
	v := verdict{CauseOther, "another pool of this process has the write lock of the file", adviseOther}
	for _, p := range list {
		if why := o.seemsCaller(p); why != "" && p.isIdle() {
			v.why += "; " + why
			v.advice = adviseIdle(list)
			break
		}
	}
	return v
}

// releasedLate returns the cause if the holders of the beginning have given back their connections.
func releasedLate(gone []party) verdict {
	return verdict{CauseSlow, plural(gone, "the holder released the connection as the wait ended", "the holders released the connections as the wait ended"), adviseTime}
}

func usesEnded(n uint64) string {
	if n == 1 {
		return "1 use ended during the wait"
	}
	return fmt.Sprintf("%d uses ended during the wait", n)
}

func (o outcome) overload(released uint64) verdict {
	why := usesEnded(released)
	if o.lane.opts.Reads || o.turns > 1 {
		return verdict{CauseOverload, why, adviseReaders}
	}
	return verdict{CauseOverload, why, adviseWriters}
}

const seemsToWait = "the caller seems to wait for itself, because the holder has the same "

// seemsCaller returns why a lease seems to be the waiter's own, or an empty string. That is not
// certain, because goroutines may share a context or a trace.
func (o outcome) seemsCaller(p party) string {
	var with string
	switch {
	case p.use.caller().is(callerOf(o.ctx)) && p.use.owner != "" && p.use.owner == ownerOf(o.ctx):
		with = "name"
	case p.use.caller().is(callerOf(o.ctx)):
		with = "trace"
	case sameContext(p.use.ctx, o.ctx):
		with = "context"
	default:
		return ""
	}
	return seemsToWait + with
}

// sameContext reports whether a and b end together, or are the same context, other than one
// that all share, such as context.Background. It compares pointers only, because other contexts
// may not be comparable.
func sameContext(a, b context.Context) bool {
	if a == nil || b == nil {
		return false
	}
	if done := a.Done(); done != nil && done == b.Done() {
		return true
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	return x.Kind() == reflect.Pointer && x.Type() == y.Type() && x.Pointer() == y.Pointer()
}

// adviseIdle returns the advice for callers that hold connections and do nothing with them.
func adviseIdle(list []party) string {
	for _, p := range list {
		if p.rows > 0 || p.does.Tx || p.before != nil && (p.before.rows > 0 || p.before.does.Tx) {
			return adviseSelf
		}
	}
	return adviseGiveBack
}

func plural(list []party, one, many string) string {
	if len(list) == 1 {
		return one
	}
	return many
}
