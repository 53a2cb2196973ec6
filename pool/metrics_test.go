package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncruces/go-sqlite3"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A sample is the name of a metric and the value of its split, such as a reason.
type sample struct{ metric, of string }

// samplesOf returns what a reader collects of the statistics of pools. Each sample must occur once.
func samplesOf(t *testing.T, reader sdkmetric.Reader) map[sample]float64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	all := make(map[sample]float64)
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			add := func(set attribute.Set, v float64) {
				key := sample{metric: m.Name}
				for _, split := range []attribute.Key{"sqlite.busy.reason", "sqlitemw.pool.state", "sqlitemw.wal.checkpoint.outcome", "sqlitemw.statement_cache.result"} {
					if v, ok := set.Value(split); ok {
						key.of = v.AsString()
					}
				}
				if _, ok := all[key]; ok {
					t.Errorf("%v occurs twice", key)
				}
				all[key] = v
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if m.Name != "db.client.connection.count" {
						add(p.Attributes, float64(p.Value))
					}
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			}
		}
	}
	return all
}

func measuring(t *testing.T) (*tracing.Tracer, sdkmetric.Reader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	tracer, err := tracing.New(tracing.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	return tracer, reader
}

// TestPoolMetrics checks that the metrics of a pool are what its Stats say.
func TestPoolMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracer, reader := measuring(t)
		path := filepath.Join(t.TempDir(), "a.db")
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Tracing: tracer, LeakAfter: time.Second, BusyTimeout: 10 * time.Millisecond, JournalSizeLimit: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		must(t, p.DB(), "CREATE TABLE t(a)")
		for range 3 {
			must(t, p.DB(), "INSERT INTO t VALUES (?)", 1)
		}
		if _, err := p.Checkpoint(t.Context(), sqlite3.CHECKPOINT_PASSIVE); err != nil {
			t.Fatal(err)
		}

		outside, err := sql.Open("sqlite3", "file:"+filepath.ToSlash(path))
		if err != nil {
			t.Fatal(err)
		}
		defer outside.Close()
		tx, err := outside.Begin()
		if err != nil {
			t.Fatal(err)
		}
		must(t, tx, "INSERT INTO t VALUES (2)")
		if _, err := p.DB().Exec("DELETE FROM t"); !errors.Is(err, sqlite3.BUSY) {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}

		rows, err := p.DB().Query("SELECT a FROM t")
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		defer rows.Close()
		c, err := p.AcquireWrite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := c.Close(); err != nil { // one of the leaks has ended
			t.Fatal(err)
		}

		s, got := p.Stats(), samplesOf(t, reader)
		if s.Pages.Bytes == 0 || s.Pages.Limit != 1<<20 || s.Checkpoints == 0 || s.Syncs == 0 || s.Busy != 1 || s.Leaks != 2 || s.LeaksEnded != 1 || s.Cache.Hits == 0 || s.OldestReader != 10*time.Second {
			t.Errorf("%+v", s)
		}
		busy := uint64(0)
		for _, n := range s.BusyFor {
			busy += n
		}
		if busy != s.Busy {
			t.Errorf("%d calls failed as busy, for the reasons %v", s.Busy, s.BusyFor)
		}
		for key, want := range map[sample]float64{
			{"sqlitemw.wal.size", ""}:                       float64(s.Pages.Bytes),
			{"sqlitemw.wal.limit", ""}:                      float64(s.Pages.Limit),
			{"sqlitemw.wal.frame.count", ""}:                float64(s.Pages.Frames),
			{"sqlitemw.wal.oldest_reader.age", ""}:          10,
			{"sqlitemw.wal.checkpoints", "done"}:            float64(s.Checkpoints),
			{"sqlitemw.wal.checkpoints", "failed"}:          0,
			{"sqlitemw.wal.syncs", ""}:                      float64(s.Syncs),
			{"sqlitemw.wal.synced_commits", ""}:             float64(s.SyncedCommits),
			{"sqlitemw.wal.sync.time", ""}:                  s.SyncTime.Seconds(),
			{"sqlitemw.busy.failures", "other process"}:     float64(s.BusyFor["other process"]),
			{"sqlitemw.busy.failures", "outside the pools"}: float64(s.BusyFor["outside the pools"]),
			{"sqlitemw.busy.failures", "this process"}:      float64(s.BusyFor["this process"]),
			{"sqlitemw.busy.failures", "snapshot"}:          0,
			{"sqlitemw.busy.failures", "recovery"}:          0,
			{"sqlitemw.busy.failures", "timeout"}:           0,
			{"sqlitemw.busy.failures", "this connection"}:   0,
			{"sqlitemw.statement_cache.lookups", "hit"}:     float64(s.Cache.Hits),
			{"sqlitemw.statement_cache.lookups", "miss"}:    float64(s.Cache.Misses),
			{"sqlitemw.statement_cache.evictions", ""}:      float64(s.Cache.Evictions),
			{"sqlitemw.connection.leaks", ""}:               2,
			{"sqlitemw.connection.leaked.count", ""}:        1,
			{"sqlitemw.connection.dirty_releases", ""}:      0,
			{"sqlitemw.connection.overflows", ""}:           0,
			{"sqlitemw.pool.exceeded_time_limits", ""}:      0,
			{"sqlitemw.pool.panics", ""}:                    0,
			{"sqlitemw.pool.status", "ok"}:                  1,
			{"sqlitemw.pool.status", "degraded"}:            0,
			{"sqlitemw.pool.status", "down"}:                0,
			{"sqlitemw.pool.status", "unknown"}:             0,
		} {
			if v, ok := got[key]; !ok || v != want {
				t.Errorf("%v is %v (%v), want %v", key, v, ok, want)
			}
		}
	})
}

