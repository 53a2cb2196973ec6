package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// TestReadYourWrites checks that a reader shows what its caller has written, only with that option,
// and that the standby answers it.
func TestReadYourWrites(t *testing.T) {
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint(waits), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				all := newServers("a", "b")
				all.get("b").set(func(s *server) { s.behind = 20 * time.Millisecond })
				p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = waits })
				for i := range 10 {
					value := fmt.Sprint(i)
					if i%2 == 0 {
						if err := insert(t.Context(), p.DB(), value); err != nil {
							t.Fatal(err)
						}
					} else {
						tx := begin(t, p.DB(), nil)
						if err := insert(t.Context(), tx, value); err != nil {
							t.Fatal(err)
						}
						if err := tx.Commit(); err != nil {
							t.Fatal(err)
						}
					}
					s, values := where(t, p.Reader())
					if shows := slices.Contains(strings.Split(values, ","), value); s != "b" || shows != waits {
						t.Errorf("%s shows %q after %s", s, values, value)
					}
				}
			})
		})
	}
}

// TestReadYourWritesOfConn checks that each read of a *sql.Conn of Reader, and each read-only
// transaction of one of DB, shows what was written before it.
func TestReadYourWritesOfConn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("b").set(func(s *server) { s.behind = 20 * time.Millisecond })
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		c, err := p.Reader().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, value := range []string{"x", "y"} {
			if err := insert(t.Context(), p.DB(), value); err != nil {
				t.Fatal(err)
			}
			if s, values := where(t, c); s != "b" || !strings.HasSuffix(values, value) {
				t.Errorf("%s shows %q after %s", s, values, value)
			}
			tx := begin(t, p.DB(), &sql.TxOptions{ReadOnly: true})
			if s, values := where(t, tx); s != "b" || !strings.HasSuffix(values, value) {
				t.Errorf("in a transaction, %s shows %q after %s", s, values, value)
			}
			tx.Rollback()
		}
	})
}

// TestStandbyTooFarBehind checks that a reader uses the primary if its standby does not catch up in
// time, that an event says so, and that the standby is used again afterwards.
func TestStandbyTooFarBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("b").set(func(s *server) { s.behind = time.Minute })
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if s, values := where(t, p.Reader()); s != "a" || values != "x" {
			t.Errorf("%s shows %q", s, values)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("that took %v, want at most the ReplayTimeout", took)
		}
		if h := p.Health(); h.Health.String() != "degraded" || !strings.Contains(strings.Join(h.Reasons, " "), "ReplayTimeout") {
			t.Errorf("%v: %q", h.Health, h.Reasons)
		}
		time.Sleep(2 * time.Minute)
		if s, values := where(t, p.Reader()); s != "b" || values != "x" {
			t.Errorf("%s shows %q after the standby has caught up", s, values)
		}
		if got := kinds(p, postgres.ReasonReplay); !slices.Equal(got, []string{"failing", "recovered"}) {
			t.Errorf("events %q", got)
		}
	})
}

// TestReadersShareQuestions checks that a read costs no question if nothing was written since the
// last one, and that readers of the same time share one.
func TestReadersShareQuestions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		a, b := all.get("a"), all.get("b")
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		count := func() (written, replayed int) {
			a.set(func(s *server) { written = s.asked["written"] })
			b.set(func(s *server) { replayed = s.asked["replayed"] })
			return written, replayed
		}
		where(t, p.Reader())
		if w, r := count(); w != 0 || r != 0 {
			t.Errorf("%d and %d questions before the first write", w, r)
		}
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			where(t, p.Reader())
		}
		if w, r := count(); w != 1 || r != 1 {
			t.Errorf("%d and %d questions after one write, want one each", w, r)
		}
		if err := insert(t.Context(), p.DB(), "y"); err != nil {
			t.Fatal(err)
		}
		a.set(func(s *server) { s.latency = time.Second })
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				if s, _ := where(t, p.Reader()); s != "b" {
					t.Errorf("%s answers", s)
				}
			})
		}
		readers.Wait()
		if w, _ := count(); w > 3 {
			t.Errorf("%d questions, want readers to share them", w)
		}
	})
}

// TestReplayAfterFailover checks that a position of the old primary, which the new one may never
// reach, keeps no reader waiting.
func TestReplayAfterFailover(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b", "c")
		a, b := all.get("a"), all.get("b")
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		a.set(func(s *server) { s.log = append(s.log, "lost", "lost", "lost") }) // asynchronously
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Fatal(err)
		}
		where(t, p.Reader())
		a.kill()
		b.promote()
		time.Sleep(2 * time.Second)
		insert(t.Context(), p.DB(), "y")
		if err := insert(t.Context(), p.DB(), "y"); err != nil {
			t.Fatal(err)
		}
		if s, values := where(t, p.Reader()); s != "c" || !strings.HasSuffix(values, "y") {
			t.Errorf("%s shows %q, want the standby", s, values)
		}
	})
}

// TestReplayEndsWithContext checks that a reader stops waiting for its standby with its context.
func TestReplayEndsWithContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("b").set(func(s *server) { s.behind = time.Hour })
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites, c.ReplayTimeout = true, time.Minute })
		if err := insert(t.Context(), p.DB(), "x"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var s, values string
		began := time.Now()
		if err := p.Reader().QueryRowContext(ctx, "SELECT server FROM t").Scan(&s, &values); err == nil || ctx.Err() == nil {
			t.Errorf("%v, want the end of the context", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited for %v", took)
		}
	})
}

// TestReadYourWritesOfRows checks that a write that ends with the close of its rows is seen, also if a
// reader has asked for the position before that.
func TestReadYourWritesOfRows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		all.get("b").set(func(s *server) { s.behind = 20 * time.Millisecond })
		p := open(t, all, func(c *postgres.Config) { c.ReadYourWrites = true })
		c, err := p.DB().Conn(t.Context()) // which keeps its connection after the rows
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		rows, err := c.QueryContext(t.Context(), "INSERT INTO t VALUES ($1) RETURNING v", "x")
		if err != nil {
			t.Fatal(err)
		}
		where(t, p.Reader())
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if s, values := where(t, p.Reader()); s != "b" || values != "x" {
			t.Errorf("%s shows %q", s, values)
		}
	})
}
