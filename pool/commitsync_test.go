package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ngrok/sqlmw"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/pool/internal/walsync"
)

// A syncing is the disk of one database, for tests. Each shared sync calls before, if it is set.
type syncing struct {
	before atomic.Pointer[func() error]
	syncs  atomic.Int64
}

// onSync makes every later shared sync of databases in dir call f first. An error of f is the error of
// the sync.
func (s *syncing) onSync(f func() error) { s.before.Store(&f) }

// syncingIn returns the disk of the databases in dir.
func syncingIn(t testing.TB, dir string) *syncing {
	t.Helper()
	if !walsync.Supported {
		t.Skip("commits cannot share syncs here")
	}
	s, open := &syncing{}, walsync.OpenDisk
	walsync.OpenDisk = func(name string, info os.FileInfo) (func() error, func(), error) {
		syncs, closes, err := open(name, info)
		if err != nil || !strings.HasPrefix(name, dir) {
			return syncs, closes, err
		}
		return func() error {
			s.syncs.Add(1)
			if f := s.before.Load(); f != nil && *f != nil {
				if err := (*f)(); err != nil {
					return err
				}
			}
			return syncs()
		}, closes, nil
	}
	t.Cleanup(func() { walsync.OpenDisk = open })
	return s
}

// A slowDisk holds each shared sync until it is let go.
type slowDisk struct {
	held  chan struct{} // one value for each sync that is held
	letGo chan struct{}
}

// hold makes the disk slow until the test ends or free is called.
func (s *syncing) hold(t testing.TB) (d *slowDisk, free func()) {
	d = &slowDisk{make(chan struct{}, 1000), make(chan struct{})}
	s.onSync(func() error {
		d.held <- struct{}{}
		<-d.letGo
		return nil
	})
	free = sync.OnceFunc(func() { s.onSync(nil); close(d.letGo) })
	t.Cleanup(free)
	return d, free
}

// shared opens a pool whose disk the test controls.
func shared(t testing.TB, cfg pool.Config) (*pool.Pool, *ledger, *syncing) {
	t.Helper()
	dir := t.TempDir()
	s := syncingIn(t, dir)
	cfg.Path = filepath.Join(dir, "test.db")
	p, l := pooled(t, cfg)
	must(t, p.DB(), "CREATE TABLE t(a); CREATE TABLE other(a); INSERT INTO other VALUES (1)")
	return p, l, s
}

