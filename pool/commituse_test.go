package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// An auditing connector wraps the pool's driver. Each Exec makes a second call on its connection.
type auditing struct{ sqldriver.Connector }

func (a auditing) Connect(ctx context.Context) (sqldriver.Conn, error) {
	c, err := a.Connector.Connect(ctx)
	return auditingConn{c}, err
}

// Close closes the wrapped connector.
func (a auditing) Close() error { return a.Connector.(interface{ Close() error }).Close() }

type auditingConn struct{ sqldriver.Conn }

// ExecContext fails if last_insert_rowid() is not what the result says.
func (c auditingConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	res, err := c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, query, args)
	if err != nil || !strings.HasPrefix(query, "INSERT") {
		return res, err
	}
	rows, err := c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, "SELECT last_insert_rowid()", nil)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	dest := make([]sqldriver.Value, 1)
	if err := rows.Next(dest); err != nil {
		return nil, err
	}
	if id, _ := res.LastInsertId(); dest[0] != id {
		return nil, fmt.Errorf("last_insert_rowid() is %v after an insert of %v", dest[0], id)
	}
	return res, nil
}

func (c auditingConn) IsValid() bool { return c.Conn.(sqldriver.Validator).IsValid() }

// TestDriversInBetween checks that a driver around the pool's, which may call a connection more than once
// for each call of database/sql, keeps its connection.
func TestDriversInBetween(t *testing.T) {
	connector, err := (&pool.Driver{}).OpenConnector("file:" + t.TempDir() + "/test.db?_pool_log=off")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(auditing{connector})
	defer db.Close()
	must(t, db, "CREATE TABLE t(a)")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestConnKeepsItsWriter checks that a *sql.Conn keeps its connection after a commit, however the
// program makes it.
func TestConnKeepsItsWriter(t *testing.T) {
	for name, commit := range map[string]func(ctx context.Context, c *sql.Conn) error{
		"Exec": func(ctx context.Context, c *sql.Conn) error {
			_, err := c.ExecContext(ctx, insertOne)
			return err
		},
		"Stmt": func(ctx context.Context, c *sql.Conn) error {
			st, err := c.PrepareContext(ctx, insertOne)
			if err != nil {
				return err
			}
			defer st.Close()
			_, err = st.ExecContext(ctx)
			return err
		},
		"Tx": func(ctx context.Context, c *sql.Conn) error {
			tx, err := c.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, insertOne)
			return errors.Join(err, tx.Commit())
		},
		"RETURNING": func(ctx context.Context, c *sql.Conn) error {
			return c.QueryRowContext(ctx, insertOne+" RETURNING a").Scan(new(int))
		},
		"a driver's Exec in Raw": func(ctx context.Context, c *sql.Conn) error {
			return c.Raw(func(dc any) error {
				_, err := dc.(sqldriver.ExecerContext).ExecContext(ctx, insertOne, nil)
				return err
			})
		},
		"a driver's statement in Raw": func(ctx context.Context, c *sql.Conn) error {
			return c.Raw(func(dc any) error {
				st, err := dc.(sqldriver.ConnPrepareContext).PrepareContext(ctx, insertOne)
				if err != nil {
					return err
				}
				defer st.Close()
				_, err = st.(sqldriver.StmtExecContext).ExecContext(ctx, nil)
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, l, _ := shared(t, pool.Config{})
			c, err := p.DB().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			must(t, c, "CREATE TEMP TABLE mine(a)")
			for range 3 {
				if err := commit(t.Context(), c); err != nil {
					t.Error(err)
				}
				must(t, p.DB(), insertOne)
				must(t, c, "INSERT INTO mine VALUES (1)")
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if n := rowsOf(t, p, "t"); n != 6 {
				t.Errorf("%d rows", n)
			}
			atRest(t, p, l)
		})
	}
}

// TestHookPanicsOnTheirGoroutine checks that a panic of a hook does not end the process if it is called
// where database/sql closes rows, because their context has ended.
func TestHookPanicsOnTheirGoroutine(t *testing.T) {
	var panics atomic.Bool
	p, _, _ := shared(t, pool.Config{Hooks: pool.Hooks{AfterRelease: func(pool.ConnInfo) bool {
		if panics.Swap(false) {
			panic("hook")
		}
		return true
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	rows, err := p.DB().QueryContext(ctx, "INSERT INTO t VALUES (1),(2) RETURNING a")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	panics.Store(true)
	cancel()
	eventually(t, func() bool { return p.Stats().Panics == 1 })
	must(t, p.DB(), insertOne)
}

// TestClosedByContext checks that rows of a commit that database/sql closes, because their context has
// ended, are closed only when the commit is on the disk. Nobody could get the error.
func TestClosedByContext(t *testing.T) {
	p, _, s := shared(t, pool.Config{CommitSync: pool.CommitSyncSharedEarly})
	slow, free := s.hold(t)
	first := make(chan error, 1)
	go func() { first <- roads[0].commit(t.Context(), p) }()
	<-slow.held
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- p.DB().QueryRowContext(ctx, insertOne+" RETURNING a").Scan(cancels(cancel)) }()
	eventually(t, func() bool { return rowsOf(t, p, "t") == 2 })
	select {
	case err := <-result:
		if committed := (*pool.CommitError)(nil); !errors.As(err, &committed) {
			t.Errorf("returned %v before the disk", err)
		}
	case <-time.After(20 * time.Millisecond):
	}
	free()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// cancels is a Scanner that ends a context and gives database/sql time to notice.
type cancels func()

func (c cancels) Scan(any) error {
	c()
	time.Sleep(20 * time.Millisecond)
	return nil
}

// TestCommitBesideAFailedSync checks that a COMMIT that is under way when another's sync fails says
// that it is committed, if it is there after a recovery.
func TestCommitBesideAFailedSync(t *testing.T) {
	for try := range 8 {
		p, _, s := shared(t, pool.Config{AcquireTimeout: time.Minute})
		held, letGo := make(chan struct{}, 100), make(chan struct{})
		s.onSync(func() error {
			held <- struct{}{}
			<-letGo
			return syscall.EIO
		})
		first := make(chan error, 1)
		go func() { _, err := p.DB().Exec("INSERT INTO other VALUES (2)"); first <- err }()
		<-held
		tx, err := p.DB().Begin()
		if err != nil {
			t.Fatal(err)
		}
		must(t, tx, "INSERT INTO t SELECT randomblob(3000) FROM generate_series(1, 500)")
		go func() {
			time.Sleep(time.Duration(try) * 300 * time.Microsecond)
			close(letGo)
		}()
		err = tx.Commit()
		<-first
		s.onSync(nil)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		again, _ := pooled(t, pool.Config{Path: p.Config().Path})
		var committed *pool.CommitError
		if n := rowsOf(t, again, "t"); n > 0 != errors.As(err, &committed) || !errors.Is(err, driver.ErrFileLost) {
			t.Errorf("%d rows are there after %v", n, err)
		}
	}
}

// TestContextsOfRowsAndTransactions checks that a wait for the disk ends with the context of its own
// rows or transaction, and not with that of a later query.
func TestContextsOfRowsAndTransactions(t *testing.T) {
	p, l, s := shared(t, pool.Config{})
	slow, free := s.hold(t)
	wrote := make(chan error, 1)
	go func() { wrote <- roads[0].commit(t.Context(), p) }()
	<-slow.held
	writes, err := p.DB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	reads, err := p.DB().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := reads.QueryContext(t.Context(), "SELECT a FROM t")
	if err != nil {
		t.Fatal(err)
	}
	for tx, query := range map[*sql.Tx]string{writes: "SELECT count(*) FROM t", reads: "SELECT 1"} {
		ctx, cancel := context.WithCancel(t.Context())
		if err := tx.QueryRowContext(ctx, query).Scan(new(int)); err != nil {
			t.Error(err)
		}
		cancel()
	}
	results := make(chan error, 2)
	go func() {
		for rows.Next() {
		}
		results <- errors.Join(rows.Err(), rows.Close(), reads.Rollback())
	}()
	go func() { results <- writes.Rollback() }()
	// The transaction on the writer waits without it.
	eventually(t, func() bool { return p.Stats().SyncWaiting == 3 && p.Stats().WritersInUse == 0 })
	select {
	case err := <-results:
		t.Errorf("returned %v before the disk", err)
	default:
	}
	free()
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	atRest(t, p, l)
}

// TestWhatElseShowsACommit checks that calls that do not return rows, but depend on a commit that is not
// on the disk, wait for it.
func TestWhatElseShowsACommit(t *testing.T) {
	p, _, s := shared(t, pool.Config{MaxConns: 4})
	must(t, p.DB(), "CREATE TABLE u(a UNIQUE)")
	slow, free := s.hold(t)
	wrote := make(chan error, 2)
	go func() { _, err := p.DB().Exec("INSERT INTO u VALUES (1)"); wrote <- err }()
	<-slow.held
	go func() { _, err := p.DB().Exec("CREATE TABLE later(a)"); wrote <- err }()
	eventually(t, func() bool { return p.Stats().SyncWaiting == 2 })
	for name, call := range map[string]func(ctx context.Context) error{
		"INSERT OR IGNORE": func(ctx context.Context) error {
			_, err := p.DB().ExecContext(ctx, "INSERT OR IGNORE INTO u VALUES (1)")
			return err
		},
		"UNIQUE": func(ctx context.Context) error {
			_, err := p.DB().ExecContext(ctx, "INSERT INTO u VALUES (1)")
			return err
		},
		"RETURNING of nothing": func(ctx context.Context) error {
			return p.DB().QueryRowContext(ctx, "DELETE FROM u WHERE a = 2 RETURNING a").Scan(new(int))
		},
		"Prepare": func(ctx context.Context) error {
			_, err := p.DB().PrepareContext(ctx, "SELECT a FROM later")
			return err
		},
		"VACUUM INTO": func(ctx context.Context) error {
			_, err := p.DB().ExecContext(ctx, "VACUUM INTO '"+p.Config().Path+".copy'")
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	free()
	for range 2 {
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	}
}
