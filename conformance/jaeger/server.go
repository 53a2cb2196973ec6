// Command jaeger runs a real Jaeger, built from the Go module proxy, on free loopback ports and
// with its traces in memory only. The tests in this directory use it to check that the spans of
// sqlitemw arrive in Jaeger as intended.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// startTimeout limits the start of one Jaeger. It takes less than a second on an idle
	// machine, and may take a hundred times as long on a busy one.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long Jaeger may take to end after SIGTERM. It normally takes less
	// than a second, too, but may wait for open requests.
	stopTimeout = time.Minute
	// startAttempts is how often Start chooses new ports if another process took one
	// between choice and use.
	startAttempts = 5
	// pollInterval is the time between two checks whether Jaeger is ready.
	pollInterval = 50 * time.Millisecond
)

// errPortTaken is wrapped by the error for a Jaeger that ended because one of its ports was in
// use.
var errPortTaken = errors.New("a port was taken")

// Server is a running Jaeger.
type Server struct {
	process     *process
	otlp, query string
	stop        func() error // runs once
}

// Start starts the Jaeger binary that Build made, and returns when it is ready for spans and
// queries. Stop ends it. ctx limits only the start, and so does a timeout of two minutes. If
// Jaeger ended, or was not ready in time, the error contains its last output. After an error,
// nothing is left running.
func Start(ctx context.Context, binary string) (*Server, error) {
	var err error
	for range startAttempts {
		var server *Server
		if server, err = startOnce(ctx, binary); err == nil {
			return server, nil
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, fmt.Errorf("start jaeger: %w", err)
}

// startOnce is Start with one choice of ports.
func startOnce(ctx context.Context, binary string) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %v", startTimeout))
	defer cancel()
	// Every listener gets a port, including those that nothing here uses. The default ports
	// are on all interfaces and may belong to another Jaeger.
	listeners := []string{
		"admin.http.host-port",
		"query.http-server.host-port",
		"collector.otlp.http.host-port",
		"collector.otlp.grpc.host-port",
		"collector.grpc-server.host-port",
		"collector.http-server.host-port",
		"query.grpc-server.host-port",
	}
	addresses, err := freeAddresses(len(listeners))
	if err != nil {
		return nil, err
	}
	arguments := make([]string, len(listeners))
	for i, listener := range listeners {
		arguments[i] = "--" + listener + "=" + addresses[i]
	}
	// The child gets nothing of this process's environment. Jaeger takes any flag from it,
	// and would also use the OTEL_ variables of a developer's shell.
	p, err := startProcess(binary, arguments, []string{
		"SPAN_STORAGE_TYPE=memory",
		// Otherwise Jaeger traces itself, to the default port of OTLP, where another
		// Jaeger may listen.
		"OTEL_TRACES_SAMPLER=always_off",
	})
	if err != nil {
		return nil, err
	}
	server := &Server{
		process: p,
		otlp:    "http://" + addresses[2],
		query:   "http://" + addresses[1],
		stop:    sync.OnceValue(func() error { return p.stop(stopTimeout) }),
	}
	if err := server.await(ctx, "http://"+addresses[0]); err != nil {
		p.kill()
		return nil, err
	}
	return server, nil
}

// await returns when Jaeger is ready, or an error if ctx or the process ends first.
func (s *Server) await(ctx context.Context, admin string) error {
	client := NewClient(s.query)
	for {
		ready := client.ready(ctx, admin)
		if s.process.ended() {
			// This is an error even if something answered, because that was not
			// this Jaeger.
			err := s.process.failure()
			if strings.Contains(s.process.output.String(), "address already in use") {
				err = fmt.Errorf("%w: %w", errPortTaken, err)
			}
			return err
		}
		if ready == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w; its last output:\n%s", context.Cause(ctx), ready, &s.process.output)
		case <-s.process.done:
		case <-time.After(pollInterval):
		}
	}
}

// ready returns nil if both the admin address and the query API report that Jaeger works, and
// otherwise an error.
func (c *Client) ready(ctx context.Context, admin string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin, nil)
	if err != nil {
		return fmt.Errorf("jaeger health %s: %w", admin, err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("jaeger health: %w", err)
	}
	defer response.Body.Close()
	// The status is 503 until all listeners are open.
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("jaeger health %s: status %s: %s", admin, response.Status, message)
	}
	_, err = c.Services(ctx)
	return err
}

// OTLP returns the base address of the OTLP/HTTP receiver, such as "http://127.0.0.1:4318", for
// OTEL_EXPORTER_OTLP_ENDPOINT. Traces are posted to its path /v1/traces.
func (s *Server) OTLP() string { return s.otlp }

// Query returns the base address of the query API and of the UI, such as
// "http://127.0.0.1:16686", for NewClient.
func (s *Server) Query() string { return s.query }

// Done returns a channel that is closed when Jaeger has ended, by Stop or by itself. The error
// of Stop then says why.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Stop ends Jaeger, which loses its traces, and returns when it has ended. If that takes longer
// than a minute, Stop kills it and returns an error. If Jaeger had ended by itself before, Stop
// returns an error with its last output. Further calls wait for the first, and return the same.
func (s *Server) Stop() error {
	if err := s.stop(); err != nil {
		return fmt.Errorf("stop jaeger at %s: %w", s.query, err)
	}
	return nil
}

// freeAddresses returns n different loopback addresses with free ports. Another process may
// take one before it is used.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("choose free port %d of %d: %w", len(addresses)+1, n, err)
		}
		// All stay open until the last one is chosen, so that all are different.
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