// TestPoolMetricsOfSharedName checks that pools of one file with the same name, of one tracer or of
// two, have one value for each sample, and that counters do not decrease when one of them is closed.
func TestPoolMetricsOfSharedName(t *testing.T) {
	tracer, reader := measuring(t)
	other, err := tracing.New(tracing.Config{MeterProvider: tracer.Config().MeterProvider})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.db")
	open := func(tracer *tracing.Tracer) *pool.Pool {
		p, err := pool.Open(t.Context(), pool.Config{Path: path, Name: "shared", Tracing: tracer})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	p1, p2, p3 := open(tracer), open(tracer), open(other)
	must(t, p1.DB(), "CREATE TABLE t(a)")
	for _, p := range []*pool.Pool{p1, p2, p3, p3} {
		must(t, p.DB(), "INSERT INTO t VALUES (?)", 1)
	}
	commits := func() (n float64) {
		for _, p := range []*pool.Pool{p1, p2, p3} {
			n += float64(p.Stats().SyncedCommits)
		}
		return n
	}
	check := func(pools int) {
		t.Helper()
		got := samplesOf(t, reader)
		if n := got[sample{"sqlitemw.wal.synced_commits", ""}]; n != commits() || n < 5 {
			t.Errorf("%v commits are measured, want %v", n, commits())
		}
		if n := got[sample{"sqlitemw.wal.size", ""}]; n != float64(p3.Stats().Pages.Bytes) {
			t.Errorf("the size of the WAL is %v, want %v", n, p3.Stats().Pages.Bytes)
		}
		if n := got[sample{"sqlitemw.pool.status", "ok"}]; n != float64(pools) {
			t.Errorf("%v pools are ok, want %d", n, pools)
		}
	}
	check(3)
	for i, p := range []*pool.Pool{p1, p2} { // the first of them observes
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		must(t, p3.DB(), "INSERT INTO t VALUES (?)", 1)
		check(2 - i)
	}
	if err := p3.Close(); err != nil {
		t.Fatal(err)
	}
	for key := range samplesOf(t, reader) {
		if key.metric == "sqlitemw.wal.size" || key.metric == "sqlitemw.pool.status" {
			t.Errorf("%v of closed pools is measured", key)
		}
	}
}

// TestPoolMetricsOfLateProvider checks that a meter provider that is installed after Open measures
// the pool, and that the one before it does not any more.
func TestPoolMetricsOfLateProvider(t *testing.T) {
	tracer, err := tracing.New(tracing.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pooled(t, pool.Config{Tracing: tracer})
	before := otel.GetMeterProvider()
	defer otel.SetMeterProvider(before)
	var readers []sdkmetric.Reader
	for range 2 {
		reader := sdkmetric.NewManualReader()
		otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
		must(t, p.DB(), "SELECT 1")
		readers = append(readers, reader)
	}
	for i, reader := range readers {
		if n, ok := samplesOf(t, reader)[sample{"sqlitemw.pool.status", "ok"}]; ok != (i == 1) || ok && n != 1 {
			t.Errorf("provider %d measures %v pools that are ok", i, n)
		}
	}
}
