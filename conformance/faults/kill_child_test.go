//go:build unix

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
)

// The stages at which a process is killed.
const (
	stageCommit   = "commit"
	stagePassive  = "passive checkpoint"
	stageTruncate = "truncating checkpoint"
	stageBackup   = "backup"
	stageShutdown = "shutdown"
	stageOpen     = "opening" // with the WAL of a killed process, and while another handle is open
	stageCreate   = "creating"
	stageConvert  = "converting to WAL"
)

// killArgument is the argument of a child of the kill campaign.
type killArgument struct {
	Path, Door, Stage string
	First             int64 // id
	Liar              bool  // the child acknowledges before it commits
}

func init() { roles["kill"] = killRole }

// The numbers of a child's workers, large enough that a kill finds some of them inside SQLite.
const (
	killWriters = 4
	killReaders = 2
)

// A victim is a process that will be killed.
type victim struct {
	killArgument
	r     *report
	h     atomic.Pointer[handle]
	next  atomic.Int64
	stage atomic.Int64

	shares sync.Once // mustShareSyncs

	mu    sync.Mutex // held during an acknowledgment and its count
	acked int
	last  int64
}

// killRole works until it is killed, and announces the begin and the end of each stage.
func killRole() {
	v := &victim{r: openReport()}
	childArgument(&v.killArgument)
	v.next.Store(v.First)
	opening := v.Stage == stageOpen || v.Stage == stageCreate || v.Stage == stageConvert
	open := func() error {
		h, err := v.open()
		if err == nil {
			v.h.Store(h)
		}
		return err
	}
	var err error
	if opening {
		err = v.announce(open)
	} else {
		err = open()
	}
	if err != nil {
		fatalf("open: %v", err)
	}
	if _, err := v.h.Load().db.Exec(schema); err != nil {
		fatalf("schema: %v", err)
	}
	for i := range killWriters {
		go v.write(i == 0 && v.Stage == stageCommit)
	}
	for range killReaders {
		go v.read()
	}
	v.r.say("ready")
	if v.Stage == stageCommit || v.Stage == stageCreate || v.Stage == stageConvert {
		select {}
	}
	v.repeat()
}

func (v *victim) open() (*handle, error) {
	return openHandle(context.Background(), v.Door, v.Path, pool.Config{MaxConns: 6})
}

// mustShareSyncs ends the process if the pool's commits, of which there has been one, share no syncs.
func mustShareSyncs(p *pool.Pool) {
	if how, syncs := p.Config().CommitSync, p.Stats().Syncs; how != pool.CommitSyncShared || syncs == 0 {
		fatalf("commits have shared %d syncs; CommitSync is %v", syncs, how)
	}
}

// announce tells the parent when a stage begins and ends.
func (v *victim) announce(stage func() error) error {
	n := v.stage.Add(1)
	v.mu.Lock()
	acked := v.acked
	v.mu.Unlock()
	v.r.say(fmt.Sprintf("begin %d %d", n, acked))
	began := time.Now()
	err := stage()
	if err == nil {
		v.r.say(fmt.Sprintf("end %d %d", n, time.Since(began).Microseconds()))
	} else {
		v.r.say(fmt.Sprintf("failed %d", n))
		v.r.failed(fmt.Errorf("%s: %w", v.Stage, err))
	}
	return err
}

// ack acknowledges an id. The count of acknowledged ids never exceeds what the parent can read.
func (v *victim) ack(id int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.r.ack(id)
	v.acked++
	v.last = id
}

func (v *victim) write(announces bool) {
	ctx := context.Background()
	for {
		id := v.next.Add(1)
		h := v.h.Load()
		if v.Liar {
			v.ack(id)
			time.Sleep(rand.N(time.Millisecond))
		}
		var err error
		if announces {
			err = v.commit(ctx, h, id)
		} else {
			err = writeID(ctx, h.db, id, int(id%3)+1, 100+int(id%700))
		}
		switch {
		case err != nil:
			v.r.failed(err)
			time.Sleep(time.Millisecond) // the handle is being closed
		case !v.Liar:
			v.ack(id)
			if p := h.pool; p != nil {
				v.shares.Do(func() { mustShareSyncs(p) })
			}
		}
	}
}

// commit is like writeID, and announces its commit.
func (v *victim) commit(ctx context.Context, h *handle, id int64) error {
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for part := range 3 {
		if err := insertPart(ctx, tx, id, part, 3, 2000); err != nil {
			return err
		}
	}
	return v.announce(tx.Commit)
}

// read checks that acknowledged transactions are visible, and complete.
func (v *victim) read() {
	const query = `SELECT (SELECT count(*) FROM t WHERE id = ?1), (SELECT count(*) FROM (SELECT 1 FROM t WHERE id > ?1 - 50 AND id < ?1 + 50 GROUP BY id HAVING count(*) <> max(parts)))`
	for {
		v.mu.Lock()
		last := v.last
		v.mu.Unlock()
		var there, partial int
		switch err := v.h.Load().db.QueryRow(query, last).Scan(&there, &partial); {
		case err != nil:
			v.r.failed(err)
			time.Sleep(time.Millisecond)
		case there == 0 && last != 0 && !v.Liar:
			v.r.count("not seen", 1)
		case partial > 0:
			v.r.count("not whole", 1)
		}
		time.Sleep(rand.N(2 * time.Millisecond)) // gives the writers time
	}
}

// repeat runs the stage again and again.
func (v *victim) repeat() {
	ctx := context.Background()
	for i := 0; ; i++ {
		h := v.h.Load()
		switch v.Stage {
		case stagePassive:
			v.announce(func() error { return h.checkpoint(ctx, sqlite3.CHECKPOINT_PASSIVE) })
		case stageTruncate:
			v.announce(func() error { return h.checkpoint(ctx, sqlite3.CHECKPOINT_TRUNCATE) })
		case stageBackup:
			name := func(n int64) string { return backupName(v.Path, os.Getpid(), n) }
			v.announce(func() error { return h.backup(ctx, name(v.stage.Load())) })
			os.Remove(name(v.stage.Load() - 2))
		case stageShutdown:
			v.announce(func() error {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				return h.close(ctx)
			})
			h, err := v.open()
			if err != nil {
				fatalf("open again: %v", err)
			}
			v.h.Store(h)
		case stageOpen:
			var second *handle
			if err := v.announce(func() (err error) { second, err = v.open(); return err }); err == nil {
				second.close(ctx)
			}
		}
		time.Sleep(rand.N(5 * time.Millisecond)) // lets the writers fill the WAL
	}
}

// backupName returns the name of a victim's nth backup.
func backupName(path string, pid int, n int64) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("backup-%d-%d.db", pid, n))
}
