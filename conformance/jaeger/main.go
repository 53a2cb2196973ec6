package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// main runs a Jaeger until it is interrupted or gets SIGTERM.
func main() {
	ctx, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends this process immediately, and Jaeger with it.
	context.AfterFunc(ctx, forget)
	if err := run(ctx, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run builds Jaeger if necessary and announces that on progress. It starts Jaeger, prints its
// addresses on out, and stops it when ctx ends. If Jaeger ends before that, run returns an
// error.
func run(ctx context.Context, out, progress io.Writer) error {
	binary, err := Build(ctx, progress)
	if err != nil {
		return err
	}
	server, err := Start(ctx, binary)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Jaeger's query API and UI are at %s\n", server.Query())
	fmt.Fprintln(out, "The UI of a Jaeger built from Go modules is only a placeholder page; the API is complete, for example:")
	fmt.Fprintf(out, "  curl %s/api/services\n", server.Query())
	fmt.Fprintln(out, "A program sends its traces there when it runs with:")
	fmt.Fprintf(out, "OTEL_EXPORTER_OTLP_ENDPOINT=%s\n", server.OTLP())
	fmt.Fprintln(out, "Ctrl-C stops it")
	select {
	case <-ctx.Done():
	case <-server.Done():
	}
	return server.Stop()
}
