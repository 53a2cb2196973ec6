package queryplan

import (
	"strings"
	"testing"
)

// TestFindingsAreNames checks that a finding names the table behind an alias, and never shows a
// literal of the query.
func TestFindingsAreNames(t *testing.T) {
	for _, c := range []struct{ query, step, want string }{
		{"SELECT a FROM acct WHERE b", "SCAN acct", "acct"},
		{"SELECT a, 4111111111111111 AS acct FROM acct WHERE b", "SCAN acct", "acct"},
		{"SELECT u.id, 'topsecret' u FROM users u WHERE token='x'", "SCAN u", "users"},
		{"SELECT id, c.name c FROM countries c WHERE c.x", "SCAN c", "countries"},
		{"SELECT o.countries o FROM orders AS o WHERE 1", "SCAN o", "orders"},
		{"SELECT 1 FROM main.t x, other AS \"y\" WHERE x.a = 'q' y", "SCAN y", "other"},
		{"SELECT 1 FROM a JOIN (SELECT 7 z FROM b z WHERE z.i = 8) q ON q.z = 9 WHERE 1", "SCAN z", "b"},
		{"SELECT 1 FROM t LEFT OUTER JOIN u AS v ON v.a = 'w' WHERE x'00'", "SCAN v", "u"},
		{"UPDATE t AS x SET a = 'x' WHERE b = 5", "SCAN x", "t"},
		{"DELETE FROM t AS x WHERE b IN (SELECT 3 x)", "SCAN x", "t"},
		{"INSERT INTO t SELECT 'p', p.a p FROM parts p WHERE 1", "SCAN p", "parts"},
		{"SELECT 'secret' FROM t, 'secret2' WHERE 1", "SCAN t", "t"},
	} {
		found := Findings(c.query, []string{c.step}, nil)
		if len(found) != 1 || found[0].Table != c.want || !strings.Contains(found[0].Text, "full scan of "+c.want) {
			t.Errorf("%s: %+v, want %s", c.query, found, c.want)
		}
		for _, secret := range []string{"4111", "topsecret", "secret", "'"} {
			if strings.Contains(found[0].Text, secret) {
				t.Errorf("%s: %+v", c.query, found)
			}
		}
	}
}

func TestFindingsFit(t *testing.T) {
	for _, c := range []struct{ query, step, want string }{
		{"SELECT count(*) FROM t", "SCAN t", "full scan of t"},
		{"SELECT name FROM t ORDER BY name LIMIT 1", "SCAN t USING COVERING INDEX by_name", ""},
		{"SELECT name FROM t ORDER BY name", "SCAN t USING COVERING INDEX by_name", "full scan of t, through its index by_name"},
		{"SELECT max(id) FROM t", "SEARCH t", "perhaps a full scan of t for its min or max: an index on that column would avoid it"},
		{"SELECT 1", "SCAN CONSTANT ROW", ""},
	} {
		found := Findings(c.query, []string{c.step}, nil)
		if got := len(found); c.want == "" && got != 0 || c.want != "" && (got != 1 || found[0].Text != c.want) {
			t.Errorf("%s: %+v, want %q", c.query, found, c.want)
		}
	}
}
