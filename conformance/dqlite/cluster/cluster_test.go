//go:build libsqlite3

package cluster_test

import (
	"database/sql"
	"os"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/dqlite/cluster"
)

func TestMain(m *testing.M) {
	cluster.Main()
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, c *cluster.Cluster) *sql.DB {
	t.Helper()
	connector, err := c.Connector("shop")
	must(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func checkSum(t *testing.T, db *sql.DB, want int) {
	t.Helper()
	var got int
	if err := db.QueryRowContext(t.Context(), "SELECT sum(id) FROM items").Scan(&got); err != nil || got != want {
		t.Errorf("the sum of all rows is %d, %v; want %d", got, err, want)
	}
}

// TestProcesses checks that acknowledged commits survive the leader, killed and paused, and that
// a node which comes back joins the cluster again.
func TestProcesses(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Latency: 5 * time.Millisecond})
	db := open(t, c)
	exec(t, db, "CREATE TABLE items(id int)")
	exec(t, db, "INSERT INTO items VALUES (1)")

	first, err := c.Leader(t.Context())
	must(t, err)
	must(t, first.Kill())
	if first.Running() {
		t.Error("the leader runs after Kill")
	}
	exec(t, db, "INSERT INTO items VALUES (2)")
	must(t, first.Start()) // otherwise the next leader's end leaves no majority

	second, err := c.Leader(t.Context())
	must(t, err)
	must(t, second.Pause())
	third, err := c.Leader(t.Context())
	must(t, err)
	if third == second {
		t.Error("a paused node is the leader")
	}
	must(t, second.Resume())
	checkSum(t, db, 3)
	must(t, second.Stop())
	checkSum(t, db, 3)
}

func TestInProcess(t *testing.T) {
	c := cluster.Start(t, cluster.Config{InProcess: true, Latency: 5 * time.Millisecond})
	db := open(t, c)
	exec(t, db, "CREATE TABLE items(id int)")
	exec(t, db, "INSERT INTO items VALUES (1)")
	leader, err := c.Leader(t.Context())
	must(t, err)
	if leader.Kill() == nil || leader.Pause() == nil || leader.Resume() == nil {
		t.Error("a node in the test's process can be killed")
	}
	must(t, leader.Stop())
	exec(t, db, "INSERT INTO items VALUES (2)")
	must(t, leader.Start())
	checkSum(t, db, 3)
}
