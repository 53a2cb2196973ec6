// Package walkeeper keeps the write-ahead log of a pool's database short: it runs checkpoints, and
// resets the log.
//
// Files in reading order: keeper.go, loop.go, heldcommit.go, checkpointer.go, size.go and host.go.
package walkeeper

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// SQLite calls a hook after each commit with the length of the WAL. The hook decides
// when the WAL is checkpointed, and by which connection.
// https://sqlite.org/c3ref/wal_hook.html

// A Keeper keeps a WAL short. It is the hook of the connections that write.
type Keeper struct {
	size
	host         Host
	kind         Kind
	guard        *core.Guard
	checkpointer *checkpointer // nil unless kind is ByCheckpointer
	checks       *core.Job     // of the WAL's length
	retry        atomic.Int64  // ByCommits: no checkpoint before, after a failed one; Unix nanoseconds
	wait         time.Duration
}

// New returns a Keeper for host, which is being opened.
func New(host Host, cfg Config) *Keeper {
	k := &Keeper{host: host, kind: cfg.Kind, guard: cfg.Guard, checks: cfg.Guard.NewJob("checking the length of the WAL")}
	k.limit = cfg.Limit
	if k.kind == ByCheckpointer {
		k.checkpointer = newCheckpointer(host, &k.size, cfg.Guard)
	}
	return k
}

// Opened tells the Keeper the database's path, which is empty if it has no file, and its page
// size. No other connection may be open yet.
func (k *Keeper) Opened(path string, pageSize int64) { k.path, k.pageSize = path, pageSize }

// Kind returns how the WAL is kept short.
func (k *Keeper) Kind() Kind { return k.kind }

// Start starts the checkpointer.
func (k *Keeper) Start() { k.checkpointer.start() }

// Stop ends the Keeper's goroutines. It waits as long as ctx allows, and reports whether they have
// ended.
func (k *Keeper) Stop(ctx context.Context) bool {
	ended := k.checks.Ended(ctx)
	return k.checkpointer.stop(ctx) && ended
}

// Maintain checks a WAL that may be too long, in a job.
func (k *Keeper) Maintain(ctx context.Context) {
	if k.mayExceedLimit() {
		k.guard.Start(ctx, k.checks, k.watch)
	}
}

// Rest closes the checkpointer's connection until the next commit, because SQLite cannot leave WAL
// mode while it is open.
func (k *Keeper) Rest() { k.checkpointer.close() }

// Probe retries a failing checkpoint now, without waiting for the back-off or for the next
// commit.
func (k *Keeper) Probe(ctx context.Context) {
	switch {
	case !k.host.CheckpointsFail():
	case k.kind == ByCommits:
		k.host.WithIdleWriter(ctx, func(raw *sqlite3.Conn) {
			k.retry.Store(0)
			k.checkpoint(raw)
		})
	default:
		k.checkpointer.probe(ctx)
	}
}

// Checkpointed records the outcome of a checkpoint that the pool has run.
func (k *Keeper) Checkpointed(err error) { checkpointed(k.host, err) }

// Install returns an init that installs the hook before it calls the program's. If the program
// sets a hook too, that one replaces the pool's.
func (k *Keeper) Install(init func(*sqlite3.Conn) error) func(*sqlite3.Conn) error {
	if k.kind == BySQLite {
		return init
	}
	return func(raw *sqlite3.Conn) error {
		raw.WALHook(k.committed)
		if init == nil {
			return nil
		}
		return init(raw)
	}
}

// committed is called after each commit. A failed checkpoint does not make the commit fail, as
// with SQLite's own hook.
func (k *Keeper) committed(raw *sqlite3.Conn, schema string, pages int) error {
	switch {
	case schema != "main":
		if k.kind != Outside && pages >= checkpointPages {
			_, _, _ = raw.WALCheckpoint(schema, sqlite3.CHECKPOINT_PASSIVE)
		}
	case k.kind == ByCheckpointer:
		k.checkpointer.committed(raw, int64(pages))
	case k.kind == ByCommits && int64(pages) >= min(checkpointPages, k.pages(k.Limit())):
		k.checkpoint(raw)
	default:
		k.checkLength(k.host, int64(pages))
	}
	return nil
}

// checkpoint runs a checkpoint on the connection that has committed.
func (k *Keeper) checkpoint(raw *sqlite3.Conn) {
	if k.retry.Load() > time.Now().UnixNano() {
		return
	}
	err := k.host.SameFile()
	frames, moved := 0, 0
	if err == nil {
		frames, moved, err = raw.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	}
	switch checkpointed(k.host, err) {
	case Failed:
		k.wait = min(max(2*k.wait, firstCheckpointBackOff), maxCheckpointBackOff)
		k.retry.Store(time.Now().Add(k.wait).UnixNano())
	case Done:
		k.wait = 0
		if k.retry.Store(0); moved == frames {
			frames = 0 // the next commit resets it
		}
		k.checkLength(k.host, int64(frames))
	}
}

// watch checks a WAL that may be too long, if no commits do so or none come any more. With
// ByCommits, it runs the checkpoint that a commit would run, because whatever blocked the
// last one may be gone.
func (k *Keeper) watch(ctx context.Context) {
	if k.kind == ByCommits {
		if k.host.WithIdleWriter(ctx, k.checkpoint) {
			return
		}
	}
	bounded, cancel := context.WithTimeout(ctx, core.EngineTimeout)
	defer cancel()
	_ = k.host.WithOwnConn(bounded, func(raw *sqlite3.Conn) error {
		old := raw.SetInterrupt(bounded)
		defer raw.SetInterrupt(old)
		if err := inspect.ReadPage(raw); err != nil {
			return err
		}
		k.Check(raw)
		return nil
	})
}

// mayExceedLimit reports whether the WAL's file exceeds its limit, and the checkpointer does
// not already look after it.
func (k *Keeper) mayExceedLimit() bool {
	if k.path == "" || k.kind == ByCheckpointer && k.checkpointer.isOverLimit() {
		return false
	}
	beyond := k.Stats().Bytes > k.Limit()
	if !beyond {
		k.host.Fits()
	}
	return beyond
}

// Check checks how much of the WAL is in use, with a connection that no caller uses.
func (k *Keeper) Check(raw *sqlite3.Conn) {
	if !k.mayExceedLimit() {
		return
	}
	frames, moved, err := raw.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP)
	switch {
	case err != nil || frames < 0: // unknown: a read-only connection cannot find out
	case moved == frames: // the next writer resets it
		k.host.Fits()
	default:
		k.checkLength(k.host, int64(frames))
	}
}
