package driver

import (
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Statements that are kept leave the connection's own memory to those that are not.
func TestKeptStatementsLeaveLookasideAlone(t *testing.T) {
	c, err := NewConnector("file:"+filepath.Join(t.TempDir(), "a.db"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	s := opened.(*conn).session
	for range 3 {
		for i := range 90 {
			res, err := opened.(driver.ExecerContext).ExecContext(t.Context(), fmt.Sprintf("SELECT ? + %d", i), []driver.NamedValue{{Ordinal: 1, Value: int64(1)}})
			if err != nil {
				t.Fatal(res, err)
			}
		}
	}
	if n := len(s.cache.stmts); n != 90 {
		t.Fatalf("%d statements are kept", n)
	}
	for _, st := range s.cache.stmts {
		if !embeddedStmt(st.base).IsValid() {
			t.Fatal("the plain driver's statement cannot be exchanged any more: see prepareToLast")
		}
	}
	raw := s.baseConn.Raw()
	prepared := 0
	for range raw.Stmts() {
		prepared++
	}
	if prepared != 90 {
		t.Errorf("for 90 that are kept, SQLite has %d statements", prepared)
	}
	misses := func() int64 {
		_, n, err := raw.Status(sqlite3.DBSTATUS_LOOKASIDE_MISS_FULL, false)
		if err != nil {
			t.Fatal(err)
		}
		return int64(n)
	}
	before := misses()
	stmt, _, err := raw.Prepare("SELECT ? + ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if n := misses() - before; n != 0 {
		t.Errorf("to prepare another missed lookaside memory %d times", n)
	}
}
