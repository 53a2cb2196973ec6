package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMeasureDisk(t *testing.T) {
	dir := t.TempDir()
	d, err := measureDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Dir != dir || d.Sync <= 0 {
		t.Errorf("the disk is %+v", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v: %v", left, err)
	}
	if _, err := measureDisk(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing directory has a disk")
	}
}

func TestDiskIsFit(t *testing.T) {
	for _, c := range []struct {
		disk Disk
		want string
	}{
		{Disk{Sync: 200 * time.Microsecond}, ""},
		{Disk{Sync: 20 * time.Millisecond}, ""},
		{Disk{Sync: 199 * time.Microsecond}, "writing 4 KB and fdatasync take 199 µs (median), which is not between 200 µs and 20.0 ms"},
		{Disk{Sync: 21 * time.Millisecond}, "writing 4 KB and fdatasync take 21.0 ms (median), which is not between 200 µs and 20.0 ms"},
		{Disk{Sync: time.Millisecond, Memory: "tmpfs"}, "the databases are in memory (tmpfs): set -dir to a directory on a disk"},
	} {
		if got := c.disk.unfit(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.disk, got, c.want)
		}
	}
}

// fakeDisk returns flags whose probe finds d.
func fakeDisk(t *testing.T, d Disk, args ...string) *flags {
	t.Helper()
	f, err := parseFlags(append(args, "-dir", t.TempDir(), "-out", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	f.probe = func(dir string) (*Disk, error) {
		d.Dir = dir
		return &d, nil
	}
	return f
}

// The contender fails when it is opened. So its budgets are broken, unless they are skipped.
func TestCheckOnAnUnfitDisk(t *testing.T) {
	limit := 1.0
	budgets := []*Budget{
		{Name: "commits", Workload: "writers-8-full", Figure: "writes/s", Contender: "failing", AtLeast: &limit, Status: statusOn},
		{Name: "inserts", Workload: "insert", Figure: Time, Contender: "failing", AtMost: &limit, Status: statusOn},
	}
	for _, c := range []struct {
		name          string
		disk          Disk
		wants, wantNo []string
		opened        int
		want          string
	}{
		{
			"fit", Disk{Sync: time.Millisecond},
			[]string{": writing 4 KB and fdatasync take 1.00 ms (median)\n", "\nbroken   commits (failing)  synchronous=full ", "\nbroken   inserts (failing)  synchronous=normal "},
			[]string{"skipped"},
			2, "broken: inserts; commits",
		},
		{
			"fast", Disk{Sync: 50 * time.Microsecond},
			[]string{
				"budgets at synchronous=full are skipped: writing 4 KB and fdatasync take 50.0 µs (median), which is not between",
				"\nskipped  commits (failing)  synchronous=full ", "\nbroken   inserts (failing)  synchronous=normal ",
			},
			[]string{"broken   commits", "skipped  inserts"},
			1, "broken: inserts",
		},
		{
			"slow", Disk{Sync: 25 * time.Millisecond},
			[]string{"budgets at synchronous=full are skipped: writing 4 KB and fdatasync take 25.0 ms (median), which is not between"},
			[]string{"broken   commits"},
			1, "broken: inserts",
		},
		{
			"memory", Disk{Sync: time.Millisecond, Memory: "tmpfs"},
			[]string{"budgets at synchronous=full are skipped: the databases are in memory (tmpfs): set -dir"},
			[]string{"broken   commits"},
			1, "broken: inserts",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			opened := 0
			failing := &Contender{Name: "failing", open: func(context.Context, string, Options) (Database, error) {
				opened++
				return nil, errTest
			}}
			var out strings.Builder
			err := check(t.Context(), fakeDisk(t, c.disk, "-check"), []*Contender{failing}, budgets, &out)
			if err == nil || err.Error() != c.want {
				t.Errorf("the error is %v, want %s", err, c.want)
			}
			if opened != c.opened {
				t.Errorf("%d workloads were measured, want %d", opened, c.opened)
			}
			// The first column is as wide as the longest verdict of a workload.
			text := regexp.MustCompile(`(broken|skipped) +`).ReplaceAllStringFunc(out.String(), func(s string) string {
				return fmt.Sprintf("%-9s", strings.TrimSpace(s))
			})
			for _, want := range c.wants {
				if !strings.Contains(text, want) {
					t.Errorf("the output lacks %q:\n%s", want, text)
				}
			}
			for _, no := range c.wantNo {
				if strings.Contains(text, no) {
					t.Errorf("the output has %q:\n%s", no, text)
				}
			}
		})
	}
}

// A broken budget is skipped on an unfit disk, but only at synchronous=full.
func TestJudgeOnAnUnfitDisk(t *testing.T) {
	limit := 1.0
	fit, unfit := &Disk{Sync: time.Millisecond}, &Disk{Sync: time.Microsecond}
	a := &Contender{Name: "a"}
	for _, c := range []struct {
		workload string
		disk     *Disk
		want     Verdict
	}{
		{"insert-full", fit, Broken},
		{"insert-full", unfit, Skipped},
		{"insert", unfit, Broken},
		{"insert", nil, Broken}, // not measured, because no workload needs it
	} {
		w := workloadByName(workloads(), c.workload)
		b := &Budget{Workload: w.Name, Figure: Time, Contender: "a", AtMost: &limit}
		f := b.judgeOn(c.disk, w, []*Result{{Workload: w, Contender: a, Rounds: map[string][]float64{Time: {2, 2, 2}}}})
		if f.Verdict != c.want || (f.Reason != "") != (c.want == Skipped) || f.Workload != w {
			t.Errorf("%s on %+v: %v (%s), want %v", c.workload, c.disk, f.Verdict, f.Reason, c.want)
		}
	}
}

// The only measured workload would be false: in memory, nothing is synced.
func TestTourInMemory(t *testing.T) {
	var out strings.Builder
	f := fakeDisk(t, Disk{Memory: "tmpfs"}, "-tour", "-workloads", "^insert-full$", "-contenders", "^$")
	if err := tour(t.Context(), f, newContenders(t), nil, &out); err != nil {
		t.Fatal(err)
	}
	if want := "insert-full is skipped: the databases are in memory (tmpfs)"; !strings.Contains(out.String(), want) {
		t.Errorf("the output lacks %q:\n%s", want, out.String())
	}
	if strings.Contains(out.String(), "# Results") {
		t.Errorf("it was measured:\n%s", out.String())
	}
}

func TestDiskIsMeasuredOnlyIfNeeded(t *testing.T) {
	f := fakeDisk(t, Disk{}, "-tour")
	f.probe = func(string) (*Disk, error) { return nil, errTest }
	normal, full := workloadByName(workloads(), "insert"), workloadByName(workloads(), "insert-full")
	var out strings.Builder
	if d, err := f.useDisk([]*Workload{normal}, &out); d != nil || err != nil || out.Len() != 0 {
		t.Errorf("without a workload at synchronous=full: %v, %v, %q", d, err, out.String())
	}
	if _, err := f.useDisk([]*Workload{normal, full}, &out); !errors.Is(err, errTest) {
		t.Errorf("the probe's error is lost: %v", err)
	}
}

func TestDatabasesAreNotInTheTemporaryDirectory(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} { // of each system
		t.Setenv(name, home)
	}
	f, err := parseFlags([]string{"-tour"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.useDisk(nil, nil); err != nil {
		t.Fatal(err)
	}
	if filepath.Base(f.dir) != "sqlitemw-bench" || !strings.HasPrefix(f.dir, home) || f.plan().Dir != f.dir {
		t.Errorf("databases are in %s, and the plan says %s; the home is %s", f.dir, f.plan().Dir, home)
	}
	if s, err := os.Stat(f.dir); err != nil || !s.IsDir() {
		t.Errorf("the directory is missing: %v", err)
	}
}
