package pool_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// poolNames returns the pool names and the namespaces of the connections that a reader counts.
func poolNames(t *testing.T, reader sdkmetric.Reader) (names, namespaces []string) {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			data, ok := m.Data.(metricdata.Sum[int64])
			if m.Name != "db.client.connection.count" || !ok {
				continue
			}
			for _, p := range data.DataPoints {
				name, _ := p.Attributes.Value("db.client.connection.pool.name")
				namespace, _ := p.Attributes.Value(attribute.Key("db.namespace"))
				names, namespaces = append(names, name.AsString()), append(namespaces, namespace.AsString())
			}
		}
	}
	unique := func(s []string) []string { slices.Sort(s); return slices.Compact(s) }
	return unique(names), unique(namespaces)
}

// TestPoolNamesAreUnique checks that the default names of pools of the process differ, of
// whatever kind they are, and that the database is the same one for all.
func TestPoolNamesAreUnique(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "a.db"))
	reader := sdkmetric.NewManualReader()
	tracer, err := tracing.New(tracing.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	p1, _ := pooled(t, pool.Config{Path: path, Tracing: tracer})
	p2, _ := pooled(t, pool.Config{Path: path, Tracing: tracer})
	explicit, _ := pooled(t, pool.Config{Path: path, Tracing: tracer, Name: path + "#4"})
	again, _ := pooled(t, pool.Config{Path: path, Tracing: tracer, Name: path + "#4"}) // chosen twice
	var dbs []*sql.DB
	for range 2 {
		for _, d := range []interface {
			OpenConnector(string) (sqldriver.Connector, error)
		}{
			openConnector((&driver.Driver{Config: driver.Config{Tracing: tracer}}).OpenConnector),
			openConnector((&pool.Driver{Config: pool.Config{Tracing: tracer, Logger: slog.New(slog.DiscardHandler)}}).OpenConnector),
		} {
			c, err := d.OpenConnector("file:" + path + "?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(c)
			defer db.Close()
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			dbs = append(dbs, db)
		}
	}
	names, namespaces := poolNames(t, reader)
	want := []string{path}
	for n := 2; n <= 7; n++ {
		want = append(want, fmt.Sprintf("%s#%d", path, n))
	}
	if !slices.Equal(names, want) || !slices.Equal(namespaces, []string{path}) {
		t.Errorf("names %q of %q, want %q", names, namespaces, want)
	}
	if p1.Name() != path || p2.Name() != path+"#2" || p2.Config().Name != p2.Name() || explicit.Name() != path+"#4" || again.Name() != path+"#4" || pool.Of(dbs[1]).Name() != path+"#5" {
		t.Errorf("%s, %s, %s, %s, %s", p1.Name(), p2.Name(), explicit.Name(), again.Name(), pool.Of(dbs[1]).Name())
	}
	if !strings.Contains(p2.String(), "a.db#2") {
		t.Error(p2)
	}
	c, err := p2.AcquireWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if h := p2.Holders(); len(h) != 1 || h[0].Pool != p2.Name() {
		t.Errorf("%+v", h)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var acquire *pool.AcquireError
	if _, err := p2.AcquireWrite(ctx); !errors.As(err, &acquire) || acquire.Pool != p2.Name() {
		t.Errorf("%v", err)
	}
}

// An openConnector is the method of a driver.
type openConnector func(string) (sqldriver.Connector, error)

func (o openConnector) OpenConnector(name string) (sqldriver.Connector, error) { return o(name) }

// TestPoolNameIsFreed checks that the name of a closed pool, or of one that could not be opened,
// is free again, and the order in which names are given.
func TestPoolNameIsFreed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	open := func(cfg pool.Config) *pool.Pool {
		t.Helper()
		cfg.Path = path
		p, err := pool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	if _, err := pool.Open(t.Context(), pool.Config{Path: path, Hooks: pool.Hooks{BeforeConnect: func(context.Context) error { return errors.New("no") }}}); err == nil {
		t.Fatal("it opens")
	}
	first, second, third := open(pool.Config{}), open(pool.Config{}), open(pool.Config{})
	second.Close()
	second.Close()
	fourth, fifth := open(pool.Config{}), open(pool.Config{})
	first.Close()
	sixth := open(pool.Config{})
	for i, p := range []*pool.Pool{first, second, third, fourth, fifth, sixth} {
		if want := path + []string{"", "#2", "#3", "#2", "#4", ""}[i]; p.Name() != want {
			t.Errorf("%d has the name %s, want %s", i, p.Name(), want)
		}
	}
	var m, n pool.Manager
	closeManager(t, &m)
	closeManager(t, &n)
	var names []string
	for _, manager := range []*pool.Manager{&m, &n} {
		p, err := manager.Add(t.Context(), t.Name(), fileConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := manager.Get(t.Name()); !ok {
			t.Error("the Manager has another name for it")
		}
		names = append(names, p.Name())
	}
	if want := []string{t.Name(), t.Name() + "#2"}; !slices.Equal(names, want) {
		t.Errorf("tenants have the names %q, want %q", names, want)
	}
}

// TestPoolNamesConcurrently checks that pools that are opened and closed together never have the
// same name.
func TestPoolNamesConcurrently(t *testing.T) {
	var used sync.Map
	var opens sync.WaitGroup
	for range 8 {
		opens.Go(func() {
			for range 5 {
				cfg := pool.InMemory()
				cfg.Logger = slog.New(slog.DiscardHandler)
				p, err := pool.Open(t.Context(), cfg)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := used.LoadOrStore(p.Name(), p); twice {
					t.Errorf("%s is used twice", p.Name())
				}
				used.Delete(p.Name())
				p.Close()
			}
		})
	}
	opens.Wait()
}

// TestDriverPoolName checks the pool names of databases without a pool of ours: a *sql.DB keeps
// its name until it is closed, and connections without a *sql.DB share one.
func TestDriverPoolName(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "a.db"))
	reader := sdkmetric.NewManualReader()
	tracer, err := tracing.New(tracing.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	d := &driver.Driver{Config: driver.Config{Tracing: tracer}}
	for range 3 {
		c, err := d.OpenConnector(path)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(c)
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		conn, err := d.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if names, _ := poolNames(t, reader); !slices.Equal(names, []string{path}) {
		t.Errorf("%q", names)
	}
}
