package litestream

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestDown checks that a pool that leaves its checkpoints to Litestream reports a WAL that has
// grown because Litestream does not run. The report ends when Litestream has caught up.
func TestDown(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	p, err := pool.Open(t.Context(), pool.Config{
		Path:             path,
		Pragmas:          leave.pragmas,
		JournalSizeLimit: 8 << 20,
		Logger:           slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	run(t, p, "CREATE TABLE filler(a)")
	r := newReplica(t, path)
	ls := r.start()
	ls.kill()
	for range 10 {
		run(t, p, "INSERT INTO filler VALUES (zeroblob(1000000))")
	}
	if h := p.Health(); h.Health != pool.HealthDegraded || !strings.Contains(strings.Join(h.Reasons, " "), "no other program has moved it to the database") {
		t.Errorf("without Litestream: %+v", h)
	}
	if n := walBytes(path); n < 8<<20 {
		t.Errorf("the WAL has %d bytes", n)
	}
	ls = r.start()
	wait(t, "for the pool's health", func() bool {
		if err := p.HealthCheck(context.Background()); err != nil {
			t.Error(err)
		}
		return p.Health().Health == pool.HealthOK
	})
	ls.sync()
	ls.stop()
	r.check()
}