// TestCommitSyncInForce checks where commits share syncs.
func TestCommitSyncInForce(t *testing.T) {
	if !walsync.Supported {
		t.Skip("commits cannot share syncs here")
	}
	file := func(params string) string { return "file:" + filepath.Join(t.TempDir(), "test.db") + params }
	for name, tc := range map[string]struct {
		cfg  pool.Config
		want pool.CommitSync
	}{
		"default":              {pool.Config{Path: file("")}, pool.CommitSyncShared},
		"shared":               {pool.Config{Path: file(""), CommitSync: pool.CommitSyncShared}, pool.CommitSyncShared},
		"shared-early":         {pool.Config{Path: file(""), CommitSync: pool.CommitSyncSharedEarly}, pool.CommitSyncSharedEarly},
		"solo":                 {pool.Config{Path: file(""), CommitSync: pool.CommitSyncSolo}, pool.CommitSyncSolo},
		"one connection":       {pool.Config{Path: file(""), MaxConns: 1}, pool.CommitSyncShared},
		"full by pragma":       {pool.Config{Path: file("?_pragma=synchronous(2)")}, pool.CommitSyncShared},
		"normal":               {pool.Config{Path: file(""), Synchronous: pool.SynchronousNormal}, pool.CommitSyncSolo},
		"extra":                {pool.Config{Path: file(""), Synchronous: pool.SynchronousExtra}, pool.CommitSyncSolo},
		"off by pragma":        {pool.Config{Path: file("?_pragma=synchronous(off)"), CommitSync: pool.CommitSyncShared}, pool.CommitSyncSolo},
		"no WAL":               {pool.Config{Path: file(""), DisableWAL: true}, pool.CommitSyncSolo},
		"exclusive":            {pool.Config{Path: file("?_pragma=locking_mode(exclusive)")}, pool.CommitSyncSolo},
		"interceptors":         {pool.Config{Path: file(""), Interceptors: []sqlmw.Interceptor{sqlmw.NullInterceptor{}}}, pool.CommitSyncSolo},
		"in memory":            {pool.InMemory(), pool.CommitSyncSolo},
		"changed by a hook":    {pool.Config{Path: file(""), Hooks: pool.Hooks{AfterConnect: func(_ context.Context, c *sqlite3.Conn) error { return c.Exec("PRAGMA synchronous=normal") }}}, pool.CommitSyncShared},
		"another checkpointer": {pool.Config{Path: file("?_pragma=wal_autocheckpoint(0)")}, pool.CommitSyncShared},
	} {
		p, _ := pooled(t, tc.cfg)
		must(t, p.DB(), "CREATE TABLE t(a)")
		must(t, p.DB(), "INSERT INTO t VALUES (1)")
		if got := p.Config().CommitSync; got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
		shares := tc.want != pool.CommitSyncSolo && name != "changed by a hook"
		if n := p.Stats().Syncs; n > 0 != shares {
			t.Errorf("%s: %d shared syncs", name, n)
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	db, err := sql.Open(pool.Name, file("?_pool_commit_sync=later"))
	if err == nil {
		t.Errorf("_pool_commit_sync=later is accepted")
		db.Close()
	} else if !strings.Contains(err.Error(), "use shared, shared-early or solo") {
		t.Error(err)
	}
	if err := (pool.Config{Path: "a", CommitSync: 9}).Validate(); !errors.Is(err, pool.ErrInvalidConfig) || !strings.Contains(err.Error(), "CommitSync is 9") {
		t.Error(err)
	}
}

// A road is a way to commit one row.
type road struct {
	name    string
	commit  func(ctx context.Context, p *pool.Pool) error
	handsOn bool // other transactions may begin before the commit is on the disk
	solo    bool // SQLite itself syncs the commit
}

// byText returns a road that executes queries on one connection.
func byText(queries ...string) func(context.Context, *pool.Pool) error {
	return func(ctx context.Context, p *pool.Pool) error {
		c, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		for _, query := range queries {
			if _, err := c.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	}
}

const insertOne = "INSERT INTO t VALUES (1)"

var roads = []road{
	{"Exec", func(ctx context.Context, p *pool.Pool) error {
		_, err := p.DB().ExecContext(ctx, insertOne)
		return err
	}, true, false},
	{"Exec with an argument", func(ctx context.Context, p *pool.Pool) error {
		_, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (?)", 1)
		return err
	}, true, false},
	{"Exec of several", func(ctx context.Context, p *pool.Pool) error {
		_, err := p.DB().ExecContext(ctx, "INSERT INTO other VALUES (2);"+insertOne+"; SELECT 1")
		return err
	}, true, false},
	{"Exec of several, and an error", func(ctx context.Context, p *pool.Pool) error {
		_, err := p.DB().ExecContext(ctx, insertOne+"; SELECT nothing")
		if err == nil || !strings.Contains(err.Error(), "nothing") {
			return fmt.Errorf("unexpected: %w", err)
		}
		if committed := (*pool.CommitError)(nil); errors.As(err, &committed) {
			return err
		}
		return nil
	}, true, false},
	{"Writer", func(ctx context.Context, p *pool.Pool) error {
		_, err := p.Writer().ExecContext(ctx, insertOne)
		return err
	}, true, false},
	{"Stmt", func(ctx context.Context, p *pool.Pool) error {
		st, err := p.DB().PrepareContext(ctx, insertOne)
		if err != nil {
			return err
		}
		defer st.Close()
		_, err = st.ExecContext(ctx)
		return err
	}, true, false},
	{"Tx", func(ctx context.Context, p *pool.Pool) error {
		tx, err := p.DB().BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertOne); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}, true, false},
	{"WithTx", func(ctx context.Context, p *pool.Pool) error {
		return p.WithTx(ctx, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, insertOne)
			return err
		})
	}, true, false},
	{"QueryRow of RETURNING", func(ctx context.Context, p *pool.Pool) error {
		return p.DB().QueryRowContext(ctx, insertOne+" RETURNING a").Scan(new(int))
	}, true, false},
	{"QueryRow of a Stmt", func(ctx context.Context, p *pool.Pool) error {
		st, err := p.DB().PrepareContext(ctx, "INSERT INTO t VALUES (?) RETURNING a")
		if err != nil {
			return err
		}
		defer st.Close()
		return st.QueryRowContext(ctx, 1).Scan(new(int))
	}, true, false},
	{"RETURNING to the end", func(ctx context.Context, p *pool.Pool) error {
		rows, err := p.DB().QueryContext(ctx, insertOne+" RETURNING a")
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		return errors.Join(rows.Err(), rows.Close())
	}, false, false},
	{"RETURNING closed at once", func(ctx context.Context, p *pool.Pool) error {
		rows, err := p.DB().QueryContext(ctx, insertOne+" RETURNING a")
		if err != nil {
			return err
		}
		return rows.Close()
	}, true, false},
	{"RETURNING of nothing", func(ctx context.Context, p *pool.Pool) error {
		if _, err := p.DB().ExecContext(ctx, insertOne); err != nil {
			return err
		}
		err := p.DB().QueryRowContext(ctx, "DELETE FROM t WHERE a = 5 RETURNING a").Scan(new(int))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return nil
	}, true, false},
	{"Conn", byText(insertOne), false, false},
	{"COMMIT by text", byText("BEGIN", insertOne, "COMMIT"), false, false},
	{"END by text", byText("BEGIN IMMEDIATE", insertOne, "END TRANSACTION"), false, false},
	{"RELEASE by text", byText("SAVEPOINT s", insertOne, "RELEASE s"), false, false},
	{"COMMIT and more", byText("BEGIN", insertOne+"; COMMIT; BEGIN", "ROLLBACK"), false, false},
	{"Tx of a Conn", func(ctx context.Context, p *pool.Pool) error {
		c, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		tx, err := c.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insertOne); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	}, false, false},
	{"AcquireWrite", func(ctx context.Context, p *pool.Pool) error {
		c, err := p.AcquireWrite(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.ExecContext(ctx, insertOne)
		return err
	}, false, false},
	{"VACUUM", byText(insertOne, "VACUUM"), false, false},
	{"DDL", byText(insertOne, "CREATE TABLE IF NOT EXISTS more(a)"), false, false},
	{"Raw", func(ctx context.Context, p *pool.Pool) error {
		return p.Raw(ctx, func(c *sqlite3.Conn) error { return c.Exec(insertOne) })
	}, false, true},
	{"Raw of a Conn", func(ctx context.Context, p *pool.Pool) error {
		c, err := p.Acquire(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec(insertOne) })
	}, false, true},
	{"a pragma of syncs", byText("PRAGMA synchronous=full", insertOne), false, false},
	{"a pragma and a write", byText("PRAGMA synchronous=full; " + insertOne), false, true},
	{"EXTRA", byText("PRAGMA synchronous=extra", insertOne, "PRAGMA synchronous=full"), false, true},
}

