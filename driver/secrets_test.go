package driver_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// Nothing exported shows a literal, comment or argument of a statement, whatever the
// statement is and whatever its result. Nothing exported, and no error, shows a secret of
// the DSN, wherever it is.
//
// A query that binds arguments is shown as it is written, which is the default of the
// conventions. Its literals are secret only with QueryTextSanitized, and in statements that
// take keys.
func FuzzSecrets(f *testing.F) {
	for seed := range uint64(150) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := &secretive{Rand: rand.New(rand.NewPCG(seed, 0)), dir: t.TempDir()}
		var log eventLog
		tel := newTelemetry(t)
		tel.ReturnedRows = true
		tel.SlowCall = 1 // every call is logged
		tel.LogArgument = func(any) (string, bool) { return "", false }
		tel.QueryText = tracing.QueryText(g.IntN(3))
		g.sanitized = tel.QueryText != tracing.QueryTextSafe
		db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t), Recorder: &log, Init: callable})
		db.SetMaxOpenConns(1)
		db.Exec("CREATE TABLE t(a, b UNIQUE)")
		ctx := tel.program(t)
		var texts []string
		for range 20 {
			text, args := g.statement()
			texts = append(texts, text)
			g.play(ctx, db, text, args)
		}
		db.Close()
		out := strings.ToLower(tel.exported(t) + fmt.Sprintf("%+v", log.events))
		for _, secret := range g.secrets {
			if i := strings.Index(out, strings.ToLower(secret)); i >= 0 {
				t.Errorf("%s is exported: … %s …\nstatements:\n%s", secret,
					out[max(0, i-200):min(len(out), i+200)], strings.Join(texts, "\n"))
				return
			}
		}
		w := newWitness(t)
		for range 5 {
			dsn, secret := g.dsn()
			w.play(t, dsn, secret)
		}
	})
}

// dsn returns a DSN that holds a secret and has one more error.
func (g *secretive) dsn() (name, secret string) {
	secret = fmt.Sprintf("s3cr3t%dx%d", g.IntN(1e6), g.IntN(1e6))
	for ok := false; !ok; {
		name, ok = secretDSN(g.pick(secretDSNs...), secret, g.IntN(20), g.IntN(dsnForms))
	}
	if at := g.IntN(len(name)); at > len("file:x.db") && g.IntN(2) == 0 {
		if i := strings.Index(name, secret); i < 0 || at <= i || at >= i+len(secret) {
			skip := g.IntN(2)
			name = name[:at] + g.pick("", "?", "&", "=", ";", ",", "#", "%", "%00", "\n", "'", "(", ")", ".", "_", "=key=") + name[min(at+skip, len(name)):]
		}
	}
	return name, secret
}

// exported returns everything that is exported, as text.
func (tel *telemetry) exported(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, s := range tel.spans.take() {
		span := s.Span.(sdktrace.ReadOnlySpan)
		fmt.Fprintln(&b, span.Name(), span.Status(), span.Events(), span.Links(), span.SpanContext().TraceState())
		for _, kv := range span.Attributes() {
			fmt.Fprintln(&b, kv.Key, kv.Value.String())
		}
	}
	metrics, err := json.Marshal(tel.collect(t).ResourceMetrics)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(metrics)
	for _, r := range tel.records.take() {
		fmt.Fprintln(&b, r.EventName(), r.Body(), r.SeverityText())
		r.WalkAttributes(func(kv attribute.KeyValue) bool {
			fmt.Fprintln(&b, kv.Key, kv.Value.String())
			return true
		})
	}
	fmt.Fprintln(&b, tel.lines.take(t))
	return b.String()
}

// The test looks at everything exported: it finds there what may be shown.
func TestExported(t *testing.T) {
	tel := newTelemetry(t)
	db := open(t, ":memory:", driver.Config{Tracing: tel.tracer(t)})
	db.Exec("SELECT 'shown', b FROM missing WHERE a = ?", "hidden")
	out := tel.exported(t)
	for text, want := range map[string]int{
		"'shown', b": 2, // the span and the exception
		// The span's name and attribute, the metric, the exception and the line.
		"SELECT missing":                2 + 1 + 1 + 1,
		"SQL logic error":               3, // the status, the exception and the line
		"db.client.operation.exception": 1,
		"database call failed":          1,
		"hidden":                        0,
	} {
		if got := strings.Count(out, text); got != want {
			t.Errorf("%q is there %d times, want %d, in\n%s", text, got, want, out)
		}
	}
}

