package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A Disk is where databases are during a run.
type Disk struct {
	Dir    string
	Memory string        // the name of the file system if it keeps files in memory; else empty
	Sync   time.Duration // the median of writing 4 KB and syncing them
}

// A commit at synchronous=full costs one sync. Below leastSync, what is compared is the
// processor's work rather than waits for the disk: file systems in memory take 5 µs, and some
// disks reply before the data is safe. Above mostSync, a trial has too few commits for a p99, and
// the disk is probably a network's or busy with other work.
const (
	leastSync = 200 * time.Microsecond
	mostSync  = 20 * time.Millisecond
)

// probes is the number of writes that measureDisk makes. With 20 ms each they take 2 seconds.
const probes = 101

// measureDisk describes the disk of the directory dir. Each write appends, as writes to a WAL do
// until its first checkpoint.
func measureDisk(dir string) (_ *Disk, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("measure the disk of %s: %w", dir, err)
		}
	}()
	memory, err := memoryFileSystem(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "bench-disk-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	took := make([]time.Duration, probes)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := datasync(f); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return &Disk{Dir: dir, Memory: memory, Sync: took[probes/2]}, nil
}

// speed returns the result of the measurement as text.
func (d *Disk) speed() string {
	return fmt.Sprintf("writing 4 KB and fdatasync take %s (median)", duration(float64(d.Sync.Nanoseconds())))
}

// unfit returns why no budget at synchronous=full is judged on the disk, or "".
func (d *Disk) unfit() string {
	switch {
	case d.Memory != "":
		return fmt.Sprintf("the databases are in memory (%s): set -dir to a directory on a disk", d.Memory)
	case d.Sync < leastSync || d.Sync > mostSync:
		return fmt.Sprintf("%s, which is not between %s and %s", d.speed(),
			duration(float64(leastSync.Nanoseconds())), duration(float64(mostSync.Nanoseconds())))
	default:
		return ""
	}
}

// useDisk makes the directory for databases. If one of the workloads runs at synchronous=full,
// it also measures the directory's disk and prints the result. Otherwise the Disk is nil.
func (f *flags) useDisk(ws []*Workload, out io.Writer) (*Disk, error) {
	dir, err := f.databases()
	if err != nil {
		return nil, err
	}
	if f.dir = dir; !slices.ContainsFunc(ws, (*Workload).full) {
		return nil, nil
	}
	d, err := f.probe(dir)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "the disk of %s: %s\n", d.Dir, d.speed())
	if reason := d.unfit(); reason != "" {
		fmt.Fprintf(out, "budgets at synchronous=%s are skipped: %s\n", SyncFull, reason)
	}
	return d, nil
}

// databases returns the directory for databases, and makes the default one. The default is not
// the system's temporary directory, because that is often in memory.
func (f *flags) databases() (string, error) {
	if f.dir != "" {
		return f.dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for databases: %w: set -dir", err)
	}
	dir := filepath.Join(cache, "sqlitemw-bench")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a directory for databases: %w: set -dir", err)
	}
	return dir, nil
}
