// Package cluster starts dqlite clusters for tests. Their nodes listen on free ports of the
// loopback interface, and keep their data in memory. Each node is a process, which can be
// killed, paused and started again; or all of them are in the test's own process.
//
//	func TestMain(m *testing.M) {
//		cluster.Main()
//		os.Exit(m.Run())
//	}
//
//	func TestFailover(t *testing.T) {
//		c := cluster.Start(t, cluster.Config{})
//		db := sql.OpenDB(c.Connector("shop"))
//		...
//		leader, err := c.Leader(ctx)
//		...
//		leader.Kill()
//	}
package cluster
