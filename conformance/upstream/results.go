package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A verdict is the result of a test or of a package's tests.
type verdict string

const (
	none       verdict = "was not run"
	pass       verdict = "passes"
	fail       verdict = "fails"
	skip       verdict = "is skipped"
	unfinished verdict = "does not finish"
)

// results are the results of packages, by import path.
type results map[string]*packageResult

type packageResult struct {
	result
	tests map[string]*result // by name, including subtests
}

type result struct {
	verdict verdict
	output  strings.Builder
}

// of returns the verdict on a test, or on the package if name is empty.
func (p *packageResult) of(name string) verdict {
	if name == "" {
		return p.verdict
	}
	if t := p.tests[name]; t != nil {
		return t.verdict
	}
	return none
}

// outputOf returns the output of a test, and the output that belongs to no test. A panic may be
// in either.
func (p *packageResult) outputOf(name string) string {
	if t := p.tests[name]; t != nil {
		return t.output.String() + p.output.String()
	}
	return p.output.String()
}

func (p *packageResult) count(v verdict) int {
	n := 0
	for _, t := range p.tests {
		if t.verdict == v {
			n++
		}
	}
	return n
}

// readResults reads the events of go test -json (go doc test2json), and copies the tests'
// output to echo.
func readResults(r io.Reader, echo io.Writer) (results, error) {
	all := make(results)
	builds := make(map[string]string) // output, by the build
	for d := json.NewDecoder(r); ; {
		var e struct{ Action, Package, Test, Output, ImportPath, FailedBuild string }
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("not the output of go test -json: %w", err)
		}
		if e.Action == "build-output" {
			builds[e.ImportPath] += e.Output
		}
		if _, err := io.WriteString(echo, e.Output); err != nil {
			return nil, err
		}
		if e.Package == "" {
			continue
		}
		p := all[e.Package]
		if p == nil {
			p = &packageResult{result: result{verdict: unfinished}, tests: make(map[string]*result)}
			all[e.Package] = p
		}
		of := &p.result
		if e.Test != "" {
			if p.tests[e.Test] == nil {
				p.tests[e.Test] = &result{verdict: unfinished}
			}
			of = p.tests[e.Test]
		}
		switch e.Action {
		case "output":
			of.output.WriteString(e.Output)
		case "pass":
			of.verdict = pass
		case "fail":
			of.verdict = fail
			of.output.WriteString(builds[e.FailedBuild])
		case "skip":
			of.verdict = skip
		}
	}
}

// importPath returns the import path of a directory of ncruces' module.
func importPath(dir string) string { return upstreamModule + "/" + dir }
