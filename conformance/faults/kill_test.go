//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// killStages are all stages of the kill campaign.
var killStages = []string{stageCommit, stagePassive, stageTruncate, stageBackup, stageShutdown, stageOpen, stageCreate, stageConvert}

// killsEach is how many processes are killed, one after the other, on the same database. Each
// opens what the previous one has left.
const killsEach = 3

// A killCampaign kills processes in the middle of stages.
type killCampaign struct {
	*campaign
	libraries []string
	liar      bool

	mu     sync.Mutex
	takes  map[string]time.Duration // approximate duration of a stage of a door
	stages map[string]*stageCount
}

// A stageCount counts the kills at a stage.
type stageCount struct{ kills, inside int }

func newKillCampaign(t testing.TB, name string) *killCampaign {
	return &killCampaign{
		campaign: newCampaign(t, name, "kills", "in the middle of a stage", "acknowledged", "acknowledged by others", "backups", "lost", "not whole", "not seen", "leaked", "hung"),
		takes:    map[string]time.Duration{},
		stages:   map[string]*stageCount{},
	}
}

// TestKill kills processes that use a database, each in the middle of a stage, with SIGKILL.
// What they had acknowledged must remain, also for another process that keeps writing during
// the kill.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	leaks := watchLeaks(dir)
	k := newKillCampaign(t, "kill -9")
	k.libraries = append([]string{""}, libraries(t)...)
	type visit struct{ door, stage, beside string }
	end := time.Now().Add(length(t, 1))
	visits := make(chan visit)
	go func() {
		defer close(visits)
		// Each stage at least once, and each time with another door.
		for n := 0; n == 0 || time.Now().Before(end); n++ {
			for i, stage := range killStages {
				if n > 0 && time.Now().After(end) {
					return
				}
				v := visit{door: productDoors[(n+i)%len(productDoors)], stage: stage}
				if stage != stageCreate && stage != stageConvert { // another process would only delay these stages
					v.beside = k.libraries[(n/len(productDoors)+i)%len(k.libraries)]
				}
				visits <- v
			}
		}
	}()
	t.Run("workers", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for v := range visits {
					visitDir, err := os.MkdirTemp(dir, "visit")
					if err != nil {
						t.Fatal(err)
					}
					k.visit(t, visitDir, v.door, v.stage, v.beside, killsEach)
					if !t.Failed() {
						os.RemoveAll(visitDir)
					}
				}
			})
		}
	})
	for range visits { // a worker has failed
	}
	for _, left := range leaks.left() {
		k.wrong("leaked", "%s", left)
	}
	var counts []string
	for _, stage := range killStages {
		n := k.stages[stage]
		if n == nil {
			continue
		}
		counts = append(counts, fmt.Sprintf("%s %d of %d", stage, n.inside, n.kills))
		if n.kills > 20 && n.inside == 0 {
			t.Errorf("none of %d kills was in the middle of %s", n.kills, stage)
		}
	}
	t.Log("kills in the middle of a stage: " + strings.Join(counts, ", "))
}

// TestKillCatchesLiar shows that the campaign can fail: a program that acknowledges
// before it commits is caught.
func TestKillCatchesLiar(t *testing.T) {
	k := newKillCampaign(&judge{TB: t}, "kill -9 of a liar (must lose)")
	k.liar = true
	for range 50 {
		k.visit(t, t.TempDir(), doorPool, stageCommit, "", killsEach)
		if k.get("lost") > 0 {
			return
		}
	}
	t.Errorf("the liar acknowledges before the commit, but after %d kills nothing is lost", k.get("kills"))
}

// A judge is the test of a campaign that must find something. It ignores failures.
type judge struct{ testing.TB }

func (j *judge) Helper()                           {}
func (j *judge) Error(args ...any)                 {}
func (j *judge) Errorf(format string, args ...any) {}

