package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestBinaryName(t *testing.T) {
	b := binary{jaeger: "v1.2.3", sums: []byte("sums\n")}
	b.golang.GOVERSION = "go1.30 X:fast"
	b.golang.GOOS, b.golang.GOARCH, b.golang.GOEXE = "plan9", "arm", ".exe"
	const want = "jaeger-all-in-one_v1.2.3_go1.30-X-fast_plan9_arm_c001d0d1.exe"
	if got := b.name(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.sums = []byte("other sums\n")
	if got := b.name(); got == want {
		t.Errorf("the same name, %q, for another go.sum", got)
	}
}

// TestBuildOnce checks that Build finds an existing binary and leaves it unchanged.
func TestBuildOnce(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", directory)
	if cache, err := os.UserCacheDir(); err != nil || cache != directory {
		t.Skipf("XDG_CACHE_HOME doesn't choose the cache directory here: it is %q, error %v", cache, err)
	}
	b, err := describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(directory, "sqlitemw", b.name())
	if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, []byte("kept"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	got, err := Build(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	if got != want || out.Len() > 0 {
		t.Errorf("got path %q and output %q, want path %q and no output", got, &out, want)
	}
	if content, err := os.ReadFile(want); err != nil || string(content) != "kept" {
		t.Errorf("the binary is now %q, error %v", content, err)
	}
}

func TestBuildCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want one that is context.Canceled", err)
	}
}

func TestBuildElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	path, err := Build(t.Context(), nil)
	if err == nil {
		t.Fatalf("built %s outside of the module", path)
	}
	checkError(t, err, "build "+jaegerPackage+": go list -m", "its last output:\ngo: ", "go.mod file not found")
}
