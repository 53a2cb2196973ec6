package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestNothingIsLeft checks that a pool leaves no goroutine and no open file: after Close, and
// after an Open that fails at any of its connections.
func TestNothingIsLeft(t *testing.T) {
	before := goleak.IgnoreCurrent()
	oops := errors.New("oops")
	for fails := range 7 { // the sixth is the health check's, and the seventh is never opened
		path := filepath.Join(t.TempDir(), "test.db")
		n := 0
		var l ledger
		p, err := pool.Open(t.Context(), pool.Config{
			Path: path, MinConns: 5, MaxConns: 5, Recorder: &l, Logger: slog.New(slog.DiscardHandler),
			Init: func(*sqlite3.Conn) error {
				if n++; n == fails+1 {
					return oops
				}
				return nil
			},
		})
		if fails < 6 {
			if !errors.Is(err, oops) || p != nil {
				t.Errorf("connection %d failed, and Open returns %v", fails+1, err)
			}
		} else if err != nil {
			t.Fatal(err)
		} else {
			must(t, p.DB(), "CREATE TABLE t(a)")
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if n := l.open(); n != 0 {
			t.Errorf("connection %d failed, and %d are open", fails+1, n)
		}
		for _, name := range openHandles() {
			if strings.HasPrefix(name, filepath.Dir(path)) {
				t.Errorf("connection %d failed, and %s is open", fails+1, name)
			}
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
	// A cancelled Open fails too.
	ctx, cancel := context.WithCancel(t.Context())
	_, err := pool.Open(ctx, pool.Config{
		Path: filepath.Join(t.TempDir(), "test.db"), MinConns: 5, Logger: slog.New(slog.DiscardHandler),
		Hooks: pool.Hooks{AfterConnect: func(context.Context, *sqlite3.Conn) error { cancel(); return nil }},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
