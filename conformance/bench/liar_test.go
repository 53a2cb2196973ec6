package main

import (
	"context"
	"errors"
	"strings"
	"testing"
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

func TestLiarsAreCaught(t *testing.T) {
	lying := func(l liar) opener {
		return func(ctx context.Context, file string, o Options) (Database, error) {
			db, err := openNcruces(ctx, file, o)
			l.Database = db
			return &l, err
		}
	}
	careless := func(ctx context.Context, file string, o Options) (Database, error) {
		o.Synchronous = "full"
		return openNcruces(ctx, file, o)
	}
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