// A secretive program makes up statements, and remembers their secrets.
type secretive struct {
	*rand.Rand
	dir       string
	sanitized bool // no query is shown as it is written
	secrets   []string
}

func (g *secretive) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *secretive) secret(s string) string {
	g.secrets = append(g.secrets, s)
	return s
}

// word and digits return secrets that do not occur by chance.
func (g *secretive) word() string {
	b := []byte("sEcrEt")
	for range 12 {
		b = append(b, byte('a'+g.IntN(26)))
	}
	return g.secret(string(b))
}

func (g *secretive) digits() string {
	b := []byte{byte('1' + g.IntN(9))}
	for range 15 {
		b = append(b, byte('0'+g.IntN(10)))
	}
	return g.secret(string(b))
}

// literal returns a literal in any of SQLite's forms.
func (g *secretive) literal() string {
	switch g.IntN(14) {
	case 0, 1:
		return "'" + g.word() + "'"
	case 2:
		return "'it''s " + g.word() + " -- /* \"" + g.word() + "'"
	case 3:
		return "'" + g.word() + "\n" + g.word() + "\\'"
	case 4:
		return g.pick("x", "X") + "'" + g.secret(hex.EncodeToString([]byte(g.word()))) + "'"
	case 5:
		return g.pick("", "-", "+", "- ") + g.digits()
	case 6:
		return g.digits() + "." + g.pick("", g.digits())
	case 7:
		return "." + g.digits()
	case 8:
		return g.digits() + g.pick("e", "E") + g.pick("", "+", "-") + "17"
	case 9:
		return g.pick("0x", "0X") + g.secret(fmt.Sprintf("%x", 1<<63|g.Uint64()))[1:]
	case 10:
		d := g.digits()
		return d[:5] + "_" + g.secret(d[5:]) + ".5"
	case 11:
		return "('" + g.word() + "')"
	case 12:
		return "CAST('" + g.word() + "' AS TEXT)"
	default:
		return "'" + g.word() + "' COLLATE NOCASE"
	}
}

// space returns what may be between tokens.
func (g *secretive) space() string {
	switch g.IntN(8) {
	case 0:
		return " /* " + g.word() + " ' */ "
	case 1:
		return " -- " + g.word() + " \"\n"
	case 2:
		return "\n\t"
	}
	return " "
}

// plain returns a literal, which is not secret in a query that is shown as it is.
func (g *secretive) plain(bound bool) string {
	if bound && !g.sanitized {
		return g.pick("1", "'x'", "NULL", "x'00'")
	}
	return g.literal()
}

