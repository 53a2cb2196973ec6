package sqltext

import "strings"

// OnlyReads reports whether text is proven to be a single query that only reads. system is the
// db.system.name of the engine. A read can be executed twice without harm.
//
// False means that there is no proof, not that text writes. OnlyReads knows "sqlite",
// "postgresql", "cockroachdb", "mysql" and "mariadb", and returns false for any other system.
//
// The proof does not depend on where strings, names and comments end, because a setting of the
// server may decide that. So it takes every word of text as a keyword, wherever it stands. A
// query is proven if all of the following hold:
//
//   - Its first word is SELECT, VALUES or WITH. EXPLAIN is not, because EXPLAIN ANALYZE executes.
//   - It contains no semicolon but the last character.
//   - It contains no word that may write, lock or take a number from a sequence: see writers.
//     So a WITH that contains a DELETE is not proven, nor are FOR UPDATE and SELECT INTO.
//   - It calls only functions of a fixed list, by their names without a schema. Every other
//     function may write. A PostgreSQL function does so in one line of SQL.
//   - Comments stand at its beginning, or after its last parenthesis.
//
// What OnlyReads cannot see are functions that the engine calls without their name in the text:
// those of views, of operators, of casts and of row policies. It also trusts that the program has
// not replaced a function of the list by its own.
func OnlyReads(system, text string) bool {
	var extra string // bytes that may begin something else in this engine
	switch system {
	case "sqlite", "postgresql":
	case "mysql", "mariadb":
		extra = "#" // a comment
	case "cockroachdb":
		extra = "[" // may contain any statement
	default:
		return false
	}
	whole := text
	text, ok := withoutHead(text)
	if !ok || strings.IndexByte(whole, 0) >= 0 { // SQLite's queries end there
		return false
	}
	text = strings.TrimSuffix(strings.TrimRight(text, asciiSpace), ";")
	if strings.ContainsAny(text, ";"+extra) || strings.Contains(text, "--") || strings.Contains(text, ":=") {
		return false
	}
	return readsByWords(text)
}

const asciiSpace = " \t\r\n\f\v"

// withoutHead returns text without the comments before its first word. It returns false for a
// comment that engines, or their settings, read in different ways.
func withoutHead(text string) (string, bool) {
	for {
		text = strings.TrimLeft(text, asciiSpace)
		switch {
		case strings.HasPrefix(text, "--"):
			line, rest, ended := strings.Cut(text, "\n")
			line = strings.TrimSuffix(line, "\r") // PostgreSQL's lines also end with one
			if !ended || !strings.HasPrefix(line, "-- ") || strings.Contains(line, "\r") {
				return "", false
			}
			text = rest
		case strings.HasPrefix(text, "/*"):
			comment, rest, ended := strings.Cut(text[2:], "*/")
			// MySQL executes the content of some comments. PostgreSQL's may contain others.
			if !ended || comment == "" || strings.ContainsAny(comment[:1], "!+M/") || strings.Contains(comment, "/*") {
				return "", false
			}
			text = rest
		default:
			return text, true
		}
	}
}

// readsByWords reads every word of text, also those in strings, names and comments.
func readsByWords(text string) bool {
	var (
		first  = true
		word   string // the last one, in upper case
		before byte   // the character before word, without white space
		last   byte   // the last character that is not white space
	)
	comment := len(text)
	if i := strings.Index(text, "/*"); i >= 0 {
		comment = i
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case strings.IndexByte(asciiSpace, c) >= 0:
			i++
			continue
		case isWordByte(c):
			start := i
			for i < len(text) && isWordByte(text[i]) {
				i++
			}
			word, before = strings.ToUpper(text[start:i]), last
			if !plainWord(word) || writers[word] || first && !readers[word] {
				return false
			}
			first = false
			last = text[i-1]
			continue
		case c == '(':
			if i > comment || !mayPrecedeParen(word, before, last) {
				return false
			}
		case first:
			return false
		}
		last = c
		i++
	}
	return !first
}

// isWordByte reports whether c may be part of a word. Bytes from 0x80 on are not: they separate
// words here, whatever they mean to the engine.
func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$'
}

// plainWord reports whether word is a word, a whole number or a numbered placeholder. Some engines
// read a keyword directly after a number: 1FOR.
func plainWord(word string) bool {
	rest := strings.TrimPrefix(word, "$")
	if len(rest) < len(word) || '0' <= word[0] && word[0] <= '9' {
		return rest != "" && strings.Trim(rest, "0123456789") == ""
	}
	return true
}

// mayPrecedeParen reports whether a parenthesis may follow. last is the character before it. If
// that is the end of word, before is the character before word.
func mayPrecedeParen(word string, before, last byte) bool {
	switch {
	case isWordByte(last):
		// A name with a schema has a dot before its last word, or a quote. A byte from 0x80 on may
		// be part of the name.
		return trusted[word] && before < 0x80 && before != '.' && !isQuote(before)
	case last >= 0x80 || last == ')' || last == '.' || isQuote(last):
		return false
	}
	return true // an operator or a comma
}

func isQuote(c byte) bool { return c == '"' || c == '`' || c == '\'' || c == '[' || c == ']' }

// readers are the first words of queries that may be proven.
var readers = set("SELECT VALUES WITH")

// writers are the words that a query must not contain. Some may follow WITH; others begin a clause
// that writes or locks, or take the next number of a sequence.
var writers = set(`INSERT UPDATE UPSERT DELETE REPLACE MERGE RETURNING
	CREATE ALTER DROP TRUNCATE GRANT REVOKE CALL EXEC EXECUTE DO COPY LOAD
	INTO OUTFILE DUMPFILE FOR LOCK PROCEDURE NEXTVAL CURRVAL LASTVAL SETVAL PRAGMA`)

// trusted are the words that a parenthesis may follow: keywords, types and functions that only
// read.
var trusted = set(`SELECT VALUES FROM JOIN ON USING WHERE HAVING BY LIMIT OFFSET DISTINCT ALL ANY SOME AS IN EXISTS
	UNION EXCEPT INTERSECT AND OR NOT LIKE BETWEEN IS WHEN THEN ELSE CASE OVER FILTER PARTITION LATERAL MATERIALIZED
	CAST CHAR VARCHAR NUMERIC DECIMAL
	COUNT SUM MIN MAX AVG TOTAL COALESCE NULLIF IFNULL ABS ROUND FLOOR CEIL CEILING MOD SIGN POWER SQRT
	LOWER UPPER LENGTH CHAR_LENGTH OCTET_LENGTH TRIM LTRIM RTRIM SUBSTR SUBSTRING POSITION INSTR CONCAT CONCAT_WS
	HEX UNICODE TYPEOF GREATEST LEAST DATE TIME DATETIME JULIANDAY STRFTIME UNIXEPOCH DATE_TRUNC DATE_PART EXTRACT NOW
	ROW_NUMBER RANK DENSE_RANK PERCENT_RANK CUME_DIST NTILE LAG LEAD FIRST_VALUE LAST_VALUE NTH_VALUE
	STRING_AGG GROUP_CONCAT ARRAY_AGG JSON_AGG JSON_ARRAY JSON_OBJECT JSON_EXTRACT JSON_BUILD_OBJECT`)

func set(words string) map[string]bool {
	s := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		s[w] = true
	}
	return s
}
