package driver

import (
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Cached statements leave the connection's lookaside memory to other statements.
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
		return n
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

// The bytes of a connection's cached queries are bounded, whatever Config.StatementCache
// says. Those of a closed connection are not counted.
func TestKeptTextsAreBoundedInBytes(t *testing.T) {
	c, err := NewConnector("file:"+filepath.Join(t.TempDir(), "a.db"), Config{StatementCache: 1000})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*conn).session
	pad := strings.Repeat("x", maxCachedQuery-64)
	for i := range 400 {
		for range 2 {
			if _, err := opened.(driver.ExecerContext).ExecContext(t.Context(), fmt.Sprintf("SELECT 1 AS %s_%d", pad, i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.cache.share.Used(); n > 2<<20 || n < 1<<20 || len(s.cache.stmts) > 130 {
		t.Errorf("%d statements are kept, of %d bytes", len(s.cache.stmts), n)
	}
	if _, err := opened.(driver.ExecerContext).ExecContext(t.Context(), "SELECT 1", nil); err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.cache.share.Used(); n != 0 {
		t.Errorf("a closed connection keeps %d bytes", n)
	}
}
