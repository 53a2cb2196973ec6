package pool_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// A censor is an authorizer that records forbidden actions. SQLite calls it for each query that
// it prepares.
type censor struct {
	armed atomic.Bool
	seen  atomic.Pointer[string] // the last forbidden action on a reader
}

// hook installs the censor on each new connection. It must not be used by tests with several
// goroutines.
func (c *censor) hook(_ context.Context, raw *sqlite3.Conn) error {
	reader := valueOf(raw, "PRAGMA query_only") == "1"
	return raw.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, name, value, _, _ string) sqlite3.AuthorizerReturnCode {
		switch action {
		case sqlite3.AUTH_PRAGMA:
			if value == "" {
				return sqlite3.AUTH_OK
			}
		case sqlite3.AUTH_ATTACH, sqlite3.AUTH_DETACH, sqlite3.AUTH_TRANSACTION, sqlite3.AUTH_SAVEPOINT:
		default:
			return sqlite3.AUTH_OK
		}
		if reader && c.armed.Load() {
			what := strings.TrimSpace(fmt.Sprint(action, " ", name))
			c.seen.Store(&what)
		}
		return sqlite3.AUTH_OK
	})
}

// changingQueries would change a reader or write on it.
var changingQueries = []string{
	"PRAGMA query_only=0; INSERT INTO t VALUES ('by Reader()')", "PRAGMA query_only=0; CREATE TEMP TABLE x(a); INSERT INTO x VALUES (1)",
	"SELECT $a('); PRAGMA busy_timeout=1; PRAGMA foreign_keys=0; ATTACH ':memory:' AS other; --')",
	"SELECT $a('); CREATE TEMP TABLE hidden(a); --')", "SELECT $a('); PRAGMA query_only=0; INSERT INTO t VALUES (1); --')",
	"INSERT INTO t VALUES ('x'); SELECT ?", "SELECT ?; PRAGMA foreign_keys=0", "SELECT ?1; INSERT INTO t VALUES (?1)", "PRAGMA foreign_keys=0; SELECT ?",
	"PRAGMA case_sensitive_like=1", "PRAGMA case_sensitive_like(1); SELECT 1", "PRAGMA writable_schema=1", "PRAGMA trusted_schema=0",
	"PRAGMA reverse_unordered_selects=1", "PRAGMA recursive_triggers=1", "PRAGMA cache_size=9", "PRAGMA temp.cache_size=9", "PRAGMA main . cache_size(9)",
	"PRAGMA busy_timeout=1", "PRAGMA synchronous=0", "PRAGMA temp_store=2", "PRAGMA locking_mode=exclusive", "PRAGMA journal_mode=delete", "PRAGMA journal_mode=off",
	"PRAGMA hard_heap_limit=9000000", "PRAGMA automatic_index=0", "PRAGMA defer_foreign_keys=1", "PRAGMA count_changes=1", "PRAGMA full_column_names=1",
	"PRAGMA max_page_count=9", "PRAGMA secure_delete=1", "PRAGMA wal_autocheckpoint=7", "PRAGMA wal_checkpoint(truncate)", "PRAGMA optimize", "PRAGMA optimize(-1)",
	"PRAGMA analysis_limit=7", "PRAGMA user_version=9", "PRAGMA application_id=9", "PRAGMA auto_vacuum=1", "PRAGMA page_size=8192", "PRAGMA encoding='UTF-16'",
	"PRAGMA incremental_vacuum(1)", "PRAGMA shrink_memory", "PRAGMA key='x'", "PRAGMA nonsense=1",
	"SELECT * FROM pragma_optimize(-1)", "SELECT * FROM pragma_optimize", "SELECT * FROM pragma_wal_checkpoint", "SELECT * FROM pragma_foreign_keys(0)",
	"ATTACH 'attached.db' AS other", "ATTACH 'file:attached.db?mode=rwc' AS other", "ATTACH '' AS other; CREATE TABLE other.x(a)", "VACUUM INTO 'copied.db'", "VACUUM; ATTACH ':memory:' AS a",
	"DETACH main", "DETACH temp", "BEGIN; SELECT a FROM t", "BEGIN; PRAGMA query_only=0; COMMIT", "BEGIN EXCLUSIVE", "SAVEPOINT a; SAVEPOINT b; RELEASE b", "BEGIN; COMMIT",
	"CREATE TEMP VIEW x AS SELECT 1", "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "CREATE VIRTUAL TABLE temp.x USING fts5(a)", "CREATE TEMP TABLE x AS SELECT a FROM t",
	"DROP TABLE IF EXISTS temp.x", "SELECT load_extension('x')", "SELECT fts3_tokenizer('simple')", "SELECT * FROM sqlite_temp_schema",
	"SELECT 1;\vPRAGMA foreign_keys=0", "SELECT 1;\fPRAGMA foreign_keys=0", "\uFEFF;\uFEFFPRAGMA foreign_keys=0", "/**/;/*;*/PRAGMA/**/foreign_keys/**/=/**/0", "EXPLAIN QUERY PLAN PRAGMA foreign_keys=0; SELECT 1",
	"SELECT spy()", "SELECT spy() FROM t", "WITH x AS (SELECT spy()) SELECT * FROM x",
}

