package driver

import (
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	for query, want := range map[string]queryKind{
		"":                                queryEmpty,
		" ;; -- a":                        queryEmpty,
		"/* a":                            queryEmpty,
		"\x00SELECT 1":                    queryEmpty,
		"/*":                              queryOther,
		"\v":                              queryOther,
		"; SELECT 1":                      queryData,
		"\uFEFFvalues (1)":                queryData,
		"WITH a AS (SELECT 1) SELECT 1":   queryData,
		"REPLACE INTO t VALUES (1)":       queryData,
		"EXPLAIN DELETE FROM t":           queryNeutral,
		"EXPLAIN CREATE TABLE t(a)":       queryNeutral,
		"EXPLAIN PRAGMA foreign_keys = 0": queryOther,
		"BEGIN":                           queryNeutral,
		"END":                             queryNeutral,
		"RELEASE a":                       queryNeutral,
		"ROLLBACK TO a":                   queryRollback,
		"PRAGMA foreign_keys":             queryOther,
		"CREATE TABLE t(a)":               queryOther,
		"ATTACH 'a' AS b":                 queryOther,
		"\"SELECT\" 1":                    queryOther,
		"selects":                         queryOther,
	} {
		if got := queryKindOf(query); got != want {
			t.Errorf("%q: %d, want %d", query, got, want)
		}
	}
}

func TestSeveralStatements(t *testing.T) {
	for query, want := range map[string]bool{
		"SELECT 1":                     false,
		"SELECT 1; -- a":               false,
		" ;SELECT 1;; \n/* a":          false,
		"SELECT ';a'":                  false,
		"SELECT \";\", [;], `;` -- ;a": false,
		"SELECT $a(;), 1":              false,
		"SELECT 1;\x00SELECT 2":        false,
		"CREATE TRIGGER a INSERT ON t BEGIN SELECT 1; SELECT 2; END;": false,
		"SELECT 1; SELECT 2":           true,
		"SELECT $a('); SELECT 2; --')": true,
		"SELECT 1;;a":                  true,
		"SELECT 1;\v":                  true,
		"SELECT 1; /*":                 true,
		"SELECT 1;\uFEFF":              true,
		"CREATE TRIGGER a INSERT ON t BEGIN SELECT 1; SELECT 2; END; SELECT 3": true,
	} {
		if got := severalStatements(query); got != want {
			t.Errorf("%q: %t", query, got)
		}
	}
}

func TestNamesBusyTimeout(t *testing.T) {
	for query, want := range map[string]bool{
		"PRAGMA busy_timeout":                       true,
		"pragma Busy_Timeout=5":                     true,
		"PRAGMA/**/main . [busy_timeout]":           true,
		"PRAGMA 'busy_timeout'":                     true,
		"SELECT * FROM pragma_busy_timeout":         true,
		"SELECT * FROM `Pragma_busy_timeout`(1)":    true,
		"PRAGMA main.\"busy_timeout\"(1)":           true,
		"SELECT a_b FROM t_u; PRAGMA busy_timeout":  true,
		"SELECT $a('); PRAGMA busy_timeout=1; --')": true,
		"":                                  false,
		"_":                                 false,
		"busy_":                             false,
		"busy_timeou":                       false,
		"_timeout":                          false,
		"SELECT busy, timeout":              false,
		"PRAGMA journal_mode":               false,
		"SELECT busy_wait, timeout":         false,
		"SELECT 'the busy_timeout'":         false,
		"SELECT 1 -- busy_timeout":          false,
		"SELECT my_busy_timeout":            false,
		"SELECT busy_timeouts":              false,
		"SELECT :busy_timeout":              false,
		"SELECT 1\x00; PRAGMA busy_timeout": false,
	} {
		if got := namesBusyTimeout(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

func TestReadingTextsAllocatesNothing(t *testing.T) {
	const query = "SELECT 'busy_timeout;' FROM a_b; /* c */"
	if n := testing.AllocsPerRun(100, func() { queryKindOf(query); severalStatements(query); namesBusyTimeout(query) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKindOf(b *testing.B) {
	query := "SELECT id, name FROM users WHERE id = ? -- " + strings.Repeat("x", 100)
	for b.Loop() {
		queryKindOf(query)
		severalStatements(query)
		namesBusyTimeout(query)
	}
}
