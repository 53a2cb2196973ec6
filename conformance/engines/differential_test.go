package engines_test

import (
	"database/sql"
	"testing"
	"testing/synctest"

	"github.com/ngrok/sqlmw"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A way is a way in which a program opens its database.
type way struct {
	name string
	open func(site) (*sql.DB, error)
}

var (
	byConnector = way{"a connector", func(s site) (*sql.DB, error) { return sql.OpenDB(s.connector), nil }}
	byDriver    = way{"a driver", func(s site) (*sql.DB, error) { return open(s.driver, s.dsn) }}
)

// wrapped returns the way to the same database through package wrap.
func wrapped(w way, cfg wrap.Config) way {
	if w.name == byConnector.name {
		return way{w.name, func(s site) (*sql.DB, error) {
			return sql.OpenDB(wrap.NewConnector(s.connector, cfg)), nil
		}}
	}
	return way{w.name, func(s site) (*sql.DB, error) { return open(wrap.NewDriver(s.driver, cfg), s.dsn) }}
}

// play plays a program in its own synctest bubble, where time passes only when all goroutines
// are blocked. It returns the transcript.
func play(t *testing.T, e engine, p program, w way) []entry {
	log := &transcript{}
	s := e.start(t, log)
	synctest.Test(t, func(t *testing.T) {
		db, err := w.open(s)
		if err != nil {
			t.Fatal(err)
		}
		r := &run{transcript: log, t: t, site: s, db: db}
		r.renew()
		p.play(r)
		r.cancel()
		r.say("the end: %s", showErr(db.Close()))
		synctest.Wait()
	})
	return log.all()
}

// TestDifferential plays every program on every engine, bare and wrapped.
func TestDifferential(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			for _, p := range e.programs {
				t.Run(p.name, func(t *testing.T) {
					for _, w := range []way{byConnector, byDriver} {
						compare(t, e, p, w)
					}
				})
			}
		})
	}
}

// compare plays a program bare, and wrapped in three ways.
func compare(t *testing.T, e engine, p program, w way) {
	bare := play(t, e, p, w)
	if len(of(bare, byProgram)) < 2 {
		t.Errorf("this program is not a valid test: it sees almost nothing")
	}
	if again := play(t, e, p, w); difference(bare, again) != "" {
		t.Fatalf("this program is not a valid test: two runs on the bare driver differ\n%s", difference(bare, again))
	}
	source := tracing.Source{System: e.system, Classify: e.classify}
	check := func(how string, cfg wrap.Config) {
		t.Helper()
		got := play(t, e, p, wrapped(w, cfg))
		want := bare
		if p.cancelsTx && e.discards {
			if difference(want, got) == "" {
				t.Errorf("by %s, %s: no difference, so remove the exception %q", w.name, how, p.name)
			}
			want, got = of(want, byProgram, byServer), of(got, byProgram, byServer)
		}
		if d := difference(want, got); d != "" {
			t.Errorf("by %s, the driver wrapped %s must behave like the bare one\n%s", w.name, how, d)
		}
	}
	check("without spans", wrap.Config{Source: source})

	spans := tracetest.NewSpanRecorder()
	check("with spans", wrap.Config{Source: source, Tracing: newTracer(t, spans)})
	checkSpans(t, spans, e.system)

	if !p.scansItself {
		check("with interceptors", wrap.Config{Source: source, Interceptors: []sqlmw.Interceptor{sqlmw.NullInterceptor{}, sqlmw.NullInterceptor{}}})
	}
}
