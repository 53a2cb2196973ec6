package engines_test

import (
	"database/sql/driver"
	"fmt"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// (*sql.Conn).Raw passes a *wrap.Conn. Its Parent is what Raw passes on the bare driver.
func TestRaw(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			given := func(w way) (raw any) {
				play(t, e, program{play: func(r *run) {
					conn := r.conn()
					defer conn.Close()
					conn.Raw(func(c any) error { raw = c; return nil })
				}}, w)
				return raw
			}
			bare := given(byConnector)
			if got := fmt.Sprintf("%T", bare); got != e.raw {
				t.Errorf("the bare driver gives a %s, want a %s", got, e.raw)
			}
			_, resets := bare.(driver.SessionResetter)
			_, validates := bare.(driver.Validator)
			if e.discards == (resets && validates) {
				t.Errorf("connections can be reset: %t, validated: %t; that contradicts discards %t", resets, validates, e.discards)
			}
			for _, w := range []way{byConnector, byDriver} {
				conn, ok := given(wrapped(w, wrap.Config{Source: tracing.Source{System: e.system}})).(*wrap.Conn)
				if !ok {
					t.Fatalf("by %s, the wrapped driver gives no *wrap.Conn", w.name)
				}
				if got := fmt.Sprintf("%T", conn.Parent()); got != e.raw {
					t.Errorf("by %s, the wrapped connection is a %s, want a %s", w.name, got, e.raw)
				}
			}
		})
	}
}
