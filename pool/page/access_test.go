package page_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/pool/page"
)

func TestLoopback(t *testing.T) {
	type request struct {
		local, remote, host string
		header              string
		want                bool
	}
	for name, tc := range map[string]request{
		"IPv4":              {"127.0.0.1:8080", "127.0.0.1:50000", "127.0.0.1:8080", "", true},
		"name":              {"127.0.0.1:8080", "127.0.0.1:50000", "localhost:8080", "", true},
		"name of old":       {"127.0.0.1:8080", "127.0.0.1:50000", "LOCALHOST.:8080", "", true},
		"below localhost":   {"127.0.0.1:8080", "127.0.0.1:50000", "app.localhost:8080", "", true},
		"no port":           {"127.0.0.1:80", "127.0.0.1:50000", "localhost", "", true},
		"IPv6":              {"[::1]:8080", "[::1]:50000", "[::1]:8080", "", true},
		"IPv6 without port": {"[::1]:80", "[::1]:50000", "[::1]", "", true},
		"mapped":            {"[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.1]:50000", "127.0.0.1:8080", "", true},
		"all of 127/8":      {"127.0.0.2:8080", "127.9.9.9:50000", "127.0.0.2:8080", "", true},

		"other machine":        {"192.0.2.1:8080", "192.0.2.7:50000", "192.0.2.1:8080", "", false},
		"other machine, Host":  {"192.0.2.1:8080", "192.0.2.7:50000", "localhost:8080", "", false},
		"own public address":   {"192.0.2.1:8080", "192.0.2.1:50000", "localhost:8080", "", false},
		"remote only":          {"192.0.2.1:8080", "127.0.0.1:50000", "localhost:8080", "", false},
		"rebinding":            {"127.0.0.1:8080", "127.0.0.1:50000", "evil.example:8080", "", false},
		"rebinding, like":      {"127.0.0.1:8080", "127.0.0.1:50000", "localhost.evil.example", "", false},
		"rebinding, end":       {"127.0.0.1:8080", "127.0.0.1:50000", "evillocalhost", "", false},
		"rebinding, number":    {"127.0.0.1:8080", "127.0.0.1:50000", "127.0.0.1.evil.example", "", false},
		"no Host":              {"127.0.0.1:8080", "127.0.0.1:50000", "", "", false},
		"no remote":            {"127.0.0.1:8080", "", "localhost", "", false},
		"Unix socket":          {"/tmp/socket", "@", "localhost", "", false},
		"no local address":     {"", "127.0.0.1:50000", "localhost", "", false},
		"any address":          {"0.0.0.0:8080", "127.0.0.1:50000", "localhost", "", false},
		"Host is any address":  {"127.0.0.1:8080", "127.0.0.1:50000", "0.0.0.0:8080", "", false},
		"Forwarded":            {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "Forwarded", false},
		"X-Forwarded-For":      {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "X-Forwarded-For", false},
		"X-Forwarded-Proto":    {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "X-Forwarded-Proto", false},
		"X-Forwarded-Anything": {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "x-forwarded-anything", false},
		"X-Real-IP":            {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "X-Real-IP", false},
		"Via":                  {"127.0.0.1:8080", "127.0.0.1:50000", "localhost", "Via", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Host, r.RemoteAddr = tc.host, tc.remote
			if tc.local != "" {
				r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, address(tc.local)))
			}
			if tc.header != "" {
				r.Header[tc.header] = []string{""} // as it comes, also if it is not canonical
			}
			if got := page.Loopback(r); got != tc.want {
				t.Errorf("Loopback returns %v for %+v", got, tc)
			}
			if !page.Guarded(r) {
				t.Error("Guarded returns false")
			}
		})
	}
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

var _ net.Addr = address("")

// TestLoopbackServer checks Loopback in a real server: it lets in this machine, but not under a
// name that was pointed at it.
func TestLoopbackServer(t *testing.T) {
	server := httptest.NewServer(configured(t, page.Config{Pools: page.List(&view{}), Allow: page.Loopback}))
	defer server.Close()
	for host, want := range map[string]int{"": http.StatusOK, "rebound.example": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/state.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("Host %q: %s", host, res.Status)
		}
	}
}

// TestAllow checks that Allow is asked first, for each route and method, and that what it says is
// done.
func TestAllow(t *testing.T) {
	v := &view{name: "secret-name"}
	asked := 0
	h := configured(t, page.Config{Pools: page.List(v), Allow: func(r *http.Request) bool {
		asked++
		if r.Header.Get("X-Panic") != "" {
			panic("Allow has failed")
		}
		return false
	}})
	n := 0
	for _, route := range append(routes, "nothing") {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			n++
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, "/?file="+route, nil))
			if w.Code != http.StatusForbidden || strings.TrimSpace(w.Body.String()) != "forbidden" {
				t.Errorf("%s %s: %d %q", method, route, w.Code, w.Body)
			}
			checkHeaders(t, w)
		}
	}
	if asked != n || v.reads.Load() > 0 {
		t.Errorf("Allow was called %d times for %d requests; the pool was read %d times", asked, n, v.reads.Load())
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/state.json", nil)
	r.Header.Set("X-Panic", "yes")
	func() {
		defer func() {
			if v := recover(); v != "Allow has failed" {
				t.Errorf("the panic is %v", v)
			}
		}()
		h.ServeHTTP(w, r)
	}()
	if w.Body.Len() > 0 || v.reads.Load() > 0 {
		t.Errorf("after a panic: %q, %d reads", w.Body, v.reads.Load())
	}
}

// TestOtherSites checks that data is refused to other sites, and the page is not.
func TestOtherSites(t *testing.T) {
	h := newPage(t, &view{name: "app.db"})
	for site, refused := range map[string]bool{"": false, "none": false, "same-origin": false, "same-site": true, "cross-site": true, "anything": true} {
		for _, route := range routes {
			r := httptest.NewRequest(http.MethodGet, "/?file="+route, nil)
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			isData := strings.Contains(route, "json") || strings.Contains(route, "txt")
			if got := w.Code == http.StatusForbidden; got != (refused && isData) {
				t.Errorf("%s, Sec-Fetch-Site %q: %d", route, site, w.Code)
			}
		}
	}
}
