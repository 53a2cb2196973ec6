package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/upstream/bridge"
)

// leftOut are the tests that are not run, on any driver. Example_http opens a database at an
// Internet address. Where that fails, it ends the tests of its package.
const leftOut = "^Example_http$"

// A variant is a way to run the tests, with its results.
type variant struct {
	name   string
	dir    string // of the module
	counts string // directory of the bridge's counts; empty without a bridge
	traced bool

	results results
	opened  map[string]bridge.Counts // by package
	took    time.Duration
}

// test runs the tests of the packages.
func (v *variant) test(ctx context.Context, o options, packages []string, progress io.Writer) error {
	args := []string{
		"test", "-json", "-count=1",
		"-vet=off",  // it is third-party code
		"-trimpath", // so that builds of another copy can be reused
		"-mod=mod",  // both modules' requirements together may need newer versions
		"-skip=" + leftOut,
	}
	if o.run != "" {
		args = append(args, "-run="+o.run)
	}
	if deadline, ok := ctx.Deadline(); ok {
		args = append(args, "-timeout="+time.Until(deadline).String())
	}
	for _, pkg := range packages {
		args = append(args, "./"+pkg)
	}

	cmd := exec.CommandContext(ctx, "go", args...)
	killTree(cmd)
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = v.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if v.counts != "" {
		if err := os.Mkdir(v.counts, 0o777); err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, bridge.EnvDir+"="+v.counts)
	}
	if v.traced {
		cmd.Env = append(cmd.Env, bridge.EnvTrace+"=1")
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	if !o.verbose {
		progress = io.Discard
	}
	var readErr error
	v.results, readErr = readResults(events, progress)
	err = cmd.Wait()
	v.took = time.Since(began)
	if _, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		err = nil // a test failed, or all did; the results say which
	}
	if err := errors.Join(readErr, err); err != nil {
		return fmt.Errorf("go test: %w: %s", err, problems.Bytes())
	}
	for _, pkg := range packages {
		if v.results[importPath(pkg)] == nil {
			return fmt.Errorf("go test: no result of package %s: %s", pkg, problems.Bytes())
		}
	}
	return v.readCounts(packages)
}

func (v *variant) readCounts(packages []string) error {
	if v.counts == "" {
		return nil
	}
	v.opened = make(map[string]bridge.Counts)
	for _, pkg := range packages {
		c, err := bridge.Read(v.counts, pkg)
		if err != nil {
			return err
		}
		v.opened[pkg] = c
	}
	return nil
}
