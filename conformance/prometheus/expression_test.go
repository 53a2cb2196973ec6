package prometheus

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Labels that a scrape has besides those of the metrics: Prometheus adds the first two.
var always = map[string]bool{"job": true, "instance": true}

// mistakes returns what is wrong with an expression: metrics and labels that were never scraped,
// and values that a label never had.
func (h *history) mistakes(expr string) (wrong []string) {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			known := h.labelsOf(n.Name)
			if known == nil {
				say("there is no metric %s", n.Name)
				return nil
			}
			for _, m := range n.LabelMatchers {
				if m.Name == model.MetricNameLabel {
					continue
				}
				if known[m.Name] == nil && !always[m.Name] {
					say("%s has no label %s", n.Name, m.Name)
					continue
				}
				for _, value := range valuesOf(m) {
					if !known[m.Name][value] {
						say("%s of %s is never %q", m.Name, n.Name, value)
					}
				}
			}
		case *parser.AggregateExpr:
			for _, of := range selectors(n.Expr) {
				known := h.labelsOf(of.Name)
				for _, name := range n.Grouping {
					if known != nil && known[name] == nil && !always[name] {
						say("%s has no label %s", of.Name, name)
					}
				}
			}
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil && len(m.MatchingLabels)+len(m.Include) > 0 {
				say("on, ignoring and group are not checked: aggregate both sides by the same labels")
			}
		}
		return nil
	})
	return wrong
}

// valuesOf returns the values that a matcher names. It returns none for a pattern, or if the
// matcher excludes values.
func valuesOf(m *promlabels.Matcher) []string {
	switch {
	case m.Type == promlabels.MatchEqual:
		return []string{m.Value}
	case m.Type == promlabels.MatchRegexp && regexp.MustCompile(`^[\w |]+$`).MatchString(m.Value):
		return strings.Split(m.Value, "|")
	}
	return nil
}

// labelsOf returns the labels of a metric and their values; nil if it was never scraped.
func (h *history) labelsOf(metric string) map[string]map[string]bool {
	var known map[string]map[string]bool
	for _, s := range h.series {
		if s.Metric.Get(model.MetricNameLabel) != metric {
			continue
		}
		if known == nil {
			known = make(map[string]map[string]bool)
		}
		s.Metric.Range(func(l promlabels.Label) {
			if known[l.Name] == nil {
				known[l.Name] = make(map[string]bool)
			}
			known[l.Name][l.Value] = true
		})
	}
	return known
}

// selectors returns the selectors of an expression.
func selectors(expr parser.Expr) (found []*parser.VectorSelector) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			found = append(found, v)
		}
		return nil
	})
	return found
}

// TestMistakes checks that mistakes in expressions are found.
func TestMistakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := busyService(t)
		defer s.stop()
		for expr, want := range map[string]string{
			"sum(sqlitemw_wal_size_bytes) > 0":                                                      "",
			"sum(sqlitemw_wal_size_byte) > 0":                                                       "there is no metric sqlitemw_wal_size_byte",
			"sum(sqlitemw_wal_size_bytes > 0":                                                       "1:32: parse error: unclosed left parenthesis",
			`sqlitemw_pool_status{sqlitemw_pool_stat="ok"}`:                                         "sqlitemw_pool_status has no label sqlitemw_pool_stat",
			`sqlitemw_pool_status{sqlitemw_pool_state="okay"}`:                                      `sqlitemw_pool_state of sqlitemw_pool_status is never "okay"`,
			`sqlitemw_busy_failures_total{sqlite_busy_reason=~"other process|another process"}`:     `sqlite_busy_reason of sqlitemw_busy_failures_total is never "another process"`,
			"sum by (pool) (db_client_connection_max)":                                              "db_client_connection_max has no label pool",
			"sum without (pool) (rate(sqlitemw_wal_syncs_total[5m]))":                               "sqlitemw_wal_syncs_total has no label pool",
			"db_client_connection_count / on (job) group_left db_client_connection_max":             "on, ignoring and group are not checked: aggregate both sides by the same labels",
			"sum by (job, instance, db_client_connection_pool_name, le) (db_client_connection_max)": "db_client_connection_max has no label le",
		} {
			if got := strings.Join(s.mistakes(expr), "; "); got != want {
				t.Errorf("%s has the mistakes\n\t%s\nwant\n\t%s", expr, got, want)
			}
		}
	})
}
