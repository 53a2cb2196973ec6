package page

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Config configures [New]. Pools and Allow are required.
type Config struct {
	// Pools returns what the page shows, in this order. It is called at most every 250 ms, on the
	// goroutine of a request, and must not block. [List] returns such a function for pools that
	// stay the same. The method Views of a Manager is one for pools that come and go.
	Pools func() []core.View

	// Allow reports whether a request may be answered. It is called for each request before
	// anything else, and must be safe for concurrent use. [Loopback] and [Guarded] are ready-made.
	// If it returns false, the answer is 403 without a reason. If it panics, the request ends with
	// that panic.
	Allow func(*http.Request) bool

	// Tracer has the statistics by statement. Nil means [tracing.Default].
	Tracer *tracing.Tracer

	// TraceURL is the address of a trace for links, such as
	// "https://jaeger.example/trace/{trace}". It must be an http or https URL with {trace} in its
	// path, query or fragment. Empty means that traces are no links.
	TraceURL string

	// HideNames replaces the names of pools and owners by others, such as "pool 5f2c81". These stay
	// the same while the program runs. Names of databases, and everything in quotes in a reason, are
	// left out.
	HideNames bool
}

// New returns the handler of a page. It is safe for concurrent use, keeps no goroutine, and needs
// no end.
//
// New fails if Pools or Allow is nil, or if TraceURL is refused.
func New(cfg Config) (http.Handler, error) {
	var errs []error
	if cfg.Pools == nil {
		errs = append(errs, errors.New("page: Config.Pools is nil: use page.List(p), or the method Views of a pool.Manager"))
	}
	if cfg.Allow == nil {
		errs = append(errs, errors.New("page: Config.Allow is nil: use page.Loopback for requests of this machine, page.Guarded if the handler is behind authentication, or a function that decides"))
	}
	if err := checkTraceURL(cfg.TraceURL); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Tracer == nil {
		cfg.Tracer = tracing.Default()
	}
	return &handler{cfg.Allow, newRouter(cfg.Pools, cfg.Tracer, cfg.TraceURL, newNames(cfg.HideNames))}, nil
}

func checkTraceURL(template string) error {
	if template == "" {
		return nil
	}
	u, err := url.Parse(template)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(u.Host, traceParam) || u.User != nil:
		return errors.New(`page: Config.TraceURL is refused: use an http or https URL without a user, such as "https://jaeger.example/trace/{trace}"`)
	case !strings.Contains(template, traceParam):
		return fmt.Errorf("page: Config.TraceURL has no %s: write it where the ID of the trace belongs", traceParam)
	}
	return nil
}

// traceParam stands for the ID of a trace in Config.TraceURL.
const traceParam = "{trace}"

// List returns a function for Config.Pools that always returns these pools.
func List(pools ...core.View) func() []core.View {
	return func() []core.View { return pools }
}

// A handler decides which requests are answered.
type handler struct {
	allow  func(*http.Request) bool
	router *router
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	switch {
	case !h.allow(r):
		http.Error(w, "forbidden", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		h.router.serve(w, r)
	}
}
