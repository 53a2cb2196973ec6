package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/compat/player"
	_ "github.com/sqlitemw/sqlitemw/pool" // so that test results are not cached when the pool changes
)

// binaries is the directory of the built binaries, and databases that of the databases they
// write. Neither needs a disk, and memory is faster.
var binaries, databases string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if binaries, err = os.MkdirTemp("", "compat"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(binaries)
		databases = binaries
		if dir, err := os.MkdirTemp("/dev/shm", "compat"); err == nil {
			defer os.RemoveAll(dir)
			databases = dir
		}
		return m.Run()
	}())
}

// skipShort skips a test that plays programs if tests should be short. The race detector, for
// example, sees nothing of what other processes do.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("the programs are played by other processes")
	}
}

// build builds command play with build tags, once for each, and returns the
// binary's path.
var build = func() func(tags string) (string, error) {
	type result struct {
		once sync.Once
		path string
		err  error
	}
	var mu sync.Mutex
	results := map[string]*result{}
	return func(tags string) (string, error) {
		mu.Lock()
		r := results[tags]
		if r == nil {
			r = &result{path: filepath.Join(binaries, "play-"+tags)}
			results[tags] = r
		}
		mu.Unlock()
		r.once.Do(func() {
			cmd := exec.Command("go", "build", "-tags", tags, "-o", r.path, "./play")
			if tags == "mattn" {
				cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				r.err = fmt.Errorf("%v: %w\n%s", cmd, err, out)
			}
		})
		return r.path, r.err
	}
}()

// hasCompiler reports whether there is a C compiler.
var hasCompiler = sync.OnceValue(func() bool {
	out, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		return false
	}
	cc := strings.Fields(string(out))
	if len(cc) == 0 {
		return false
	}
	_, err = exec.LookPath(cc[0])
	return err == nil
})

// A driver is a driver over which programs are played.
type driver struct {
	name    string
	dialect player.Dialect
	tags    string // of its binary
	once    func() ([]player.Outcome, error)
}

func newDriver(name string, dialect player.Dialect, tags string) *driver {
	d := &driver{name: name, dialect: dialect, tags: tags}
	d.once = sync.OnceValues(func() ([]player.Outcome, error) { return d.run() })
	return d
}

var (
	mattn   = newDriver("sqlite3", player.Mattn, "mattn")
	modernc = newDriver("sqlite", player.Modernc, "modernc")

	ours = []*driver{
		newDriver("sqlitemw-mattn", player.Mattn, "sqlitemw"),
		newDriver("sqlitemw-modernc", player.Modernc, "sqlitemw"),
		newDriver("sqlitemw-pool-mattn", player.Mattn, "sqlitemw"),
		newDriver("sqlitemw-pool-modernc", player.Modernc, "sqlitemw"),
	}

	all = append([]*driver{mattn, modernc}, ours...)
)

// theirs returns the driver whose dialect d imitates.
func (d *driver) theirs() *driver {
	if d.dialect == player.Mattn {
		return mattn
	}
	return modernc
}

// built reports whether a binary of d can be built.
func (d *driver) built() bool { return d != mattn || hasCompiler() }

// need skips the test if no binary of d can be built.
func (d *driver) need(t *testing.T) {
	t.Helper()
	if !d.built() {
		t.Skip("mattn/go-sqlite3 needs a C compiler, and there is none")
	}
}

// outcomes returns what d sees in all programs except those that read files. It plays them
// once.
func (d *driver) outcomes(t *testing.T) []player.Outcome {
	t.Helper()
	d.need(t)
	outcomes, err := d.once()
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// play plays programs over d and returns their outcomes.
func (d *driver) play(t *testing.T, args ...string) []player.Outcome {
	t.Helper()
	d.need(t)
	outcomes, err := d.run(args...)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

// run runs d's binary in its own directory.
func (d *driver) run(args ...string) ([]player.Outcome, error) {
	path, err := build(d.tags)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(databases, "dir")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(path, append([]string{"-driver", d.name, "-dir", dir}, args...)...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	var outcomes []player.Outcome
	for dec := json.NewDecoder(&out); dec.More(); {
		var o player.Outcome
		if err := dec.Decode(&o); err != nil {
			return nil, err
		}
		outcomes = append(outcomes, o)
	}
	if err != nil {
		last := "none"
		if len(outcomes) > 0 {
			last = outcomes[len(outcomes)-1].Program
		}
		return nil, fmt.Errorf("%v: %w\n%s\nthe last program that finished: %s", cmd, err, errors.String(), last)
	}
	return outcomes, nil
}
