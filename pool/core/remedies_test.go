package core_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// TestRemedies checks that the advice of an error names settings only if the engine has them.
func TestRemedies(t *testing.T) {
	for _, remedy := range []string{"", "set Config.SomeTimeout"} {
		bubble(t, func(t *testing.T) {
			e := started(t, core.Config{AcquireTimeout: time.Second, Remedies: core.Remedies{Statement: remedy}}, writer())
			l := e.lane()
			c := acquire(t, l)
			toyOf(c).running.Store(true)
			_, err := l.Acquire(context.Background(), nil)
			toyOf(c).running.Store(false)
			l.Release(c)
			want := "shorten the statement"
			if remedy != "" {
				want += ", or " + remedy
			}
			if !strings.HasSuffix(err.Error(), "; "+want) {
				t.Errorf("%v, want the advice to %s", err, want)
			}
		})
	}
}
