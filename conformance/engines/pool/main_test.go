package pool_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"github.com/sqlitemw/sqlitemw/conformance/engines/servers"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connector returns pgx's connector to a server.
func connector(t *testing.T, s *servers.Postgres) driver.Connector {
	t.Helper()
	cfg, err := pgx.ParseConfig(s.DSN())
	must(t, err)
	return stdlib.GetConnector(*cfg)
}

// closed reports whether pgx has closed a connection.
func closed(c driver.Conn) bool { return c.(*stdlib.Conn).Conn().IsClosed() }

// open opens a pool of the servers, with a table t. It is shut down at the end of the test.
func open(t *testing.T, change func(*postgres.Config), list ...*servers.Postgres) *postgres.Pool {
	t.Helper()
	cfg := postgres.Config{Database: "shop", Broken: closed, Events: 1 << 16, Logger: slog.New(slog.DiscardHandler)}
	for _, s := range list {
		cfg.Servers = append(cfg.Servers, postgres.Server{Name: s.Addr(), Connector: connector(t, s)})
	}
	if change != nil {
		change(&cfg)
	}
	p, err := postgres.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s := p.Stats(); s.Acquires != s.Releases+s.Discards || s.Connects != s.Closes || s.Panics != 0 {
			t.Errorf("%d acquires, but %d releases and %d discards; %d connects, but %d closes; %d panics", s.Acquires, s.Releases, s.Discards, s.Connects, s.Closes, s.Panics)
		}
	})
	_, err = p.DB().ExecContext(t.Context(), "CREATE TABLE t (v text PRIMARY KEY)")
	must(t, err)
	return p
}

// isStandby reports whether a query is answered by a standby.
func isStandby(t *testing.T, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (standby bool) {
	t.Helper()
	must(t, q.QueryRowContext(t.Context(), "SELECT pg_is_in_recovery()").Scan(&standby))
	return standby
}

// eventually waits until a condition holds, for at most a minute.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// reasons returns the kinds of the events with a reason, and how long the last failure took.
func reasons[R ~string](p *postgres.Pool, why R) (list []string, took time.Duration) {
	for _, e := range p.Events() {
		if string(e.Reason) == string(why) {
			list, took = append(list, e.Kind.String()), e.Duration
		}
	}
	return list, took
}
