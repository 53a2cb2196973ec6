package sqltext

import "strings"

// A Keyword is a keyword of the dialect. The zero Keyword means that a word is not a keyword.
type Keyword struct {
	// Word is the keyword in upper case.
	Word string

	// Reserved says that the keyword cannot be a name. Any other keyword is a name where the
	// grammar allows one: SELECT replace FROM view.
	Reserved bool
}

// KeywordOf returns the keyword of SQLite that a token of text is, or the zero Keyword. Only a
// [Word] can be a keyword. The case of ASCII letters does not matter.
func KeywordOf(text string, t Token) Keyword { return SQLite.KeywordOf(text, t) }

// KeywordOf returns the keyword of the dialect that a token of text is, or the zero Keyword.
// Only a [Word] can be a keyword. The case of ASCII letters does not matter.
func (d Dialect) KeywordOf(text string, t Token) Keyword {
	n := t.End - t.Start
	if t.Kind != Word || n < 2 || n > longestKeyword {
		return Keyword{}
	}
	word := text[t.Start:t.End]
	first := word[0] | 0x20
	if first < 'a' || first > 'z' {
		return Keyword{}
	}
	if d != SQLite {
		return d.serverKeyword(word)
	}
	for _, k := range keywords[first-'a'] {
		if len(k.Word) == n && EqualFold(word, k.Word) {
			return k
		}
	}
	return Keyword{}
}

// longestKeyword is the length of the longest keyword.
const longestKeyword = len("MASTER_SSL_VERIFY_SERVER_CERT")

// keywords holds SQLite's keywords by their first letter, from
// https://sqlite.org/lang_keywords.html. Which of them are reserved follows from %fallback
// and from the token classes id, ids and idj in SQLite's src/parse.y. A test compares that
// with SQLite itself.
var keywords = func() (table [26][]Keyword) {
	add := func(words string, reserved bool) {
		for _, word := range strings.Fields(words) {
			i := word[0] - 'A'
			table[i] = append(table[i], Keyword{word, reserved})
		}
	}
	add(`
		ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMN CONFLICT
		CROSS CURRENT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DATABASE DEFERRED DESC DETACH DO
		EACH END EXCLUDE EXCLUSIVE EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FULL GENERATED GLOB
		GROUPS IF IGNORE IMMEDIATE INDEXED INITIALLY INNER INSTEAD KEY LAST LEFT LIKE MATCH
		MATERIALIZED NATURAL NO NULLS OF OFFSET OTHERS OUTER OVER PARTITION PLAN PRAGMA PRECEDING
		QUERY RAISE RANGE RECURSIVE REGEXP REINDEX RELEASE RENAME REPLACE RESTRICT RIGHT ROLLBACK
		ROW ROWS SAVEPOINT TEMP TEMPORARY TIES TRIGGER UNBOUNDED VACUUM VIEW VIRTUAL WINDOW WITH
		WITHOUT`, false)
	add(`
		ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE
		DEFAULT DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FOREIGN FROM GROUP HAVING
		IN INDEX INSERT INTERSECT INTO IS ISNULL JOIN LIMIT NOT NOTHING NOTNULL NULL ON OR ORDER
		PRIMARY REFERENCES RETURNING SELECT SET TABLE THEN TO TRANSACTION UNION UNIQUE UPDATE USING
		VALUES WHEN WHERE`, true)
	return table
}()
