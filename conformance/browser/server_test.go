package browser_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
)

// A server serves a page and counts the answers of each file.
type server struct {
	*httptest.Server
	mu      sync.Mutex // guards answers
	answers map[string][]int
}

// serve serves a page of these pools at /debug/sql/.
func serve(b *tab, pools ...core.View) *server {
	b.t.Helper()
	return serveHandler(b, "/debug/sql/", newPage(b.t, page.Config{Pools: page.List(pools...), Allow: page.Loopback, TraceURL: "https://jaeger.example/trace/{trace}"}))
}

func newPage(t *testing.T, cfg page.Config) http.Handler {
	t.Helper()
	h, err := page.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// serveHandler serves a handler until the test of the tab ends. The statistics by statement are replaced by made-up ones.
func serveHandler(b *tab, pattern string, h http.Handler) *server {
	b.t.Helper()
	s := &server{answers: map[string][]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if file := r.URL.Query().Get("file"); file == "statements.json" {
			h.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(statements))
			return
		}
		noted := &statusWriter{w, http.StatusOK}
		h.ServeHTTP(noted, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		file := r.URL.Query().Get("file")
		s.answers[file] = append(s.answers[file], noted.code)
	})
	s.Server = httptest.NewServer(mux)
	b.t.Cleanup(func() {
		b.open("about:blank") // or the page would report that the server has gone
		s.Close()
	})
	return s
}

// of returns the status codes of a file's answers.
func (s *server) of(file string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.answers[file]...)
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// statements is a statements.json.
const statements = `{"taken": "2026-12-01T08:00:00Z", "more": 3, "statements": [
{"id": "a1", "system": "sqlite", "database": "shop.db", "summary": "SELECT products", "text": "SELECT id, sku, name, price, stock FROM products WHERE category = ? ORDER BY name",
 "calls": 48213, "running": 1, "last": "2026-12-01T08:00:00Z", "total": 96.4, "share": 0.58, "mean": 0.002, "max": 0.041, "p50": 0.0018, "p95": 0.0052, "p99": 0.011,
 "rows": 964260, "errors": 0, "engine": 81.2, "lock_wait": 0, "full_scan_steps": 4821300, "sorts": 48213, "auto_index_rows": 0},
{"id": "a2", "system": "sqlite", "database": "shop.db", "summary": "INSERT orders", "text": "INSERT INTO orders (customer_id, placed_at, total) VALUES (?, ?, ?)",
 "calls": 9120, "running": 0, "last": "2026-12-01T07:59:59Z", "total": 41.7, "share": 0.25, "mean": 0.0046, "max": 1.31, "p50": 0.0011, "p95": 0.019, "p99": 0.21,
 "rows": 0, "errors": 12, "codes": {"2067": 12}, "engine": 3.1, "lock_wait": 36.8, "full_scan_steps": 0, "sorts": 0, "auto_index_rows": 0},
{"id": "a3", "system": "sqlite", "database": "shop.db", "summary": "UPDATE products", "text": "UPDATE products SET stock = stock - ? WHERE id = ?",
 "calls": 27360, "running": 0, "last": "2026-12-01T07:59:59Z", "total": 28.2, "share": 0.17, "mean": 0.001, "max": 0.018, "p50": 0.0009, "p95": 0.002, "p99": 0.004,
 "rows": 0, "errors": 0, "engine": 24.9, "lock_wait": 0.3, "full_scan_steps": 0, "sorts": 0, "auto_index_rows": 0}]}`
