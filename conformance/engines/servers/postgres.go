package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqlitemw/sqlitemw/conformance/engines/process"
)

// A Postgres is a PostgreSQL server: a primary or a hot standby. Its methods, and those of
// [process.Process], must not be called concurrently.
type Postgres struct {
	*process.Process

	dir      *process.Dir
	programs string // the directory of PostgreSQL's programs
	name     string
	data     string
	port     int
	standbys []string // the names of the standbys that it waits for
}

// postgresSettings are settings of all servers. Autovacuum is off, so that a server does only
// what its test asks.
var postgresSettings = []string{
	"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100", "shared_buffers=32MB",
	"wal_level=replica", "max_wal_senders=5", "wal_keep_size=64MB", "max_wal_size=256MB", "hot_standby=on", "synchronous_commit=on",
	"autovacuum=off", "jit=off", "timezone=UTC", "log_timezone=UTC", "lc_messages=C", "max_prepared_transactions=10",
	"dynamic_shared_memory_type=mmap", // in its directory, so that nothing outlives a kill
}

// StartPostgres starts a primary, and stops it at the end of the test. It has an empty database
// "shop", which belongs to the user "shop". Without the packages, the test is skipped; see
// [process.Need].
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	programs := postgresPrograms()
	var missing []string
	if programs == "" {
		missing = []string{"postgresql"}
	}
	process.Need(t, missing...)
	p := &Postgres{dir: process.NewDir(t, "postgres"), programs: programs, name: "primary"}
	if err := p.init(); err != nil {
		t.Fatal(err)
	}
	if err := p.startAnywhere(); err != nil {
		t.Fatal(err)
	}
	if err := p.Exec(t.Context(), "CREATE ROLE shop LOGIN", "CREATE DATABASE shop OWNER shop"); err != nil {
		t.Fatal(err)
	}
	return p
}

// postgresPrograms returns the directory of the newest PostgreSQL, or "". Debian does not have it
// in PATH.
func postgresPrograms() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return ""
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest)
}

func (p *Postgres) init() (err error) {
	if p.data, err = p.dir.Make(p.name); err != nil {
		return err
	}
	return p.dir.Run(filepath.Join(p.programs, "initdb"), "--pgdata", p.data, "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
}

// startAnywhere starts the server on a free port. If another program takes the port first, it
// takes the next.
func (p *Postgres) startAnywhere() (err error) {
	for range 3 {
		if p.port, err = process.FreePort(); err != nil {
			return err
		}
		args := []string{"-D", p.data, "-p", strconv.Itoa(p.port)}
		for _, setting := range postgresSettings {
			args = append(args, "-c", setting)
		}
		p.Process = process.New(p.dir, process.Config{
			Name: "PostgreSQL's " + p.name, Path: filepath.Join(p.programs, "postgres"), Args: args, Data: p.data,
			Shutdown: syscall.SIGINT, // does not wait for clients
			Ready:    p.ping,
		})
		if err = p.Start(); err == nil || !strings.Contains(p.Log(), "could not bind") {
			return err
		}
	}
	return err
}

func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return p.Exec(ctx, "SELECT 1")
}

// StartStandby starts a hot standby of p, and stops it at the end of the test. From then on, p
// acknowledges a commit only after all of its standbys have it on their disk.
func (p *Postgres) StartStandby(t testing.TB) *Postgres {
	t.Helper()
	s := &Postgres{dir: process.NewDir(t, "postgres"), programs: p.programs, name: fmt.Sprintf("standby%d", len(p.standbys)+1)}
	if err := s.copyOf(p); err != nil {
		t.Fatal(err)
	}
	if err := s.startAnywhere(); err != nil {
		t.Fatal(err)
	}
	if err := p.waitFor(t.Context(), s.name); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *Postgres) copyOf(primary *Postgres) (err error) {
	if p.data, err = p.dir.Make(p.name); err != nil {
		return err
	}
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", primary.port, p.name)
	if err := p.dir.Run(filepath.Join(p.programs, "pg_basebackup"), "--pgdata", p.data, "--dbname", from,
		"--checkpoint", "fast", "--wal-method", "stream", "--write-recovery-conf", "--no-sync"); err != nil {
		return err
	}
	return p.set("synchronous_standby_names = ''") // the copy waits for no standbys of its own
}

// set appends a line to the settings. It counts from the next start.
func (p *Postgres) set(line string) error {
	f, err := os.OpenFile(filepath.Join(p.data, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}

// waitFor lets p wait for one more standby.
func (p *Postgres) waitFor(ctx context.Context, standby string) error {
	p.standbys = append(p.standbys, standby)
	names := fmt.Sprintf("%d (%s)", len(p.standbys), strings.Join(p.standbys, ", "))
	if err := p.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'", "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		n, err := p.count(ctx, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'")
		switch {
		case err != nil:
			return fmt.Errorf("%s does not become synchronous: %w", standby, err)
		case n == len(p.standbys):
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// DSN returns the data source name of the database "shop" for its owner, "shop".
func (p *Postgres) DSN() string { return p.dsn("shop", "shop") }

// AdminDSN returns the data source name of the database "shop" for the superuser.
func (p *Postgres) AdminDSN() string { return p.dsn("postgres", "shop") }

func (p *Postgres) dsn(user, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, p.port, database)
}

// Addr returns the server's address, "127.0.0.1:port". It does not change.
func (p *Postgres) Addr() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

// Promote makes a primary of a standby, and waits until it is one.
func (p *Postgres) Promote(ctx context.Context) error {
	n, err := p.count(ctx, "SELECT pg_promote(true, 120)::int")
	if err == nil && n != 1 {
		err = fmt.Errorf("%s is not promoted\n%s", p.name, p.Log())
	}
	return err
}

// Exec executes queries as the superuser, on one connection to the database "postgres", outside of
// transactions.
func (p *Postgres) Exec(ctx context.Context, queries ...string) error {
	return p.connect(ctx, func(c *pgx.Conn) error {
		for _, q := range queries {
			if _, err := c.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// count returns the number that a query returns.
func (p *Postgres) count(ctx context.Context, query string) (n int, err error) {
	err = p.connect(ctx, func(c *pgx.Conn) error { return c.QueryRow(ctx, query).Scan(&n) })
	return n, err
}

func (p *Postgres) connect(ctx context.Context, do func(*pgx.Conn) error) (err error) {
	c, err := pgx.Connect(ctx, p.dsn("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	return do(c)
}
