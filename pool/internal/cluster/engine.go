package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// An engine is a cluster for [core.Pool].
type engine struct{ *Pool }

var _ core.Engine = engine{}

// Kinds of failures, in the order of failureKinds.
const (
	failPrimary = iota
	failStandby
	failReplay
)

// Reasons of [wrap.KindFailing] and [wrap.KindRecovered].
const (
	ReasonPrimary wrap.Reason = "primary" // no server is the primary
	ReasonStandby wrap.Reason = "standby" // no standby can be used
	ReasonReplay  wrap.Reason = "replay"  // no standby replays what the pool has written in time
)

var failureKinds = []core.FailureKind{
	failPrimary: {Reason: ReasonPrimary, Begins: "there is no primary", Ends: "there is a primary again"},
	failStandby: {Reason: ReasonStandby, Begins: "there is no standby, and readers use the primary", Ends: "there is a standby again"},
	failReplay:  {Reason: ReasonReplay, Begins: "the standby is behind, and readers use the primary", Ends: "the standby has caught up", InCalls: true},
}

// Lost implements [core.Engine]. A lost server may come back, so no acquire fails for it at once.
func (e engine) Lost() error { return nil }

// Noticed implements [core.Engine].
func (e engine) Noticed(error) {}

// Describe implements [core.Engine].
func (e engine) Describe(err error) string { return e.describe(err) }

// describe returns what a log line or a report may show of an error: its code or type, because the
// text may have values of the program.
func (p *Pool) describe(err error) string {
	for _, ours := range []error{ErrNoPrimary, ErrTwoPrimaries, ErrDemoted, errWrongRole, errNoStandby, errNoAnswer} {
		if errors.Is(err, ours) {
			return ours.Error()
		}
	}
	if f := p.cfg.Classify; f != nil {
		if class := f(err); class.StatusCode != "" {
			return class.StatusCode
		}
	}
	return core.Describe(err)
}

// Examine implements [core.Engine]. It asks every server for its role.
func (e engine) Examine(ctx context.Context, _ bool) core.HealthReport {
	e.roster.refresh(ctx)
	return e.healthNow()
}

// healthNow returns the health of the last answers. Its reasons are those of Reasons.
func (p *Pool) healthNow() core.HealthReport {
	if p.roster.primary() == nil {
		return core.HealthReport{Health: core.HealthDown, Err: p.roster.why(nil)}
	}
	return core.HealthReport{Health: core.HealthOK}
}

// Reasons implements [core.Engine].
func (e engine) Reasons() []string {
	list := e.roster.reasons()
	if e.core.Fails(failStandby) {
		list = append(list, "no standby can be used: readers use the primary")
	}
	if e.core.Fails(failReplay) {
		list = append(list, "the last reader has found no standby that had caught up within Config.ReplayTimeout, and has used the primary")
	}
	return list
}

// changed makes what the servers have answered take effect. The roster calls it after every answer.
func (p *Pool) changed(c change) {
	for _, s := range c.retired {
		p.takeAway(s)
	}
	if len(c.retired)+len(c.moved) > 0 {
		p.closeReplaced(p.roster.ended)
	}
	if c.lost || c.found {
		r := p.healthNow()
		r.Checked = time.Now()
		p.core.SetHealth(r)
	}
	switch {
	case c.found:
		p.core.Succeed(failPrimary)
	case c.lost:
		why := p.roster.why(nil)
		p.core.Fail(failPrimary, core.FailureCause{Why: why.text(), Status: p.describe(why)})
	}
	if p.readers != nil && p.cfg.Readers == OnStandbys && p.roster.isComplete() {
		if p.roster.hasStandby() {
			p.core.Succeed(failStandby)
		} else {
			p.core.Fail(failStandby, core.FailureCause{Why: errNoStandby.Error(), Status: errNoStandby.Error()})
		}
	}
	p.core.HealthMayChange(true)
}

// closeReplaced closes the idle connections that must be replaced, on a goroutine of the pool.
func (p *Pool) closeReplaced(ctx context.Context) {
	p.guard.Start(ctx, p.replace, func(ctx context.Context) {
		for _, l := range p.core.Lanes() {
			l.CloseIdle(ctx, wrap.ReasonReset, func(s core.Session) bool { return s.(*conn).isReplaced() })
		}
	})
}

// takeAway takes away the connections to a server that must not be used any more. Their running
// calls end.
func (p *Pool) takeAway(s *server) {
	err := demoted(s.Name)
	for _, l := range p.core.Lanes() {
		for _, lent := range l.Conns() {
			if c := lent.Session().(*conn); c.server == s && c.isRetired() {
				if _, used := lent.UsedSince(); used {
					lent.Stop(err, wrap.ReasonReset)
				}
			}
		}
	}
}

// recordReplay records whether a reader has found a standby that had caught up.
func (p *Pool) recordReplay(caughtUp bool) {
	switch {
	case p.cfg.Position == nil:
	case caughtUp:
		p.core.Succeed(failReplay)
	default:
		p.core.Fail(failReplay, core.FailureCause{Why: "the standby has not replayed what the pool has written"})
	}
}

// Maintain implements [core.Engine]. The roster has its own goroutines. What it wanted to have closed
// while others were still being closed is closed here.
func (e engine) Maintain(ctx context.Context, _ time.Time) { e.closeReplaced(ctx) }

// Stop implements [core.Engine].
func (e engine) Stop(ctx context.Context) bool { return e.stop(ctx) }

// stop ends the pool's own goroutines and connections.
func (p *Pool) stop(ctx context.Context) bool {
	ended := p.roster.stop(ctx)
	ended = p.replace.Ended(ctx) && ended
	return p.replay.stop(ctx) && ended
}

// BeforeClose implements [core.Engine].
func (e engine) BeforeClose(context.Context, wrap.Lane) {}

// Closed implements [core.Engine].
func (e engine) Closed(context.Context) error {
	err := e.closeFacades()
	e.endMetrics()
	e.name.Release()
	return err
}

func (p *Pool) endMetrics() {
	for _, stop := range p.stopMetrics {
		stop()
	}
}
