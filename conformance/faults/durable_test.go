//go:build unix

package faults

import (
	"cmp"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool"

	"github.com/sqlitemw/sqlitemw/conformance/faults/fusefs"
)

// A durableScene is a test of single commits: nothing else writes, so nothing else can sync them.
type durableScene struct {
	testing.TB
	disk   *disk
	puppet *puppet
	rand   *rand.Rand
	id     int64
}

func newDurableScene(t testing.TB) *durableScene {
	s := &durableScene{TB: t, rand: rand.New(rand.NewPCG(rand.Uint64(), 1)), id: 1000}
	s.disk = newDisk(t, fusefs.Options{Strict: true, Seed: rand.Uint64()})
	s.puppet = startPuppet(t)
	return s
}

func (s *durableScene) path() string { return filepath.Join(s.disk.dir, "a.db") }

// open opens a pool whose commits are synced as commitSync says.
func (s *durableScene) open(d database) {
	s.Helper()
	s.puppet.must(order{Do: "open", Path: s.path(), Database: d})
	s.puppet.must(order{Do: "exec", Query: schema})
	if got := s.puppet.must(order{Do: "stats"}); got.Texts[0] != d.commitSync() {
		s.Fatalf("commits are synced %s, want %s", got.Texts[0], d.commitSync())
	}
}

// lost fails the power some times, and returns how often a query of the image did not return 1.
// An image that is damaged fails the test.
func (s *durableScene) lost(file, query string) (n int) {
	s.Helper()
	var images [12]fusefs.Image
	for i := range images { // before anything else can happen
		images[i] = s.disk.Freeze(s.rand)
	}
	for _, m := range images {
		if kept, err := ask(s.TB, m, file, query); err != nil {
			s.Error(err)
		} else if !kept {
			n++
		}
	}
	return n
}

// ask reports whether a query of a database in an image returns 1.
func ask(t testing.TB, m fusefs.Image, file, query string) (kept bool, err error) {
	dir, remove := memoryDir(t)
	defer remove()
	if err := m.WriteTo(dir); err != nil {
		return false, err
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(filepath.Join(dir, file)))
	if err != nil {
		return false, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var check string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&check); err != nil || check != "ok" {
		return false, fmt.Errorf("%s: %s, %w", file, check, err)
	}
	err = db.QueryRow(query).Scan(&kept)
	if err != nil && strings.Contains(err.Error(), "no such table") {
		return false, nil
	}
	return kept, err
}

// take commits by a road, and fails the power before anything else happens.
func (s *durableScene) take(road durableRoad) (lost int) {
	s.Helper()
	s.id += 10
	s.puppet.must(order{Do: "take", Query: road.name, ID: s.id})
	query := cmp.Or(road.kept, `SELECT count(*) > 0 AND count(*) = max(parts) FROM t WHERE id = %d`)
	lost = s.lost(cmp.Or(road.file, "a.db"), fmt.Sprintf(query, s.id))
	s.disk.Lie(fusefs.Lie{})
	s.puppet.must(order{Do: "return"})
	return lost
}

// A commit by each road is durable when it has returned, without the help of later commits. If the
// shared sync does nothing, the commits that share syncs are lost, and no others.
func TestRoadsAreDurable(t *testing.T) {
	all := []database{{}, {CommitSync: pool.CommitSyncSolo}, {CommitSync: pool.CommitSyncSharedEarly}}
	if testing.Short() {
		all = all[:2]
	}
	for _, d := range all {
		t.Run(d.commitSync(), func(t *testing.T) {
			s := newDurableScene(t)
			s.open(d)
			for _, road := range durableRoads() {
				for _, lies := range []bool{false, true} {
					s.before(road)
					if lies {
						s.disk.Lie(fusefs.Lie{Syncs: isShared})
					}
					lost := s.take(road)
					switch {
					case !lies && lost > 0:
						t.Errorf("%s: lost in %d images", road.name, lost)
					case lies && (lost > 0) != (d.sharesSyncs() && !road.solo):
						t.Errorf("%s: lost in %d images if the shared sync does nothing; it is synced by SQLite: %v", road.name, lost, road.solo)
					}
				}
			}
		})
	}
}

// before prepares the database for a road.
func (s *durableScene) before(road durableRoad) {
	s.Helper()
	if road.name == "VACUUM" { // makes free pages
		s.puppet.must(order{Do: "exec", Query: "CREATE TABLE big(a); INSERT INTO big VALUES (randomblob(50000)); DROP TABLE big"})
	}
	s.id += 10
	s.puppet.must(order{Do: "write", ID: s.id})
}

// After the journal mode has been changed, commits are durable too.
func TestLeaveWAL(t *testing.T) {
	s := newDurableScene(t)
	s.open(database{})
	insert := durableRoads()[0]
	for _, mode := range []string{"DELETE", "WAL", "TRUNCATE", "PERSIST", "WAL", "DELETE"} {
		s.puppet.must(order{Do: "exec", Query: "PRAGMA journal_mode=" + mode})
		before := s.puppet.must(order{Do: "stats"}).N
		for range 3 {
			if lost := s.take(insert); lost > 0 {
				t.Errorf("%s: lost in %d images", mode, lost)
			}
		}
		if syncs := s.puppet.must(order{Do: "stats"}).N - before; syncs > 0 && mode != "WAL" {
			t.Errorf("%s: commits have shared %d syncs", mode, syncs)
		}
	}
}

// The first commit is durable although another process has created the WAL and synced neither it nor
// the directory.
func TestFirstSyncOfDirectory(t *testing.T) {
	for _, lies := range []bool{false, true} {
		t.Run(fmt.Sprintf("lies %v", lies), func(t *testing.T) {
			s := newDurableScene(t)
			s.open(database{})
			s.puppet.must(order{Do: "close"})
			s.disk.Load(s.disk.Live()) // as after a while
			o := startOther(t, libPlain, s.path())
			for _, query := range []string{"PRAGMA synchronous=OFF", "INSERT INTO t VALUES (1, 0, 1, NULL)"} {
				if _, err := o.do(query); err != nil {
					t.Fatal(err)
				}
			}
			s.puppet.must(order{Do: "open", Path: s.path()})
			if lies {
				s.disk.Lie(fusefs.Lie{Syncs: func(op fusefs.Op) bool { return op.Kind == fusefs.SyncDir }})
			}
			lost := s.take(durableRoads()[0])
			if (lost > 0) != lies {
				t.Errorf("lost in %d images", lost)
			}
		})
	}
}
