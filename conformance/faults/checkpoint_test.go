package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

func init() { roles["failing checkpoints"] = failingCheckpointsRole }

// failingCheckpointsRole writes while checkpoints fail. It says "degraded" once the pool
// reports that. After a line of input, it says "healthy" once the pool is healthy.
func failingCheckpointsRole() {
	var path string
	childArgument(&path)
	r, ctx := openReport(), context.Background()
	var log lockedBuffer
	var events atomic.Int64 // events of failed checkpoints; the pool's log has dropped them after a second of writes
	p, err := pool.Open(ctx, pool.Config{
		Path: path, JournalSizeLimit: 1 << 20, HealthInterval: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Recorder: driver.RecorderFunc(func(e driver.Event) {
			if e.Kind == driver.KindFailing {
				events.Add(1)
			}
		}),
	})
	if err != nil {
		fatalf("open: %v", err)
	}
	var id int64
	write := func() {
		id++
		if err := writeID(ctx, p.DB(), id, 10, 4000); err != nil {
			fatalf("a write while checkpoints fail: %v", err)
		}
		r.ack(id)
	}
	if _, err := p.DB().ExecContext(ctx, schema); err != nil {
		fatalf("schema: %v", err)
	}
	write()
	r.say("ready")
	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	// Far beyond the size at which a checkpoint is due.
	for p.Stats().Pages.Bytes < 6<<20 {
		write()
	}
	began := time.Now()
	for p.Health().Health != pool.HealthDegraded && time.Since(began) < recovery {
		write()
	}
	h := p.Health()
	r.say(fmt.Sprintf("%v, reasons %q", h.Health, h.Reasons))
	if h.Health != pool.HealthDegraded || !strings.Contains(strings.ToLower(strings.Join(h.Reasons, " ")), "checkpoint") {
		r.count("silent", 1)
	}
	// For another second, so that the parent notices a log that repeats itself.
	for began = time.Now(); time.Since(began) < time.Second; {
		write()
	}
	lines := 0
	for line := range bytes.Lines([]byte(strings.ReplaceAll(log.String(), path, "a.db"))) { // the path has the test's name
		if l := strings.ToLower(string(line)); strings.Contains(l, "checkpoint") && !strings.Contains(l, "level=info") {
			lines++
		}
	}
	r.count("log lines", lines)
	r.count("events", int(events.Load()))
	r.say("through")
	input.Scan()
	began = time.Now()
	err = healthy(ctx, p)
	for ; err != nil && time.Since(began) < recovery; err = healthy(ctx, p) {
		write()
	}
	if err != nil {
		r.count("stuck", 1)
		r.failed(err)
	}
	if err := p.Close(); err != nil {
		r.failed(fmt.Errorf("close: %w", err))
		r.count("stuck", 1)
	}
}

// Checkpoints that fail must not fail a write. The pool reports the failure in its health, once
// in its log, and in an event, until checkpoints work again.
func TestFailingCheckpoints(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			c := newCampaign(t, "checkpoints fail, "+errno.Error(), "acknowledged", "lost", "not whole", "hung", "stuck", "crashed", "silent", "log lines", "events")
			disk := newDisk(t, fusefs.Options{})
			ch := startChild(t, "failing checkpoints", filepath.Join(disk.dir, "a.db"))
			ch.mustAwait(t, "ready")
			var hits atomic.Int64
			disk.Inject(func(op fusefs.Op) syscall.Errno {
				if op.Kind == fusefs.Write && op.Name == "a.db" {
					hits.Add(1)
					return errno
				}
				return 0
			})
			ch.tell(true)
			if !ch.await("through") {
				c.wrong("hung", "%v\n%s", ch.err, ch.output())
			}
			c.add("faults", int(hits.Load()))
			disk.Inject(nil)
			ch.tell(true)
			if err, ended := ch.wait(); err != nil || !ended {
				c.wrong("crashed", "%v\n%s", err, ch.output())
			}
			ch.collect(c)
			c.add("acknowledged", len(ch.acked()))
			c.compareImage("after all", disk.Live(), "a.db", ch.acked(), false)
			t.Log(ch.words())
			if c.get("faults") == 0 {
				t.Error("no checkpoint has failed")
			}
			if c.get("silent") > 0 {
				t.Error("checkpoints fail, but the health does not report it")
			}
			if n := c.get("log lines"); n != 1 {
				t.Errorf("log lines: %d, not 1", n)
			}
			if c.get("events") == 0 {
				t.Error("no event was recorded")
			}
		})
	}
}
