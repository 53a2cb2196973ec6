//go:build unix

package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// The numbers of goroutines of a storm.
const (
	stormGoroutines      = 500
	stormGoroutinesShort = 100
)

// stormShutdown is how long the shutdown of a storm's pools may wait for running calls.
const stormShutdown = 3 * time.Second

// A storm makes every kind of call concurrently.
type storm struct {
	*campaign
	dir     string
	handles []*handle
	stmts   []*preparedPair // of each handle

	ids     atomic.Int64
	stopped atomic.Bool
	ending  atomic.Bool // the pools are being shut down
	backup  sync.Mutex

	mu     sync.Mutex
	acked  []int64
	ghosts []int64 // ids that were rolled back, and must not exist
	did    map[string]int
}

type preparedPair struct{ read, write *sql.Stmt }

// TestStorm runs hundreds of goroutines that make every kind of call, on several pools of one
// file, until all pools are shut down during the calls.
func TestStorm(t *testing.T) {
	s := &storm{
		campaign: newCampaign(t, "storm", "operations", "acknowledged", "rolled back", "lost", "not whole", "there in spite of a rollback", "fatal errors", "left in use", "leaked", "hung"),
		dir:      t.TempDir(),
		did:      map[string]int{},
	}
	leaks := watchLeaks(s.dir)
	path := filepath.Join(s.dir, "storm.db")
	s.open(t, path)
	n := stormGoroutines
	if testing.Short() {
		n = stormGoroutinesShort
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for !s.stopped.Load() {
				s.operation()
			}
		})
	}
	time.Sleep(length(t, 1)) // the storm's length
	s.shutdown(t)
	s.stopped.Store(true)
	if err := within(patience, "the goroutines of the storm", wg.Wait); err != nil {
		s.wrong("hung", "%v", err)
		return
	}
	s.settled(t)
	for _, left := range leaks.left() {
		s.wrong("leaked", "%s", left)
	}
	s.verify("storm", path, s.acked, false)
	got, err := readBack(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range s.ghosts {
		if got.ids[id] {
			s.wrong("there in spite of a rollback", "%d", id)
		}
	}
	s.add("rolled back", len(s.ghosts))
	var done, never []string
	for _, op := range operations {
		done = append(done, fmt.Sprintf("%s %d", op.name, s.did[op.name]))
		if s.did[op.name] == 0 {
			never = append(never, op.name)
		}
	}
	t.Log("succeeded: " + strings.Join(done, ", "))
	if len(never) > len(operations)/4 { // those that are canceled may never succeed
		t.Errorf("too few kinds of operations have succeeded; never: %q", never)
	}
}

// open opens several pools, and a database of the driver, on one file.
func (s *storm) open(t *testing.T, path string) {
	ctx := t.Context()
	boom := func(c *sqlite3.Conn) error {
		return c.CreateFunction("boom", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { panic(errBoom) })
	}
	base := pool.Config{
		MaxConns: 8, BusyTimeout: 5 * time.Second, AcquireTimeout: 20 * time.Second, MaxLifetime: 500 * time.Millisecond, IdleTimeout: 300 * time.Millisecond,
		KeepAlive: 100 * time.Millisecond, ValidateAfter: 50 * time.Millisecond, LeakAfter: time.Second, HealthInterval: 200 * time.Millisecond, Init: boom,
	}
	small := base
	small.MaxConns, small.MaxLifetime = 2, 0
	for _, d := range []struct {
		door string
		cfg  pool.Config
	}{{doorPool, base}, {doorPool, small}, {doorDSN, pool.Config{MaxConns: 4}}, {doorDriver, pool.Config{MaxConns: 4}}} {
		h, err := openHandle(ctx, d.door, path, d.cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.handles = append(s.handles, h)
		if _, err := h.db.Exec(schema); err != nil {
			t.Fatal(err)
		}
		read, err := h.db.Prepare("SELECT count(*) FROM t WHERE id = ?")
		if err != nil {
			t.Fatal(err)
		}
		write, err := h.db.Prepare(insertOne)
		if err != nil {
			t.Fatal(err)
		}
		s.stmts = append(s.stmts, &preparedPair{read, write})
	}
}

// shutdown shuts down all pools concurrently, while all goroutines work.
func (s *storm) shutdown(t *testing.T) {
	s.ending.Store(true)
	for _, p := range s.stmts {
		go p.read.Close()
		go p.write.Close()
	}
	var wg sync.WaitGroup
	for _, h := range s.handles {
		wg.Go(func() {
			began := time.Now()
			err := within(patience, "Shutdown", func() {
				ctx, cancel := context.WithTimeout(context.Background(), stormShutdown)
				defer cancel()
				err := h.close(ctx)
				s.failed(err)
				var left *pool.ShutdownError
				if err != nil && !errors.As(err, &left) {
					t.Errorf("%s: Shutdown: %v", h.door, err)
				}
			})
			if err != nil {
				s.wrong("hung", "%s: %v", h.door, err)
			}
			// Allow for the release of the connections that Shutdown has taken
			// away.
			if d := time.Since(began); h.door == doorPool && d > stormShutdown+10*time.Second {
				t.Errorf("Shutdown with %v took %v", stormShutdown, d)
			}
		})
	}
	wg.Wait()
}

// settled checks that the counts of the pools are those of a closed pool.
func (s *storm) settled(t *testing.T) {
	for _, h := range s.handles {
		if h.pool == nil {
			if n := h.db.Stats(); n.OpenConnections != 0 || n.InUse != 0 {
				s.wrong("left in use", "%s: %+v", h.door, n)
			}
			continue
		}
		n := h.pool.Stats()
		if n.Open != 0 || n.InUse != 0 || n.Idle != 0 || n.Waiting != 0 || n.Readers != 0 || n.Writers != 0 {
			s.wrong("left in use", "%s: open %d, in use %d, idle %d, waiting %d", h.door, n.Open, n.InUse, n.Idle, n.Waiting)
		}
		if n.Connects != n.Closes {
			s.wrong("left in use", "%s: %d connects and %d closes", h.door, n.Connects, n.Closes)
		}
		if n.Acquires != n.Releases+n.Discards {
			s.wrong("left in use", "%s: %d acquires, %d releases and %d discards", h.door, n.Acquires, n.Releases, n.Discards)
		}
		if holders := h.pool.Holders(); len(holders) != 0 {
			s.wrong("left in use", "%s: holders: %v", h.door, holders)
		}
		if err := h.pool.HealthCheck(t.Context()); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("%s: HealthCheck of a pool that is closed: %v", h.door, err)
		}
	}
}

