package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A Workload is what contenders are compared with. It has either Start, for operations that the
// harness repeats and times, or Trial, which measures time itself.
type Workload struct {
	Name string // in flags, budgets and tables
	What string // description of one operation
	Tour bool   // part of the short tour
	// TourFull is Tour of the copy at synchronous=full; see atFull.
	TourFull bool
	// Only are the names of the contenders that it runs on. Empty means all but variants.
	Only    []string
	Quiet   bool // makes no calls for which every tracing contender must make spans
	Options Options
	Seed    func(Size) []string // statements that make the file which is copied for each contender

	Start func(context.Context, *Env) (*Run, error)
	Trial func(context.Context, *Env) (Figures, error)
}

// fullSuffix ends the names of workloads at synchronous=full, and of no others.
const fullSuffix = "-full"

// full reports whether w runs at synchronous=full.
func (w *Workload) full() bool { return w.Options.Synchronous == SyncFull }

// durability returns the durability of w's commits, as tables and charts print it.
func (w *Workload) durability() string { return "synchronous=" + w.Options.Synchronous }

// validate fails if w's name says another durability than its options.
func (w *Workload) validate() error {
	switch w.Options.Synchronous {
	case SyncNormal, SyncFull:
	default:
		return fmt.Errorf("its synchronous is %q, want %q or %q", w.Options.Synchronous, SyncNormal, SyncFull)
	}
	if strings.HasSuffix(w.Name, fullSuffix) != w.full() {
		return fmt.Errorf("it runs at %s, but names end with %s if, and only if, they run at synchronous=%s", w.durability(), fullSuffix, SyncFull)
	}
	return nil
}

// atFull returns a copy of w at synchronous=full.
func (w *Workload) atFull() *Workload {
	c := *w
	c.Name += fullSuffix
	c.Options.Synchronous = SyncFull
	c.Tour = w.TourFull
	return &c
}

// atBothSyncs returns list, which is at synchronous=normal, and then a copy of each workload at
// synchronous=full.
func atBothSyncs(list []*Workload) []*Workload {
	both := slices.Clone(list)
	for _, w := range list {
		both = append(both, w.atFull())
	}
	return both
}

// among returns the contenders of list that w runs on.
func (w *Workload) among(list []*Contender) []*Contender {
	var mine []*Contender
	for _, c := range list {
		if slices.Contains(w.Only, c.Name) || len(w.Only) == 0 && !c.Variant {
			mine = append(mine, c)
		}
	}
	return mine
}

// A Run is a workload on one contender's database.
type Run struct {
	Op    func(context.Context) error // fails if its result is wrong
	Check func(ops int64) error       // counts what the operations wrote; may be nil
	Close func() error                // closes what Start opened; may be nil
}

// Size is the amount of work of a workload.
type Size int

// The sizes.
const (
	Tiny  Size = iota // for tests
	Short             // for the tour
	Full
)

// pick returns one of three values by size.
func pick[T any](s Size, tiny, short, full T) T { return [...]T{tiny, short, full}[s] }

// An Env is where a workload runs: a contender and its copy of the file.
type Env struct {
	Contender *Contender
	Options   Options
	Size      Size
	Window    time.Duration // how long a Trial measures

	dir  string
	seed string // the file to copy
	file string
	next int // number of the next copy

	checks int64 // spans of the calls that verified settings
}

// Open opens the contender's own file, which remains the same.
func (e *Env) Open(ctx context.Context) (Database, error) {
	return e.Contender.Open(ctx, e.file, e.Options)
}

// OpenAll opens the contender's own file and all its connections, and verifies the settings of
// each. So a workload verifies the durability of the connections that it measures, and their
// opening is not part of a trial's window.
func (e *Env) OpenAll(ctx context.Context) (Database, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := e.Contender.sdk
	before, err := s.flushed(ctx)
	if err == nil {
		err = verifySettings(ctx, db, e.Options)
	}
	after, flushErr := s.flushed(ctx)
	if err = errors.Join(err, flushErr); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e.checks += after - before
	return db, nil
}

// Renew replaces the contender's file by a fresh copy. It costs the same for every contender.
func (e *Env) Renew() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(e.file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	e.file = filepath.Join(e.dir, fmt.Sprintf("%s-%d.db", e.Contender.Name, e.next))
	e.next++
	return copyFile(e.file, e.seed)
}

// Count returns the number that query returns, on a connection that belongs to no contender.
// The contender's connections must be closed.
func (e *Env) Count(query string) (int64, error) {
	c, err := openRawConn(e.file, e.Options)
	if err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	var n int64
	err = rawQueryer{c}.Row(context.Background(), query, []any{&n})
	if err = errors.Join(err, c.Close()); err != nil {
		return 0, fmt.Errorf("count by %q: %w", query, err)
	}
	return n, nil
}

// Expect fails if query does not return want.
func (e *Env) Expect(query string, want int64) error {
	n, err := e.Count(query)
	if err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("verify: %q is %d, want %d", query, n, want)
	}
	return nil
}

// makeSeed makes the file that is copied for each contender.
func makeSeed(file string, statements []string) (err error) {
	c, err := sqlite3.Open(uri(file, nil))
	if err != nil {
		return fmt.Errorf("make %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for _, s := range append([]string{"PRAGMA journal_mode = wal"}, statements...) {
		if err := c.Exec(s); err != nil {
			return fmt.Errorf("make %s: %q: %w", file, s, err)
		}
	}
	return nil
}

func copyFile(to, from string) (err error) {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	_, err = io.Copy(w, r)
	return err
}

// workloads returns all workloads, in the order of tables.
func workloads() []*Workload {
	var list []*Workload
	list = append(list, pointWorkloads()...)
	list = append(list, insertWorkloads()...)
	list = append(list, scanWorkloads()...)
	list = append(list, suiteWorkloads()...)
	list = append(list, contentionWorkloads()...)
	list = append(list, writersWorkloads()...)
	list = append(list, memoryWorkload())
	return list
}

func workloadByName(list []*Workload, name string) *Workload {
	for _, w := range list {
		if w.Name == name {
			return w
		}
	}
	return nil
}
