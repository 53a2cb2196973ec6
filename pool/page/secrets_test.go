package page_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// FuzzSecrets runs random statements with secret literals and arguments on pools, leaves some of
// them open, and looks for the secrets on every route.
func FuzzSecrets(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &secretive{Rand: rand.New(rand.NewPCG(seed, 0))}
		tracer, err := tracing.New(tracing.Config{Statements: 5, SlowCall: 1})
		if err != nil {
			t.Fatal(err)
		}
		p := open(t, pool.Config{
			Path: filepath.Join(t.TempDir(), "app.db"), Tracing: tracer, TrackStacks: true, AcquireTimeout: 50 * time.Millisecond,
			Pragmas: []driver.Pragma{{Name: "cache_spill", Value: "50"}},
		})
		db, err := sql.Open("sqlitemw", ":memory:")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		obs, err := pool.Observe(t.Context(), db, pool.ObserveConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer obs.Close()
		views := []core.View{p, obs}
		h := configured(t, page.Config{Pools: page.List(views...), Allow: page.Guarded, Tracer: tracer})
		_, _ = p.DB().Exec("CREATE TABLE t(a, b UNIQUE)")
		var texts []string
		for range 10 {
			text, args := g.statement()
			texts = append(texts, text)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			switch g.IntN(4) {
			case 0:
				_, _ = p.DB().ExecContext(ctx, text, args...)
			case 1: // open rows
				if rows, err := p.DB().QueryContext(ctx, text, args...); err == nil {
					rows.Next()
					defer rows.Close()
				}
			case 2:
				_, _ = db.ExecContext(ctx, text, args...)
			case 3: // an open transaction
				if tx, err := p.DB().BeginTx(ctx, nil); err == nil {
					_, _ = tx.Exec(text, args...)
					defer tx.Rollback()
				}
			}
		}
		_ = p.HealthCheck(t.Context())
		for i := range 2 {
			id := decode[state](t, get(h, "/state.json")).Pools[i].ID
			for _, route := range dataRoutes {
				body := strings.ToLower(get(h, "/?file="+route+"&pool="+id).Body.String())
				for _, secret := range g.secrets {
					if strings.Contains(body, strings.ToLower(secret)) {
						t.Fatalf("%s shows %s:\n%s\nstatements:\n%s", route, secret, body, strings.Join(texts, "\n"))
					}
				}
			}
		}
	})
}

// A secretive program makes up statements, and remembers their secrets.
type secretive struct {
	*rand.Rand
	secrets []string
}

func (g *secretive) secret(s string) string {
	g.secrets = append(g.secrets, s)
	return s
}

func (g *secretive) word() string {
	b := []byte("sEcrEt")
	for range 12 {
		b = append(b, byte('a'+g.IntN(26)))
	}
	return g.secret(string(b))
}

func (g *secretive) digits() string {
	b := []byte{byte('1' + g.IntN(9))}
	for range 14 {
		b = append(b, byte('0'+g.IntN(10)))
	}
	g.secret(string(b[:9]))
	return string(b)
}

func (g *secretive) literal() string {
	switch g.IntN(6) {
	case 0:
		return "'" + g.word() + "'"
	case 1:
		return "'it''s " + g.word() + " \" -- " + g.word() + "'"
	case 2:
		return "x'" + g.secret(hex.EncodeToString([]byte(g.word()))) + "'"
	case 3:
		return g.digits() + ".5e3"
	case 4:
		return "/* " + g.word() + " */ " + g.digits()
	default:
		return "'" + g.word() + "\n" + g.word() + "'"
	}
}

func (g *secretive) statement() (string, []any) {
	l := g.literal
	texts := []string{
		"SELECT " + l() + ", " + l() + " AS x FROM t",
		"SELECT a FROM t WHERE a = " + l() + " OR b IN (" + l() + ", " + l() + ")",
		"INSERT INTO t VALUES (" + l() + ", " + l() + ")",
		"UPDATE t SET a = " + l() + " WHERE b LIKE " + l(),
		"DELETE FROM t WHERE a BETWEEN " + l() + " AND " + l(),
		"SELECT json_extract(" + l() + ", " + l() + ")",
		"PRAGMA key = '" + g.word() + "'",
		"PRAGMA user_version = " + g.digits()[:9],
		fmt.Sprintf("ATTACH 'file:%s?mode=memory' AS x%d", g.word(), g.IntN(1e6)),
		"SELECT 1 WHERE " + l() + " = " + l() + " -- " + g.word(),
		"SELEC " + l() + " '" + g.word(),
		fmt.Sprintf("CREATE TEMP TABLE t%d(a DEFAULT '%s')", g.IntN(1e6), g.word()),
	}
	text := texts[g.IntN(len(texts))]
	if g.IntN(3) == 0 {
		return "INSERT INTO t VALUES (?, ?)", []any{g.word(), []byte(g.word())}
	}
	return text, nil
}
