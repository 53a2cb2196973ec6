// Command jaeger runs a real Jaeger, built from the Go module proxy, on free
// loopback ports and with its traces in memory only. The tests of this
// directory use the same parts to prove that the spans of sqlitemw arrive in
// Jaeger as they were meant.
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
	// startTimeout bounds the start of one Jaeger, which takes well under
	// a second on an idle machine, and may take a hundred times that on a busy one.
	startTimeout = 2 * time.Minute
	// stopTimeout is how long Jaeger has to end after SIGTERM, which takes
	// well under a second too, but may wait for requests that are open.
	stopTimeout = time.Minute
	// startAttempts is how often Start chooses new ports after another
	// process took one of them in the moment between choice and use.
	startAttempts = 5
	// pollInterval is the time between two looks at whether Jaeger is ready.
	pollInterval = 50 * time.Millisecond
)

// errPortTaken is in the error for a Jaeger that ended because one of its
// ports was in use.
var errPortTaken = errors.New("a port was taken")

// Server is a running Jaeger.
type Server struct {
	process     *process
	otlp, query string
	stop        func() error // once
}

// Start starts the Jaeger binary that Build made and returns when it is ready
// for spans and for queries. Stop ends it; ctx bounds only the start, as does
// a deadline of two minutes. An error about a Jaeger that ended, or was not
// ready in time, carries its last output. On an error nothing is left running.
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
	// Every listener gets a port, those that nothing here uses as well: the
	// default ones are on all interfaces and may be another Jaeger's.
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
	// Nothing of this process's environment: Jaeger takes any flag from it,
	// and the OTEL_ variables of a developer's shell would be its own too.
	p, err := startProcess(binary, arguments, []string{
		"SPAN_STORAGE_TYPE=memory",
		// Jaeger traces itself, to the default port of OTLP, where
		// another Jaeger may listen.
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

// await returns when Jaeger is ready, or with an error when ctx or the process ends before.
func (s *Server) await(ctx context.Context, admin string) error {
	client := NewClient(s.query)
	for {
		ready := client.ready(ctx, admin)
		if s.process.ended() {
			// Also when something answered: it was not this Jaeger then.
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

// ready returns nil when both the admin address and the query API say that
// Jaeger works, and else why it may not.
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
	// 503 until every listener is open.
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(response.Body, 512))
		return fmt.Errorf("jaeger health %s: status %s: %s", admin, response.Status, message)
	}
	_, err = c.Services(ctx)
	return err
}

// OTLP is the base address of the OTLP/HTTP receiver, such as
// "http://127.0.0.1:4318": the value for OTEL_EXPORTER_OTLP_ENDPOINT. Traces
// are posted to its path /v1/traces.
func (s *Server) OTLP() string { return s.otlp }

// Query is the base address of the query API and of the UI, such as
// "http://127.0.0.1:16686": the argument for NewClient.
func (s *Server) Query() string { return s.query }

// Done is closed when Jaeger has ended, by Stop or by itself. Stop's error
// then tells why.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// Stop ends Jaeger, which forgets its traces, and returns when it is gone:
// within about a minute, or it is killed, and that is an error. A Jaeger
// that had ended by itself before is an error too, with its last output.
// Further calls wait for the first and return the same.
func (s *Server) Stop() error {
	if err := s.stop(); err != nil {
		return fmt.Errorf("stop jaeger at %s: %w", s.query, err)
	}
	return nil
}

// freeAddresses returns n different loopback addresses with ports that were
// free a moment ago. Another process may take one before it is used.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("choose free port %d of %d: %w", len(addresses)+1, n, err)
		}
		// All stay open until the last is chosen, so none comes twice.
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
