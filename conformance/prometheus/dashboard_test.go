package prometheus

import (
	"encoding/json"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A dashboard is what the tests read of Grafana's JSON.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  *datasource
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []target
}

type target struct {
	RefID        string
	Datasource   *datasource
	Expr         string
	LegendFormat string
}

type variable struct {
	Name, Type, Definition string
	Query                  any
	Datasource             *datasource
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// inBubble runs f with simulated time.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// busyService returns a service that has run for some minutes, with every kind of trouble that has
// a series of its own.
func busyService(t *testing.T) *service {
	t.Helper()
	s := newService(t, pool.Config{AcquireTimeout: time.Second})
	s.run(5*time.Minute, func() {
		s.work()
		s.fail()
		s.timeOut()
	})
	return s
}

// expanded returns an expression or a legend as Grafana sends it, with all pools and databases.
var expanded = strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$database", ".*", "$pool", ".*").Replace

var inLegend = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// TestDashboardExpressions checks that each panel shows something, and that its expressions and
// legends have only metrics and labels that exist.
func TestDashboardExpressions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := busyService(t)
		defer s.stop()
		for _, p := range readDashboard(t).Panels {
			for _, target := range p.Targets {
				expr := expanded(target.Expr)
				for _, wrong := range s.mistakes(expr) {
					t.Errorf("panel %q: %s: in %s", p.Title, wrong, expr)
				}
				result := s.query(t, expr)
				if !slices.ContainsFunc(result, func(s promql.Sample) bool { return !math.IsNaN(s.F) }) {
					t.Errorf("panel %q: there is no number in the result of %s: %v", p.Title, expr, result)
				}
				for _, name := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
					found := false
					for _, sample := range result {
						found = found || sample.Metric.Has(name[1])
					}
					if !found {
						t.Errorf("panel %q: no result has the label %s of its legend", p.Title, name[1])
					}
				}
			}
		}
	})
}

// labelValues matches the query of a variable.
var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// TestDashboardVariables checks that the data source and the pool can be chosen, and that the
// queries of variables have results.
func TestDashboardVariables(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := busyService(t)
		defer s.stop()
		seen := make(map[string]bool)
		for _, v := range readDashboard(t).Templating.List {
			seen[v.Name] = true
			if v.Type == "datasource" {
				if v.Query != "prometheus" {
					t.Errorf("the variable %s is a %v", v.Name, v.Query)
				}
				continue
			}
			if v.Datasource == nil || v.Datasource.UID != "${datasource}" {
				t.Errorf("the variable %s has another data source", v.Name)
			}
			if q, _ := v.Query.(map[string]any); q["query"] != v.Definition {
				t.Errorf("the variable %s has two queries, %v and %s", v.Name, v.Query, v.Definition)
			}
			parts := labelValues.FindStringSubmatch(expanded(v.Definition))
			if parts == nil {
				t.Errorf("the variable %s is %s", v.Name, v.Definition)
				continue
			}
			for _, wrong := range s.mistakes("sum by (" + parts[2] + ") (" + parts[1] + ")") {
				t.Errorf("the variable %s: %s", v.Name, wrong)
			}
		}
		for _, name := range []string{"datasource", "database", "pool"} {
			if !seen[name] {
				t.Errorf("there is no variable %s", name)
			}
		}
	})
}

// TestDashboardLayout checks what Grafana needs to show the panels, and what people need to read
// them.
func TestDashboardLayout(t *testing.T) {
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 39 || len(d.Panels) < 20 {
		t.Errorf("the dashboard %q, %q has the schema %d and %d panels", d.Title, d.UID, d.SchemaVersion, len(d.Panels))
	}
	ids := make(map[int]string)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if other, ok := ids[p.ID]; ok || p.ID <= 0 {
			t.Errorf("the panels %q and %q have the id %d", other, p.Title, p.ID)
		}
		ids[p.ID] = p.Title
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panel %q overlaps %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q has no unit, no description or no expression", p.Title)
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if refs[target.RefID] || target.RefID == "" {
				t.Errorf("panel %q has two expressions %q", p.Title, target.RefID)
			}
			refs[target.RefID] = true
			for _, ds := range []*datasource{p.Datasource, target.Datasource} {
				if ds == nil || ds.Type != "prometheus" || ds.UID != "${datasource}" {
					t.Errorf("panel %q has the data source %+v", p.Title, ds)
				}
			}
		}
	}
}
