// Apps runs applications' own SQLite tests twice: on the driver that the application uses, and
// on sqlitemw's instead. It compares the results test by test.
//
//	go run . [-pool=false] [-timeout 1h] [application ...]
//
// It downloads the applications as Go modules, and copies each below [os.UserCacheDir]. One
// copy keeps its driver. In the other copy, only two things change (rewrite.go): the name of
// the driver ("sqlite" to "sqlitemw-modernc", for example), and the blank import that links it.
// An application that uses more of its driver than the name needs a bridge: edits
// (applications.go), and a file of a few lines below testdata. Apps prints every change that it
// makes.
//
// A test that fails on both is not a difference, because it needs a network, a container or a
// server. A test whose result differs runs again on both, up to four times. It counts as a
// difference if it always differs.
//
// The exit code is 1 if there is a difference, or if a test binary still contains the other
// driver.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

type options struct {
	pool    bool
	timeout time.Duration
}

func main() {
	var o options
	flag.BoolVar(&o.pool, "pool", true, "run the tests on the pool, too")
	flag.DurationVar(&o.timeout, "timeout", time.Hour, "end the tests of a package after this `time`")
	flag.Parse()
	if err := run(os.Stdout, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "apps:", err)
		os.Exit(1)
	}
}

// run runs the tests of the named applications, or of all if there is no name, and writes a
// report of each to out. Its error names the applications that differ or could not be tested.
func run(out io.Writer, o options, names []string) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	repository, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	var problems []error
	for _, a := range chosen {
		r := runner{
			app:        a,
			dir:        filepath.Join(cache, "sqlitemw-apps", a.name),
			repository: repository,
			timeout:    o.timeout,
			out:        out,
		}
		if err := r.run(o.pool); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", a.name, err))
		}
	}
	return errors.Join(problems...)
}

// choose returns the applications with these names, or all if there is no name.
func choose(names []string) ([]application, error) {
	if len(names) == 0 {
		return applications, nil
	}
	var chosen []application
	for _, name := range names {
		i := slices.IndexFunc(applications, func(a application) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown application %q", name)
		}
		chosen = append(chosen, applications[i])
	}
	return chosen, nil
}
