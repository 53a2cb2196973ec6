package prometheus

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// scrapeInterval is the interval that Prometheus recommends at most for alerts like these.
const scrapeInterval = 15 * time.Second

// A service is a program with a pool, which Prometheus scrapes.
type service struct {
	t *testing.T
	p *pool.Pool
	*history
}

// newService opens a pool and returns its program. The pool is closed by stop.
func newService(t *testing.T, cfg pool.Config) *service {
	t.Helper()
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := tracing.New(tracing.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "app.db")
	}
	cfg.Tracing, cfg.Logger, cfg.HealthInterval = tracer, slog.New(slog.DiscardHandler), 10*time.Second
	p, err := pool.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, p: p, history: newHistory(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))}
	return s
}

func (s *service) stop() {
	if err := s.p.Close(); err != nil {
		s.t.Log(err)
	}
}

// run scrapes for so long, and calls each after every scrape.
func (s *service) run(d time.Duration, each func()) {
	s.t.Helper()
	for end := time.Now().Add(d); !time.Now().After(end); time.Sleep(scrapeInterval) {
		s.scrape(s.t)
		each()
	}
}

func (s *service) exec(query string, args ...any) {
	s.t.Helper()
	if _, err := s.p.DB().ExecContext(s.t.Context(), query, args...); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
}

// work does what a healthy program does.
func (s *service) work() {
	s.t.Helper()
	s.exec("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, what TEXT)")
	for range 5 {
		s.exec("INSERT INTO orders(what) VALUES (?)", "tea")
		rows, err := s.p.DB().QueryContext(s.t.Context(), "SELECT id, what FROM orders ORDER BY id DESC LIMIT 3")
		if err != nil {
			s.t.Fatal(err)
		}
		for rows.Next() {
		}
		if err := rows.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	tx, err := s.p.DB().BeginTx(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE orders SET what = ? WHERE id = 1", "coffee"); err != nil {
		s.t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// fail makes a call that violates a constraint.
func (s *service) fail() {
	if _, err := s.p.DB().ExecContext(s.t.Context(), "INSERT INTO orders(id) VALUES (1)"); err == nil {
		s.t.Error("there are two orders with the id 1")
	}
}

// timeOut makes a call wait for the writer for too long.
func (s *service) timeOut() {
	s.t.Helper()
	w := s.write()
	defer w.Close()
	if _, err := s.p.DB().ExecContext(s.t.Context(), "DELETE FROM orders"); !errors.Is(err, pool.ErrAcquireTimeout) {
		s.t.Errorf("the call does not time out: %v", err)
	}
}

// write acquires the writer.
func (s *service) write() *pool.Conn {
	s.t.Helper()
	c, err := s.p.AcquireWrite(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}
