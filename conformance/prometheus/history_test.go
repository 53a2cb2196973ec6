package prometheus

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// A history is what Prometheus has stored of one target.
type history struct {
	metrics http.Handler
	series  map[string]*promql.Series // by their labels
	engine  *promql.Engine
}

var promQL = parser.NewParser(parser.Options{})

func newHistory(metrics http.Handler) *history {
	return &history{
		metrics: metrics,
		series:  make(map[string]*promql.Series),
		engine:  promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promQL}),
	}
}

// scrape requests the metrics and stores them, as Prometheus does.
func (h *history) scrape(t *testing.T) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", textFormat)
	res := httptest.NewRecorder()
	h.metrics.ServeHTTP(res, req)
	if res.Code != http.StatusOK {
		t.Fatalf("the scrape is answered with %d: %s", res.Code, res.Body)
	}
	now := time.Now().UnixMilli()
	p, err := textparse.New(res.Body.Bytes(), res.Header().Get("Content-Type"), nil, textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var of promlabels.Labels
		p.Labels(&of)
		_, _, v := p.Series()
		of = promlabels.NewBuilder(of).Set("job", "app").Set("instance", "app:9464").Labels()
		s := h.series[of.String()]
		if s == nil {
			s = &promql.Series{Metric: of}
			h.series[of.String()] = s
		}
		s.Floats = append(s.Floats, promql.FPoint{T: now, F: v})
	}
	for _, s := range h.series {
		if s.Floats[len(s.Floats)-1].T != now { // it has ended
			s.Floats = append(s.Floats, promql.FPoint{T: now, F: math.Float64frombits(value.StaleNaN)})
		}
	}
}

// query evaluates an expression now.
func (h *history) query(t *testing.T, expr string) promql.Vector {
	t.Helper()
	q, err := h.engine.NewInstantQuery(t.Context(), h, nil, expr, time.Now())
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	res := q.Exec(t.Context())
	if len(res.Warnings) > 0 {
		t.Errorf("%s: %v", expr, res.Warnings)
	}
	v, err := res.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(v)
}

// Querier implements [storage.Queryable].
func (h *history) Querier(_, _ int64) (storage.Querier, error) { return querier{h}, nil }

type querier struct{ *history }

// Select implements [storage.Querier].
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*promlabels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, s := range q.series {
		if !slices.ContainsFunc(matchers, func(m *promlabels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
			set.series = append(set.series, promql.NewStorageSeries(*s))
		}
	}
	slices.SortFunc(set.series, func(a, b storage.Series) int { return promlabels.Compare(a.Labels(), b.Labels()) })
	return set
}

// LabelValues implements [storage.Querier]. The engine does not call it.
func (q querier) LabelValues(context.Context, string, *storage.LabelHints, ...*promlabels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.ErrUnsupported
}

// LabelNames implements [storage.Querier]. The engine does not call it.
func (q querier) LabelNames(context.Context, *storage.LabelHints, ...*promlabels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.ErrUnsupported
}

// Close implements [storage.Querier].
func (q querier) Close() error { return nil }

// A seriesSet iterates over series.
type seriesSet struct {
	series []storage.Series
	at     storage.Series
}

// Next implements [storage.SeriesSet].
func (s *seriesSet) Next() bool {
	if len(s.series) == 0 {
		return false
	}
	s.at, s.series = s.series[0], s.series[1:]
	return true
}

// At implements [storage.SeriesSet].
func (s *seriesSet) At() storage.Series { return s.at }

// Err implements [storage.SeriesSet].
func (s *seriesSet) Err() error { return nil }

// Warnings implements [storage.SeriesSet].
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
