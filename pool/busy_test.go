package pool_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// TestBusyEvent checks a call that fails because the database is locked. Its error is
// SQLite's own, and an event names the blocker. With tracing.Config.Details, the event names
// the connection; otherwise it says what the turns show.
func TestBusyEvent(t *testing.T) {
	for _, tc := range []struct {
		name    string
		details bool
		blocker driver.Blocker
	}{
		{"with details", true, driver.BlockerThisProcess},
		{"without", false, driver.BlockerOutside},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tracer, err := tracing.New(tracing.Config{Details: tc.details})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "a.db")
			p, l := pooled(t, pool.Config{Path: path, BusyTimeout: 10 * time.Millisecond, Tracing: tracer})
			must(t, p.DB(), "CREATE TABLE t(a)")

			var opened driver.ConnID
			c, err := driver.NewConnector("file:"+path, driver.Config{Tracing: tracer, Recorder: driver.RecorderFunc(func(e driver.Event) {
				if e.Kind == driver.KindConnect {
					opened = e.Conn
				}
			})})
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			defer db.Close()
			db.SetMaxOpenConns(1)
			must(t, db, "BEGIN IMMEDIATE")
			defer must(t, db, "ROLLBACK")

			ctx := traced(t.Context(), 7)
			for what, call := range map[string]func() error{
				"exec": func() error {
					_, err := p.DB().ExecContext(ctx, "INSERT INTO t VALUES (1)")
					return err
				},
				"begin": func() error {
					_, err := p.DB().BeginTx(ctx, nil)
					return err
				},
				"rows": func() error {
					var id int
					return p.DB().QueryRowContext(ctx, "INSERT INTO t VALUES (1) RETURNING rowid").Scan(&id)
				},
			} {
				before := l.count(driver.KindBusy)
				if err := call(); !errors.Is(err, sqlite3.BUSY) {
					t.Errorf("%s: %v", what, err)
					continue
				}
				var e driver.Event
				for _, event := range p.Events() {
					if event.Kind == driver.KindBusy {
						e = event // the last one
					}
				}
				want := driver.ConnID(0)
				if tc.details {
					want = opened
				}
				if e.Kind != driver.KindBusy || e.Blocker != tc.blocker || e.Holder != want || e.Derived == tc.details || e.Err != "5" ||
					e.Trace[0] != 7 || e.Lane != "writer" || e.Conn == 0 || l.count(driver.KindBusy) != before+1 {
					t.Errorf("%s: %d, %+v", what, l.count(driver.KindBusy), e)
				}
			}
		})
	}
}
