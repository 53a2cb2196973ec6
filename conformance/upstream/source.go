package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	upstreamModule = "github.com/ncruces/go-sqlite3"
	ourModule      = "github.com/sqlitemw/sqlitemw"
	thisModule     = ourModule + "/conformance/upstream"
	bridgePackage  = thisModule + "/bridge"
)

// dropped is a package that is removed, with the requirements that only it has. One of them is
// a replaced dependency, without which the module could not be built. The package does not use
// database/sql.
var dropped = struct {
	dir     string
	modules []string
}{
	dir:     "ext/approx",
	modules: []string{"github.com/segmentio/go-hll", "github.com/twmb/murmur3"},
}

// source holds the locations of the modules.
type source struct {
	upstream, version string
	ours, this        string
}

// locate finds the modules, and downloads ncruces' if necessary, in the version with which
// sqlitemw is built.
func locate(ctx context.Context) (*source, error) {
	var upstream struct{ Dir, Version, Error string }
	if err := goJSON(ctx, ".", &upstream, "mod", "download", "-json", upstreamModule); err != nil {
		return nil, err
	}
	if upstream.Error != "" {
		return nil, errors.New(upstream.Error)
	}
	s := &source{upstream: upstream.Dir, version: upstream.Version}
	for path, dir := range map[string]*string{ourModule: &s.ours, thisModule: &s.this} {
		var module struct{ Dir string }
		if err := goJSON(ctx, ".", &module, "list", "-m", "-json", path); err != nil {
			return nil, err
		}
		*dir = module.Dir
	}
	return s, nil
}

func (s *source) title() string {
	return fmt.Sprintf("The tests of %s %s, %s", upstreamModule, s.version, runtime.Version())
}

// A goMod is the part of a go.mod file that is used here.
type goMod struct {
	Require []struct{ Path, Version string }
	Replace []struct{ Old struct{ Path string } }
}

// copyTo copies ncruces' module to dir, and makes it require sqlitemw as it is here.
func (s *source) copyTo(ctx context.Context, dir string) error {
	if err := os.CopyFS(dir, os.DirFS(s.upstream)); err != nil {
		return err
	}
	var its, ours goMod
	if err := goJSON(ctx, dir, &its, "mod", "edit", "-json"); err != nil {
		return err
	}
	if err := goJSON(ctx, s.this, &ours, "mod", "edit", "-json"); err != nil {
		return err
	}
	edit := []string{
		"mod", "edit",
		"-require=" + thisModule + "@v0.0.0", "-replace=" + thisModule + "=" + s.this,
		"-replace=" + ourModule + "=" + s.ours,
	}
	required := map[string]bool{upstreamModule: true}
	for _, r := range its.Require {
		required[r.Path] = true
	}
	for _, path := range dropped.modules {
		if !required[path] {
			return fmt.Errorf("go.mod: no requirement of %s, which should be dropped", path)
		}
		edit = append(edit, "-droprequire="+path, "-dropreplace="+path)
	}
	for _, r := range ours.Require {
		if !required[r.Path] {
			edit = append(edit, "-require="+r.Path+"@"+r.Version)
		}
	}
	for _, r := range its.Replace {
		if !slices.Contains(dropped.modules, r.Old.Path) {
			return fmt.Errorf("go.mod: replaces %s, which is not supported", r.Old.Path)
		}
	}
	if _, err := goOutput(ctx, dir, edit...); err != nil {
		return err
	}
	if err := appendFile(filepath.Join(dir, "go.sum"), filepath.Join(s.this, "go.sum")); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, dropped.dir)); err != nil {
		return fmt.Errorf("to be dropped: %w", err)
	}
	return os.RemoveAll(filepath.Join(dir, dropped.dir))
}

// appendFile appends the contents of a file to another.
func appendFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func goJSON(ctx context.Context, dir string, v any, args ...string) error {
	out, err := goOutput(ctx, dir, args...)
	if len(out) == 0 && err != nil {
		return err
	}
	return errors.Join(json.Unmarshal(out, v), err)
}

// goOutput runs the go command.
func goOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
	}
	return out, err
}
