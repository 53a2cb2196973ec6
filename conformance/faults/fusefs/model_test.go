package fusefs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
)

func mustCreate(t *testing.T, f *FS, name string) (*file, *handle) {
	t.Helper()
	x, errno := f.create(name, 0o644, true)
	if errno != 0 {
		t.Fatal(errno)
	}
	return x, x.newHandle(false)
}

func mustWrite(t *testing.T, x *file, p []byte, off int64) {
	t.Helper()
	if _, errno := x.write(p, off); errno != 0 {
		t.Fatal(errno)
	}
}

func mustSync(t *testing.T, x *file, h *handle) {
	t.Helper()
	if errno := x.sync(h); errno != 0 {
		t.Fatal(errno)
	}
}

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// freezes is the number of images that a test takes, so that every possible outcome occurs.
const freezes = 500

// Synced contents are in every image. Unsynced contents are in some, sector by sector.
func TestFreezeContents(t *testing.T) {
	f := New(Options{})
	x, h := mustCreate(t, f, "a")
	mustWrite(t, x, fill(1, 3*sector), 0)
	mustSync(t, x, h)
	mustWrite(t, x, fill(2, 2*sector), sector) // sectors 1 and 2
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]int{}
	for range freezes {
		d := f.Freeze(r)["a"]
		if len(d) != 3*sector {
			t.Fatalf("%d bytes", len(d))
		}
		state := ""
		for i := range 3 {
			s := d[i*sector : (i+1)*sector]
			if !bytes.Equal(s, fill(s[0], sector)) {
				t.Fatalf("sector %d is torn", i)
			}
			state += fmt.Sprint(s[0])
		}
		seen[state]++
	}
	for _, state := range []string{"111", "122", "121", "112"} {
		if seen[state] == 0 {
			t.Errorf("never seen: %s", state)
		}
		delete(seen, state)
	}
	if len(seen) > 0 {
		t.Errorf("not possible: %v", seen)
	}
	mustSync(t, x, h)
	for range freezes {
		if !bytes.Equal(f.Freeze(r)["a"], append(fill(1, sector), fill(2, 2*sector)...)) {
			t.Fatal("synced contents are lost")
		}
	}
}

// Sizes are as durable as contents.
func TestFreezeSizes(t *testing.T) {
	f := New(Options{})
	x, h := mustCreate(t, f, "a")
	mustWrite(t, x, fill(1, 1000), 0)
	mustSync(t, x, h)
	if errno := x.resize(10); errno != 0 {
		t.Fatal(errno)
	}
	if errno := x.allocate(5); errno != 0 || f.Size("a") != 10 {
		t.Fatalf("allocate: %v, size %d", errno, f.Size("a"))
	}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[int]int{}
	for range freezes {
		seen[len(f.Freeze(r)["a"])]++
	}
	if len(seen) != 2 || seen[10] == 0 || seen[1000] == 0 {
		t.Errorf("sizes: %v", seen)
	}
	mustSync(t, x, h)
	if n := len(f.Freeze(r)["a"]); n != 10 {
		t.Errorf("size after the sync: %d", n)
	}
}

// Names survive as the options say.
func TestFreezeNames(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict=%v", strict), func(t *testing.T) {
			f := New(Options{Strict: strict})
			x, h := mustCreate(t, f, "a")
			r := rand.New(rand.NewPCG(1, 1))
			there := func(name string) (n int) {
				for range freezes {
					if _, ok := f.Freeze(r)[name]; ok {
						n++
					}
				}
				return n
			}
			if n := there("a"); n == 0 || n == freezes {
				t.Errorf("created: present in %d of %d images", n, freezes)
			}
			mustSync(t, x, h)
			if n := there("a"); strict == (n == freezes) || n == 0 {
				t.Errorf("created and synced: present in %d of %d images", n, freezes)
			}
			if errno := f.syncDir(); errno != 0 {
				t.Fatal(errno)
			}
			if n := there("a"); n != freezes {
				t.Errorf("after a sync of the directory: present in %d of %d images", n, freezes)
			}
			if errno := f.unlink("a"); errno != 0 {
				t.Fatal(errno)
			}
			if n := there("a"); n == 0 || n == freezes {
				t.Errorf("removed: present in %d of %d images", n, freezes)
			}
			if errno := f.syncDir(); errno != 0 {
				t.Fatal(errno)
			}
			if n := there("a"); n != 0 {
				t.Errorf("removed, after a sync of the directory: present in %d images", n)
			}
		})
	}
}