// statement returns a query and its arguments. SQLite cannot run all of them.
func (g *secretive) statement() (string, []any) {
	bound := g.IntN(3) == 0
	space := g.space
	if bound && !g.sanitized {
		space = func() string { return " " }
	}
	lit := func() string { return g.plain(bound) }
	text := ""
	switch g.IntN(16) {
	case 0:
		text = "SELECT" + space() + lit() + "," + lit() + " AS x"
	case 1:
		text = "SELECT a FROM t WHERE" + space() + "a = " + lit() + " OR b IN (" + lit() + ", " + lit() + ") LIMIT 3"
	case 2:
		text = "INSERT INTO t(a, b)" + space() + "VALUES (" + lit() + ", " + lit() + "), (1, " + lit() + ")"
	case 3:
		text = "INSERT INTO t VALUES (1, " + lit() + ") ON CONFLICT(b) DO UPDATE SET a = " + lit() + " RETURNING a, " + lit()
	case 4:
		text = "UPDATE t SET a =" + space() + lit() + " WHERE b LIKE " + lit() + " ESCAPE '\\'"
	case 5:
		text = "DELETE FROM t" + space() + "WHERE a BETWEEN " + lit() + " AND " + lit()
	case 6:
		text = "WITH c(x) AS (SELECT " + lit() + " UNION ALL VALUES (" + lit() + ")) SELECT x," + space() + lit() + " FROM c JOIN t ON a = x"
	case 7:
		text = "SELECT fail(" + lit() + ")"
	case 8:
		text = "SELECT CASE a WHEN " + lit() + " THEN json_extract(" + lit() + ", " + lit() + ") ELSE " + lit() + " END FROM t"
	case 9:
		text = fmt.Sprintf("CREATE TABLE%st%d(a DEFAULT %s, b CHECK (b <> %s))", space(), g.IntN(1e6), g.pick("'"+g.word()+"'", g.digits()), lit())
		bound = false
	case 10: // a key is secret even in a query with arguments
		text = "PRAGMA " + g.pick("key", "hexkey", "textkey", "rekey", "user_version", "application_id") + g.pick(" = ", "=") + g.pick("'"+g.word()+"'", g.digits())
	case 11:
		text = "PRAGMA key('" + g.word() + "')"
	case 12:
		text = fmt.Sprintf("ATTACH%s 'file:%s?mode=memory&key=%s' AS x%d KEY '%s'", g.pick("", " DATABASE"), g.word(), g.word(), g.IntN(1e6), g.word())
	case 13:
		text = "SELECT " + lit() + ";" + space() + "DELETE FROM t WHERE a = " + lit() + "; SELECT" + space() + lit()
	case 14:
		text = "VACUUM INTO '" + filepath.ToSlash(filepath.Join(g.dir, g.word())) + "'"
		bound = false
	case 15:
		text = "EXPLAIN QUERY PLAN SELECT * FROM t WHERE a = " + lit() + " GROUP BY " + lit() + " HAVING " + lit() + " ORDER BY " + lit()
	}
	if bound {
		text += g.pick(" /* bound */", "")
		return text, g.arguments()
	}
	switch g.IntN(8) {
	case 0: // a quote that should have been doubled
		text = strings.Replace(text, "'", "'O'", 1)
	case 1: // cut short
		if i := strings.LastIndexAny(text, "'"); i > 0 {
			text = text[:i]
		}
	case 2:
		text += space() + "SELEC" + space() + lit()
	}
	return text, nil
}

// arguments returns secrets of every type. They may be too many for the query, and even
// then none of them may be shown.
func (g *secretive) arguments() []any {
	args := make([]any, 1+g.IntN(3))
	for i := range args {
		switch g.IntN(7) {
		case 0:
			args[i] = g.word()
		case 1:
			w := g.word()
			g.secret(base64.StdEncoding.EncodeToString([]byte(w))[:16])
			g.secret(hex.EncodeToString([]byte(w)))
			g.secret(strings.Trim(fmt.Sprint([]byte(w)), "[]"))
			args[i] = []byte(w)
		case 2:
			var n int64
			fmt.Sscan(g.digits(), &n)
			args[i] = n
		case 3:
			args[i] = sql.Named("p", g.word())
		case 4:
			args[i] = valuer{g.word()}
		case 5:
			args[i] = named(g.word())
		case 6:
			args[i] = time.Date(1000+g.IntN(900), 1, 2, 3, 4, 5, 678901234, time.UTC)
			g.secrets = append(g.secrets, "05.678901234")
		}
	}
	return args
}

// play makes a call of any kind with the query.
func (g *secretive) play(ctx context.Context, db *sql.DB, text string, args []any) {
	if args != nil && g.IntN(2) == 0 { // bound by a query that has a parameter
		text = strings.TrimSuffix(text, " /* bound */") + g.pick("; SELECT ?", "")
		if g.IntN(2) == 0 {
			text = "SELECT fail(?)"
			args = args[:1]
		}
	}
	read := func(rows *sql.Rows, err error) {
		if err != nil {
			return
		}
		defer rows.Close()
		for rows.Next() {
		}
	}
	defer func() { recover() }()
	switch g.IntN(5) {
	case 0:
		db.ExecContext(ctx, text, args...)
	case 1:
		read(db.QueryContext(ctx, text, args...))
	case 2:
		stmt, err := db.PrepareContext(ctx, text)
		if err != nil {
			return
		}
		defer stmt.Close()
		read(stmt.QueryContext(ctx, args...))
	case 3:
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return
		}
		defer tx.Rollback()
		tx.ExecContext(ctx, text, args...)
	case 4:
		secret := g.word()
		db.ExecContext(ctx, "SELECT call(?)", goFunc(func() { panic(secret) }))
	}
}
