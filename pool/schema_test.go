package pool_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestReadersSeeDroppedTables checks that a dropped table is missing for readers too.
// The query fails immediately, and not when its rows are read, also on a reader with a cached
// statement for it.
func TestReadersSeeDroppedTables(t *testing.T) {
	const query = "SELECT * FROM t"
	for _, how := range []struct {
		name string
		drop func(t *testing.T, db *sql.DB)
	}{
		{"by Exec", func(t *testing.T, db *sql.DB) { must(t, db, "DROP TABLE t") }},
		{"by a query", func(t *testing.T, db *sql.DB) {
			rows, err := db.Query("/* gone */ DROP TABLE t")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}},
		{"by a statement", func(t *testing.T, db *sql.DB) {
			s, err := db.Prepare("DROP TABLE t")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Exec(); err != nil {
				t.Fatal(err)
			}
		}},
		{"in a transaction", func(t *testing.T, db *sql.DB) {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			must(t, tx, "DROP TABLE t")
			rows, err := db.Query(query) // the table still exists
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}},
		{"in a transaction by SQL, on a kept connection", func(t *testing.T, db *sql.DB) {
			c, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			for _, text := range []string{"BEGIN", "DROP TABLE t", "COMMIT"} {
				if _, err := c.ExecContext(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			p, _ := pooled(t, pool.Config{Path: t.TempDir() + "/a.db"})
			db := p.DB()
			must(t, db, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
			var n int
			if err := db.QueryRow(query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			how.drop(t, db)
			rows, err := db.Query(query)
			if err == nil {
				rows.Close()
				t.Error("a query of a dropped table starts")
			}
		})
	}
}

// TestPragmasApplyToQueries checks that a pragma that changes the results of
// queries applies to them, as on a program's only connection.
func TestPragmasApplyToQueries(t *testing.T) {
	p, _ := pooled(t, pool.Config{Path: t.TempDir() + "/a.db"})
	db := p.DB()
	like := func() (is bool) {
		t.Helper()
		if err := db.QueryRow("SELECT 'a' LIKE 'A'").Scan(&is); err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !like() {
		t.Error("LIKE is case-sensitive")
	}
	must(t, db, "PRAGMA case_sensitive_like = on")
	if like() {
		t.Error("LIKE is not case-sensitive in spite of the pragma")
	}
}

// TestReadOnlyPoolDoesNotWaitForWriters checks that a pool that only reads does not wait
// for another pool's writer.
func TestReadOnlyPoolDoesNotWaitForWriters(t *testing.T) {
	file := t.TempDir() + "/a.db"
	p, _ := pooled(t, pool.Config{Path: file})
	must(t, p.DB(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
	if _, err := p.DB().Exec("PRAGMA wal_checkpoint(truncate)"); err != nil {
		t.Fatal(err)
	}
	tx, err := p.DB().Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, params := range []string{"mode=ro", "immutable=1", "_pragma=query_only(1)"} {
		other, _ := pooled(t, pool.Config{Path: "file:" + file + "?" + params, AcquireTimeout: time.Second})
		var n int
		if err := other.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d rows, %v", params, n, err)
		}
	}
}
