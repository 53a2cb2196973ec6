package pool_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A lockedBuffer is a log that a goroutine writes while another reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// planned opens a pool all of whose calls are slow.
func planned(t *testing.T, cfg pool.Config) (*pool.Pool, *tracing.Tracer, *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	tracer, err := tracing.New(tracing.Config{Statements: 100, SlowCall: 1, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Path, cfg.Tracing, cfg.KeepAlive = filepath.Join(t.TempDir(), "test.db"), tracer, 80*time.Millisecond
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	c, err := p.AcquireRead(t.Context()) // which opens a reader
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return p, tracer, log
}

// planOf waits for the plan of a statement.
func planOf(t *testing.T, tracer *tracing.Tracer, text string) (plan tracing.Plan) {
	t.Helper()
	eventually(t, func() bool {
		for _, s := range tracer.Statements() {
			if s.Text == text && s.Plan != nil {
				plan = *s.Plan
			}
		}
		return plan.Steps != nil
	})
	return plan
}

func TestPlansOfSlowStatements(t *testing.T) {
	p, tracer, log := planned(t, pool.Config{})
	db := p.DB()
	must(t, db, `CREATE TABLE parent(a INTEGER PRIMARY KEY, b);
		CREATE TABLE child(p REFERENCES parent(a), q);
		CREATE INDEX by_q ON child(q)`)
	for _, c := range []struct {
		query string
		text  string
		want  []string // findings
	}{
		{"SELECT b FROM parent WHERE a = 1", "SELECT b FROM parent WHERE a = ?", nil},
		{"SELECT a FROM parent WHERE b = 'secret'", "SELECT a FROM parent WHERE b = ?", []string{"full scan of parent: an index on the columns of WHERE, ON or ORDER BY would avoid it"}},
		{"SELECT q FROM child WHERE q > 'secret' ORDER BY p", "SELECT q FROM child WHERE q > ? ORDER BY p", []string{"temporary B-tree for ORDER BY: an index in this order would avoid it"}},
		{"SELECT q FROM child ORDER BY q", "SELECT q FROM child ORDER BY q", []string{"full scan of child, through its index by_q"}},
		{"SELECT x.b FROM parent x JOIN parent y ON x.b = y.b", "SELECT x.b FROM parent x JOIN parent y ON x.b = y.b", []string{"full scan of parent: an index on the columns of WHERE, ON or ORDER BY would avoid it", "automatic index on parent(b), which each call builds from a full scan: create it, CREATE INDEX name ON parent(b)"}},
		{"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + ? FROM n WHERE i < ?) SELECT i FROM n", nil},
		{`SELECT value FROM json_each('["secret"]')`, "SELECT value FROM json_each(?)", nil},
		{"DELETE FROM parent WHERE a = 7", "DELETE FROM parent WHERE a = ?", []string{"full scan of child for a foreign key without an index: create it, CREATE INDEX name ON child(p)"}},
		{"UPDATE child SET q = 1 WHERE q = 2", "UPDATE child SET q = ? WHERE q = ?", nil},
	} {
		must(t, db, c.query)
		plan := planOf(t, tracer, c.text)
		if !slices.Equal(plan.Findings, c.want) {
			t.Errorf("%s: %q, want %q; %q", c.query, plan.Findings, c.want, plan.Steps)
		}
	}
	must(t, db, "SELECT a FROM parent WHERE b = 'secret'")
	if s := log.String(); strings.Contains(s, "secret") || !strings.Contains(s, "plan of a slow database call") || !strings.Contains(s, "full scan of parent") {
		t.Error(s)
	}
	if n := rowsOf(t, p, "parent"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestPlanIsTakenOnce checks that the plan of a statement is not taken for each of its slow calls.
func TestPlanIsTakenOnce(t *testing.T) {
	p, tracer, log := planned(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t(a)")
	for range 20 {
		must(t, p.DB(), "SELECT a FROM t WHERE a = 1")
	}
	planOf(t, tracer, "SELECT a FROM t WHERE a = ?")
	must(t, p.DB(), "SELECT a FROM t WHERE a = 2")
	must(t, p.DB(), "SELECT a FROM t ORDER BY a")
	planOf(t, tracer, "SELECT a FROM t ORDER BY a")
	eventually(t, func() bool {
		return strings.Count(log.String(), "plan of a slow database call\" db.query.summary=\"SELECT t") == 2
	})
}

// TestNoPlanWhileCallersWait checks that the planner takes no reader that a caller uses, and does not
// keep callers from readers.
func TestNoPlanWhileCallersWait(t *testing.T) {
	p, tracer, _ := planned(t, pool.Config{MaxConns: 2})
	must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")
	c, err := p.AcquireRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.QueryRowContext(t.Context(), "SELECT a FROM t WHERE a = 1").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	for _, s := range tracer.Statements() {
		if s.Plan != nil && s.Text == "SELECT a FROM t WHERE a = ?" {
			t.Errorf("a plan while the only reader is in use: %+v", s)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if plan := planOf(t, tracer, "SELECT a FROM t WHERE a = ?"); len(plan.Findings) != 1 || !strings.HasPrefix(plan.Findings[0], "full scan of t:") {
		t.Errorf("%q", plan)
	}
}

// TestStatementsOfAPool checks that a statement's time in the queue is counted, and that commits that
// share a sync are.
func TestStatementsOfAPool(t *testing.T) {
	p, tracer, _ := planned(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t(a)")
	c, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := p.DB().Exec("INSERT INTO t VALUES (1)"); done <- err }()
	eventually(t, func() bool { return p.Stats().Waiting == 1 })
	time.Sleep(20 * time.Millisecond)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "INSERT INTO t VALUES (2)")
	for _, s := range tracer.Statements() {
		if s.Text != "INSERT INTO t VALUES (?)" {
			continue
		}
		if s.Calls != 2 || s.Running != 0 || s.LockWait < 10*time.Millisecond || s.Engine <= 0 || s.Engine > s.Total {
			t.Errorf("%+v", s)
		}
		return
	}
	t.Errorf("%+v", tracer.Statements())
}

// TestPlanAfterSchemaChange checks that the plan of a statement that is still slow is taken again when
// the schema has changed.
func TestPlanAfterSchemaChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, tracer, _ := planned(t, pool.Config{Init: func(raw *sqlite3.Conn) error {
			return raw.CreateFunction("pause", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
				time.Sleep(time.Second)
				ctx.ResultInt(1)
			})
		}})
		must(t, p.DB(), "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)")
		plan := func() tracing.Plan {
			must(t, p.DB(), "SELECT pause(), b FROM t WHERE a = 1")
			time.Sleep(2 * time.Minute) // rounds of maintenance come
			synctest.Wait()
			return planOf(t, tracer, "SELECT pause(), b FROM t WHERE a = ?")
		}
		first := plan()
		if len(first.Findings) != 1 {
			t.Errorf("%q", first)
		}
		if again := plan(); !again.Taken.Equal(first.Taken) {
			t.Errorf("the plan was taken at %v and, for the same schema, at %v", first.Taken, again.Taken)
		}
		must(t, p.DB(), "CREATE INDEX by_a ON t(a)")
		time.Sleep(2 * time.Minute) // without a slow call
		synctest.Wait()
		if again := planOf(t, tracer, "SELECT pause(), b FROM t WHERE a = ?"); len(again.Findings) != 0 {
			t.Errorf("%q", again)
		}
		if again := plan(); len(again.Findings) != 0 || !strings.Contains(again.Steps[0], "by_a") {
			t.Errorf("%q", again)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWaitOfNoStatement checks that the wait of a caller that makes no call is not that of the next
// caller's statement.
func TestWaitOfNoStatement(t *testing.T) {
	p, tracer, _ := planned(t, pool.Config{})
	must(t, p.DB(), "CREATE TABLE t(a)")
	first, err := p.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		second, err := p.AcquireWrite(t.Context())
		if err == nil {
			err = second.Close()
		}
		done <- err
	}()
	eventually(t, func() bool { return p.Stats().Waiting == 1 })
	time.Sleep(50 * time.Millisecond)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	must(t, p.DB(), "DELETE FROM t")
	for _, s := range tracer.Statements() {
		if s.Text == "DELETE FROM t" && s.LockWait != 0 {
			t.Errorf("%+v", s)
		}
	}
}
