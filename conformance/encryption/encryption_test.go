package encryption

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/vfs/adiantum"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// The keys have 32 bytes in hexadecimal, which adiantum uses unchanged.
var (
	rightKey = strings.Repeat("5ec4e7", 10) + "aabb"
	wrongKey = strings.Repeat("0badc0", 10) + "ccdd"
)

func keyed(path, key string) string {
	return driver.FileURI(path) + "?vfs=adiantum&_pragma=hexkey('" + key + "')"
}

// encrypted makes an encrypted database with one row.
func encrypted(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secret.db")
	db := open(t, driver.Name, keyed(path, rightKey))
	if _, err := db.Exec("CREATE TABLE t(a); INSERT INTO t VALUES (7)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, name, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

var names = []string{driver.Name, driver.NameMattn, driver.NameModernc, pool.Name}

// An encrypted file can be read with its key, also by all connections of a pool concurrently.
func TestRightKey(t *testing.T) {
	path := encrypted(t)
	for _, name := range []string{driver.Name, pool.Name} {
		db := open(t, name, keyed(path, rightKey))
		var a int
		if err := db.QueryRow("SELECT a FROM t").Scan(&a); err != nil || a != 7 {
			t.Errorf("%s: %d, %v", name, a, err)
		}
		if err := db.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The key may come from Config.Init.
func TestKeyFromInit(t *testing.T) {
	path := encrypted(t)
	init := func(c *sqlite3.Conn) error { return c.Exec("PRAGMA hexkey='" + rightKey + "'") }
	p, err := pool.Open(context.Background(), pool.Config{Path: driver.FileURI(path) + "?vfs=adiantum", Init: init})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	connector, err := driver.NewConnector(driver.FileURI(path)+"?vfs=adiantum", driver.Config{Init: init})
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	for _, db := range []*sql.DB{p.DB(), db} {
		var a int
		if err := db.QueryRow("SELECT a FROM t").Scan(&a); err != nil || a != 7 {
			t.Errorf("%d, %v", a, err)
		}
	}
}

// Without the right key, nothing can be read. The error names the probable cause and the file,
// and contains no key.
func TestWrongKey(t *testing.T) {
	path := encrypted(t)
	for _, tc := range []struct {
		about, dsn, says string
	}{
		{"another key", keyed(path, wrongKey), "key in the DSN may be wrong"},
		{"a short key", keyed(path, wrongKey[:8]), "key in the DSN may be wrong"},
		{"no key", driver.FileURI(path) + "?vfs=adiantum", "may need a key"},
		{"no VFS", driver.FileURI(path), "if it is encrypted"},
	} {
		for _, name := range names {
			if strings.Contains(tc.dsn, "hexkey") && name == driver.NameMattn {
				continue // mattn's driver has no _pragma
			}
			db := open(t, name, tc.dsn)
			_, err := db.Exec("INSERT INTO t VALUES (8)")
			if err == nil {
				t.Errorf("%s, %s: no error", name, tc.about)
				continue
			}
			text := err.Error()
			if open := (*driver.OpenError)(nil); name != driver.Name && name != pool.Name && errors.As(err, &open) {
				text = open.Error() // the error's own text is that of the other driver
			}
			if !strings.Contains(text, tc.says) || !strings.Contains(text, "secret.db") || strings.Contains(text, wrongKey[:8]) {
				t.Errorf("%s, %s: %s\nmust contain %q and the name of the file", name, tc.about, text, tc.says)
			}
			if code, _, ok := driver.Code(err); !ok || code == 0 {
				t.Errorf("%s, %s: %v has no code of SQLite", name, tc.about, err)
			}
		}
	}
	db := open(t, driver.Name, keyed(path, rightKey))
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 1 {
		t.Errorf("afterwards there are %d rows, %v", n, err)
	}
}

// A key for a file that is not encrypted is refused, because SQLite would ignore it.
func TestKeyWithoutEncryption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plain.db")
	for _, name := range []string{driver.Name, pool.Name} {
		_, err := open(t, name, driver.FileURI(path)+"?_pragma=hexkey('"+rightKey+"')").Exec("CREATE TABLE t(a)")
		var pragma *driver.PragmaError
		if !errors.As(err, &pragma) || !strings.Contains(err.Error(), "nothing encrypts") || strings.Contains(err.Error(), rightKey[:8]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
