package postgres_test

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// bubble runs a test in a synctest bubble. There, time passes only while all goroutines wait, and
// every goroutine must have ended at the end.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		end := time.AfterFunc(3*time.Hour, func() { panic("the test has waited for three hours in its bubble") })
		t.Cleanup(func() { end.Stop() }) // the last of all cleanups
		f(t)
	})
}

// open opens a pool of the servers. At the end of the test it is shut down, and no connection may be
// left.
func open(t *testing.T, all *servers, change func(*postgres.Config)) *postgres.Pool {
	t.Helper()
	cfg := all.config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	p, err := postgres.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.Closed() {
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		synctest.Wait()
		for _, s := range all.list {
			if n := s.open(); n != 0 {
				t.Errorf("%d connections to %s are still open", n, s.name)
			}
		}
		if s := p.Stats(); s.Acquires != s.Releases+s.Discards || s.Connects != s.Closes || s.Panics != 0 {
			t.Errorf("%d acquires, but %d releases and %d discards; %d connects, but %d closes; %d panics", s.Acquires, s.Releases, s.Discards, s.Connects, s.Closes, s.Panics)
		}
	})
	return p
}

// A querier is a *sql.DB, a *sql.Conn or a *sql.Tx.
type querier interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// where returns the name of the server that answers, and what it shows.
func where(t *testing.T, q querier) (server, values string) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), "SELECT server FROM t").Scan(&server, &values); err != nil {
		t.Fatal(err)
	}
	return server, values
}

// insert inserts a value.
func insert(ctx context.Context, q querier, value any) error {
	_, err := q.ExecContext(ctx, "INSERT INTO t VALUES ($1)", value)
	return err
}

// begin begins a transaction, which ends with the test at the latest.
func begin(t *testing.T, b interface {
	BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
}, opts *sql.TxOptions) *sql.Tx {
	t.Helper()
	tx, err := b.BeginTx(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// TestRoutes checks which server executes what.
func TestRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		for _, db := range []*sql.DB{p.DB(), p.Writer()} {
			if err := insert(t.Context(), db, "x"); err != nil {
				t.Error(err)
			}
			if s, _ := where(t, db); s != "a" {
				t.Errorf("%s answers a query, want the primary", s)
			}
		}
		if s, values := where(t, p.Reader()); s != "b" || values != "x,x" {
			t.Errorf("%s answers a query of Reader with %q, want the standby", s, values)
		}
		if err := insert(t.Context(), p.Reader(), "y"); err == nil {
			t.Error("Reader can write")
		}
		for name, c := range map[string]struct {
			opts *sql.TxOptions
			want string
		}{
			"default":                   {nil, "a"},
			"read-only":                 {&sql.TxOptions{ReadOnly: true}, "b"},
			"read-only, repeatable":     {&sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}, "b"},
			"read-only, serializable":   {&sql.TxOptions{ReadOnly: true, Isolation: sql.LevelSerializable}, "a"},
			"repeatable":                {&sql.TxOptions{Isolation: sql.LevelRepeatableRead}, "a"},
			"read-only, linearizable":   {&sql.TxOptions{ReadOnly: true, Isolation: sql.LevelLinearizable}, "a"},
			"read-only, read committed": {&sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadCommitted}, "b"},
		} {
			tx := begin(t, p.DB(), c.opts)
			if s, _ := where(t, tx); s != c.want {
				t.Errorf("%s: %s answers, want %s", name, s, c.want)
			}
			if err := tx.Commit(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		tx := begin(t, p.Writer(), &sql.TxOptions{ReadOnly: true})
		if s, _ := where(t, tx); s != "a" {
			t.Errorf("%s answers a read-only transaction of Writer, want the primary", s)
		}
	})
}

// TestConnMovesToPrimary checks that a *sql.Conn of DB is on the primary from its first call that may
// write, and stays there.
func TestConnMovesToPrimary(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		c, err := p.DB().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		read := &sql.TxOptions{ReadOnly: true}
		tx := begin(t, c, read)
		if s, _ := where(t, tx); s != "b" {
			t.Errorf("%s answers a read-only transaction, want the standby", s)
		}
		tx.Rollback()
		if err := insert(t.Context(), c, "x"); err != nil {
			t.Error(err)
		}
		if n := p.Stats(); n.ReadersInUse != 0 || n.WritersInUse != 1 {
			t.Errorf("%d readers and %d writers are in use, want 1 writer", n.ReadersInUse, n.WritersInUse)
		}
		tx = begin(t, c, read)
		if s, values := where(t, tx); s != "a" || values != "x" {
			t.Errorf("%s answers with %q, want the primary with x", s, values)
		}
		tx.Rollback()
	})
}

// TestStatements checks that a prepared statement is executed on the right server, whatever
// connection it was prepared on.
func TestStatements(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		st, err := p.DB().PrepareContext(t.Context(), "INSERT INTO t VALUES ($1)")
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		for _, v := range []string{"x", "y"} {
			if _, err := st.ExecContext(t.Context(), v); err != nil {
				t.Error(err)
			}
		}
		if _, err := st.ExecContext(t.Context()); err == nil {
			t.Error("a missing argument is no error")
		}
		tx := begin(t, p.DB(), nil)
		if _, err := tx.StmtContext(t.Context(), st).ExecContext(t.Context(), "z"); err != nil {
			t.Error(err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if got := all.get("b").values(); !slices.Equal(got, []string{"x", "y", "z"}) {
			t.Errorf("the servers have %q", got)
		}
		if _, err := p.DB().PrepareContext(t.Context(), "???"); err == nil {
			t.Error("a wrong query can be prepared")
		}
	})
}

// TestReadersWithoutStandby checks that readers use the primary if there is no standby, and that an
// event says so.
func TestReadersWithoutStandby(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := newServers("a", "b")
		p := open(t, all, nil)
		where(t, p.Reader())
		all.get("b").kill()
		time.Sleep(5 * time.Second) // a check
		if s, _ := where(t, p.Reader()); s != "a" {
			t.Errorf("%s answers, want the primary", s)
		}
		if h := p.Health(); h.Health.String() != "degraded" || len(h.Reasons) != 2 {
			t.Errorf("%v: %q, want degraded with 2 reasons", h.Health, h.Reasons)
		}
		all.get("b").set(func(s *server) { s.down = false })
		time.Sleep(5 * time.Second)
		if s, _ := where(t, p.Reader()); s != "b" {
			t.Errorf("%s answers, want the standby again", s)
		}
		if h := p.Health(); h.Health.String() != "ok" {
			t.Errorf("%v: %q", h.Health, h.Reasons)
		}
		if got := kinds(p, postgres.ReasonStandby); !slices.Equal(got, []string{"failing", "recovered"}) {
			t.Errorf("events %q", got)
		}
	})
}

// kinds returns the kinds of the events with that reason.
func kinds[R ~string](p *postgres.Pool, why R) (list []string) {
	for _, e := range p.Events() {
		if string(e.Reason) == string(why) {
			list = append(list, e.Kind.String())
		}
	}
	return list
}