var errBoom = errors.New("boom")

// operation runs one random operation.
func (s *storm) operation() {
	i := rand.IntN(len(s.handles))
	if s.handles[i].pool == nil && rand.IntN(8) > 0 {
		i = 0 // the driver waits for locks like SQLite, by sleeping, and all would wait for it
	}
	h := s.handles[i]
	op := operations[rand.IntN(len(operations))]
	if op.pool && h.pool == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	began := time.Now()
	err := op.run(&gust{s, ctx, h, s.stmts[i]})
	if d := time.Since(began); d > patience {
		s.wrong("hung", "%s: %s took %v: %v", h.door, op.name, d, err)
	}
	s.add("operations", 1)
	switch {
	case err == nil:
		s.mu.Lock()
		s.did[op.name]++
		s.mu.Unlock()
	case isFatal(err):
		s.wrong("fatal errors", "%s: %s: %v", h.door, op.name, err)
	}
	if err != nil {
		s.failedText(withoutHolder(err))
	}
}

// withoutHolder returns an error's text. It omits the connection's holder from the error of an
// acquire.
func withoutHolder(err error) string {
	text := err.Error()
	var acquire *pool.AcquireError
	if errors.As(err, &acquire) {
		before, after, _ := strings.Cut(text, "cause: ")
		cause, _, _ := strings.Cut(after, ";")
		text = before + "cause: " + cause
	}
	return text
}

// fatalCodes are codes that SQLite must never return in a storm, because nothing is wrong with
// the file.
var fatalCodes = []error{sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.MISUSE, sqlite3.IOERR, sqlite3.INTERNAL, sqlite3.FULL, sqlite3.NOMEM, sqlite3.READONLY, sqlite3.CONSTRAINT, sqlite3.SCHEMA}

func isFatal(err error) bool {
	return lost(err) || slices.ContainsFunc(fatalCodes, func(code error) bool { return errors.Is(err, code) })
}

// A gust is one operation of a storm, on one handle.
type gust struct {
	*storm
	ctx   context.Context
	h     *handle
	stmts *preparedPair
}

// id returns the id for a new row.
func (g *gust) id() int64 { return g.ids.Add(1) }

// wrote records the outcome of writing a row.
func (g *gust) wrote(id int64, err error) error {
	if err == nil {
		g.mu.Lock()
		g.storm.acked = append(g.storm.acked, id)
		g.mu.Unlock()
	}
	return err
}

// undone records that a row was rolled back.
func (g *gust) undone(id int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ghosts = append(g.ghosts, id)
}

// fickle returns a context that ends at some moment of the next operation.
func (g *gust) fickle() (context.Context, context.CancelFunc) {
	return context.WithTimeout(g.ctx, rand.N(20*time.Millisecond))
}

// conn calls f with a connection.
func (g *gust) conn(f func(*sql.Conn) error) error {
	c, err := g.h.db.Conn(g.ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(c), ignoreConnDone(c.Close()))
}

func ignoreConnDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// survives calls f, and recovers from the storm's own panics.
func survives(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil && r != any(errBoom) {
			panic(r)
		}
	}()
	return f()
}

// rawOf returns SQLite's connection of the driver connection of a *sql.Conn.
func rawOf(dc any) *sqlite3.Conn { return dc.(driver.Conn).Raw() }
