package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ourModule is the module that the applications get.
const ourModule = "github.com/sqlitemw/sqlitemw"

// rounds is how often a test whose result differs runs again. Applications' tests may depend on
// time: PocketBase's TestDefaultRateLimitMiddleware fails in one of ten runs on its own driver,
// too.
const rounds = 4

// renamed links ncruces' driver under a name that mattn's does not use.
const renamed = "-ldflags=-X github.com/ncruces/go-sqlite3/driver.driverName=ncruces"

// A runner runs the tests of an application.
type runner struct {
	app        application
	dir        string // for copies
	repository string // of sqlitemw
	timeout    time.Duration
	out        io.Writer
}

// A variant is the application with one driver.
type variant struct {
	name       string // theirs, ours or pool
	driver     string // the name in sql.Open; empty for theirs
	ourPackage string
}

// variants returns "ours", and also "pool" if the application should run on it.
func (a application) variants(pool bool) []variant {
	vs := []variant{{name: "ours", driver: a.driver.ours, ourPackage: ourModule + "/driver"}}
	if pool {
		vs = append(vs, variant{name: "pool", driver: a.driver.pool, ourPackage: ourModule + "/pool"})
	}
	return vs
}

// run writes the report. Its error has the number of differences.
func (r runner) run(pool bool) error {
	fmt.Fprintf(r.out, "\n%s: %s on %s\n", r.app.name, r.app.module, r.app.driver.path)
	own := variant{name: "theirs"}
	if err := r.prepare(own); err != nil {
		return err
	}
	theirs, err := r.test(own, "")
	if err != nil {
		return err
	}
	if theirs.count(passed) == 0 {
		return errors.New("no test passes on its own driver, so there is nothing to compare")
	}
	var problems []error
	for _, v := range r.app.variants(pool) {
		if err := r.compare(theirs, own, v); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", v.name, err))
		}
	}
	return errors.Join(problems...)
}

// compare runs the tests of v, and compares them with those of the application's own driver.
func (r runner) compare(theirs results, own, v variant) error {
	if err := r.prepare(v); err != nil {
		return err
	}
	if err := r.checkLinked(v); err != nil {
		return err
	}
	ours, err := r.test(v, "")
	if err != nil {
		return err
	}
	ours = align(theirs, ours)
	last := ours // the results with the output of failures
	differences := compare(theirs, ours)
	for range rounds {
		pattern := topLevel(differences)
		if pattern == "" {
			break
		}
		fmt.Fprintf(r.out, "  %d results differ; run again: -run '%s'\n", len(differences), pattern)
		theirs, err := r.test(own, pattern)
		if err != nil {
			return err
		}
		if last, err = r.test(v, pattern); err != nil {
			return err
		}
		last = align(theirs, last)
		var gone []difference
		differences, gone = steady(differences, compare(theirs, last))
		for _, d := range innermost(gone) {
			fmt.Fprintf(r.out, "    not again: %s\n", d)
		}
	}
	both := failOnBoth(theirs, ours)
	fmt.Fprintf(r.out, "  %s: %d differences; %d fail on both\n", v.name, len(differences), len(both))
	for _, t := range both {
		fmt.Fprintf(r.out, "    on both: %s\n", t)
	}
	for _, d := range innermost(differences) {
		fmt.Fprintf(r.out, "    DIFFERS %s\n", d)
		if result := last[d.test]; result != nil {
			io.WriteString(r.out, indent(result.output.String()))
		}
	}
	if n := len(differences); n > 0 {
		return fmt.Errorf("%d differences", n)
	}
	return nil
}

// place returns the directory of the copy of a module.
func (r runner) place(v variant, m module) string {
	return filepath.Join(r.dir, v.name, path.Base(m.path))
}

// prepare copies the application, and the modules whose tests use it, with a driver.
func (r runner) prepare(v variant) error {
	if err := os.RemoveAll(filepath.Join(r.dir, v.name)); err != nil {
		return err
	}
	app := r.place(v, r.app.module)
	if err := r.download(r.app.module, app); err != nil {
		return err
	}
	for _, s := range r.app.suites {
		if s.module == (module{}) {
			continue
		}
		dir := r.place(v, s.module)
		if err := r.download(s.module, dir); err != nil {
			return err
		}
		for _, e := range s.setup {
			if _, err := e.apply(dir); err != nil {
				return err
			}
		}
		_, err := goCommand(dir, "mod", "edit",
			"-require="+r.app.module.String(), "-replace="+r.app.module.path+"="+app)
		if err != nil {
			return err
		}
	}
	changes, err := r.addFiles("all", app)
	if err == nil && v.driver != "" {
		var ours []change
		ours, err = r.rewrite(v, app)
		changes = append(changes, ours...)
	}
	for _, c := range changes {
		fmt.Fprintf(r.out, "    %s\n", c)
	}
	if v.driver == "" {
		return err
	}
	if why := r.app.bridge.linked; why != "" {
		fmt.Fprintf(r.out, "    go test '%s': %s stays linked, because %s\n", renamed, r.app.driver.path, why)
	}
	return err
}

