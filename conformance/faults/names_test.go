//go:build unix

package faults

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A database with two names, because of a hard link, would have two WALs. While one name is
// open, the other must be refused, with an error that has both names.
func TestTwoNames(t *testing.T) {
	c := newCampaign(t, "two names", "refused", "accepted", "lost", "leaked")
	dir := t.TempDir()
	leaks := watchLeaks(dir)
	for _, names := range [][2]string{{"one/a.db", "one/b.db"}, {"one/a.db", "two/a.db"}} {
		for _, door := range productDoors {
			for _, second := range productDoors {
				for _, before := range []bool{false, true} {
					name := strings.ReplaceAll(names[0]+" and "+names[1], "/", "_") + ", " + door + " and " + second
					if before {
						name += ", linked before"
					}
					t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
						sub, err := os.MkdirTemp(dir, "names")
						if err != nil {
							t.Fatal(err)
						}
						a, b := filepath.Join(sub, names[0]), filepath.Join(sub, names[1])
						twoNames(t, c, a, b, door, second, before)
					})
				}
			}
		}
	}
	for _, left := range leaks.left() {
		c.wrong("leaked", "%s", left)
	}
}

func twoNames(t *testing.T, c *campaign, a, b, door, second string, before bool) {
	ctx := t.Context()
	for _, name := range []string{a, b} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func() {
		if err := os.Link(a, b); err != nil {
			t.Fatal(err)
		}
	}
	if before {
		h, err := openHandle(ctx, doorPlain, a, pool.Config{MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.close(ctx); err != nil {
			t.Fatal(err)
		}
		link()
	}
	first, err := openHandle(ctx, door, a, pool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	open := true
	defer func() {
		if open {
			first.close(ctx)
		}
	}()
	var acked []int64
	write := func(h *handle) {
		t.Helper()
		id := int64(len(acked) + 1)
		if err := writeID(ctx, h.db, id, 2, 700); err != nil {
			t.Errorf("%s: write: %v", filepath.Base(h.path), err)
			return
		}
		acked = append(acked, id)
	}
	if _, err := first.db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	write(first)
	if !before {
		link()
	}
	h, err := openHandle(ctx, second, b, pool.Config{})
	switch {
	case err == nil:
		c.add("accepted", 1)
		t.Errorf("%s is open, but its other name, %s, can be opened too", a, b)
		write(h) // one of these is lost
		h.close(ctx)
	case !strings.Contains(err.Error(), a) || !strings.Contains(err.Error(), b):
		t.Errorf("the error lacks one of the names: %v", err)
	default:
		c.add("refused", 1)
	}
	for _, ending := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(b + ending); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was created", filepath.Base(b+ending))
		}
	}
	write(first)
	if err := first.close(ctx); err != nil {
		t.Error(err)
	}
	open = false
	// Now the other name can be opened.
	if h, err := openHandle(ctx, second, b, pool.Config{}); err != nil {
		t.Errorf("the first name is closed, but the second is refused: %v", err)
	} else {
		write(h)
		if err := h.close(ctx); err != nil {
			t.Error(err)
		}
	}
	c.verify(t.Name(), a, acked, false)
}

// Names that lead to the same WAL are names of the same database: a symbolic link to the file
// or to its directory, and other spellings of the path.
func TestNamesOfOne(t *testing.T) {
	for _, door := range productDoors {
		for _, second := range productDoors {
			t.Run(door+"_and_"+second, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "data", "a.db")
				for _, err := range []error{
					os.Mkdir(filepath.Dir(path), 0o755),
					os.Symlink(path, filepath.Join(dir, "link.db")),
					os.Symlink(filepath.Dir(path), filepath.Join(dir, "linked")),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				ctx := t.Context()
				first, err := openHandle(ctx, door, path, pool.Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer first.close(ctx)
				if _, err := first.db.Exec(schema); err != nil {
					t.Fatal(err)
				}
				for i, name := range []string{"link.db", "linked/a.db", "data/../data/a.db"} {
					h, err := openHandle(ctx, second, dir+"/"+name, pool.Config{})
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if err := writeID(ctx, h.db, int64(i+1), 2, 700); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					var n int
					if err := first.db.QueryRow("SELECT count(DISTINCT id) FROM t").Scan(&n); err != nil || n != i+1 {
						t.Errorf("%s: the first sees %d of %d, %v", name, n, i+1, err)
					}
					if err := h.close(ctx); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
	}
}
