//go:build libsqlite3

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/canonical/go-dqlite"
	"github.com/canonical/go-dqlite/client"

	"github.com/sqlitemw/sqlitemw/conformance/engines/process"
)

// A Node is a node of a cluster. Its methods must not be called concurrently.
type Node struct {
	ID   uint64
	Addr string // "127.0.0.1:port", which does not change

	data    string
	latency time.Duration

	child *process.Process // nil for a node in the test's process
	local *dqlite.Node     // nil for a process, and for a node that does not run
}

func newNode(t testing.TB, dir *process.Dir, id uint64, cfg Config) (*Node, error) {
	name := fmt.Sprintf("node%d", id)
	data, err := dir.Make(name)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	n := &Node{ID: id, Addr: fmt.Sprintf("127.0.0.1:%d", port), data: data, latency: cfg.Latency}
	if cfg.InProcess {
		if err := multiThread(); err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		})
		return n, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n.child = process.New(dir, process.Config{
		Name: name, Path: self, Data: data, Shutdown: syscall.SIGTERM, Ready: n.ping,
		Args: []string{nodeArg, strconv.FormatUint(id, 10), n.Addr, cfg.Latency.String()},
	})
	return n, nil
}

// multiThread lets the nodes of a process share SQLite, which go-dqlite otherwise configures for a
// single thread. It must run before the first node.
var multiThread = sync.OnceValue(dqlite.ConfigMultiThread)

// nodeArg is the first argument of a test binary that is a node.
const nodeArg = "dqlite-node"

// Main runs a node and does not return, if this process was started as one. Otherwise it does
// nothing. TestMain calls it first.
func Main() {
	if len(os.Args) != 5 || os.Args[1] != nodeArg {
		return
	}
	if err := serve(os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs a node in the working directory until it gets SIGTERM.
func serve(id, addr, latency string) error {
	n := &Node{Addr: addr, data: "."}
	var err error
	if n.ID, err = strconv.ParseUint(id, 10, 64); err != nil {
		return err
	}
	if n.latency, err = time.ParseDuration(latency); err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	if err := n.startLocal(); err != nil {
		return err
	}
	<-end
	return n.Stop()
}

// Start starts a node that does not run, and waits until it answers.
func (n *Node) Start() error {
	if n.child != nil {
		return n.child.Start()
	}
	if n.local != nil {
		return fmt.Errorf("node %d already runs", n.ID)
	}
	if err := n.startLocal(); err != nil {
		return err
	}
	return n.ping(context.Background())
}

func (n *Node) startLocal() error {
	options := []dqlite.Option{dqlite.WithBindAddress(n.Addr)}
	if n.latency > 0 {
		options = append(options, dqlite.WithNetworkLatency(n.latency))
	}
	local, err := dqlite.New(n.ID, n.Addr, n.data, options...)
	if err != nil {
		return err
	}
	if err := local.Start(); err != nil {
		return err
	}
	n.local = local
	return nil
}

func (n *Node) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.New(ctx, n.Addr, client.WithLogFunc(silent))
	if err != nil {
		return err
	}
	return c.Close()
}

// leads reports whether the node says that it is the leader.
func (n *Node) leads(ctx context.Context) (bool, error) {
	c, err := client.New(ctx, n.Addr, client.WithLogFunc(silent))
	if err != nil {
		return false, err
	}
	defer c.Close()
	leader, err := c.Leader(ctx)
	return err == nil && leader != nil && leader.ID == n.ID, err
}

// Stop shuts the node down. It has no effect if the node does not run.
func (n *Node) Stop() error {
	if n.child != nil {
		return n.child.Stop()
	}
	if n.local == nil {
		return nil
	}
	err := n.local.Close()
	n.local = nil
	return err
}

var errInProcess = errors.New("the node is in the test's own process")

// Kill kills the node's process with SIGKILL, paused or not, and waits until it is gone.
func (n *Node) Kill() error {
	if n.child == nil {
		return errInProcess
	}
	return n.child.Kill()
}

// Pause stops the node's process with SIGSTOP: its connections stay open, and nothing answers.
func (n *Node) Pause() error {
	if n.child == nil {
		return errInProcess
	}
	return n.child.Pause()
}

// Resume lets the node go on after [Node.Pause].
func (n *Node) Resume() error {
	if n.child == nil {
		return errInProcess
	}
	return n.child.Resume()
}

// Running reports whether the node has been started and has not ended. A paused node runs.
func (n *Node) Running() bool {
	if n.child == nil {
		return n.local != nil
	}
	return n.child.Running()
}
