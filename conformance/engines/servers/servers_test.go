package servers_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/sqlitemw/sqlitemw/conformance/engines/servers"
)

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkPaused checks that a server that is paused keeps its connections, answers nothing, and goes
// on when it is resumed.
func checkPaused(t *testing.T, db *sql.DB, pause, resume func() error) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	must(t, pause())
	answered := make(chan error, 1)
	go func() { _, err := conn.ExecContext(context.Background(), "SELECT 1"); answered <- err }()
	select {
	case err := <-answered:
		t.Errorf("the paused server answered %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	must(t, resume())
	must(t, <-answered)
}

// TestPostgres checks that an acknowledged commit survives the primary, that a standby takes no
// writes, and that the promoted one does.
func TestPostgres(t *testing.T) {
	primary := servers.StartPostgres(t)
	standby := primary.StartStandby(t)
	db, other := open(t, "pgx", primary.DSN()), open(t, "pgx", standby.DSN())
	exec(t, db, "CREATE TABLE items(id int)")
	checkPaused(t, db, primary.Pause, primary.Resume)
	if _, err := other.ExecContext(t.Context(), "INSERT INTO items VALUES (1)"); err == nil {
		t.Error("the standby takes writes")
	}

	must(t, standby.Pause())
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := db.ExecContext(soon, "INSERT INTO items VALUES (1)"); err == nil {
		t.Error("the primary acknowledges a commit that its standby does not have")
	}
	must(t, standby.Resume())

	exec(t, db, "TRUNCATE items")
	exec(t, db, "INSERT INTO items VALUES (2)")
	must(t, primary.Kill())
	if primary.Running() {
		t.Error("the primary runs after Kill")
	}
	must(t, standby.Promote(t.Context()))
	exec(t, other, "INSERT INTO items VALUES (3)")
	if n := count(t, other, "SELECT sum(id) FROM items"); n != 5 {
		t.Errorf("the promoted standby has the rows 2 and 3: their sum is %d", n)
	}

	must(t, primary.Start())
	// The connections of db are dead, and pgx may notice that only when a call fails.
	if n := count(t, open(t, "pgx", primary.DSN()), "SELECT sum(id) FROM items"); n != 2 {
		t.Errorf("the old primary has the row 2: the sum is %d", n)
	}
	must(t, standby.Stop())
}

// TestMariaDB checks that an acknowledged commit survives a kill.
func TestMariaDB(t *testing.T) {
	server := servers.StartMariaDB(t)
	db := open(t, "mysql", server.DSN())
	exec(t, db, "CREATE TABLE items(id int)")
	exec(t, db, "INSERT INTO items VALUES (1)")
	checkPaused(t, db, server.Pause, server.Resume)
	must(t, server.Kill())
	must(t, server.Start())
	if n := count(t, db, "SELECT sum(id) FROM items"); n != 1 {
		t.Errorf("the server has the row 1: the sum is %d", n)
	}
	must(t, server.Stop())
	if server.Running() {
		t.Error("the server runs after Stop")
	}
}
