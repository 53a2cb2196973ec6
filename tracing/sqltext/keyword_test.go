package sqltext_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// allKeywords is the list of https://sqlite.org/lang_keywords.html.
var allKeywords = strings.Fields(`
	ABORT ACTION ADD AFTER ALL ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASCADE CASE CAST CHECK
	COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFAULT
	DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE EXCEPT EXCLUDE EXCLUSIVE EXISTS EXPLAIN FAIL FILTER
	FIRST FOLLOWING FOR FOREIGN FROM FULL GENERATED GLOB GROUP GROUPS HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INNER
	INSERT INSTEAD INTERSECT INTO IS ISNULL JOIN KEY LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NO NOT NOTHING NOTNULL NULL
	NULLS OF OFFSET ON OR ORDER OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE RECURSIVE REFERENCES
	REGEXP REINDEX RELEASE RENAME REPLACE RESTRICT RETURNING RIGHT ROLLBACK ROW ROWS SAVEPOINT SELECT SET TABLE TEMP TEMPORARY THEN
	TIES TO TRANSACTION TRIGGER UNBOUNDED UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT`)

func keywordOf(word string) sqltext.Keyword {
	l := sqltext.SQLite.Lexer(word)
	return sqltext.KeywordOf(word, l.Next())
}

// SQLite accepts a keyword as a name exactly if it is not reserved.
func TestKeywordsAreReserved(t *testing.T) {
	if n := len(allKeywords); n != 147 {
		t.Fatalf("%d keywords, SQLite has 147", n)
	}
	e := newEngine(t)
	for _, word := range allKeywords {
		key := keywordOf(word)
		if key.Word != word {
			t.Errorf("%s: KeywordOf has %+v", word, key)
		}
		_, _, err := e.tail("SELECT 1 AS " + word)
		if reserved := err != nil; reserved != key.Reserved {
			t.Errorf("%s: reserved is %t, and SQLite says %v", word, key.Reserved, err)
		}
	}
}

func TestKeywordOf(t *testing.T) {
	for word, want := range map[string]string{
		"select":                "SELECT",
		"Current_Timestamp":     "CURRENT_TIMESTAMP",
		"replace":               "REPLACE",
		"selects":               "",
		"selec":                 "",
		"current_timestamps":    "",
		"a":                     "",
		"_":                     "",
		"__":                    "",
		"{}":                    "",
		`"select"`:              "",
		"'select'":              "",
		"\u017felect":           "", // a long s
		"\u212aey":              "", // the Kelvin sign
		"":                      "",
		"within":                "",
		"rowid":                 "",
		"é":                     "",
		"current_timestamp/**/": "CURRENT_TIMESTAMP",
	} {
		if got := keywordOf(word).Word; got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
