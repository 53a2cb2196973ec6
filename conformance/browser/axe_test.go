package browser_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// axe-core finds faults of accessibility. It is read from npm once, and kept in the user's cache
// directory.
const (
	axeVersion = "4.14.1"
	axeHash    = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c" // SHA-256 of axe.min.js
)

// TestAccessible runs axe-core on the page, in light and dark, wide and narrow.
func TestAccessible(t *testing.T) {
	source, err := axe(t.Context())
	if err != nil {
		t.Skip("no axe-core: ", err)
	}
	b := openTab(t)
	b.open(serve(b, play(t).pool).URL + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3 && " + rows("events") + ".length > 0 && " + rows("statements") + ".length > 0")
	eval[bool](b, rows("statements")+"[0].querySelector('button').click() || true")
	b.await("!document.getElementById('statement').hidden")
	eval[bool](b, source+"; true")
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(scheme)
		for _, wide := range []int64{1280, 320} {
			b.run(chromedp.EmulateViewport(wide, 800))
			time.Sleep(400 * time.Millisecond) // transitions of colours end
			type violation struct {
				ID, Help string
				Nodes    []string
			}
			for _, v := range eval[[]violation](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => (
				{ID: v.id, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)})))`) {
				t.Errorf("%s, %d pixels: %s: %s: %q", scheme, wide, v.ID, v.Help, v.Nodes)
			}
		}
	}
}

// axe returns the script of axe-core.
func axe(ctx context.Context) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "sqlitemw")
	path := filepath.Join(dir, "axe-core-"+axeVersion+".min.js")
	script, err := os.ReadFile(path)
	if err != nil {
		if script, err = fetchAxe(ctx); err != nil {
			return "", err
		}
		if err := errors.Join(os.MkdirAll(dir, 0o777), os.WriteFile(path, script, 0o666)); err != nil {
			return "", err
		}
	}
	if sum := sha256.Sum256(script); hex.EncodeToString(sum[:]) != axeHash {
		return "", fmt.Errorf("%s is another file", path)
	}
	return string(script), nil
}

// fetchAxe reads axe-core from npm.
func fetchAxe(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "sqlitemw-axe-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, "npm", "pack", "axe-core@"+axeVersion, "--silent", "--pack-destination", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm pack: %w: %s", err, out)
	}
	packed, err := os.ReadFile(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"))
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(z); ; {
		header, err := files.Next()
		if err != nil {
			return nil, fmt.Errorf("axe.min.js: %w", err)
		}
		if header.Name == "package/axe.min.js" {
			return io.ReadAll(files)
		}
	}
}
