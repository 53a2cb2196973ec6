package page_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/page"
)

// A view is a pool of another engine, with everything that a View may implement.
type view struct {
	name     string
	stats    core.Stats
	health   core.HealthReport
	events   []wrap.Event
	holders  []core.Holder
	waiters  []core.Waiter
	settings []core.Setting
	reads    atomic.Int64 // of Stats
	slow     chan struct{}
}

func (v *view) Name() string              { return v.name }
func (v *view) Health() core.HealthReport { return v.health }
func (v *view) Events() []wrap.Event      { return v.events }
func (v *view) Holders() []core.Holder    { return v.holders }
func (v *view) Waiters() []core.Waiter    { return v.waiters }
func (v *view) Settings() []core.Setting  { return v.settings }

func (v *view) Stats() core.Stats {
	v.reads.Add(1)
	if v.slow != nil {
		<-v.slow
	}
	return v.stats
}

// newPage returns a page of these pools that lets in everyone.
func newPage(t testing.TB, views ...core.View) http.Handler {
	t.Helper()
	return configured(t, page.Config{Pools: page.List(views...), Allow: page.Guarded})
}

func configured(t testing.TB, cfg page.Config) http.Handler {
	t.Helper()
	h, err := page.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// get returns the response of h to a GET.
func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// routes are all files of the page, as its queries.
var routes = []string{"", "page.html", "page.css", "page.js", "icon.svg", "state.json", "pool.json", "events.json", "statements.json", "plan.json&id=1", "state.txt"}

// dataRoutes are those that show data.
var dataRoutes = routes[5:]

func TestNew(t *testing.T) {
	pools := page.List(&view{})
	for name, tc := range map[string]struct {
		cfg  page.Config
		want []string // in the error; nil for no error
	}{
		"nothing":         {page.Config{}, []string{"page.List", "page.Loopback", "page.Guarded"}},
		"no Allow":        {page.Config{Pools: pools}, []string{"Config.Allow is nil", "page.Loopback", "page.Guarded"}},
		"no Pools":        {page.Config{Allow: page.Guarded}, []string{"Config.Pools is nil"}},
		"good":            {page.Config{Pools: pools, Allow: page.Guarded}, nil},
		"trace":           {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "https://jaeger.example/trace/{trace}?a=b"}, nil},
		"trace http":      {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "http://localhost:16686/trace/{trace}"}, nil},
		"script":          {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "javascript:alert({trace})"}, []string{"TraceURL"}},
		"data":            {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "data:text/html,{trace}"}, []string{"TraceURL"}},
		"relative":        {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "//x/{trace}"}, []string{"TraceURL"}},
		"no place":        {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "https://x/trace"}, []string{"{trace}"}},
		"place in a host": {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "https://{trace}.example/"}, []string{"TraceURL"}},
		"password":        {page.Config{Pools: pools, Allow: page.Guarded, TraceURL: "https://u:hunter2@x/{trace}"}, []string{"TraceURL"}},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := page.New(tc.cfg)
			if (err == nil) != (tc.want == nil) || (h == nil) != (err != nil) {
				t.Fatalf("New returns %v, %v", h, err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

// TestMounts follows the page's own links wherever it is mounted.
func TestMounts(t *testing.T) {
	h := newPage(t, &view{name: "app.db"})
	for name, tc := range map[string]struct {
		pattern string
		handler http.Handler
		at      string
		below   bool // files have paths of their own
	}{
		"prefix":             {"/debug/sql/", h, "/debug/sql/", true},
		"prefix, redirected": {"/debug/sql/", h, "/debug/sql", false},
		"stripped":           {"/debug/sql/", http.StripPrefix("/debug/sql/", h), "/debug/sql/", true},
		"stripped, slash":    {"/debug/sql/", http.StripPrefix("/debug/sql", h), "/debug/sql/", true},
		"no slash":           {"/debug/sql", h, "/debug/sql", false},
		"no slash, stripped": {"/debug/sql", http.StripPrefix("/debug/sql", h), "/debug/sql", false},
		"root":               {"/", h, "/", true},
		"dots":               {"/v1.2/", h, "/v1.2/", true},
		"method":             {"GET /a/", h, "/a/", true},
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.Handle(tc.pattern, tc.handler)
			server := httptest.NewServer(mux)
			defer server.Close()
			type response struct {
				body, mediaType string
				from            *url.URL // where the redirect of the mux ended
			}
			read := func(url string) response {
				res, err := http.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != http.StatusOK {
					t.Fatalf("GET %s: %s, %v", url, res.Status, err)
				}
				return response{string(body), res.Header.Get("Content-Type"), res.Request.URL}
			}
			main := read(server.URL + tc.at)
			if !strings.Contains(main.body, "<title>sqlitemw</title>") {
				t.Fatalf("the page is %.100q", main.body)
			}
			links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(main.body, -1)
			if len(links) < 5 {
				t.Fatalf("links: %v", links)
			}
			for _, link := range append(links, []string{"", "?file=pool.json"}, []string{"", "?file=events.json&after=0"}) {
				to, err := main.from.Parse(link[1])
				if err != nil {
					t.Fatal(err)
				}
				if res := read(to.String()); strings.HasPrefix(res.mediaType, "text/html") {
					t.Errorf("%s is HTML", to)
				}
			}
			if tc.below {
				if res := read(server.URL + tc.at + "state.json"); !json.Valid([]byte(res.body)) {
					t.Errorf("state.json is %.100q", res.body)
				}
				if res := read(server.URL + tc.at + "state.txt"); !strings.HasPrefix(res.body, "sqlitemw ") {
					t.Errorf("state.txt is %.100q", res.body)
				}
			}
		})
	}
	for _, target := range []string{"/?file=nothing", "/?file=../page.go", "/favicon.ico", "/robots.txt", "/?file=page.html%00"} {
		if w := get(h, target); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d", target, w.Code)
		}
	}
}

