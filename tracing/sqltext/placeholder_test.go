package sqltext_test

import (
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

func TestBinds(t *testing.T) {
	for _, tc := range []struct {
		system, text string
		want         bool
	}{
		{"postgresql", "SELECT $1", true},
		{"cockroachdb", "SELECT $1", true},
		{"postgresql", "select a from t where b = $12 and c like 'it''s' ;  -- end", true},
		{"postgresql", "/* a /* nested */ one */ INSERT INTO \"t$1\" VALUES ('x', $1)", true},
		{"postgresql", "((SELECT $1))", true},
		{"postgresql", "WITH a AS (SELECT $$it's$$ || $tag$ $$ $tag$) SELECT E'it\\'s', $1", true},
		{"postgresql", "SELECT a[1:2], b::int, c ?| d, @ $1", true},
		{"postgresql", "SELECT E'\\\\', $1", true},
		{"postgresql", "SELECT 1 -- x\rWHERE a = $1", true},
		{"postgresql", "SELECT 's3cr3t'", false},
		{"postgresql", "SELECT 's3cr3t', ?", false},
		{"postgresql", "SELECT 's3cr3t', :a, @a", false},
		{"postgresql", "SELECT '$1'", false},
		{"postgresql", "SELECT E'\\'$1'", false},
		{"postgresql", "SELECT \"$1\", a$1, 's3cr3t'", false},
		{"postgresql", "SELECT $$ $1 $$, $a$ $1 $a$", false},
		{"postgresql", "SELECT 's3cr3t' -- $1", false},
		{"postgresql", "SELECT 's3cr3t' /* /* */ $1 */", false},
		{"postgresql", "SELECT 's3cr3t' /* $1", false},
		{"postgresql", "SELECT $1, 's3cr3t", false},
		{"postgresql", "SELECT $1, $$s3cr3t", false},
		{"postgresql", "SELECT 'a\\', $1, 's3cr3t'", false},
		{"postgresql", "SELECT 'a\\\\', $1", false},
		{"postgresql", "SELECT $1; SELECT 's3cr3t'", false},
		{"postgresql", "ALTER USER a PASSWORD 's3cr3t' $1", false},
		{"postgresql", "SELECT $1\x00 's3cr3t'", false},
		{"postgresql", "'s3cr3t' $1", false},
		{"postgresql", "$1", false},
		{"postgresql", "", false},

		{"mysql", "SELECT ?", true},
		{"mariadb", "SELECT a FROM t WHERE b = ? # end", true},
		{"mysql", "SELECT 1--?", true},
		{"mysql", "INSERT INTO `t``?` VALUES ('it''s', \"x\", ?) -- end", true},
		{"mysql", "SELECT /* a */ a #b\n, ?", true},
		{"mysql", "SELECT 's3cr3t'", false},
		{"mysql", "SELECT 's3cr3t', $1", false},
		{"mysql", "SELECT '?', \"?\", `?`", false},
		{"mysql", "SELECT 's3cr3t' # ?", false},
		{"mysql", "SELECT 's3cr3t' # \r ?", false},
		{"mysql", "SELECT 's3cr3t' -- ?", false},
		{"mysql", "SELECT 's3cr3t' --\t?", false},
		{"mysql", "SELECT 's3cr3t' /* ? */", false},
		{"mysql", "SELECT 's3cr3t' /*! , ? */", false},
		{"mysql", "SELECT 's3cr3t' /*M! , ? */", false},
		{"mysql", "SELECT 'a\\', ?, 's3cr3t'", false},
		{"mysql", "SELECT ? /* s3cr3t", false},
		{"mysql", "SELECT ?; SELECT 's3cr3t'", false},
		{"mysql", "CREATE USER a IDENTIFIED BY 's3cr3t' ?", false},
		{"mysql", "SET PASSWORD = 's3cr3t', @a = ?", false},

		{"", "SELECT ?", false},
		{"other_sql", "SELECT ?, $1", false},
		{"oracle.db", "SELECT :1", false},
		{"sqlite", "SELECT ?", false}, // [sqltext.SQLite] reads it
	} {
		if got := sqltext.Binds(tc.system, tc.text); got != tc.want {
			t.Errorf("%s: %q: %t", tc.system, tc.text, got)
		}
	}
}

// FuzzBinds checks that reading any SQL ends, and that Binds finds no placeholder in quotes
// or in a comment.
func FuzzBinds(f *testing.F) {
	for _, text := range []string{"x", "$1", "?", "it's", "/*", "*/", "$$", "\\", "E'", "--", "#", ";", "\"`"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for system, placeholder := range map[string]string{"postgresql": "$1", "mysql": "?"} {
			sqltext.Binds(system, text)
			sqltext.Binds(system, "SELECT "+text)
			inQuotes := "'" + strings.NewReplacer("'", "''", `\`, "").Replace(text) + "'"
			if sqltext.Binds(system, "SELECT "+inQuotes) || strings.IndexByte(text, 0) < 0 && !sqltext.Binds(system, "SELECT "+inQuotes+", "+placeholder) {
				t.Errorf("%s: %q", system, inQuotes)
			}
			inComment := "-- " + strings.NewReplacer("\n", "", "\r", "").Replace(text)
			if sqltext.Binds(system, "SELECT 1 "+inComment) || strings.IndexByte(text, 0) < 0 && !sqltext.Binds(system, "SELECT 1 "+inComment+"\n, "+placeholder) {
				t.Errorf("%s: %q", system, inComment)
			}
		}
	})
}
