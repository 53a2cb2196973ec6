package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sqlite3driver "github.com/ncruces/go-sqlite3/driver"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A described metric is a metric as the README's table or the SDK describes it.
type described struct {
	unit       string
	attributes []string // sorted
}

// TestMetricsMatchREADME checks every column of the README's table of metrics. Each
// metric exists with its unit and its attributes, and all attributes occur. There are no other
// metrics. Only databases with a server have the attributes of one, so one is wrapped here.
func TestMetricsMatchREADME(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		_, _, tracer := newRecordingTracer(t, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
		p, err := pool.Open(t.Context(), pool.Config{Path: filepath.Join(t.TempDir(), "a.db"), Tracing: tracer, AcquireTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		db := p.DB()
		must(t, db, "CREATE TABLE t(a PRIMARY KEY)")
		must(t, db, "INSERT INTO t VALUES (?)", 1)
		if _, err := db.Exec("INSERT INTO t VALUES (?)", 1); err == nil {
			t.Fatal("there are two tables")
		}
		if n := mustScan[int](t, db, "SELECT a FROM t"); n != 1 {
			t.Fatal(n)
		}
		if rows, err := db.Query("SELECT abs(-9223372036854775808) FROM t"); err != nil || rows.Next() || rows.Close() != nil {
			t.Fatal("the overflow has a row", err)
		}
		tx, err := db.Begin() // so that the acquire of the writer times out
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("DELETE FROM t"); !errors.Is(err, pool.ErrAcquireTimeout) {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}

		remote := sql.OpenDB(describedConnector(t, wrap.Config{
			Tracing:  tracer,
			Describe: func(sqldriver.Conn) wrap.Server { return wrap.Server{Address: "db.example", Port: 5433} },
		}))
		defer remote.Close()
		if n := mustScan[int](t, remote, "SELECT 1"); n != 1 {
			t.Fatal(n)
		}

		said, found := metricsOfREADME(t), metricsOf(t, reader)
		for name := range said {
			if _, ok := found[name]; !ok {
				t.Errorf("the README lists %s, which is not measured", name)
			}
		}
		for name, m := range found {
			switch want, ok := said[name]; {
			case !ok:
				t.Errorf("the README does not list %s", name)
			case m.unit != want.unit:
				t.Errorf("%s has the unit %q, the README says %q", name, m.unit, want.unit)
			case !slices.Equal(m.attributes, want.attributes):
				t.Errorf("%s has the attributes\n\t%v, the README says\n\t%v", name, m.attributes, want.attributes)
			}
		}
	})
}

// describedConnector returns a connector of a database in memory, as package wrap wraps it.
func describedConnector(t *testing.T, cfg wrap.Config) sqldriver.Connector {
	t.Helper()
	c, err := wrap.NewDriver(&sqlite3driver.SQLite{}, cfg).(sqldriver.DriverContext).OpenConnector(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func metricsOf(t *testing.T, reader sdkmetric.Reader) map[string]described {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &rm); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]described)
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			keys := make(map[string]bool)
			see := func(set attribute.Set) {
				for _, kv := range set.ToSlice() {
					keys[string(kv.Key)] = true
				}
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					see(p.Attributes)
				}
			case metricdata.Sum[float64]:
				for _, p := range data.DataPoints {
					see(p.Attributes)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					see(p.Attributes)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					see(p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					see(p.Attributes)
				}
			default:
				t.Fatalf("%s is a %T", m.Name, data)
			}
			all[m.Name] = described{m.Unit, slices.Sorted(maps.Keys(keys))}
		}
	}
	return all
}

// metricsOfREADME reads the table under the heading Metrics.
func metricsOfREADME(t *testing.T) map[string]described {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	name := regexp.MustCompile("`([a-z_.]+)`")
	all := make(map[string]described)
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !name.MatchString(cells[1]) {
			continue
		}
		keys := map[string]bool{"db.system.name": true, "db.namespace": true}
		for _, found := range name.FindAllStringSubmatch(cells[4], -1) {
			keys[found[1]] = true
		}
		for _, found := range name.FindAllStringSubmatch(cells[1], -1) {
			all[found[1]] = described{strings.TrimSpace(cells[2]), slices.Sorted(maps.Keys(keys))}
		}
	}
	if len(all) == 0 {
		t.Fatal("the README has no table of metrics")
	}
	return all
}
