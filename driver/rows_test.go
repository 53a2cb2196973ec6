package driver_test

import (
	"slices"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
)

// The caller may keep, change and append to the column names of a query.
func TestColumnNamesAreTheCallers(t *testing.T) {
	db := open(t, ":memory:", driver.Config{})
	db.SetMaxOpenConns(1)
	want := []string{"a", "b", "c"}
	var kept [][]string
	for range 40 {
		rows, err := db.Query("SELECT 1 AS a, 2 AS b, 3 AS c")
		if err != nil {
			t.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil || !slices.Equal(names, want) {
			t.Fatalf("columns %q, %v, want %q", names, err, want)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, append(names, "more"))
		for i := range names {
			names[i] = "mine"
		}
	}
	for _, names := range kept {
		if names[len(want)] != "more" {
			t.Errorf("what was appended to the names of a query is %q now", names)
		}
	}

	rows, err := db.Query("PRAGMA user_version = 1") // has no columns
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if names, err := rows.Columns(); err != nil || names == nil || len(names) != 0 {
		t.Errorf("columns %#v, %v, want none", names, err)
	}
}