// readerWays are the ways for a program to execute a query on a reader.
var readerWays = []struct {
	name string
	give func(ctx context.Context, db *sql.DB, query string)
}{
	{"Exec", func(ctx context.Context, db *sql.DB, query string) { db.ExecContext(ctx, query) }},
	{"Query", func(ctx context.Context, db *sql.DB, query string) { readSome(db.QueryContext(ctx, query)) }},
	{"Exec with an argument", func(ctx context.Context, db *sql.DB, query string) { db.ExecContext(ctx, query, "x") }},
	{"Query with an argument", func(ctx context.Context, db *sql.DB, query string) { readSome(db.QueryContext(ctx, query, "x")) }},
	{"Prepare, Exec and Query", func(ctx context.Context, db *sql.DB, query string) {
		if stmt, err := db.PrepareContext(ctx, query); err == nil {
			stmt.ExecContext(ctx)
			readSome(stmt.QueryContext(ctx))
			stmt.Close()
		}
	}},
	{"Exec twice and Query of a Conn", func(ctx context.Context, db *sql.DB, query string) {
		if conn, err := db.Conn(ctx); err == nil {
			conn.ExecContext(ctx, query)
			conn.ExecContext(ctx, query)
			readSome(conn.QueryContext(ctx, query))
			conn.Close()
		}
	}},
	{"Exec and Query of a Tx", func(ctx context.Context, db *sql.DB, query string) {
		if tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err == nil {
			tx.ExecContext(ctx, query)
			readSome(tx.QueryContext(ctx, query))
			tx.Commit()
		}
	}},
	{"Raw", func(ctx context.Context, db *sql.DB, query string) {
		if conn, err := db.Conn(ctx); err == nil {
			conn.Raw(func(c any) error { return c.(driver.Conn).Raw().Exec(query) })
			conn.Close()
		}
	}},
}

// readSome reads a few rows.
func readSome(rows *sql.Rows, err error) {
	if err != nil {
		return
	}
	defer rows.Close()
	for range 3 {
		if !rows.Next() {
			return
		}
	}
}

// A readerPool is a pool whose readers must not change.
type readerPool struct {
	*pool.Pool
	name string

	fresh string
	dir   string
}

// readerPools returns two pools: one whose readers the pool's own authorizer watches, and one
// whose program has its own authorizer.
func readerPools(t testing.TB) []*readerPool {
	own := func(ctx context.Context, raw *sqlite3.Conn) error {
		return raw.SetAuthorizer(func(sqlite3.AuthorizerActionCode, string, string, string, string) sqlite3.AuthorizerReturnCode {
			return sqlite3.AUTH_OK
		})
	}
	// A function of the program that sets a pragma: a query that calls it does not show that.
	spy := func(_ context.Context, raw *sqlite3.Conn) error {
		raw.Limit(sqlite3.LIMIT_LENGTH, 1<<20)
		return raw.CreateFunction("spy", 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			if err := raw.Exec("PRAGMA recursive_triggers=1"); err != nil {
				ctx.ResultError(err)
			}
		})
	}
	var pools []*readerPool
	for name, hook := range map[string]func(context.Context, *sqlite3.Conn) error{"watched": spy, "with an authorizer": own} {
		dir := t.TempDir()
		p, _ := pooled(t, pool.Config{Path: filepath.Join(dir, "a.db"), MaxConns: 2, MinConns: 2, Hooks: pool.Hooks{AfterConnect: hook}})
		mustExec(t, p.DB(), "CREATE TABLE t (a)", "INSERT INTO t VALUES ('first')")
		r := &readerPool{Pool: p, name: name, dir: dir}
		r.fresh = r.session(t)
		pools = append(pools, r)
	}
	return pools
}

// session returns the session state that the next caller of a reader finds.
func (p *readerPool) session(t testing.TB) string {
	t.Helper()
	mustScan[int](t, p.Reader(), "SELECT 1")
	list := readerSessions(p.Pool)
	if len(list) != 1 {
		t.Fatalf("%d readers are idle", len(list))
	}
	return withoutFileState(list[0])
}

