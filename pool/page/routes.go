package page

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
)

const (
	typeJSON = "application/json; charset=utf-8"
	typeText = "text/plain; charset=utf-8"
)

// A router serves the files of the page.
type router struct {
	names      *names
	state      shared[*snapshot]
	statements shared[takenStatements]
}

func newRouter(pools func() []core.View, tracer *tracing.Tracer, traceURL string, n *names) *router {
	rt := &router{names: n}
	rt.state.build = func() *snapshot { return takeSnapshot(pools(), traceURL, n) }
	rt.statements.build = func() takenStatements { return takeStatements(tracer.Statements(), n) }
	return rt
}

// serve answers an allowed GET or HEAD.
func (rt *router) serve(w http.ResponseWriter, r *http.Request) {
	name := fileOf(r)
	if a, ok := assets[name]; ok {
		reply(w, r, a.mediaType, a.content)
		return
	}
	data, ok := dataRoutes[name]
	switch {
	case !ok:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case isFromOtherSite(r):
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	body, err := data.read(rt, r)
	switch {
	case err == errNotFound:
		http.Error(w, "not found", http.StatusNotFound)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "too slow", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "internal error", http.StatusInternalServerError)
	default:
		reply(w, r, data.mediaType, body)
	}
}

// fileOf returns the file that is requested: that in the query, or else the end of the path. The
// handler does not know where it is mounted, so any other path is that of the page.
func fileOf(r *http.Request) string {
	if name := r.URL.Query().Get("file"); name != "" {
		return name
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	_, isAsset := assets[name]
	_, isData := dataRoutes[name]
	switch {
	case isAsset, isData, name == "favicon.ico", name == "robots.txt": // browsers and crawlers ask for these
		return name
	}
	return pageFile
}

// reply writes a body. It leaves the Content-Length to the server, because middleware that
// compresses the body might not correct it.
func reply(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means that the client has gone
	}
}

var errNotFound = errors.New("not found")

// A dataRoute is a file that is made for each request.
type dataRoute struct {
	mediaType string
	read      func(*router, *http.Request) ([]byte, error)
}

var dataRoutes = map[string]dataRoute{
	"state.json":      {typeJSON, (*router).stateJSON},
	"state.txt":       {typeText, (*router).stateText},
	"pool.json":       {typeJSON, (*router).poolJSON},
	"events.json":     {typeJSON, (*router).eventsJSON},
	"statements.json": {typeJSON, (*router).statementsJSON},
	"plan.json":       {typeJSON, (*router).planJSON},
}

func (rt *router) stateJSON(r *http.Request) ([]byte, error) {
	s, err := rt.state.get(r.Context())
	if err != nil {
		return nil, err
	}
	return s.json, nil
}

func (rt *router) stateText(r *http.Request) ([]byte, error) {
	s, err := rt.state.get(r.Context())
	if err != nil {
		return nil, err
	}
	taken, err := rt.statements.get(r.Context())
	if err != nil {
		return nil, err
	}
	return s.text(&taken, rt.names), nil
}

func (rt *router) poolJSON(r *http.Request) ([]byte, error) {
	_, p, err := rt.poolOf(r)
	if err != nil {
		return nil, err
	}
	return marshal(detailOf(p, rt.names))
}

// poolOf returns the pool that a request is about: the first one, if it names none.
func (rt *router) poolOf(r *http.Request) (*snapshot, *taken, error) {
	s, err := rt.state.get(r.Context())
	if err != nil {
		return nil, nil, err
	}
	id := r.URL.Query().Get("pool")
	for i := range s.pools {
		if p := &s.pools[i]; id == "" || p.id == id {
			return s, p, nil
		}
	}
	return nil, nil, errNotFound
}

func (rt *router) eventsJSON(r *http.Request) ([]byte, error) {
	s, p, err := rt.poolOf(r)
	if err != nil {
		return nil, err
	}
	after, err := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if err != nil { // absent, or no number
		after = 0
	}
	return marshal(eventsAfter(p, s.eventsOf(p), after))
}

func (rt *router) statementsJSON(r *http.Request) ([]byte, error) {
	taken, err := rt.statements.get(r.Context())
	return taken.json, err
}

func (rt *router) planJSON(r *http.Request) ([]byte, error) {
	taken, err := rt.statements.get(r.Context())
	if err != nil {
		return nil, err
	}
	if plan := taken.plans[r.URL.Query().Get("id")]; plan != nil {
		return marshal(planOf(plan))
	}
	return marshal(nil) // not 404, because browsers report that as an error of the page
}
