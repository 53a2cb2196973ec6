package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// jaegerModule is the module whose version go.mod pins.
	jaegerModule = "github.com/jaegertracing/jaeger"
	// jaegerPackage is Jaeger's program with collector, storage and query
	// API in one process, a tool of this module.
	jaegerPackage = jaegerModule + "/cmd/all-in-one"
)

// binary is everything that a build of Jaeger depends on. Its name contains all of it.
type binary struct {
	jaeger string // version of Jaeger, such as "v1.76.0"
	sums   []byte // content of go.sum: the version of everything in Jaeger
	golang struct {
		GOMOD, GOVERSION, GOOS, GOARCH, GOEXE string
	}
}

// Build returns the path of a Jaeger binary of the version that go.mod pins. It builds it only
// once. The binary stays in sqlitemw/ under os.UserCacheDir. Its name has the versions of
// Jaeger and of Go, the platform, and a hash of go.sum. The first build takes minutes and
// hundreds of megabytes of modules. Build announces it on out, and copies the output of the go
// command there; out may be nil. Old builds are never removed: the directory is a cache, which
// may be deleted at any time.
//
// The working directory must be in this module, as with "go run ." and "go test", because the
// go command takes the versions from there. Several builds may run concurrently; each installs
// its complete binary atomically. An error contains the last output of the go command.
func Build(ctx context.Context, out io.Writer) (path string, err error) {
	if out == nil {
		out = io.Discard
	}
	b, err := describe(ctx)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", jaegerPackage, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build %s: find the cache directory: %w", jaegerPackage, err)
	}
	directory := filepath.Join(cache, "sqlitemw")
	path = filepath.Join(directory, b.name())
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	fmt.Fprintf(out, "Building Jaeger %s with %s, once, into %s\nThe first build on a machine takes several minutes.\n",
		b.jaeger, b.golang.GOVERSION, path)
	begun := time.Now()
	if err := b.build(ctx, out, directory, path); err != nil {
		return "", fmt.Errorf("build %s: %w", jaegerPackage, err)
	}
	fmt.Fprintf(out, "Built Jaeger in %v.\n", time.Since(begun).Round(time.Second))
	return path, nil
}

// describe asks the go command for everything that a build depends on.
func describe(ctx context.Context) (binary, error) {
	var b binary
	version, err := goCommand(ctx, io.Discard, "list", "-m", "-f", "{{.Version}}", jaegerModule)
	if err != nil {
		return binary{}, err
	}
	b.jaeger = strings.TrimSpace(version)
	settings, err := goCommand(ctx, io.Discard, "env", "-json", "GOMOD", "GOVERSION", "GOOS", "GOARCH", "GOEXE")
	if err != nil {
		return binary{}, err
	}
	if err := json.Unmarshal([]byte(settings), &b.golang); err != nil {
		return binary{}, fmt.Errorf("decode the output of go env, %q: %w", settings, err)
	}
	b.sums, err = os.ReadFile(filepath.Join(filepath.Dir(b.golang.GOMOD), "go.sum"))
	return b, err
}

// name returns the file name of the binary.
func (b binary) name() string {
	name := fmt.Sprintf("jaeger-all-in-one_%s_%s_%s_%s_%.4x",
		b.jaeger, b.golang.GOVERSION, b.golang.GOOS, b.golang.GOARCH, sha256.Sum256(b.sums))
	// The version of a Go with experiments, or built from source, contains these
	// characters.
	return strings.NewReplacer(" ", "-", ":", "-").Replace(name) + b.golang.GOEXE
}

// build builds the binary in a temporary directory next to its path, and then renames it, so
// that no process can see or start an incomplete one.
func (b binary) build(ctx context.Context, out io.Writer, directory, path string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("make the cache directory: %w", err)
	}
	temporary, err := os.MkdirTemp(directory, "building-*")
	if err != nil {
		return fmt.Errorf("make a directory to build in: %w", err)
	}
	defer os.RemoveAll(temporary)
	built := filepath.Join(temporary, filepath.Base(path))
	// Trimmed paths let the build cache work after the module cache has moved, and keep the
	// home directory's name out of the binary.
	if _, err := goCommand(ctx, out, "build", "-trimpath", "-o", built, jaegerPackage); err != nil {
		return err
	}
	if err := os.Rename(built, path); err != nil {
		return fmt.Errorf("put the binary in place: %w", err)
	}
	return nil
}

// goCommand runs the go command in the working directory, copies its stderr
// to progress, and returns its stdout. The error carries the arguments and the
// end of stderr.
func goCommand(ctx context.Context, progress io.Writer, arguments ...string) (string, error) {
	var output bytes.Buffer
	var last tail
	command := exec.CommandContext(ctx, "go", arguments...)
	// A go.work above this directory would select other versions, for which go.sum has no
	// sums.
	command.Env = append(os.Environ(), "GOWORK=off")
	command.Stdout = &output
	command.Stderr = io.MultiWriter(&last, progress)
	// An interrupted go command ends its compilers. A killed one leaves them running.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		err = fmt.Errorf("go %s: %w", strings.Join(arguments, " "), err)
		if said := last.String(); said != "" {
			err = fmt.Errorf("%w; its last output:\n%s", err, said)
		}
		return "", err
	}
	return output.String(), nil
}
