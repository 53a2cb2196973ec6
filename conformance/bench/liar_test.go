package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

var errTest = errors.New("a test's")

// A liar is a contender that is fast because it does less.
type liar struct {
	Database
	skipExec bool // claims to have written
	skipTx   bool // claims to have committed
	skipRow  bool // leaves dest unchanged
	skipRows bool // drops the last row
}

// syncsLess is a contender whose databases, from the one with the number from on, commit at
// synchronous=normal. The first database that it opens is number 1.
func syncsLess(from int) opener {
	opened := 0
	return func(ctx context.Context, file string, o Options) (Database, error) {
		if opened++; opened >= from {
			o.Synchronous = SyncNormal
		}
		return openNcruces(ctx, file, o)
	}
}

// oneSyncsLess is a contender of whose connections the last one commits at synchronous=normal.
type oneSyncsLess struct {
	Database
	conns int
}

func (l *oneSyncsLess) AcquireAll(ctx context.Context) ([]Conn, error) {
	all, err := acquireAll(ctx, l.Database, Options{Conns: l.conns})
	if err == nil {
		err = all[len(all)-1].Exec(ctx, "PRAGMA synchronous = normal")
	}
	return all, err
}

func (l *liar) Exec(ctx context.Context, query string, args ...any) error {
	if l.skipExec {
		return nil
	}
	return l.Database.Exec(ctx, query, args...)
}

func (l *liar) Transact(ctx context.Context, f func(Queryer) error) error {
	if l.skipTx {
		return nil
	}
	return l.Database.Transact(ctx, f)
}

func (l *liar) Row(ctx context.Context, query string, dest []any, args ...any) error {
	if l.skipRow {
		return nil
	}
	return l.Database.Row(ctx, query, dest, args...)
}

func (l *liar) Rows(ctx context.Context, query string, dest []any, each func(), args ...any) error {
	first := true
	return l.Database.Rows(ctx, query, dest, func() {
		if !l.skipRows || !first {
			each()
		}
		first = false
	}, args...)
}

// silent is a contender that makes spans only while its settings are verified.
type silent struct {
	Database
	conns int
}

func (s *silent) AcquireAll(ctx context.Context) ([]Conn, error) {
	_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("bench").Start(ctx, "settings")
	defer span.End()
	return acquireAll(ctx, s.Database, Options{Conns: s.conns})
}

func TestLiarsAreCaught(t *testing.T) {
	lying := func(l liar) opener {
		return func(ctx context.Context, file string, o Options) (Database, error) {
			db, err := openNcruces(ctx, file, o)
			l.Database = db
			return &l, err
		}
	}
	careless := func(ctx context.Context, file string, o Options) (Database, error) {
		o.Synchronous = SyncFull
		return openNcruces(ctx, file, o)
	}
	openSilent := func(ctx context.Context, file string, o Options) (Database, error) {
		db, err := openNcruces(ctx, file, o)
		return &silent{db, o.Conns}, err
	}
	oneLess := func(ctx context.Context, file string, o Options) (Database, error) {
		db, err := openNcruces(ctx, file, o)
		return &oneSyncsLess{db, o.Conns}, err
	}
	const atNormal = "verify settings: synchronous is 1, want 2"
	for _, c := range []struct {
		name, workload string
		open           opener
		state          State
		want           string
	}{
		{"does not insert", "insert", lying(liar{skipExec: true}), Untraced, "verify"},
		{"does not commit", "tx10", lying(liar{skipTx: true}), Untraced, "verify"},
		{"does not commit under contention", "contention-tx", lying(liar{skipTx: true}), Untraced, "are missing"},
		{"does not fill a table", "complex-insert", lying(liar{skipTx: true}), Untraced, "verify"},
		{"does not read a row", "point", lying(liar{skipRow: true}), Untraced, "verify"},
		{"does not read all rows", "scan", lying(liar{skipRows: true}), Untraced, "verify"},
		{"does not read all groups", "join", lying(liar{skipRows: true}), Untraced, "verify"},
		{"has other settings", "point", careless, Untraced, "verify settings: synchronous is 2, want 1"},
		{"makes no spans", "point", openNcruces, Sampled, "no span arrived"},
		{"makes spans only of settings", "contention-full", openSilent, Sampled, "no span arrived"},
		{"does not commit with others", "writers-8-full", lying(liar{skipExec: true}), Untraced, "are missing"},
		{"does not commit three rows", "writers-tx3-8-full", lying(liar{skipTx: true}), Untraced, "are missing"},
		{"does not read beside writers", "writers-32-readers-4-full", lying(liar{skipRow: true}), Untraced, "verify"},
		{"never syncs a commit", "insert-full", syncsLess(1), Untraced, atNormal},
		{"syncs commits only before inserts", "insert-full", syncsLess(2), Untraced, atNormal},
		{"syncs commits only before transactions", "tx10-full", syncsLess(2), Untraced, atNormal},
		{"syncs commits only before contention", "contention-full", syncsLess(2), Untraced, atNormal},
		{"syncs commits only before a queue", "queue-full", syncsLess(2), Untraced, atNormal},
		{"syncs commits only before writers", "writers-8-full", syncsLess(2), Untraced, atNormal},
		{"syncs commits only in the first round", "writers-8-full", syncsLess(3), Untraced, atNormal},
		{"syncs no commit of a new database", "real-insert-full", syncsLess(1), Untraced, atNormal},
		{"syncs no commit on one connection of eight", "writers-8-full", oneLess, Untraced, atNormal},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := &Contender{Name: "liar", State: c.state, open: c.open, sdk: newSDK(c.state)}
			if one.sdk != nil {
				t.Cleanup(func() { _ = one.sdk.provider.Shutdown(context.Background()) })
			}
			results, err := measure(t.Context(), workloadByName(workloads(), c.workload), []*Contender{one}, tinyPlan(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := results[0].Err; got == nil || !strings.Contains(got.Error(), c.want) {
				t.Errorf("the error lacks %q: %v", c.want, got)
			}
		})
	}
}

// A workload whose name says another durability than its options would be a false claim of every
// contender.
func TestWorkloadsNameTheirDurability(t *testing.T) {
	list := workloads()
	for _, c := range curves() {
		list = append(list, c.Run(1))
	}
	for _, w := range list {
		if err := w.validate(); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
	for _, name := range []string{"insert", "tx10", "real-insert", "contention", "contention-tx", "contention-tx-pause", "queue", "writers-1"} {
		if w := workloadByName(list, name); w == nil || w.full() {
			t.Errorf("there is no %s at synchronous=normal", name)
		}
		if w := workloadByName(list, name+"-full"); w == nil || !w.full() {
			t.Errorf("there is no %s at synchronous=full", name)
		}
	}
	for _, c := range []struct{ name, synchronous, want string }{
		{"insert-full", SyncNormal, "it runs at synchronous=normal"},
		{"insert", SyncFull, "it runs at synchronous=full"},
		{"insert", "", `its synchronous is ""`},
	} {
		w := *workloadByName(list, "insert")
		w.Name, w.Options.Synchronous = c.name, c.synchronous
		_, err := measure(t.Context(), &w, nil, tinyPlan(t), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s at %q: the error lacks %q: %v", c.name, c.synchronous, c.want, err)
		}
	}
}