// TestResponses checks status, headers and body of each route, for GET, HEAD and other methods.
func TestResponses(t *testing.T) {
	h := newPage(t, &view{name: "app.db"})
	for _, route := range routes {
		target := "/debug/?file=" + route
		w := get(h, target)
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("GET %s: %d, %d bytes", target, w.Code, w.Body.Len())
		}
		if strings.Contains(route, ".json") && (!json.Valid(w.Body.Bytes()) || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")) {
			t.Errorf("GET %s: %s %s", target, w.Header().Get("Content-Type"), w.Body)
		}
		checkHeaders(t, w)
		head := httptest.NewRecorder()
		h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, target, nil))
		if head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("Content-Type") != w.Header().Get("Content-Type") {
			t.Errorf("HEAD %s: %d, %d bytes, %s", target, head.Code, head.Body.Len(), head.Header())
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader("x")))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow: %q", method, target, w.Code, w.Header().Get("Allow"))
			}
			checkHeaders(t, w)
		}
	}
}

// checkHeaders checks the headers that every response must have.
func checkHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy has no %s: %s", want, policy)
		}
	}
	for _, bad := range []string{"unsafe", "*", "http", "data:", "blob:"} {
		if strings.Contains(policy, bad) {
			t.Errorf("the policy has %s: %s", bad, policy)
		}
	}
}

// TestFiles checks the size of the page's files, and that they have nothing that the policy or
// the rules of the page forbid.
func TestFiles(t *testing.T) {
	const most = 40 << 10
	size := 0
	for _, name := range []string{"page.html", "page.css", "page.js", "icon.svg"} {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		size += len(content)
		text := string(content)
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=", "onclick=", "javascript:", "localStorage", "setAttribute('style"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		for _, url := range regexp.MustCompile(`https?://[^"' ]*`).FindAllString(text, -1) {
			if url != "http://www.w3.org/2000/svg" { // the name of a language, which nothing loads
				t.Errorf("%s has %s", name, url)
			}
		}
	}
	if size > most {
		t.Errorf("the files have %d bytes, more than %d", size, most)
	}
}

// TestGzip serves the page behind a simple middleware that compresses.
func TestGzip(t *testing.T) {
	h := newPage(t, &view{name: "app.db"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z := gzip.NewWriter(w)
		defer z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		h.ServeHTTP(gzipped{w, z}, r)
	}))
	defer server.Close()
	res, err := http.Get(server.URL + "/state.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || !json.Valid(body) {
		t.Errorf("%q, %v", body, err)
	}
}

type gzipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (g gzipped) Write(p []byte) (int, error) { return g.z.Write(p) }

// TestShutdown shuts a server down while a viewer polls with connections that stay open.
func TestShutdown(t *testing.T) {
	server := httptest.NewServer(newPage(t, &view{name: "app.db"}))
	defer server.Close()
	for _, route := range routes {
		res, err := server.Client().Get(server.URL + "/?file=" + route)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	began := time.Now()
	if err := server.Config.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Shutdown took %v", took)
	}
}
