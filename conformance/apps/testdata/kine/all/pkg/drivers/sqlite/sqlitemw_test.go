package sqlite

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/server"
)

// TestKeyExists has two rows with one key, as two servers make at the same time. No test of kine's
// own does: they create a key only after having seen that there is none.
func TestKeyExists(t *testing.T) {
	wg := &sync.WaitGroup{}
	ctx, cancel := context.WithCancel(t.Context())
	_, dialect, err := NewVariant(ctx, wg, "sqlite3", &drivers.Config{DataSourceName: filepath.Join(t.TempDir(), "state.db") + "?" + DefaultParams})
	if err != nil {
		t.Fatal(err)
	}
	defer dialect.DB.Close()
	defer wg.Wait()
	defer cancel()
	const insert = "INSERT INTO kine (name, prev_revision) VALUES ('key', 0)"
	if _, err := dialect.DB.Exec(insert); err != nil {
		t.Fatal(err)
	}
	_, err = dialect.DB.Exec(insert)
	if translated := dialect.TranslateErr(err); translated != server.ErrKeyExists {
		t.Errorf("%T %v is taken for %v", err, err, translated)
	}
	if code := dialect.ErrCode(err); code != "constraint failed" {
		t.Errorf("the code of %T %v is %s", err, err, code)
	}
}
