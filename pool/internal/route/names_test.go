package route

import "testing"

// TestFind checks which queries name something of session state.
func TestFind(t *testing.T) {
	names := &Names{
		Schemas:   map[string]bool{"two": true},
		Tables:    map[string]bool{"x": true, "my table": true},
		Functions: map[string]bool{"seven": true, "glob": true, "->>": true, "current_date": true},
		Like:      true,
	}
	for query, want := range map[string]string{
		"SELECT a FROM x":                              "x",
		"SELECT a FROM X":                              "x",
		`SELECT a FROM "x"`:                            "x",
		"SELECT a FROM [My Table]":                     "my table",
		"SELECT a FROM 'x'":                            "x",
		"SELECT a FROM t, x":                           "x",
		"SELECT a FROM t JOIN x USING (a)":             "x",
		"SELECT a FROM (t JOIN x)":                     "x",
		"SELECT a FROM t WHERE a IN x":                 "x",
		"SELECT a FROM t WHERE a IN (SELECT 1 FROM x)": "x",
		"WITH y AS (SELECT a FROM x) SELECT a FROM y":  "x",
		"EXPLAIN QUERY PLAN SELECT a FROM x":           "x",
		"INSERT INTO x VALUES (1)":                     "x",
		"INSERT INTO t SELECT a FROM x":                "x",
		"UPDATE x SET a = 1":                           "x",
		"DELETE FROM x":                                "x",
		"DROP TABLE x":                                 "x",
		"SELECT 1; SELECT a FROM x":                    "x",
		"SELECT a FROM two.t":                          "two",
		"SELECT a FROM two . t":                        "two",
		`SELECT a FROM "Two".t`:                        "two",
		"SELECT seven()":                               "seven",
		"SELECT a FROM t ORDER BY Seven (a)":           "seven",
		"SELECT a LIKE 'b' FROM t":                     "like",
		"SELECT like('a', 'b')":                        "like",
		"SELECT a FROM t":                              "",
		"SELECT x FROM t":                              "",
		"SELECT x.a FROM t AS x":                       "",
		"SELECT 'x'":                                   "",
		"SELECT a FROM main.x":                         "",
		"SELECT a FROM main . x":                       "",
		"SELECT two.a FROM t AS two":                   "",
		"SELECT a FROM t -- x":                         "",
		"SELECT seven FROM t":                          "",
		"SELECT a AS seven FROM t":                     "",
		"SELECT a FROM t WHERE b = 'two.t'":            "",
		"":                                             "",
	} {
		got, ok := names.Find(query)
		if got != want || ok != (want != "") || names.In(query) != ok {
			t.Errorf("%q names %q, %t, want %q", query, got, ok, want)
		}
	}
	if _, ok := (&Names{Any: true}).Find("SELECT 1"); !ok {
		t.Error("with too many names, a query names none")
	}
	var none *Names
	if none.In("SELECT a FROM x") {
		t.Error("a query names one of none")
	}
}

// TestMore checks how names are compared and combined.
func TestMore(t *testing.T) {
	x, y := &Names{Tables: map[string]bool{"x": true}}, &Names{Tables: map[string]bool{"y": true}, Like: true}
	var none *Names
	both := x.With(y)
	for _, tc := range []struct {
		a, b *Names
		want bool
	}{
		{none, none, false}, {none, x, false}, {x, none, true}, {x, x, false}, {x, y, true}, {y, x, true},
		{both, x, true}, {both, y, true}, {x, both, false}, {y, both, false}, {none.With(x), x, false}, {x.With(none), x, false},
		{&Names{Others: true}, none, true}, {&Names{Schemas: map[string]bool{"two": true}}, x, true},
	} {
		if got := tc.a.More(tc.b); got != tc.want {
			t.Errorf("%+v has more than %+v: %t", tc.a, tc.b, got)
		}
	}
	if x.Like || len(x.Tables) != 1 {
		t.Errorf("x has changed: %+v", x)
	}
}
