package driver_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Benchmark compares calls on the plain driver with the same calls on this one, without an
// SDK.
func Benchmark(b *testing.B) {
	for _, bench := range []struct {
		name string
		run  func(*testing.B, *sql.DB)
	}{
		{"query", func(b *testing.B, db *sql.DB) {
			var s string
			for b.Loop() {
				if err := db.QueryRow("SELECT b FROM t WHERE a = ?", 500).Scan(&s); err != nil {
					b.Fatal(err)
				}
			}
		}},
		{"insert", func(b *testing.B, db *sql.DB) {
			for b.Loop() {
				if _, err := db.Exec("INSERT INTO t(b) VALUES (?)", "some text"); err != nil {
					b.Fatal(err)
				}
			}
		}},
		{"scan", func(b *testing.B, db *sql.DB) {
			for b.Loop() {
				rows, err := db.Query("SELECT a, b FROM t WHERE a <= 1000")
				if err != nil {
					b.Fatal(err)
				}
				var (
					n int
					s string
				)
				for rows.Next() {
					if err := rows.Scan(&n, &s); err != nil {
						b.Fatal(err)
					}
				}
				if err := rows.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}},
	} {
		for _, name := range []string{"sqlite3", driver.Name} {
			b.Run(bench.name+"/"+name, func(b *testing.B) {
				db, err := sql.Open(name, "file:"+filepath.ToSlash(b.TempDir())+"/bench.db?_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				_, err = db.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b);
					WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
					INSERT INTO t SELECT i, 'text ' || i FROM n`)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				bench.run(b, db)
			})
		}
	}
}

// BenchmarkDetails measures the cost of Details, compared with spans without them.
func BenchmarkDetails(b *testing.B) {
	for _, details := range []bool{false, true} {
		tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(), Details: details})
		if err != nil {
			b.Fatal(err)
		}
		c, err := driver.NewConnector("file:"+filepath.ToSlash(b.TempDir())+"/bench.db?_pragma=journal_mode(wal)&_pragma=synchronous(normal)", driver.Config{Tracing: tracer})
		if err != nil {
			b.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		db.SetMaxOpenConns(1)
		_, err = db.Exec(`CREATE TABLE t(a INTEGER PRIMARY KEY, b);
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO t SELECT i, 'text ' || i FROM n`)
		if err != nil {
			b.Fatal(err)
		}
		for _, bench := range []struct {
			name string
			call func() error
		}{
			{"query", func() error {
				var s string
				return db.QueryRow("SELECT b FROM t WHERE a = ?", 500).Scan(&s)
			}},
			{"update", func() error {
				_, err := db.Exec("UPDATE t SET b = ? WHERE a = ?", "some text", 500)
				return err
			}},
			{"transaction", func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				return tx.Commit()
			}},
		} {
			b.Run(fmt.Sprintf("%s/details=%v", bench.name, details), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := bench.call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
