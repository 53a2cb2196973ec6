package litestream

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/driver"
)

// check restores the replica, and checks that the result is what the database contains.
func (r *replica) check() {
	r.t.Helper()
	if d := difference(readContent(r.t, r.db), readContent(r.t, r.restore())); d != "" {
		r.t.Errorf("the restored database differs:\n%s", d)
	}
}

// A content is all that a database contains: the number of rows and a hash of each table, and the
// schema.
type content map[string]string

// readContent reads a whole database, and checks its integrity. It leaves out the row in which
// Litestream counts its own writes: Litestream may write it after it has replicated everything.
func readContent(t *testing.T, path string) content {
	t.Helper()
	db, err := sql.Open(driver.Name, driver.FileURI(path)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()

	c := make(content)
	if c["integrity"] = dump(t, tx, "PRAGMA integrity_check"); c["integrity"] != "[\"ok\"]\n" {
		t.Errorf("%s: %s", path, c["integrity"])
	}
	c["schema"] = dump(t, tx, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")
	for _, pragma := range []string{"user_version", "application_id", "page_size", "encoding", "auto_vacuum"} {
		c[pragma] = dump(t, tx, "PRAGMA "+pragma)
	}
	names, err := tx.Query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '_litestream_seq'")
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	var tables []string
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		rows := dump(t, tx, "SELECT * FROM "+table)
		c["table "+table] = fmt.Sprintf("%d rows, %x", strings.Count(rows, "\n"), sha256.Sum256([]byte(rows)))
	}
	return c
}

// dump returns the result of a query as text, a line for each row.
func dump(t *testing.T, tx *sql.Tx, query string) string {
	t.Helper()
	rows, err := tx.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				values[i] = fmt.Sprintf("blob %x", sha256.Sum256(b))
			}
		}
		fmt.Fprintf(&text, "%q\n", values)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text.String()
}

// difference returns what differs between two databases, or "".
func difference(a, b content) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if a[key] != b[key] {
			fmt.Fprintf(&text, "%s:\n\t%s\n\t%s\n", key, a[key], b[key])
		}
	}
	if len(a) != len(b) {
		fmt.Fprintf(&text, "%d and %d parts\n", len(a), len(b))
	}
	return text.String()
}
