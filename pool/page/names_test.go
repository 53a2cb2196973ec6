package page_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
)

// hostile is a name with markup, line breaks, characters that change the direction of text, and
// others that cannot be seen.
const hostile = "</script><img src=x onerror=alert(1)>'\"&\r\n\x1b[31m\u202egnp.exe\u2066\u200b\u00ad\u2028\ufeff\U000e0041\x00\xff\u3164"

// everywhere returns a pool with a name in all places where a program's names are.
func everywhere(name string) *view {
	return &view{
		name: name, stats: core.Stats{Max: 1, Open: 1, InUse: 1},
		health: core.HealthReport{Health: core.HealthDown, Reasons: []string{fmt.Sprintf("writes to %q fail: "+"%s", name, name)}, Err: errors.New("hidden error")},
		events: []wrap.Event{{Seq: 1, Kind: wrap.KindClose, Reason: wrap.Reason(name), Blocker: wrap.Blocker(name), Lane: wrap.Lane(name), Health: name, Err: name}},
		holders: []core.Holder{{
			Pool: name, Conn: 1, Lane: wrap.Lane(name), Held: time.Second, Last: name, Owner: name, Stack: []string{name, name}, WaitsFor: name,
		}},
		waiters:  []core.Waiter{{Pool: name, Lane: wrap.Lane(name), Place: 1, Waited: time.Second, Owner: name, Query: name}},
		settings: []core.Setting{{Name: name, Value: name, Default: name, Why: name}},
	}
}

// TestHostileNames checks that names are shown as text without anything that cannot be seen, on
// every route.
func TestHostileNames(t *testing.T) {
	h := newPage(t, everywhere(hostile))
	for _, route := range dataRoutes {
		body := get(h, "/?file="+route).Body.String()
		for _, r := range strings.TrimRight(body, "\n") {
			if r != '\n' && !unicode.IsPrint(r) || r == unicode.ReplacementChar || r == '\u3164' {
				t.Errorf("%s has %U", route, r)
			}
		}
		if strings.Contains(route, "json") {
			if strings.ContainsAny(body, "<>&") {
				t.Errorf("%s has markup: %s", route, body)
			}
		}
		if route != "statements.json" && !strings.HasPrefix(route, "plan.json") && !strings.Contains(strings.ReplaceAll(body, `\\`, `\`), `\u202egnp.exe\u2066`) {
			t.Errorf("%s does not show the name: %s", route, body)
		}
		if strings.Contains(body, "hidden error") {
			t.Errorf("%s shows an error", route)
		}
	}
	s := decode[state](t, get(h, "/state.json"))
	const want = `</script><img src=x onerror=alert(1)>'"&\r\n\x1b[31m\u202egnp.exe\u2066\u200b\u00ad\u2028\ufeff\U000e0041\x00\xff\u3164`
	if s.Pools[0].Name != want || s.Holders[0].Owner != want || s.Waiters[0].Owner != want {
		t.Errorf("the name is %s, want %s", s.Pools[0].Name, want)
	}
}

// TestLongNames checks that long names do not make long responses, and that the lines of state.txt
// have at most 100 columns.
func TestLongNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("long", 10_000), strings.Repeat("a ", 10_000), strings.Repeat("日本語", 10_000), strings.Repeat("\u202e", 10_000), hostile} {
		h := newPage(t, everywhere(name))
		for _, route := range dataRoutes {
			if n := get(h, "/?file="+route).Body.Len(); n > 64<<10 {
				t.Errorf("%s has %d bytes for %.20q", route, n, name)
			}
		}
		for line := range strings.Lines(get(h, "/state.txt").Body.String()) {
			columns := 0
			for _, r := range strings.TrimSuffix(line, "\n") {
				if columns++; r > 0x2e80 {
					columns++
				}
			}
			if columns > 100 {
				t.Errorf("a line has %d columns: %s", columns, line)
			}
		}
	}
}

// TestHideNames checks that names of pools and owners are on no route, and that the others in
// their place stay the same.
func TestHideNames(t *testing.T) {
	const pool, owner = "customer-acme.db", "alice@example.com"
	v := &view{
		name:     pool,
		health:   core.HealthReport{Health: core.HealthDegraded, Reasons: []string{`writes to "/data/customer-acme.db" fail`, "cannot open /data/customer-acme.db: full"}},
		holders:  []core.Holder{{Pool: pool, Conn: 1, Lane: wrap.LaneWriter, Owner: owner, WaitsFor: `writer of "customer-acme.db"`}, {Pool: pool, Conn: 2, Lane: wrap.LaneReader, Owner: "Backup"}},
		waiters:  []core.Waiter{{Pool: pool, Lane: wrap.LaneWriter, Place: 1, Owner: owner}},
		settings: []core.Setting{{Name: "lanes", Value: "1", Why: `the VFS of "customer-acme.db" is another one`}},
	}
	h := configured(t, page.Config{Pools: page.List(v, &view{name: pool}), Allow: page.Guarded, HideNames: true})
	for _, route := range dataRoutes {
		if body := get(h, "/?file="+route).Body.String(); strings.Contains(body, "acme") || strings.Contains(body, "alice") {
			t.Errorf("%s shows a name: %s", route, body)
		}
	}
	a := decode[state](t, get(h, "/state.json"))
	time.Sleep(300 * time.Millisecond)
	b := decode[state](t, get(h, "/state.json"))
	if a.Pools[0].Name != b.Pools[0].Name || !strings.HasPrefix(a.Pools[0].Name, "pool ") || a.Pools[0].ID == a.Pools[1].ID || a.Pools[0].ID != b.Pools[0].ID {
		t.Errorf("pools: %+v, then %+v", a.Pools, b.Pools)
	}
	if o := a.Waiters[0].Owner; !strings.HasPrefix(o, "owner ") || o != a.Holders[0].Owner || a.Holders[1].Owner != "Backup" {
		t.Errorf("owners: %+v, %+v", a.Holders, a.Waiters)
	}
	if got := a.Pools[0].Reasons; got[0] != "writes to ... fail" || got[1] != "cannot open ... full" {
		t.Errorf("reasons: %q", got)
	}
}
