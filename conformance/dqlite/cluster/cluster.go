//go:build libsqlite3

package cluster

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/canonical/go-dqlite/client"
	"github.com/canonical/go-dqlite/driver"

	"github.com/sqlitemw/sqlitemw/conformance/engines/process"
)

// A Config says how a cluster is started. The zero value is three processes.
type Config struct {
	// Nodes is the number of nodes. Zero means three.
	Nodes int

	// Latency is the one-way latency of the network that nodes expect. An election begins
	// after about 15 times as much without a leader. Zero means dqlite's default, 15
	// milliseconds.
	Latency time.Duration

	// InProcess runs all nodes in the test's process. They cannot be killed or paused.
	InProcess bool
}

// A Cluster is a running dqlite cluster.
type Cluster struct {
	nodes []*Node
}

// Start starts a cluster, whose nodes are all voters, and stops it at the end of the test. The
// test is skipped as [process.Need] says. Unless the nodes are in the test's process, its TestMain
// must call [Main].
func Start(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	process.Need(t)
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
	}
	c := &Cluster{}
	dir := process.NewDir(t, "")
	for id := range cfg.Nodes {
		n, err := newNode(t, dir, uint64(id+1), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
		if id > 0 { // the first one is the cluster
			if err := c.add(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// add makes a voter of a node.
func (c *Cluster) add(ctx context.Context, n *Node) error {
	leader, err := client.FindLeader(ctx, c.store(), client.WithLogFunc(silent))
	if err != nil {
		return err
	}
	defer leader.Close()
	return leader.Add(ctx, client.NodeInfo{ID: n.ID, Address: n.Addr, Role: client.Voter})
}

// Nodes returns all nodes, including those that do not run.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Leader returns the node that says that it is the leader, waiting for its election until ctx
// ends. A paused node says nothing.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	for {
		found := make(chan *Node, len(c.nodes))
		asking, cancel := context.WithTimeout(ctx, time.Second)
		for _, n := range c.nodes {
			go func() {
				if leads, err := n.leads(asking); err != nil || !leads {
					n = nil
				}
				found <- n
			}()
		}
		var leader *Node
		for range c.nodes {
			if leader = <-found; leader != nil {
				break
			}
		}
		cancel()
		if leader != nil {
			return leader, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cluster: no leader: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Driver returns a driver for the cluster. It does not log, unless an option says so.
func (c *Cluster) Driver(options ...driver.Option) (*driver.Driver, error) {
	return driver.New(c.store(), append([]driver.Option{driver.WithLogFunc(silent)}, options...)...)
}

// Connector returns a connector to a database of the cluster.
func (c *Cluster) Connector(database string, options ...driver.Option) (sqldriver.Connector, error) {
	d, err := c.Driver(options...)
	if err != nil {
		return nil, err
	}
	return d.OpenConnector(database)
}

func (c *Cluster) store() client.NodeStore {
	store := client.NewInmemNodeStore()
	var infos []client.NodeInfo
	for _, n := range c.nodes {
		infos = append(infos, client.NodeInfo{ID: n.ID, Address: n.Addr})
	}
	_ = store.Set(context.Background(), infos) // this one cannot fail
	return store
}

func silent(client.LogLevel, string, ...any) {}
