package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

func init() { roles["stall"] = stallRole }

// stallArgs is the argument of the role "stall".
type stallArgs struct {
	Path     string
	Database database
	Health   bool // the blocked call is a health check instead of a write
	Waits    bool // a read waits until what it sees is on the disk
}

// The timeout of each call that is made while the disk is stalled, and how much later it must
// have returned on the slowest machine.
const (
	stallTimeout = 300 * time.Millisecond
	stallLimit   = 15 * time.Second
)

// stallRole makes one call that waits for the disk. It says "stalled" after the parent has
// confirmed the stall and all other calls have returned in time.
func stallRole() {
	var args stallArgs
	childArgument(&args)
	r, ctx := openReport(), context.Background()
	left := watchLeaks(filepath.Dir(args.Path))
	db, p, err := args.Database.openWith(ctx, args.Path, pool.Config{MaxConns: 4})
	if err != nil {
		fatalf("open: %v", err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		fatalf("schema: %v", err)
	}
	var next atomic.Int64
	write := func(ctx context.Context) error {
		id := next.Add(1)
		err := writeID(ctx, db, id, int(id%3)+1, 1000)
		if err == nil {
			r.ack(id)
		}
		return err
	}
	for range 20 {
		if err := write(ctx); err != nil {
			fatalf("write: %v", err)
		}
	}
	r.say("ready")
	input := bufio.NewScanner(os.Stdin)
	input.Scan() // the next operation will stall

	held := make(chan error, 1)
	go func() {
		if !args.Health {
			held <- write(ctx)
			return
		}
		bounded, cancel := context.WithTimeout(ctx, stallTimeout)
		defer cancel()
		held <- p.HealthCheck(bounded)
	}()
	input.Scan() // it has stalled
	returns := func(what string, must bool, f func(context.Context) error) {
		bounded, cancel := context.WithTimeout(ctx, stallTimeout)
		defer cancel()
		var err error
		if stuck := within(stallLimit, what, func() { err = f(bounded) }); stuck != nil {
			r.count("hung", 1)
			r.failed(stuck)
			return
		}
		if err != nil {
			r.failed(fmt.Errorf("%s: %w", what, err))
			if must {
				r.count("stuck", 1)
			}
		}
	}
	if args.Health {
		returns("the health check", false, func(context.Context) error {
			err := <-held
			held <- nil
			return err
		})
	} else {
		if args.Database.Journal == "" {
			returns("a read", !args.Waits, func(bounded context.Context) error {
				if !args.Waits {
					bounded = ctx // it has nothing to wait for
				}
				_, err := countIDs(bounded, db)
				if args.Waits && err == nil {
					r.count("unseen", 1)
					return errors.New("it has not waited for the disk")
				}
				return err
			})
		}
		returns("a write", false, write)
		returns("another health check", false, p.HealthCheck)
	}
	returns("the statistics", true, func(context.Context) error {
		_, _, _, _ = p.Stats(), p.Health(), p.Holders(), p.Events()
		return nil
	})
	returns("Shutdown", false, p.Shutdown)
	r.say("stalled")
	r.failed(<-held) // it returns after the disk is released
	for _, what := range left.left() {
		r.count("leaked", 1)
		r.failed(errors.New("leaked: " + what))
	}
}

// While the disk blocks one call, all others must return in time. After the release, everything
// must be there. A file of the database itself is blocked only if no reader has to continue:
// FUSE blocks each process that asks for the size of a file which is being written or synced.
func TestStalls(t *testing.T) {
	stalls := []struct {
		name     string
		database database
		health   bool
		kind     fusefs.Kind
		ending   string // of the file
	}{
		{"write to the WAL", database{}, false, fusefs.Write, "-wal"},
		{"sync of the WAL, shared", database{}, false, fusefs.Sync, "-wal"},
		{"sync of the WAL, shared early", database{CommitSync: pool.CommitSyncSharedEarly}, false, fusefs.Sync, "-wal"},
		{"sync of the WAL, solo", database{CommitSync: pool.CommitSyncSolo}, false, fusefs.Sync, "-wal"},
		{"sync of the journal", database{Journal: "delete"}, false, fusefs.Sync, "-journal"},
		{"sync without a WAL", database{Journal: "delete"}, false, fusefs.Sync, ".db"},
		{"health check that opens", database{}, true, fusefs.Open, ".db"},
		{"health check that reads", database{}, true, fusefs.Read, ".db"},
	}
	needFUSE(t)
	c := newCampaign(t, "stalls", "stalls", "acknowledged", "lost", "not whole", "leaked", "hung", "stuck", "crashed")
	for round, end := 0, time.Now().Add(length(t, 1)); round == 0 || time.Now().Before(end); round++ {
		s := stalls[rand.IntN(len(stalls))]
		if round < len(stalls) && !testing.Short() {
			s = stalls[round]
		}
		disk := newDisk(t, fusefs.Options{})
		ch := startChild(t, "stall", stallArgs{
			Path: filepath.Join(disk.dir, "a.db"), Database: s.database, Health: s.health,
			Waits: s.kind == fusefs.Sync && s.database.commitSync() == pool.CommitSyncShared.String(),
		})
		ch.mustAwait(t, "ready")
		stalled := disk.Stall(func(op fusefs.Op) bool { return op.Kind == s.kind && strings.HasSuffix(op.Name, s.ending) })
		ch.tell(true)
		select {
		case <-stalled.Reached():
			c.add("stalls", 1)
			ch.tell(true)
			if !ch.await("stalled") {
				c.wrong("hung", "%s: %v\n%s", s.name, ch.err, ch.output())
			}
		case <-time.After(patience):
			t.Errorf("%s: no operation stalled", s.name)
		}
		stalled.Release()
		if err, ended := ch.wait(); !ended {
			c.wrong("hung", "%s: after the disk was released", s.name)
		} else if err != nil {
			c.wrong("crashed", "%s: %v\n%s", s.name, err, ch.output())
		}
		ch.explain(c, s.name)
		ch.collect(c)
		c.add("acknowledged", len(ch.acked()))
		c.compareImage(s.name, disk.Live(), "a.db", ch.acked(), false)
		disk.discard(t)
	}
}