// contents describes the database, the files beside it, and the working directory.
func (p *readerPool) contents(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, query := range []string{
		"SELECT group_concat(type || name || coalesce(sql, '')) FROM sqlite_schema", "SELECT group_concat(quote(a)) FROM t",
		"PRAGMA user_version", "PRAGMA application_id", "PRAGMA journal_mode", "PRAGMA auto_vacuum",
	} {
		b.WriteString(fmt.Sprintln(mustScan[any](t, p.Writer(), query)))
	}
	for _, dir := range []string{p.dir, "."} {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range list {
			if name := entry.Name(); !strings.HasSuffix(name, ".go") && name != "testdata" { // source files of the package
				fmt.Fprintln(&b, name)
			}
		}
	}
	return b.String()
}

// check executes a query on a reader, and checks that nothing has changed.
func (p *readerPool) check(t *testing.T, way int, query string) {
	t.Helper()
	how := readerWays[way]
	before := p.contents(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	how.give(ctx, p.Reader(), query)
	if after := p.session(t); after != p.fresh {
		t.Errorf("%s: %s of %q changes a reader:\n%s\n%s", p.name, how.name, query, p.fresh, after)
		p.Reset()
	}
	if after := p.contents(t); after != before {
		t.Errorf("%s: %s of %q on a reader writes:\n%s\n%s", p.name, how.name, query, before, after)
	}
}

// FuzzReader checks that no query changes a reader, however it is executed (E4). The next
// caller finds the reader as it was opened, and no file has changed.
func FuzzReader(f *testing.F) {
	for _, query := range append(hazardousQueries, changingQueries...) {
		for way := range readerWays {
			f.Add(query, []byte(nil), uint8(way))
		}
	}
	pools := readerPools(f)
	f.Fuzz(func(t *testing.T, query string, data []byte, way uint8) {
		for _, p := range pools {
			p.check(t, int(way)%len(readerWays), query)
			if len(data) > 0 {
				p.check(t, int(way)%len(readerWays), sqltexttest.Weave(data))
			}
		}
	})
}

// FuzzReaderUnchanged checks that no query that DB gets changes a reader (E4): no pragma, no
// transaction, no attached database. The query must not even try that on a reader.
func FuzzReaderUnchanged(f *testing.F) {
	for _, query := range append(hazardousQueries, changingQueries...) {
		f.Add(query, []byte(nil))
	}
	var c censor
	p, _ := pooled(f, pool.Config{MaxConns: 2, MinConns: 2, Hooks: pool.Hooks{AfterConnect: func(ctx context.Context, raw *sqlite3.Conn) error {
		raw.Limit(sqlite3.LIMIT_LENGTH, 1<<20)
		if valueOf(raw, "PRAGMA query_only") == "0" {
			raw.Limit(sqlite3.LIMIT_ATTACHED, 0) // otherwise a query may create files, as it may on the writer
		}
		return c.hook(ctx, raw)
	}}})
	db := p.DB()
	check := func(t *testing.T, query string) {
		if p.Stats().Max == 1 {
			mustExec(t, db, "PRAGMA journal_mode = wal")
		}
		p.Reset() // otherwise the marks that a query has left on the writer would keep the next one from readers
		mustExec(t, db, "CREATE TABLE IF NOT EXISTS t (a)")
		var before []string
		for range 100 { // a reader that was being opened during the Reset is closed after its first use
			mustScan[int](t, db, "SELECT 1")
			if before = readerSessions(p); len(before) == 1 {
				break
			}
		}
		if len(before) != 1 {
			t.Fatalf("%d readers", len(before))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		c.seen.Store(nil)
		c.armed.Store(true)
		if stmt, err := db.PrepareContext(ctx, query); err == nil {
			stmt.Close()
		}
		readSome(db.QueryContext(ctx, query))
		c.armed.Store(false)
		if what := c.seen.Load(); what != nil {
			t.Errorf("preparing %q on a reader would do: %s", query, *what)
		}
		for i, after := range readerSessions(p) {
			if withoutFileState(after) != withoutFileState(before[i]) {
				t.Errorf("%q changes a reader:\n%s\n%s", query, before[i], after)
			}
		}
	}
	f.Fuzz(func(t *testing.T, query string, data []byte) {
		check(t, query)
		if len(data) > 0 {
			check(t, sqltexttest.Weave(data))
		}
	})
}

// withoutFileState removes from a session state the values that belong to the file, because any
// connection may change them.
func withoutFileState(session string) string {
	return regexp.MustCompile(`, (user_version|application_id) -?[0-9]+`).ReplaceAllString(session, "")
}

// readerSessions describes the idle readers.
func readerSessions(p *pool.Pool) (list []string) {
	for _, raw := range p.IdleReaders() {
		list = append(list, sessionState(raw))
	}
	return list
}