// After a rename over another file, there is one name, with the old or the new contents.
func TestRename(t *testing.T) {
	f := New(Options{Strict: true})
	old, h := mustCreate(t, f, "a")
	mustWrite(t, old, []byte("old"), 0)
	mustSync(t, old, h)
	next, h := mustCreate(t, f, "b")
	mustWrite(t, next, []byte("new"), 0)
	mustSync(t, next, h)
	if errno := f.syncDir(); errno != 0 {
		t.Fatal(errno)
	}
	if errno := f.rename("b", "a", true); errno != syscall.EEXIST {
		t.Errorf("without replacing: %v", errno)
	}
	if errno := f.rename("b", "a", false); errno != 0 {
		t.Fatal(errno)
	}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]int{}
	for range freezes {
		m := f.Freeze(r)
		b, ok := m["b"]
		seen[fmt.Sprintf("a=%s b=%s %v", m["a"], b, ok)]++
	}
	if len(seen) != 2 || seen["a=old b=new true"] == 0 || seen["a=new b= false"] == 0 {
		t.Errorf("images: %v", seen)
	}
}

// A failed sync is reported once to each handle, and its data is never synced again.
func TestFailedSync(t *testing.T) {
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprintf("drop=%v", drop), func(t *testing.T) {
			lost := 0
			for seed := range uint64(50) {
				f := New(Options{Drop: drop, Seed: seed})
				x, first := mustCreate(t, f, "a")
				mustWrite(t, x, fill(1, sector), 0)
				mustSync(t, x, first)
				second := x.newHandle(false)
				mustWrite(t, x, fill(2, sector), 0)
				f.Inject(Nth(1, syscall.EIO, func(op Op) bool { return op.Kind == Sync }))
				if errno := x.sync(first); errno != syscall.EIO {
					t.Fatalf("the sync that fails: %v", errno)
				}
				third := x.newHandle(false)
				mustSync(t, x, first)
				mustSync(t, x, third)
				if errno := x.sync(second); errno != syscall.EIO {
					t.Errorf("another handle's next sync: %v", errno)
				}
				mustSync(t, x, second)
				m := f.Freeze(rand.New(rand.NewPCG(seed, 1)))
				if m["a"][0] == 1 {
					lost++
				}
				seen := make([]byte, sector)
				if _, errno := x.read(seen, 0); errno != 0 {
					t.Fatal(errno)
				}
				if drop && seen[0] != m["a"][0] {
					t.Error("reads return contents that are not on the disk")
				}
				if !drop && seen[0] != 2 {
					t.Error("reads do not return the written contents")
				}
			}
			if lost == 0 || lost == 50 {
				t.Errorf("lost %d times of 50", lost)
			}
		})
	}
}

// A sync makes durable only what was written before it began.
func TestSyncBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{})
		x, h := mustCreate(t, f, "a")
		mustWrite(t, x, fill(1, sector), 0)
		stall := f.Stall(func(op Op) bool { return op.Kind == Sync })
		done := make(chan syscall.Errno)
		go func() { done <- x.sync(h) }()
		<-stall.Reached()
		mustWrite(t, x, fill(2, sector), 0)
		stall.Release()
		if errno := <-done; errno != 0 {
			t.Fatal(errno)
		}
		r := rand.New(rand.NewPCG(1, 1))
		seen := map[byte]int{}
		for range freezes {
			seen[f.Freeze(r)["a"][0]]++
		}
		if len(seen) != 2 || seen[1] == 0 || seen[2] == 0 {
			t.Errorf("first bytes: %v", seen)
		}
	})
}

// Faults hit exactly the operations that they match.
func TestInject(t *testing.T) {
	f := New(Options{})
	x, h := mustCreate(t, f, "a")
	writes := func(op Op) bool { return op.Kind == Write && op.Name == "a" }
	f.Inject(Nth(2, syscall.EDQUOT, writes))
	for i, want := range []syscall.Errno{0, syscall.EDQUOT, 0} {
		if _, errno := x.write([]byte("x"), 0); errno != want {
			t.Errorf("write %d: %v", i+1, errno)
		}
	}
	f.Inject(After(2, syscall.EROFS, writes))
	for i, want := range []syscall.Errno{0, syscall.EROFS, syscall.EROFS} {
		if _, errno := x.write([]byte("x"), 0); errno != want {
			t.Errorf("write %d: %v", i+1, errno)
		}
	}
	mustSync(t, x, h)
	f.Inject(nil)
	mustWrite(t, x, []byte("x"), 0)
	if n := f.Injected(); n != 3 {
		t.Errorf("injected %d", n)
	}
	if n := f.Counts()[Write]; n != 7 {
		t.Errorf("writes %d", n)
	}
}