// visit kills a few processes on one database. With beside, another process uses the database
// meanwhile.
func (k *killCampaign) visit(t *testing.T, dir, door, stage, beside string, kills int) {
	what := fmt.Sprintf("%s, %s", door, stage)
	if beside != "" {
		what += ", beside " + beside
	}
	path := filepath.Join(dir, "a.db")
	var acked []int64
	first := int64(0)
	var sib *sibling
	for n := range kills {
		if stage == stageCreate && n > 0 {
			path = filepath.Join(dir, fmt.Sprintf("%d.db", n))
			acked = nil
		}
		if stage == stageConvert {
			path = filepath.Join(dir, fmt.Sprintf("%d.db", n))
			acked = notWAL(t, path)
			first = int64(len(acked))
		}
		v := startChild(t, "kill", killArgument{Path: path, Door: door, Stage: stage, First: first, Liar: k.liar})
		if beside != "" && sib == nil && v.await("ready") {
			sib = startSibling(t, beside, path)
			defer sib.stop()
		}
		began, ok := k.when(v, stage)
		if !ok {
			k.wrong("hung", "%s: the process does not reach the stage: %v\n%s", what, v.err, v.output())
			v.kill()
			return
		}
		time.Sleep(time.Until(began.Add(rand.N(k.estimate(door, stage) * 5 / 4))))
		v.kill()
		v.collect(k.campaign)
		k.account(v, door, stage)
		before := acked
		acked = append(slices.Clone(acked), v.acked()...)
		for _, id := range acked {
			first = max(first, id)
		}
		first += killWriters // ids that were begun may exist unacknowledged
		all := acked
		if sib != nil {
			if err := sib.goesOn(); err != nil {
				k.wrong("hung", "%s: the other process after the kill: %v", what, err)
				return
			}
			all = append(slices.Clone(acked), sib.acked()...)
		}
		k.add("acknowledged", len(v.acked())-len(all)) // count each id once, although all are checked
		k.look(what, path, all, n%2 == 1, sib != nil)
		if n%2 == 1 || sib != nil {
			k.reopen(what, door, path, all)
		}
		if stage == stageBackup {
			k.backups(what, path, v, before)
		}
	}
	if sib != nil {
		sib.stop()
		k.add("acknowledged by others", len(sib.acked()))
		k.add("acknowledged", -len(sib.acked()))
		k.verify(what+", the other at the end", path, sib.acked(), false)
	}
}

// when waits for one of the next stages to begin, and returns the time.
func (k *killCampaign) when(v *child, stage string) (time.Time, bool) {
	v.mu.Lock()
	seen := begun(v.said) + rand.IntN(3)
	v.mu.Unlock()
	if stage == stageCreate || stage == stageConvert || stage == stageOpen && rand.IntN(2) == 0 {
		seen = 0 // the process's own opening, which happens once
	}
	ok := v.awaitFunc(func() bool { return begun(v.said) > seen })
	return time.Now(), ok
}

func begun(said []string) (n int) {
	for _, s := range said {
		if strings.HasPrefix(s, "begin ") {
			n++
		}
	}
	return n
}

// estimate returns the approximate duration of a stage of a door.
func (k *killCampaign) estimate(door, stage string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if d := k.takes[door+stage]; d > 0 {
		return d
	}
	return 5 * time.Millisecond
}

