package cluster

import (
	"errors"
	"strings"
	"testing"
)

// A say is an answer of a server in a script.
type say struct {
	who      string // its name
	primary  bool
	timeline uint64
	system   string
	err      error
}

var errDown = errors.New("down")

func primary(who string, timeline uint64) say {
	return say{who: who, primary: true, timeline: timeline, system: "7"}
}
func standby(who string) say { return say{who: who, system: "7"} }
func down(who string) say    { return say{who: who, err: errDown} }

// TestElection plays scripts of answers. After each, it checks who is the primary, and what the
// answers have changed.
func TestElection(t *testing.T) {
	for name, script := range map[string][]struct {
		say     say
		primary string // after it; empty for none
		retired string // servers whose connections must not be used any more
		refused bool   // two primaries are refused
	}{
		"a primary counts when all have answered": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: down("c"), primary: "a"},
		},
		"the newest of several at first": {
			{say: primary("a", 1)}, {say: primary("b", 2)}, {say: standby("c"), primary: "b"}, {say: primary("a", 1), primary: "b"},
		},
		"a promotion needs no answer of others": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: down("a")}, {say: primary("b", 2), primary: "b", retired: "a"}, {say: down("c"), primary: "b"},
		},
		"the old primary comes back": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: down("a")}, {say: primary("a", 1), primary: "a"},
		},
		"a promotion beside the primary": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: primary("b", 2), primary: "b", retired: "a"}, {say: primary("a", 1), primary: "b"},
			{say: down("b")}, {say: primary("a", 1)}, {say: standby("c")}, {say: primary("a", 3), primary: "a", retired: "b"},
		},
		"a demotion": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"}, {say: standby("a"), retired: "a"},
		},
		"two primaries are asked again before they are refused": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: primary("b", 1), primary: "a"}, {say: standby("c"), primary: "a"}, {say: primary("b", 1), primary: "a"},
			{say: primary("a", 1), retired: "a b", refused: true}, {say: primary("b", 1), refused: true},
			{say: down("a")}, {say: standby("c"), primary: "b", retired: "a"}, {say: primary("b", 1), primary: "b"},
		},
		"a change without timelines": {
			{say: primary("a", 0)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: primary("b", 0), primary: "a"}, {say: standby("a"), primary: "b", retired: "a"},
		},
		"another cluster": {
			{say: primary("a", 1)}, {say: standby("b")}, {say: standby("c"), primary: "a"},
			{say: say{who: "b", primary: true, timeline: 9, system: "8"}, primary: "a"}, {say: primary("a", 1), primary: "a"},
		},
		"two clusters at first": {
			{say: primary("a", 1)}, {say: say{who: "b", primary: true, timeline: 9, system: "8"}}, {say: standby("c")},
			{say: primary("a", 1)}, {say: say{who: "b", primary: true, timeline: 9, system: "8"}, retired: "a b", refused: true},
			{say: down("b"), primary: ""}, {say: standby("c")}, {say: primary("a", 1), primary: "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := election{servers: []*server{{Server: Server{Name: "a"}}, {Server: Server{Name: "b"}}, {Server: Server{Name: "c"}}}}
			byName := map[string]*server{"a": e.servers[0], "b": e.servers[1], "c": e.servers[2]}
			before := ""
			for i, step := range script {
				s := step.say
				c := e.record(byName[s.who], answer{asked: e.tick(), role: Role{Primary: s.primary, System: s.system, Timeline: s.timeline}, err: s.err})
				var retired []string
				for _, s := range c.retired {
					retired = append(retired, s.Name)
				}
				got := ""
				if e.primary != nil {
					got = e.primary.Name
				}
				if got != step.primary || strings.Join(retired, " ") != step.retired || (e.refusal != nil) != step.refused {
					t.Errorf("after answer %d of %s, the primary is %q, retired are %q, and refused is %v; want %q, %q and %v",
						i+1, s.who, got, retired, e.refusal, step.primary, step.retired, step.refused)
				}
				if c.found != (got != "" && got != before) || c.lost != (before != "" && got != before) {
					t.Errorf("answer %d: found %v, lost %v, from %q to %q", i+1, c.found, c.lost, before, got)
				}
				before = got
			}
		})
	}
}