// On a full disk, no file can grow, but contents can be replaced.
func TestQuota(t *testing.T) {
	f := New(Options{})
	x, _ := mustCreate(t, f, "a")
	f.SetQuota(100)
	mustWrite(t, x, fill(1, 100), 0)
	if _, errno := x.write([]byte("x"), 100); errno != syscall.ENOSPC {
		t.Errorf("write: %v", errno)
	}
	if errno := x.resize(101); errno != syscall.ENOSPC {
		t.Errorf("truncate: %v", errno)
	}
	if errno := x.allocate(101); errno != syscall.ENOSPC {
		t.Errorf("allocate: %v", errno)
	}
	mustWrite(t, x, fill(2, 100), 0)
	if errno := x.resize(50); errno != 0 || f.Used() != 50 {
		t.Errorf("shrink: %v, used %d", errno, f.Used())
	}
}

// Locks belong to a handle, and exclude others byte by byte.
func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{})
		x, a := mustCreate(t, f, "a")
		b := x.newHandle(false)
		take := func(h *handle, write bool, start, end uint64) syscall.Errno {
			return x.lock(t.Context(), lock{owner: h, write: write, start: start, end: end}, false)
		}
		if errno := take(a, true, 0, 9); errno != 0 {
			t.Fatal(errno)
		}
		if errno := take(b, false, 9, 9); errno != syscall.EAGAIN {
			t.Errorf("read lock of a byte that is write-locked: %v", errno)
		}
		if errno := take(a, false, 5, 9); errno != 0 { // downgrade of a part
			t.Error(errno)
		}
		if errno := take(b, false, 9, 9); errno != 0 {
			t.Errorf("read lock beside a read lock: %v", errno)
		}
		if errno := take(b, false, 4, 4); errno != syscall.EAGAIN {
			t.Errorf("read lock of the bytes that are still write-locked: %v", errno)
		}
		got := make(chan syscall.Errno)
		go func() { got <- x.lock(t.Context(), lock{owner: b, write: true, start: 0, end: 0}, true) }()
		synctest.Wait()
		x.release(a)
		if errno := <-got; errno != 0 {
			t.Errorf("the lock that waited: %v", errno)
		}
		x.release(b)
		if len(x.locks) != 0 {
			t.Errorf("locks left: %v", x.locks)
		}
		if errno := take(a, true, 0, 9); errno != 0 {
			t.Fatal(errno)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if errno := x.lock(ctx, lock{owner: b, start: 0, end: 0}, true); errno != syscall.EINTR {
			t.Errorf("a canceled wait: %v", errno)
		}
	})
}

// A loaded image is durable. Shared memory is in no image.
func TestLoad(t *testing.T) {
	f := New(Options{Strict: true})
	mustCreate(t, f, "old")
	f.Load(Image{"a": []byte("a")})
	x, _ := mustCreate(t, f, "a-shm")
	mustWrite(t, x, []byte("x"), 0)
	for _, m := range []Image{f.Freeze(rand.New(rand.NewPCG(1, 1))), f.Live()} {
		if len(m) != 1 || string(m["a"]) != "a" {
			t.Errorf("image: %v", m)
		}
	}
}

// A sync that lies makes nothing durable, or what the previous one should have made durable. Other
// syncs do not lie.
func TestLie(t *testing.T) {
	f := New(Options{})
	x, h := mustCreate(t, f, "a")
	reader, _ := x.open(true)
	durable := func() string { return string(bytes.TrimRight(x.synced, "\x00")) }
	step := func(text string, h *handle, want string) {
		t.Helper()
		mustWrite(t, x, []byte(text), int64(len(x.data)))
		mustSync(t, x, h)
		if got := durable(); got != want {
			t.Errorf("%q is durable, want %q", got, want)
		}
	}
	readOnly := func(op Op) bool { return op.ReadOnly }
	step("a", reader, "a")
	f.Lie(Lie{Syncs: readOnly})
	step("b", reader, "a")
	step("c", h, "abc")
	f.Lie(Lie{Syncs: readOnly, Late: true})
	step("d", reader, "abc")
	step("e", reader, "abcd")
	step("f", h, "abcdef")
	f.Lie(Lie{})
	step("g", reader, "abcdefg")
}
