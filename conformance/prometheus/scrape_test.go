package prometheus

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	textFormat  = "text/plain;version=0.0.4"
	openMetrics = "application/openmetrics-text;version=1.0.0"
)

// scrape requests a format, as Prometheus does, and returns the response in it.
func scrape(t *testing.T, url, format string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", format)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(format, ";")
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) {
		t.Fatalf("%s is answered with %s, %s\n%s", format, res.Status, got, body)
	}
	return string(body)
}

// families are the scraped metrics, by name.
type families map[string]*dto.MetricFamily

func parse(t *testing.T, text string) families {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation) // the format that every version of Prometheus reads
	f, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return f
}

// series returns the metrics of a family, by the labels that they do not have in common.
func (f families) series(t *testing.T, name string, typ dto.MetricType, common labels) map[string]*dto.Metric {
	t.Helper()
	family := f[name]
	if family == nil {
		t.Fatalf("the family %s is missing", name)
	}
	if family.GetType() != typ {
		t.Fatalf("%s is a %s, want a %s", name, family.GetType(), typ)
	}
	if family.GetHelp() == "" {
		t.Errorf("%s has no help", name)
	}
	series := make(map[string]*dto.Metric)
	for _, m := range family.Metric {
		l, err := labelsOf(m).without(common)
		if err != nil {
			t.Fatalf("%s{%s}: %v", name, labelsOf(m), err)
		}
		series[l.String()] = m
	}
	return series
}

func labelsOf(m *dto.Metric) labels {
	l := make(labels)
	for _, pair := range m.Label {
		l[pair.GetName()] = pair.GetValue()
	}
	return l
}

// An exemplar is an example of the calls that a bucket counts.
type exemplar struct {
	labels labels // the bucket's, including le
	trace  string
	span   string
	value  float64
}

// bucketLine matches the line of a bucket: its labels, its count, and the exemplar after the #.
var bucketLine = regexp.MustCompile(`^(\w+)_bucket\{(.*?)\} \d+ # \{(.*?)\} (\S+) \S+$`)

var labelPair = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*")`)

// exemplars reads the exemplars of a histogram. Only Prometheus itself has a parser for the
// text format of OpenMetrics.
func exemplars(t *testing.T, text, name string) (found []exemplar) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, name+"_bucket{") || !strings.Contains(line, " # ") {
			continue
		}
		parts := bucketLine.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("unexpected line: %s", line)
		}
		value, err := strconv.ParseFloat(parts[4], 64)
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		of := pairs(t, parts[3])
		if len(of) != 2 || of["trace_id"] == "" || of["span_id"] == "" {
			t.Errorf("an exemplar has the labels {%s}, want trace_id and span_id: %s", of, line)
		}
		found = append(found, exemplar{pairs(t, parts[2]), of["trace_id"], of["span_id"], value})
	}
	return found
}

// pairs parses labels.
func pairs(t *testing.T, text string) labels {
	t.Helper()
	l := make(labels)
	for _, pair := range labelPair.FindAllStringSubmatch(text, -1) {
		value, err := strconv.Unquote(pair[2])
		if err != nil {
			t.Fatal(fmt.Errorf("%w in {%s}", err, text))
		}
		l[pair[1]] = value
	}
	return l
}
