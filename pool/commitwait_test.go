package pool_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// TestContextEndsWhileTheDiskSyncs checks that a commit whose context ends while it waits for the
// disk fails with a CommitError that says so, and stands.
func TestContextEndsWhileTheDiskSyncs(t *testing.T) {
	for _, road := range roads {
		if !road.handsOn || road.name == "Exec of several, and an error" {
			continue
		}
		t.Run(road.name, func(t *testing.T) {
			p, l, s := shared(t, pool.Config{CommitSync: pool.CommitSyncSharedEarly})
			slow, free := s.hold(t)
			first := make(chan error, 1)
			go func() { first <- roads[0].commit(t.Context(), p) }()
			<-slow.held
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- road.commit(ctx, p) }()
			eventually(t, func() bool { return rowsOf(t, p, "t") == 2 })
			cancel()
			err := <-result
			var committed *pool.CommitError
			if !errors.As(err, &committed) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "is committed, but not known to be on the disk") {
				t.Errorf("%v", err)
			}
			free()
			if err := <-first; err != nil {
				t.Error(err)
			}
			must(t, p.DB(), insertOne)
			if n := rowsOf(t, p, "t"); n != 3 {
				t.Errorf("%d rows", n)
			}
			atRest(t, p, l)
		})
	}
}

// rowsOf returns how many rows a table has, for a reader.
func rowsOf(t *testing.T, p *pool.Pool, table string) (n int) {
	t.Helper()
	if err := p.Reader().QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadersWaitForWhatTheySee checks that a reader that sees a commit waits until that is on the
// disk, in each way to read, that it can give up, and that readers of other tables do not wait. With
// shared-early, none waits.
func TestReadersWaitForWhatTheySee(t *testing.T) {
	scan := func(row *sql.Row) error { return row.Scan(new(int)) }
	for name, read := range map[string]func(ctx context.Context, p *pool.Pool, table string) error{
		"QueryRow": func(ctx context.Context, p *pool.Pool, table string) error {
			return scan(p.DB().QueryRowContext(ctx, "SELECT count(*) FROM "+table))
		},
		"no rows": func(ctx context.Context, p *pool.Pool, table string) error {
			err := scan(p.DB().QueryRowContext(ctx, "SELECT a FROM "+table+" WHERE a = 7"))
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		},
		"Stmt": func(ctx context.Context, p *pool.Pool, table string) error {
			st, err := p.DB().PrepareContext(ctx, "SELECT count(*) FROM "+table)
			if err != nil {
				return err
			}
			defer st.Close()
			return scan(st.QueryRowContext(ctx))
		},
		"read-only transaction": func(ctx context.Context, p *pool.Pool, table string) error {
			tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := scan(tx.QueryRowContext(ctx, "SELECT count(*) FROM other")); err != nil {
				return err
			}
			return scan(tx.QueryRowContext(ctx, "SELECT count(*) FROM "+table))
		},
		"AcquireRead": func(ctx context.Context, p *pool.Pool, table string) error {
			c, err := p.AcquireRead(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return scan(c.QueryRowContext(ctx, "SELECT count(*) FROM "+table))
		},
		"Raw": func(ctx context.Context, p *pool.Pool, table string) error {
			return p.Raw(ctx, func(c *sqlite3.Conn) error { return c.Exec("SELECT count(*) FROM " + table) })
		},
		"Backup": func(ctx context.Context, p *pool.Pool, table string) error {
			return p.BackupTo(ctx, p.Config().Path+".backup", pool.BackupOptions{Replace: true})
		},
		"the writer": func(ctx context.Context, p *pool.Pool, table string) error {
			return scan(p.Writer().QueryRowContext(ctx, "SELECT count(*) FROM "+table))
		},
		"a transaction that writes nothing": func(ctx context.Context, p *pool.Pool, table string) error {
			tx, err := p.DB().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			err = scan(tx.QueryRowContext(ctx, "SELECT count(*) FROM "+table))
			return errors.Join(err, tx.Rollback())
		},
	} {
		for _, mode := range []pool.CommitSync{pool.CommitSyncShared, pool.CommitSyncSharedEarly} {
			t.Run(name+", "+mode.String(), func(t *testing.T) {
				p, l, s := shared(t, pool.Config{CommitSync: mode})
				slow, free := s.hold(t)
				wrote := make(chan error, 1)
				go func() { wrote <- roads[0].commit(t.Context(), p) }()
				<-slow.held
				// The writer has its commits in its cache, and the pool does not see what others read.
				if name != "the writer" && name != "a transaction that writes nothing" && name != "Raw" && name != "Backup" {
					if err := read(t.Context(), p, "other"); err != nil {
						t.Error(err)
					}
				}
				result := make(chan error, 1)
				go func() { result <- read(t.Context(), p, "t") }()
				if mode == pool.CommitSyncSharedEarly {
					if err := <-result; err != nil {
						t.Error(err)
					}
				} else {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
					defer cancel()
					if err := read(ctx, p, "t"); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("a reader was shown a commit that is not on the disk, or: %v", err)
					}
					select {
					case err := <-result:
						t.Errorf("a reader was shown a commit that is not on the disk, or: %v", err)
					default:
					}
				}
				free()
				if mode == pool.CommitSyncShared {
					if err := <-result; err != nil {
						t.Error(err)
					}
				}
				if err := <-wrote; err != nil {
					t.Error(err)
				}
				atRest(t, p, l)
			})
		}
	}
}

// TestReadersOfOtherPoolsWait checks that readers of another pool of the same file wait as well.
func TestReadersOfOtherPoolsWait(t *testing.T) {
	p, _, s := shared(t, pool.Config{})
	other, _ := pooled(t, pool.Config{Path: p.Config().Path})
	slow, free := s.hold(t)
	wrote := make(chan error, 1)
	go func() { wrote <- roads[0].commit(t.Context(), p) }()
	<-slow.held
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := other.DB().QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	free()
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// TestFailedSync checks that a failed sync fails the commit and all later calls, that no checkpoint
// follows, also when the pool is closed, and that opening the pool again helps.
func TestFailedSync(t *testing.T) {
	for _, road := range roads {
		if road.solo || road.name == "Exec of several, and an error" || road.name == "RETURNING of nothing" {
			continue
		}
		t.Run(road.name, func(t *testing.T) {
			var log logged
			p, l, s := shared(t, pool.Config{Logger: logger(&log), AcquireTimeout: time.Minute})
			plain, err := sql.Open(driver.Name, "file:"+p.Config().Path)
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			if err := plain.Ping(); err != nil {
				t.Fatal(err)
			}
			path := p.Config().Path
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s.onSync(func() error { return syscall.EIO })
			err = road.commit(t.Context(), p)
			s.onSync(nil)
			var committed *pool.CommitError
			if !errors.As(err, &committed) || !errors.Is(err, driver.ErrFileLost) || !errors.Is(err, sqlite3.IOERR_FSYNC) || !strings.Contains(err.Error(), "test.db-wal") {
				t.Errorf("%v", err)
			}
			for name, call := range map[string]func() error{
				"write":      func() error { _, err := p.DB().Exec(insertOne); return err },
				"read":       func() error { return p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int)) },
				"checkpoint": func() error { _, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_TRUNCATE); return err },
				"Raw":        func() error { return p.Raw(t.Context(), func(*sqlite3.Conn) error { return nil }) },
				"backup":     func() error { return p.Backup(t.Context(), path+".backup") },
				"no pool":    func() error { _, err := plain.Exec(insertOne); return err },
			} {
				if err := call(); !errors.Is(err, driver.ErrFileLost) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if r := p.Health(); r.Health != pool.HealthDown || !errors.Is(r.Err, driver.ErrFileLost) {
				t.Errorf("%+v", r)
			}
			eventually(t, func() bool { return l.last(driver.KindFileLost).Reason == "-wal not synced" && log.has("sync failed") })
			plain.Close()
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the database has changed, %v", err)
			}
			again, _ := pooled(t, pool.Config{Path: path})
			must(t, again.DB(), insertOne)
			if n := rowsOf(t, again, "t"); n != 2 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

// TestFailedSyncFailsAllWhoWait checks that a failed sync fails every commit that waits, and the readers
// that see one.
func TestFailedSyncFailsAllWhoWait(t *testing.T) {
	p, _, s := shared(t, pool.Config{AcquireTimeout: time.Minute})
	held, letGo := make(chan struct{}), make(chan struct{})
	s.onSync(func() error {
		close(held)
		<-letGo
		return syscall.ENOSPC
	})
	const writers = 4
	results := make(chan error, writers+1)
	write := func() { results <- roads[0].commit(t.Context(), p) }
	go write()
	<-held
	for range writers - 1 {
		go write()
	}
	go func() { results <- p.DB().QueryRow("SELECT count(*) FROM t").Scan(new(int)) }()
	eventually(t, func() bool { return p.Stats().Releases >= writers+1 && p.Stats().ReadersInUse == 1 })
	close(letGo)
	for range writers + 1 {
		if err := <-results; !errors.Is(err, driver.ErrFileLost) {
			t.Error(err)
		}
	}
}

// TestHookPanicsBeforeTheSync checks that the connection and the commit are not lost if a hook panics
// when the connection is given back before the wait.
func TestHookPanicsBeforeTheSync(t *testing.T) {
	var panics atomic.Bool
	p, _, _ := shared(t, pool.Config{Hooks: pool.Hooks{AfterRelease: func(pool.ConnInfo) bool {
		if panics.Swap(false) {
			panic("hook")
		}
		return true
	}}})
	for _, road := range roads[:3] {
		panics.Store(true)
		func() {
			defer func() {
				if v := recover(); v != "hook" {
					t.Errorf("%s: recovered %v", road.name, v)
				}
			}()
			err := road.commit(t.Context(), p)
			t.Errorf("%s: returned %v", road.name, err)
		}()
		must(t, p.DB(), insertOne)
	}
	if n := rowsOf(t, p, "t"); n != 6 {
		t.Errorf("%d rows", n)
	}
}

// TestSpanOfASharedSync checks that the span of a commit lasts until it is on the disk, and says how
// long that took; so do the metrics. Other spans say nothing.
func TestSpanOfASharedSync(t *testing.T) {
	s := syncingIn(t, "")
	for _, road := range roads {
		if road.solo {
			continue
		}
		t.Run(road.name, func(t *testing.T) {
			p, spans, tracer, _ := openRecording(t, pool.Config{})
			must(t, p.DB(), "CREATE TABLE t(a); CREATE TABLE other(a)")
			before := len(spans.Ended())
			s.onSync(func() error { time.Sleep(2 * time.Millisecond); return nil })
			ctx, span := tracer.Start(t.Context(), "program")
			if err := road.commit(ctx, p); err != nil {
				t.Error(err)
			}
			span.End()
			found, ended := 0, len(spans.Ended())
			if started := len(spans.Started()); started != ended {
				t.Errorf("%d spans have started, %d have ended", started, ended)
			}
			for _, sp := range spans.Ended()[before:] {
				for _, a := range sp.Attributes() {
					if a.Key == "sqlitemw.sync.duration" {
						found++
						if d := sp.EndTime().Sub(sp.StartTime()); a.Value.AsFloat64() < 0.002 || d.Seconds() < a.Value.AsFloat64() {
							t.Errorf("%s took %v, and its sync %v s", sp.Name(), d, a.Value.AsFloat64())
						}
					}
				}
			}
			if found == 0 {
				t.Error("no span has the sync's duration")
			}
		})
	}
}

// TestLeavingWALMode checks that a connection leaves WAL mode and enters it again beside shared syncs,
// with what it has written before still in its cache.
func TestLeavingWALMode(t *testing.T) {
	p, l, s := shared(t, pool.Config{})
	c, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		query string
		syncs bool // shared
	}{
		{insertOne, true},
		{"PRAGMA journal_mode=delete", false},
		{insertOne, false},
		{"PRAGMA journal_mode=wal", false},
		{insertOne, true},
	} {
		before := s.syncs.Load()
		if strings.HasPrefix(step.query, "PRAGMA") {
			var mode string
			if err := c.QueryRowContext(t.Context(), step.query).Scan(&mode); err != nil || !strings.HasSuffix(step.query, mode) {
				t.Fatalf("%s: %q, %v", step.query, mode, err)
			}
		} else {
			must(t, c, step.query)
		}
		if made := s.syncs.Load() - before; made > 0 != step.syncs {
			t.Errorf("%s: %d shared syncs", step.query, made)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n := rowsOf(t, p, "t"); n != 3 {
		t.Errorf("%d rows", n)
	}
	atRest(t, p, l)
}
