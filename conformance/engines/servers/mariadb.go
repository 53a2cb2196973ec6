package servers

import (
	"context"
	"database/sql"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqlitemw/sqlitemw/conformance/engines/process"
)

// A MariaDB is a MariaDB server. Its methods, and those of [process.Process], must not be called
// concurrently.
type MariaDB struct {
	*process.Process

	dir     *process.Dir
	program string
	data    string
	port    int
}

// mariadbSettings let a server use little memory, and read no settings of this machine.
var mariadbSettings = []string{
	"--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin", "--local-infile=1", "--innodb-buffer-pool-size=64M",
	"--innodb-log-file-size=32M", "--max-allowed-packet=64M", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin",
	"--default-time-zone=+00:00",
}

// StartMariaDB starts a server, and stops it at the end of the test. It has an empty database
// "shop", whose user "shop" needs no password. Without the package, the test is skipped; see
// [process.Need].
func StartMariaDB(t testing.TB) *MariaDB {
	t.Helper()
	var missing []string
	program := findProgram("mariadbd", "/usr/sbin/mariadbd")
	install := findProgram("mariadb-install-db", "/usr/bin/mariadb-install-db")
	if program == "" || install == "" {
		missing = []string{"mariadb-server"}
	}
	process.Need(t, missing...)
	m := &MariaDB{dir: process.NewDir(t, "mysql"), program: program}
	var err error
	if m.data, err = m.dir.Make("mariadb"); err != nil {
		t.Fatal(err)
	}
	if err := m.dir.Run(install, "--no-defaults", "--datadir="+m.data, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--innodb-log-file-size=32M"); err != nil {
		t.Fatal(err)
	}
	if err := m.startAnywhere(); err != nil {
		t.Fatal(err)
	}
	if err := m.Exec(t.Context(), "CREATE DATABASE shop", "CREATE USER shop@'127.0.0.1'", "GRANT ALL ON shop.* TO shop@'127.0.0.1'"); err != nil {
		t.Fatal(err)
	}
	return m
}

// findProgram returns the path of a program, which need not be in PATH, or "".
func findProgram(name, otherwise string) string {
	for _, name := range []string{name, otherwise} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startAnywhere starts the server on a free port. If another program takes the port first, it
// takes the next.
func (m *MariaDB) startAnywhere() (err error) {
	for range 3 {
		if m.port, err = process.FreePort(); err != nil {
			return err
		}
		m.Process = process.New(m.dir, process.Config{
			Name: "MariaDB", Path: m.program, Data: m.data,
			Args: append(mariadbSettings, "--datadir="+m.data, "--socket="+m.dir.Path("socket"), "--pid-file="+m.dir.Path("pid"),
				"--port="+strconv.Itoa(m.port)),
			Shutdown: syscall.SIGTERM,
			Ready:    m.ping,
		})
		if err = m.Start(); err == nil || !strings.Contains(m.Log(), "Can't start server: Bind on TCP/IP port") {
			return err
		}
	}
	return err
}

func (m *MariaDB) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.Exec(ctx, "SELECT 1")
}

// DSN returns the data source name of the database "shop" for its user, "shop". params are
// parameters of the driver, such as "parseTime=true".
func (m *MariaDB) DSN(params ...string) string {
	return fmt.Sprintf("shop@tcp(%s)/shop?%s", m.Addr(), strings.Join(params, "&"))
}

// Addr returns the server's address, "127.0.0.1:port". It does not change.
func (m *MariaDB) Addr() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }

// Exec executes queries as the superuser, on one connection without a database.
func (m *MariaDB) Exec(ctx context.Context, queries ...string) error {
	cfg, err := mysql.ParseDSN(fmt.Sprintf("root@tcp(%s)/", m.Addr()))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{} // while the server starts, each try would be logged
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range queries {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
