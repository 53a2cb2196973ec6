package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sqlitemw/sqlitemw/conformance/engines/servers"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// TestRoles checks what AskRole answers of real servers.
func TestRoles(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	ask := func(s *servers.Postgres) (r postgres.Role) {
		c, err := connector(t, s).Connect(t.Context())
		must(t, err)
		defer c.Close()
		r, err = postgres.AskRole(t.Context(), c)
		must(t, err)
		return r
	}
	a, b := ask(primary), ask(standby)
	if !a.Primary || a.Timeline != 1 || b.Primary || b.Timeline != 0 || a.System == "" || a.System != b.System {
		t.Errorf("%+v and %+v, want a primary of timeline 1 and a standby of the same system", a, b)
	}
	must(t, primary.Kill())
	must(t, standby.Promote(t.Context()))
	if r := ask(standby); !r.Primary || r.Timeline != 2 || r.System != a.System {
		t.Errorf("%+v, want a primary of timeline 2", r)
	}
}

// TestRoutes checks which server answers, and that a reader sees what was written before.
func TestRoutes(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	p := open(t, func(c *postgres.Config) { c.ReadYourWrites = true; c.ReplayTimeout = time.Minute }, primary, standby)
	if isStandby(t, p.DB()) || isStandby(t, p.Writer()) || !isStandby(t, p.Reader()) {
		t.Error("DB, Writer or Reader uses the wrong server")
	}
	for opts, want := range map[sql.TxOptions]bool{
		{}:               false,
		{ReadOnly: true}: true,
		{ReadOnly: true, Isolation: sql.LevelRepeatableRead}: true,
		{ReadOnly: true, Isolation: sql.LevelSerializable}:   false,
	} {
		tx, err := p.DB().BeginTx(t.Context(), &opts)
		must(t, err)
		if got := isStandby(t, tx); got != want {
			t.Errorf("%+v: on a standby: %v", opts, got)
		}
		must(t, tx.Commit())
	}
	var state interface{ SQLState() string }
	if _, err := p.Reader().ExecContext(t.Context(), "INSERT INTO t VALUES ('x')"); !errors.As(err, &state) || state.SQLState() != "25006" {
		t.Errorf("a write of Reader: %v", err)
	}
	stmt, err := p.DB().PrepareContext(t.Context(), "INSERT INTO t VALUES ($1)")
	must(t, err)
	defer stmt.Close()
	for i := range 300 {
		value := fmt.Sprint(i)
		_, err := stmt.ExecContext(t.Context(), value)
		must(t, err)
		var n int
		var standby bool
		must(t, p.Reader().QueryRowContext(t.Context(), "SELECT count(*), pg_is_in_recovery() FROM t WHERE v = $1", value).Scan(&n, &standby))
		if n != 1 || !standby {
			t.Fatalf("after %s, a reader has seen %d rows, on the standby: %v", value, n, standby)
		}
	}
	if s := p.Stats(); s.Discards != 0 || s.Connects > 3 {
		t.Errorf("%d connects and %d discards", s.Connects, s.Discards)
	}
}

// TestReplayTimeout checks that a reader uses the primary while the standby replays nothing.
func TestReplayTimeout(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	p := open(t, func(c *postgres.Config) { c.ReadYourWrites = true }, primary, standby)
	eventually(t, "the standby has the table", func() bool { return isStandby(t, p.Reader()) })
	must(t, standby.Exec(t.Context(), "SELECT pg_wal_replay_pause()"))
	eventually(t, "the replay is paused", func() bool {
		return standby.Exec(t.Context(), "SELECT 1/(pg_get_wal_replay_pause_state() = 'paused')::int") == nil
	})
	_, err := p.DB().ExecContext(t.Context(), "INSERT INTO t VALUES ('x')")
	must(t, err)
	var n int
	must(t, p.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n))
	if n != 1 || isStandby(t, p.Reader()) {
		t.Errorf("a reader sees %d rows, want the one on the primary", n)
	}
	must(t, standby.Exec(t.Context(), "SELECT pg_wal_replay_resume()"))
	eventually(t, "readers use the standby again", func() bool { return isStandby(t, p.Reader()) })
	if got, _ := reasons(p, postgres.ReasonReplay); len(got) < 2 || got[0] != "failing" || got[len(got)-1] != "recovered" {
		t.Errorf("events %q", got)
	}
}

// TestCalls checks calls that end in another way than with a result: canceled, of a backend that was
// terminated, with an open transaction, and with the driver's own connection.
func TestCalls(t *testing.T) {
	primary := servers.StartPostgres(t)
	p := open(t, func(c *postgres.Config) { c.MaxConns = 2 }, primary)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.DB().ExecContext(ctx, "SELECT pg_sleep(100)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of the context", err)
	}
	_, err := p.DB().ExecContext(t.Context(), "INSERT INTO t VALUES ('x')")
	must(t, err)

	must(t, primary.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'"))
	failed := 0
	for i := range 10 {
		if _, err := p.DB().ExecContext(t.Context(), "INSERT INTO t VALUES ($1)", fmt.Sprint(i)); err != nil {
			failed++
		}
	}
	if failed > 1 {
		t.Errorf("%d calls failed after the end of all backends, want at most one", failed)
	}

	_, err = p.DB().ExecContext(t.Context(), "START TRANSACTION")
	must(t, err)
	var status string
	must(t, p.Raw(t.Context(), func(c driver.Conn) error {
		status = string(c.(*stdlib.Conn).Conn().PgConn().TxStatus())
		return nil
	}))
	if status != "I" {
		t.Errorf("a connection is lent with the transaction status %s", status)
	}

	c, err := p.DB().Conn(t.Context())
	must(t, err)
	defer c.Close()
	must(t, wrap.Raw(c, func(c *stdlib.Conn) error {
		_, err := c.Conn().CopyFrom(t.Context(), pgx.Identifier{"t"}, []string{"v"}, pgx.CopyFromRows([][]any{{"copied"}}))
		return err
	}))
	var n int
	must(t, c.QueryRowContext(t.Context(), "SELECT count(*) FROM t WHERE v = 'copied'").Scan(&n))
	if n != 1 {
		t.Error("COPY through wrap.Raw has no effect")
	}
	rows, err := p.DB().QueryContext(t.Context(), "SELECT generate_series(1, 100000)")
	must(t, err)
	rows.Next()
	must(t, rows.Close())
	if got := p.Stats(); got.InUse != 1 {
		t.Errorf("%d connections are in use, want that of the *sql.Conn", got.InUse)
	}
}
