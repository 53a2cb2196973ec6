package core_test

import (
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestFailures checks that a failure is reported when it begins and when it ends, and counted
// meanwhile, and that kinds of failures are independent.
func TestFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const writes, syncs = 0, 1
		e := started(t, core.Config{Failures: []core.FailureKind{
			writes: {Reason: wrap.ReasonWrite, Begins: "writes fail", Ends: "writes succeed", InCalls: true},
			syncs:  {Reason: wrap.ReasonCheckpoint, Begins: "syncs fail", Ends: "syncs succeed"},
		}}, writer())
		p := e.pool
		reported := func() (list []wrap.Event) {
			for _, event := range p.Events() {
				if event.Kind == wrap.KindFailing || event.Kind == wrap.KindRecovered {
					list = append(list, event)
				}
			}
			return list
		}
		p.Succeed(writes)
		if events := reported(); len(events) != 0 || len(p.Failures()) != 0 {
			t.Errorf("without a failure, the events are %+v and the failures %+v", events, p.Failures())
		}
		began := time.Now()
		p.Fail(writes, core.FailureCause{Why: "the disk is full", Status: "13", Holder: &core.Holder{Conn: 7}})
		time.Sleep(time.Second)
		p.Fail(writes, core.FailureCause{Why: "the disk is gone", Status: "10"})
		events := reported()
		if len(events) != 1 || events[0].Reason != wrap.ReasonWrite || events[0].Err != "13" || events[0].Holder != 7 || events[0].Background {
			t.Errorf("the events are %+v", events)
		}
		if !p.Fails(writes) || p.Fails(syncs) || p.FailuresBegun(writes) != 1 {
			t.Errorf("writes fail: %v, %d times; syncs fail: %v", p.Fails(writes), p.FailuresBegun(writes), p.Fails(syncs))
		}
		if got, want := p.Failures(), (core.Failure{Kind: writes, Since: began, Count: 2, Why: "the disk is gone"}); len(got) != 1 || got[0] != want {
			t.Errorf("the failures are %+v, want %+v", got, want)
		}
		p.Fail(syncs, core.FailureCause{Why: "no"})
		p.Succeed(writes)
		p.Succeed(writes)
		events = reported()
		if len(events) != 3 || events[2].Kind != wrap.KindRecovered || events[2].Duration != time.Second || !events[1].Background {
			t.Errorf("the events are %+v", events)
		}
		if p.Fails(writes) || !p.Fails(syncs) || len(p.Failures()) != 1 {
			t.Errorf("writes fail: %v, syncs fail: %v, of %+v", p.Fails(writes), p.Fails(syncs), p.Failures())
		}
	})
}