// account counts a kill, and updates the estimated duration of its stage.
func (k *killCampaign) account(v *child, door, stage string) {
	inside := false
	var took time.Duration
	for _, s := range v.said {
		var n, micros int64
		switch {
		case strings.HasPrefix(s, "begin "):
			inside = true
		case strings.HasPrefix(s, "end "):
			inside = false
			if _, err := fmt.Sscanf(s, "end %d %d", &n, &micros); err == nil {
				took = time.Duration(micros) * time.Microsecond
			}
		case strings.HasPrefix(s, "failed "):
			inside = false
		}
	}
	k.add("kills", 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.stages[stage]
	if n == nil {
		n = &stageCount{}
		k.stages[stage] = n
	}
	n.kills++
	if inside {
		n.inside++
		k.add("in the middle of a stage", 1)
	}
	if took > 0 {
		k.takes[door+stage] = max(took, 20*time.Microsecond)
	}
}

// look verifies a database after a kill. It normally checks a copy, so that the next process
// finds the WAL as the kill has left it. It checks the database itself if another process uses
// it, or if the plain driver should recover it.
func (k *killCampaign) look(what, path string, acked []int64, itself, used bool) {
	if !itself && !used {
		scratch := filepath.Join(filepath.Dir(path), "copy.db")
		for _, ending := range []string{"", "-wal", "-journal"} {
			if err := copyFile(scratch+ending, path+ending); err != nil {
				k.t.Error(err)
			}
		}
		path = scratch
		defer func() {
			for _, ending := range []string{"", "-wal", "-journal", "-shm"} {
				os.Remove(scratch + ending)
			}
		}()
	}
	k.verify(what, path, acked, false)
}

// reopen opens the database through the door, and reads what was acknowledged.
func (k *killCampaign) reopen(what, door, path string, acked []int64) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return
	}
	err := within(patience, "to open again, read and close", func() {
		ctx := context.Background()
		h, err := openHandle(ctx, door, path, pool.Config{})
		if err != nil {
			k.wrong("not whole", "%s: opened again: %v", what, err)
			return
		}
		defer func() {
			if err := h.close(ctx); err != nil {
				k.wrong("not whole", "%s: closed again: %v", what, err)
			}
		}()
		there := map[int64]bool{}
		rows, err := h.db.Query("SELECT DISTINCT id FROM t")
		if err != nil {
			if len(acked) > 0 {
				k.wrong("lost", "%s: opened again: %v", what, err)
			}
			return
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				k.t.Error(err)
			}
			there[id] = true
		}
		if err := rows.Err(); err != nil {
			k.wrong("not whole", "%s: opened again: %v", what, err)
			return
		}
		if missing := (contents{ids: there}).missing(acked); len(missing) > 0 {
			k.wrong("lost", "%s: opened again, %d of %d are missing: %v", what, len(missing), len(acked), firsts(missing))
		}
	})
	if err != nil {
		k.wrong("hung", "%s: %v", what, err)
	}
}

// backups checks the backups of a killed process. An acknowledged backup must contain all that
// was acknowledged before it began. A backup during which the process was killed must contain
// the same, or be no database.
func (k *killCampaign) backups(what, path string, v *child, before []int64) {
	acked := v.acked()
	need := map[int64][]int64{}
	ended := map[int64]bool{}
	for _, s := range v.said {
		var n int64
		var m int
		if _, err := fmt.Sscanf(s, "begin %d %d", &n, &m); err == nil {
			need[n] = append(slices.Clone(before), acked[:min(m, len(acked))]...)
		} else if _, err := fmt.Sscanf(s, "end %d", &n); err == nil {
			ended[n] = true
		}
	}
	for n, ids := range need {
		name := backupName(path, v.cmd.Process.Pid, n)
		if _, err := os.Stat(name); err != nil {
			continue // removed, or not created yet
		}
		k.add("backups", 1)
		got, err := readBack(name)
		switch {
		case noDatabase(err) && !ended[n]:
		case err != nil:
			k.wrong("not whole", "%s: a backup (ended: %v): %v", what, ended[n], err)
		case len(got.broken) > 0 || len(got.partial) > 0:
			k.wrong("not whole", "%s: a backup (ended: %v): %v, %v", what, ended[n], got.broken, firsts(got.partial))
		default:
			if missing := got.missing(ids); len(missing) > 0 {
				k.wrong("lost", "%s: a backup (ended: %v) lacks %d of %d", what, ended[n], len(missing), len(ids))
			}
		}
	}
}

// notWAL creates a database with a rollback journal, and returns its ids.
func notWAL(t testing.TB, path string) (ids []int64) {
	t.Helper()
	h, err := openHandle(t.Context(), doorPlain, path, pool.Config{DisableWAL: true, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close(t.Context())
	if _, err := h.db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	for id := range int64(30) {
		if err := writeID(t.Context(), h.db, id+1, 3, 2000); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id+1)
	}
	return ids
}
