package browser_test

import (
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/page"
)

// TestMounts opens the page wherever it may be mounted.
func TestMounts(t *testing.T) {
	s := play(t)
	h := newPage(t, page.Config{Pools: page.List(s.pool), Allow: page.Loopback})
	for name, tc := range map[string]struct {
		pattern string
		handler http.Handler
		at      string
	}{
		"prefix":               {"/debug/sql/", h, "/debug/sql/"},
		"prefix, no slash":     {"/debug/sql/", h, "/debug/sql"},
		"stripped":             {"/debug/sql/", http.StripPrefix("/debug/sql", h), "/debug/sql/"},
		"stripped with slash":  {"/debug/sql/", http.StripPrefix("/debug/sql/", h), "/debug/sql/"},
		"one path":             {"/debug/sql", h, "/debug/sql"},
		"one path, stripped":   {"/debug/sql", http.StripPrefix("/debug/sql", h), "/debug/sql"},
		"root":                 {"/", h, "/"},
		"query of its own":     {"/debug/sql/", h, "/debug/sql/?a=b#c"},
		"as a file of its own": {"/debug/sql/", h, "/debug/sql/page.html"},
		"gzip":                 {"/debug/sql/", compressed(h), "/debug/sql/"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openTab(t)
			b.open(serveHandler(b, tc.pattern, tc.handler).URL + tc.at)
			b.await(rows("waiters") + ".length === 3 && " + rows("events") + ".length > 0 && " + rows("settings") + ".length > 0")
			if display := eval[string](b, "getComputedStyle(document.querySelector('header')).display"); display != "flex" {
				t.Errorf("the page has no style: %s", display)
			}
		})
	}
}

// compressed is a simple middleware.
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z := gzip.NewWriter(w)
		defer z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		h.ServeHTTP(compressor{w, z}, r)
	})
}

type compressor struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (c compressor) Write(p []byte) (int, error) { return c.z.Write(p) }

// TestBasicAuth opens the page behind authentication, with the password in the address.
func TestBasicAuth(t *testing.T) {
	b := openTab(t)
	h := newPage(t, page.Config{Pools: page.List(play(t).pool), Allow: page.Guarded})
	server := serveHandler(b, "/debug/sql/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ops" || password != "letmein" {
			w.Header().Set("WWW-Authenticate", `Basic realm="sql"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	b.open(strings.Replace(server.URL, "http://", "http://ops:letmein@", 1) + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3")
}

// TestRefused checks what a browser is refused: a rebound name, other methods, another site's
// requests for data, and a frame.
func TestRefused(t *testing.T) {
	server := serve(openTab(t), play(t).pool)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("rebinding", func(t *testing.T) {
		b := openTab(t)
		b.open("http://" + other + ":" + address.Port() + "/debug/sql/")
		if text := eval[string](b, "document.body.innerText"); strings.TrimSpace(text) != "forbidden" {
			t.Errorf("another name shows %q", text)
		}
		b.takeFaults() // the 403
	})
	t.Run("POST", func(t *testing.T) {
		b := openTab(t)
		b.open(server.URL + "/debug/sql/")
		if code := eval[int](b, "fetch(location.href, {method: 'POST', body: 'x'}).then(r => r.status)"); code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", code)
		}
		b.takeFaults() // the 405
	})
	t.Run("other site", func(t *testing.T) {
		b := openTab(t)
		target := server.URL + "/debug/sql/?file=pool.json"
		evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<!doctype html><title>evil</title><iframe src=\"" + server.URL + "/debug/sql/\"></iframe><script>" +
				"done = fetch('" + target + "', {mode: 'no-cors'}).then(() => true, () => true)</script>"))
		}))
		defer evil.Close()
		at, err := url.Parse(evil.URL)
		if err != nil {
			t.Fatal(err)
		}
		before := len(server.of("state.json"))
		b.open("http://" + other + ":" + at.Port() + "/")
		eval[bool](b, "done")
		if got := server.of("pool.json"); slices.Contains(got[len(got)-1:], http.StatusOK) {
			t.Errorf("another site's request is answered: %v", got)
		}
		time.Sleep(500 * time.Millisecond)
		if n := len(server.of("state.json")); n > before {
			t.Errorf("the page runs in a frame of another site: %d requests", n-before)
		}
		b.takeFaults() // what Chromium says about the refusals
	})
}

// TestShutdown shuts the server down while the page is open. The page then says so.
func TestShutdown(t *testing.T) {
	b := openTab(t)
	server := serve(b, play(t).pool)
	b.open(server.URL + "/debug/sql/")
	b.await(rows("waiters") + ".length === 3")
	time.Sleep(time.Second) // a refresh is done
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Shutdown took %v", took)
	}
	b.await("document.getElementById('status').innerText === 'failed: the program does not answer'")
	b.takeFaults() // the failed requests
}