// TestEachRoadIsOnDisk checks that after each way to commit, what the last sync has put on the disk
// has the row, if SQLite has not synced it itself.
func TestEachRoadIsOnDisk(t *testing.T) {
	for _, max := range []int{10, 1} {
		for _, road := range roads {
			t.Run(fmt.Sprintf("%s, %d", road.name, max), func(t *testing.T) {
				p, l, s := shared(t, pool.Config{MaxConns: max})
				path := p.Config().Path
				var wal []byte // on the disk
				s.onSync(func() (err error) {
					wal, err = os.ReadFile(path + "-wal")
					return err
				})
				before := s.syncs.Load()
				if err := road.commit(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				if made := s.syncs.Load() - before; made > 0 == road.solo {
					t.Fatalf("%d shared syncs", made)
				}
				if !road.solo {
					if n := rowsOnDisk(t, path, wal); n != 1 {
						t.Errorf("%d rows are on the disk", n)
					}
				}
				atRest(t, p, l)
			})
		}
	}
}

// rowsOnDisk returns the rows of table t after a power failure that leaves that of the WAL.
func rowsOnDisk(t *testing.T, path string, wal []byte) (n int) {
	t.Helper()
	left := filepath.Join(t.TempDir(), "left.db")
	database, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{left: database, left + "-wal": wal} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", "file:"+left)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTransactionsShareASync checks that while the disk syncs one commit, others are made, that one
// sync then serves them all, and that none returns before.
func TestTransactionsShareASync(t *testing.T) {
	for _, road := range roads {
		if !road.handsOn {
			continue
		}
		t.Run(road.name, func(t *testing.T) {
			p, l, s := shared(t, pool.Config{MaxConns: 3, CommitSync: pool.CommitSyncSharedEarly})
			slow, free := s.hold(t)
			const others = 5
			results := make(chan error, others+1)
			commit := func() { results <- road.commit(t.Context(), p) }
			go commit()
			<-slow.held
			for range others {
				go commit()
			}
			eventually(t, func() bool {
				var n int
				if err := p.Reader().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n == others+1
			})
			select {
			case err := <-results:
				t.Fatalf("a commit has returned %v before the disk", err)
			default:
			}
			eventually(t, func() bool { return p.Stats().WritersInUse == 0 }) // while the disk syncs
			before := s.syncs.Load()
			free()
			for range others + 1 {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			if n := s.syncs.Load() - before; road.name != "RETURNING of nothing" && n > 2 {
				t.Errorf("%d more syncs for %d commits", n, others)
			}
			atRest(t, p, l)
			if s, e := p.Stats(), l.last(driver.KindSync); s.SyncedCommits < others+1 || s.LongestSync == 0 || e.Duration == 0 {
				t.Errorf("%d commits in %d syncs, the longest took %v; %+v", s.SyncedCommits, s.Syncs, s.LongestSync, e)
			}
		})
	}
}

// eventually waits until f returns true.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
	}
}

// atRest waits until no connection is in use, because database/sql ends transactions and closes rows
// on goroutines of its own, and checks the account.
func atRest(t *testing.T, p *pool.Pool, l *ledger) {
	t.Helper()
	eventually(t, func() bool { return p.Stats().InUse == 0 })
	l.settled(t, p)
}
