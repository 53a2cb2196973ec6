package clients

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// programs are all programs, by the client that they use.
var programs = map[string]program{
	"sqlx":    sqlxProgram,
	"gorm":    gormProgram,
	"bun":     bunProgram,
	"goose":   gooseProgram,
	"migrate": migrateProgram,
	"sqlc":    sqlcProgram,
	"scs":     scsProgram,
	"xorm":    xormProgram,
	"ent":     entProgram,
}

func TestMain(m *testing.M) {
	// A zone that no machine has as its own shows how a client handles local time, the same
	// on every machine.
	time.Local = time.FixedZone("Office", 5*3600+45*60)
	m.Run()
}

// A client must not be able to distinguish the drivers.
func TestSameAsThePlainDriver(t *testing.T) {
	verifyNoLeaks(t)
	sameAs(t, programs, plain, untraced, traced(t), withoutCache, withSmallCache)
}

// A client must not be able to distinguish a pool from the plain driver with the same settings.
func TestSameOverAPool(t *testing.T) {
	verifyNoLeaks(t)
	sameAs(t, programs, plainAsPooled, pooled, pooledByName)
}

func verifyNoLeaks(t *testing.T) {
	// These goroutines are not ended by their packages: the one of GORM's cache of prepared
	// statements, the one of scs's in-memory store, and those of golang-migrate that read
	// the migrations after one that failed.
	t.Cleanup(func() {
		goleak.VerifyNone(t,
			goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"),
			goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"),
			goleak.IgnoreAnyFunction("github.com/golang-migrate/migrate/v4.(*Migration).Buffer"))
	})
}

// sameAs runs programs on all setups.
func sameAs(t *testing.T, programs map[string]program, plain setup, others ...setup) {
	for name, p := range programs {
		t.Run(name, func(t *testing.T) {
			want := plain.transcript(t, p)
			t.Logf("%d lines\n%s", strings.Count(want, "\n"), want)
			if again := plain.transcript(t, p); again != want {
				t.Fatalf("the program is not deterministic\n%s", firstDifference(want, again))
			}
			for _, s := range others {
				t.Run(s.name, func(t *testing.T) {
					if got := s.transcript(t, p); got != want {
						t.Error(firstDifference(want, got))
					}
				})
			}
		})
	}
}
