package prometheus

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/prometheus/common/model"
	promlabels "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// readAlerts reads the rules as Prometheus does.
func readAlerts(t *testing.T) (rules []rulefmt.Rule) {
	t.Helper()
	groups, errs := rulefmt.ParseFile("alerts.yml", false, model.LegacyValidation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// An alarm evaluates rules after each scrape, as Prometheus does.
type alarm struct {
	*service
	rules []rulefmt.Rule
	since map[string]time.Time // when a condition became true, by rule and labels
	fired map[string]string    // the description of each alert that has fired
}

func newAlarm(s *service, rules []rulefmt.Rule) *alarm {
	return &alarm{s, rules, make(map[string]time.Time), make(map[string]string)}
}

// evaluate evaluates the rules now.
func (a *alarm) evaluate() {
	a.t.Helper()
	now := make(map[string]time.Time)
	for _, r := range a.rules {
		for _, sample := range a.query(a.t, r.Expr) {
			key := r.Alert + sample.Metric.String()
			since, ok := a.since[key]
			if !ok {
				since = time.Now()
			}
			now[key] = since
			if time.Since(since) >= time.Duration(r.For) {
				a.fired[r.Alert] = a.describe(r, sample)
			}
		}
	}
	a.since = now
}

// describe returns the summary and the description of an alert.
func (a *alarm) describe(r rulefmt.Rule, sample promql.Sample) string {
	a.t.Helper()
	of := make(map[string]string)
	sample.Metric.Range(func(l promlabels.Label) { of[l.Name] = l.Value })
	data := template.AlertTemplateData(of, nil, "", sample)
	texts := make([]string, 0, 2)
	for _, name := range []string{"summary", "description"} {
		text := "{{$labels := .Labels}}{{$value := .Value}}" + r.Annotations[name]
		out, err := template.NewTemplateExpander(context.Background(), text, r.Alert, data, model.Now(), nil, &url.URL{}, []string{"missingkey=error"}).Expand()
		if err != nil {
			a.t.Errorf("%s: %s: %v", r.Alert, name, err)
		}
		texts = append(texts, out)
	}
	return strings.Join(texts, "\n")
}

// A situation is what a program does, and which alerts that must cause. After it has ended, they
// must stop firing.
type situation struct {
	name   string
	config pool.Config
	lasts  time.Duration
	act    func(s *service) (each func(), end func()) // each is called after every scrape
	fires  []string
	stays  bool // it cannot end
}

var situations = []situation{
	{
		name: "all is well", config: pool.Config{LeakAfter: time.Minute}, lasts: 30 * time.Minute,
		act: func(s *service) (each, end func()) { return s.work, func() {} },
	},
	{
		name: "some calls violate constraints and some wait for a moment", lasts: 15 * time.Minute,
		act: func(s *service) (each, end func()) {
			return func() {
				s.work()
				s.fail()
				w := s.write()
				time.Sleep(100 * time.Millisecond)
				w.Close()
			}, func() {}
		},
	},
	{
		name: "callers wait", config: pool.Config{AcquireTimeout: time.Hour}, lasts: 6 * time.Minute,
		act: func(s *service) (each, end func()) {
			w := s.write()
			var waiters sync.WaitGroup
			waiters.Go(func() { s.exec("CREATE TABLE late(a)") })
			return func() {}, func() { w.Close(); waiters.Wait() }
		},
		fires: []string{"SqlitemwCallersWait"},
	},
	{
		name: "one acquire times out", config: pool.Config{AcquireTimeout: 2 * time.Second}, lasts: 6 * time.Minute,
		act: func(s *service) (each, end func()) {
			n := 0
			return func() {
				if n++; n == 12 {
					s.timeOut()
				}
			}, func() {}
		},
		fires: []string{"SqlitemwAcquireTimeouts"},
	},
	{
		name: "all connections are in use", config: pool.Config{MaxConns: 2}, lasts: 6 * time.Minute,
		act: func(s *service) (each, end func()) {
			w := s.write()
			r, err := s.p.AcquireRead(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			return func() {}, func() { w.Close(); r.Close() }
		},
		fires: []string{"SqlitemwPoolFull"},
	},
	{
		name: "acquires are slow", lasts: 12 * time.Minute,
		act: func(s *service) (each, end func()) {
			return func() {
				w := s.write()
				var waiters sync.WaitGroup
				waiters.Go(func() { s.exec("CREATE TABLE IF NOT EXISTS late(a)") })
				time.Sleep(2 * time.Second)
				w.Close()
				waiters.Wait()
			}, func() {}
		},
		fires: []string{"SqlitemwSlowAcquires"},
	},
	{
		name: "a reader is old", lasts: 4 * time.Minute,
		act: func(s *service) (each, end func()) {
			s.work()
			rows := s.read()
			return func() {}, func() { rows.Close() }
		},
		fires: []string{"SqlitemwOldReader"},
	},
	{
		name: "the WAL grows under a reader", config: pool.Config{JournalSizeLimit: 1}, lasts: 12 * time.Minute,
		act: func(s *service) (each, end func()) {
			s.work()
			rows := s.read()
			return func() { s.exec("INSERT INTO orders(what) VALUES (hex(zeroblob(100000)))") }, func() { rows.Close() }
		},
		fires: []string{"SqlitemwDegraded", "SqlitemwOldReader", "SqlitemwWALTooLong"},
	},
	{
		name: "a connection leaks", config: pool.Config{LeakAfter: 30 * time.Second}, lasts: 3 * time.Minute,
		act: func(s *service) (each, end func()) {
			w := s.write()
			return func() {}, func() { w.Close() }
		},
		fires: []string{"SqlitemwLeak"},
	},
	{
		name: "the file is removed", lasts: 4 * time.Minute,
		act: func(s *service) (each, end func()) {
			s.work()
			if err := os.Remove(s.p.Config().Path); err != nil {
				s.t.Fatal(err)
			}
			return func() {}, func() {}
		},
		fires: []string{"SqlitemwDown"}, stays: true,
	},
	{
		name: "another process has the lock", config: pool.Config{BusyTimeout: time.Second}, lasts: 4 * time.Minute,
		act: func(s *service) (each, end func()) {
			n := 0
			return func() {
				if n++; n != 3 {
					return
				}
				if _, err := s.p.DB().ExecContext(s.t.Context(), "DELETE FROM t"); !errors.Is(err, sqlite3.BUSY) {
					s.t.Errorf("the database is not locked: %v", err)
				}
			}, func() {}
		},
		fires: []string{"SqlitemwBusyByOthers"},
	},
}

// read returns rows that are open.
func (s *service) read() *sql.Rows {
	s.t.Helper()
	rows, err := s.p.DB().QueryContext(s.t.Context(), "SELECT id FROM orders")
	if err != nil {
		s.t.Fatal(err)
	}
	if !rows.Next() {
		s.t.Fatal("there is no order")
	}
	return rows
}

// TestAlerts makes the condition of each alert true, and checks that it fires and that no other
// does. With a healthy pool none fires.
func TestAlerts(t *testing.T) {
	rules := readAlerts(t)
	causes := make(map[string]bool)
	for _, r := range rules {
		causes[r.Alert] = false
	}
	for _, c := range situations {
		for _, name := range c.fires {
			causes[name] = true
		}
		t.Run(c.name, func(t *testing.T) {
			if c.name == "another process has the lock" {
				c.config.Path = lockedByChild(t)
			}
			inBubble(t, func(t *testing.T) {
				s := newService(t, c.config)
				defer s.stop()
				a := newAlarm(s, rules)
				each, end := c.act(s)
				s.run(c.lasts, func() { a.evaluate(); each() })
				end()
				if s.run(10*time.Minute, a.evaluate); len(a.since) > 0 && !c.stays {
					t.Errorf("after it has ended, the conditions are still true: %v", a.since)
				}
				if got := slices.Sorted(maps.Keys(a.fired)); !slices.Equal(got, c.fires) {
					t.Errorf("%q fire, want %q", got, c.fires)
				}
				for name, text := range a.fired {
					if !strings.Contains(text, s.p.Name()) || !strings.Contains(text, "app:9464") {
						t.Errorf("the texts of %s do not name the pool and the instance: %s", name, text)
					}
					t.Logf("%s: %s", name, text)
				}
			})
		})
	}
	for name, ok := range causes {
		if !ok {
			t.Errorf("nothing makes %s fire", name)
		}
	}
}

// TestAlertTexts checks the expressions of the alerts, and what people need to act on them.
func TestAlertTexts(t *testing.T) {
	rules := readAlerts(t)
	inBubble(t, func(t *testing.T) {
		s := busyService(t)
		defer s.stop()
		names := make(map[string]bool)
		for _, r := range rules {
			if names[r.Alert] || !strings.HasPrefix(r.Alert, "Sqlitemw") {
				t.Errorf("the alert %q has the name of another one, or does not begin with Sqlitemw", r.Alert)
			}
			names[r.Alert] = true
			for _, wrong := range s.mistakes(r.Expr) {
				t.Errorf("%s: %s", r.Alert, wrong)
			}
			if s := r.Labels["severity"]; s != "warning" && s != "critical" {
				t.Errorf("%s has the severity %q", r.Alert, s)
			}
			if len(r.Annotations["summary"]) < 20 || len(r.Annotations["description"]) < 100 {
				t.Errorf("%s has no summary or no description: %v", r.Alert, r.Annotations)
			}
		}
	})
	text, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n        for: "); n != len(rules) {
		t.Errorf("%d of %d alerts say for how long their conditions must last", n, len(rules))
	}
}

// TestAlarm checks that the tests of the alerts notice an alert that always fires, and one that
// never does.
func TestAlarm(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newService(t, pool.Config{})
		defer s.stop()
		a := newAlarm(s, []rulefmt.Rule{
			{Alert: "Always", Expr: "db_client_connection_max > 0", For: model.Duration(time.Minute)},
			{Alert: "Later", Expr: "db_client_connection_max > 0", For: model.Duration(time.Hour)},
			{Alert: "Never", Expr: "db_client_connection_maximum > 0"},
		})
		s.run(5*time.Minute, a.evaluate)
		if _, ok := a.fired["Always"]; !ok || len(a.fired) != 1 {
			t.Errorf("%v fire", a.fired)
		}
	})
}

// childVar makes this test binary the process that locks a database. Its value is the path.
const childVar = "SQLITEMW_PROMETHEUS_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		if err := lock(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// lock keeps the write lock of a new database until the input ends.
func lock(path string) error {
	db, err := sql.Open(driver.Name, "file:"+filepath.ToSlash(path)+"?_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer db.Close()
	c, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer c.Close()
	for _, query := range []string{"CREATE TABLE t(a)", "BEGIN IMMEDIATE"} {
		if _, err := c.ExecContext(context.Background(), query); err != nil {
			return err
		}
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// lockedByChild returns a database that another process has locked until the test ends.
func lockedByChild(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "locked.db")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVar+"="+path)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process does not lock the database: %q, %v", line, err)
	}
	return path
}
