// Upstream runs ncruces/go-sqlite3's own tests on sqlitemw.
//
//	go run . [-run regexp] [-v] [-keep] [-timeout 1h]
//
// It copies the module's source from the module cache to a temporary directory, twice. In one
// copy, the tests open their databases through sqlitemw (see patch.go). The other copy keeps
// its own driver. All packages whose tests use that driver run three times:
//
//	plain      on their own driver
//	sqlitemw   on sqlitemw
//	traced     on sqlitemw, with an OpenTelemetry SDK that samples everything
//
// Tests that pass on the plain driver must pass on sqlitemw. The exceptions are in expected.go,
// each with its reason. The exit code is 1 if another test does not pass, or if a package's tests
// opened no connection of sqlitemw. It is also 1 if the patches were made for another source.
//
// The tests use the environment: with SQLITE3_TEST_WAL_STRESS=1 they also run tests that take
// minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

type options struct {
	run     string
	verbose bool
	keep    bool
	timeout time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.run, "run", "", "run only the tests that match this `regexp`")
	flag.BoolVar(&o.verbose, "v", false, "print the tests' output as they run")
	flag.BoolVar(&o.keep, "keep", false, "keep the copies, and print where they are")
	flag.DurationVar(&o.timeout, "timeout", time.Hour, "give up after this `time`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not finished after %v", o.timeout))
	defer cancel()
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

// run runs everything, and prints a summary on out. Its error says that there are regressions,
// or that the tests could not be run.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	defer func() {
		if cause := context.Cause(ctx); cause != nil && err != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
	}()
	src, err := locate(ctx)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "sqlitemw-upstream-")
	if err != nil {
		return err
	}
	if o.keep {
		defer fmt.Fprintln(progress, "kept:", tmp)
	} else {
		defer os.RemoveAll(tmp)
	}

	plain, patched := filepath.Join(tmp, "plain"), filepath.Join(tmp, "sqlitemw")
	for _, dir := range []string{plain, patched} {
		if err := src.copyTo(ctx, dir); err != nil {
			return err
		}
	}
	packages, err := patch(patched)
	if err != nil {
		return err
	}

	variants := []*variant{
		{name: "plain", dir: plain},
		{name: "sqlitemw", dir: patched, counts: filepath.Join(tmp, "counts-sqlitemw")},
		{name: "traced", dir: patched, counts: filepath.Join(tmp, "counts-traced"), traced: true},
	}
	for _, v := range variants {
		fmt.Fprintf(progress, "%s: testing %d packages\n", v.name, len(packages))
		if err := v.test(ctx, o, packages, progress); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}

	s := &summary{
		title:    src.title(),
		packages: packages,
		plain:    variants[0],
		ours:     variants[1:],
		expected: expected,
		partial:  o.run != "",
	}
	return s.print(out)
}