// rewrite replaces the application's driver by ours.
func (r runner) rewrite(v variant, app string) ([]change, error) {
	changes, err := rewriting{
		theirName: r.app.driver.name, ourName: v.driver,
		theirPackage: r.app.driver.path, ourPackage: v.ourPackage,
	}.tree(app)
	if err != nil {
		return changes, err
	}
	for _, e := range r.app.bridge.edits {
		made, err := e.apply(app)
		if err != nil {
			return changes, err
		}
		changes = append(changes, made...)
	}
	files, err := r.addFiles(v.name, app)
	return append(changes, files...), err
}

// addFiles copies the files of testdata/NAME/of, if there are any, over those of the
// application.
func (r runner) addFiles(of, app string) ([]change, error) {
	var changes []change
	files := os.DirFS(filepath.Join("testdata", r.app.name, of))
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == "." {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		source, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		changes = append(changes, change{file: name, new: string(source)})
		return os.WriteFile(filepath.Join(app, filepath.FromSlash(name)), source, 0o666)
	})
	return changes, err
}

// download copies a module to dir, and makes it require sqlitemw as it is in the repository.
// The copy with the application's own driver also requires it, so that everything else is
// equal.
func (r runner) download(m module, dir string) error {
	out, err := goCommand(".", "mod", "download", "-json", m.String())
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil {
		return errors.Join(err, jsonErr)
	}
	if found.Error != "" {
		return errors.New(found.Error)
	}
	if err := os.CopyFS(dir, os.DirFS(found.Dir)); err != nil {
		return err
	}
	if _, err := goCommand(dir, "mod", "edit",
		"-require="+ourModule+"@v0.0.0", "-replace="+ourModule+"="+r.repository); err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(r.repository, "go.sum"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "go.sum"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(sums)
	return errors.Join(err, f.Close())
}

// inCopy returns the directory of a suite.
func (r runner) inCopy(v variant, s suite) string {
	if s.module != (module{}) {
		return r.place(v, s.module)
	}
	return r.place(v, r.app.module)
}

// test runs the tests that match pattern, or all if it is empty.
func (r runner) test(v variant, pattern string) (results, error) {
	all := make(results)
	for _, s := range r.app.suites {
		args := slices.Concat([]string{
			"test", "-json", "-count=1",
			"-vet=off", // it is third-party code
			"-mod=mod", // go.mod is not tidy
			"-timeout=" + r.timeout.String(),
			"-tags=" + s.tags,
		}, s.args)
		if r.app.bridge.linked != "" {
			args = append(args, renamed)
		}
		if pattern != "" {
			args = append(args, "-run="+pattern)
		}
		cmd := exec.Command("go", append(args, s.packages...)...)
		cmd.Dir = r.inCopy(v, s)
		cmd.Env = append(environment(), s.env...)
		var problems bytes.Buffer
		cmd.Stderr = &problems
		events, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		readErr := all.read(events)
		err = cmd.Wait()
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			err = nil // a test failed; the results say which
		}
		if err := errors.Join(readErr, err); err != nil {
			return nil, fmt.Errorf("go test: %w: %s", err, problems.Bytes())
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("go test: %s", problems.Bytes())
		}
	}
	fmt.Fprintf(r.out, "  %-6s %s\n", v.name, all)
	return all, nil
}

// checkLinked returns an error if tests of v contain the application's own driver although
// nothing should need it any more, because they may be using it.
func (r runner) checkLinked(v variant) error {
	for _, s := range r.app.suites {
		args := []string{"list", "-mod=mod", "-deps", "-test", "-tags=" + s.tags}
		out, err := goCommand(r.inCopy(v, s), append(args, s.packages...)...)
		if err != nil {
			return err
		}
		linked := slices.Contains(strings.Fields(string(out)), r.app.driver.path)
		if linked && r.app.bridge.linked == "" {
			return fmt.Errorf("%s: tests still contain %s", v.name, r.app.driver.path)
		}
	}
	return nil
}

// goCommand runs the go command.
func goCommand(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = environment()
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
	}
	return out, err
}

// environment returns the environment of all commands. It turns off workspaces, which have
// other modules, and turns on cgo, which mattn's driver needs.
func environment() []string { return append(os.Environ(), "GOWORK=off", "CGO_ENABLED=1") }

// indent indents the first and the last lines of what a test printed.
func indent(output string) string {
	lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
	const first, last = 25, 15
	if n := len(lines); n > first+last {
		lines = slices.Concat(lines[:first], []string{"..."}, lines[n-last:])
	}
	return "      " + strings.Join(lines, "\n      ") + "\n"
}
