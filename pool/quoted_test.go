package pool_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// TestNamesAreQuoted checks that a name with a line break adds no line to an error or a log,
// whatever set the name.
func TestNamesAreQuoted(t *testing.T) {
	const forged = "\n2026/01/01 00:00:00 admin logged in \x1b[31m"
	synctest.Test(t, func(t *testing.T) {
		p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Name: "tenant" + forged, MaxConns: 1, AcquireTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		ctx := pool.WithOwner(t.Context(), "job"+forged)
		if _, err := p.DB().Exec(`CREATE TABLE "x` + forged + `"(a)`); err != nil {
			t.Fatal(err)
		}
		tx, err := p.DB().BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(`INSERT INTO "x` + forged + `" VALUES (1)`); err != nil {
			t.Fatal(err)
		}
		texts := []string{p.String(), p.Config().String()}
		for _, h := range p.Holders() {
			texts = append(texts, h.String())
		}
		acquire := func(ctx context.Context) {
			_, err := p.DB().ExecContext(ctx, "DELETE FROM y")
			var e *pool.AcquireError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			for _, h := range e.Holders {
				texts = append(texts, h.String(), h.WaitsFor)
			}
			texts = append(texts, err.Error())
		}
		acquire(t.Context())
		acquire(ctx) // the caller of ctx holds the writer itself
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		texts = append(texts, p.Shutdown(ended).Error())
		tx.Rollback()

		var m pool.Manager
		_, err = m.Add(t.Context(), "new"+forged, pool.Config{Path: filepath.Join(t.TempDir(), "no\nwhere", "a.db")})
		texts = append(texts, err.Error(), m.Remove(t.Context(), "no"+forged).Error())
		err = p.Backup(t.Context(), filepath.Join(t.TempDir(), "no\nwhere", "b.db"))
		texts = append(texts, err.Error())
		for _, text := range texts {
			if strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("%s", text)
			}
		}
		if all := strings.Join(texts, " "); !strings.Contains(all, `writer of "tenant\n2026`) || !strings.Contains(all, `by "job\n2026`) || !strings.Contains(all, `last "INSERT`) {
			t.Error(all)
		}
	})
}
