package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ngrok/sqlmw"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A script is a program to be run against a database. Run against the bare
// fake and the wrapped one, it must see the same, and so must the fake.
type script struct {
	name  string
	group string // of the verbs that it calls
	fault string // what goes wrong, if it is that kind of script
	sets  int    // result sets of each query; 0 means 1
	play  func(*run)
}

// allowed are the differences that the wrapper has on purpose. Where one
// applies, what the program sees must be the same all the same, but not what
// the base is asked, nor the pool's statistics.
var allowed = []struct {
	reason string
	where  func(script, fake.ConnKind) bool
	seen   atomic.Bool
}{
	{
		reason: "the connection of a transaction whose context ended is kept: the wrapped one can be reset and validated",
		where: func(s script, k fake.ConnKind) bool {
			return strings.HasPrefix(s.fault, "cancel") && s.group == "tx" && !(fake.Has[driver.SessionResetter](k) && fake.Has[driver.Validator](k))
		},
	},
	{
		reason: "a bad name is refused before the statement is prepared",
		where:  func(s script, _ fake.ConnKind) bool { return s.name == "a bad name" },
	},
	{
		reason: "a connection through which a panic passed is retired",
		where:  func(s script, _ fake.ConnKind) bool { return s.fault == "panic" },
	},
}

func allowance(s script, k fake.ConnKind) int {
	for i := range allowed {
		if allowed[i].where(s, k) {
			return i
		}
	}
	return -1
}

// A combo is one kind of base.
type combo struct {
	conn fake.ConnKind
	stmt fake.StmtKind
	rows fake.RowsKind
}

func (c combo) String() string {
	return fmt.Sprintf("connection %q, statements %q, rows %q", c.conn.Name, c.stmt.Name, c.rows.Name)
}

// TestDifferential runs every script against every kind of base, bare and
// wrapped, with spans and without, and with interceptors that do nothing.
func TestDifferential(t *testing.T) {
	t.Run("arguments", func(t *testing.T) {
		differential(t, argumentScripts(), combos(fake.ConnKinds, fake.StmtKinds, fake.RowsOf("SQLite's")))
	})
	t.Run("faults", func(t *testing.T) {
		stmts := fake.StmtKinds[:3] // none, contexts, all
		if testing.Short() {
			stmts = stmts[2:]
		}
		differential(t, faultScripts(), combos(fake.ConnKinds, stmts, fake.RowsOf("SQLite's")))
	})
	t.Run("calls", func(t *testing.T) {
		differential(t, callScripts(), combos(fake.ConnKinds, fake.StmtKinds[:3], fake.RowsOf("SQLite's")))
	})
	t.Run("rows", func(t *testing.T) {
		conns := []fake.ConnKind{fake.ConnOf("none"), fake.ConnOf("Queryer"), fake.ConnOf("all with contexts")}
		differential(t, rowsScripts(), combos(conns, fake.StmtKinds[:2], fake.RowsKinds...))
	})
	for i := range allowed {
		if !allowed[i].seen.Load() && !testing.Short() {
			t.Errorf("no script shows the allowed difference %q: remove it from the table", allowed[i].reason)
		}
	}
}

func combos(conns []fake.ConnKind, stmts []fake.StmtKind, rows ...fake.RowsKind) []combo {
	var all []combo
	for _, c := range conns {
		for _, s := range stmts {
			for _, r := range rows {
				all = append(all, combo{c, s, r})
			}
		}
	}
	return all
}

func differential(t *testing.T, scripts []script, combos []combo) {
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			reports := 0
			for _, c := range combos {
				if !compare(t, s, c) {
					if reports++; reports == 3 {
						t.Log("... and perhaps more")
						break
					}
				}
			}
		})
	}
}

// compare reports whether the wrapped base behaves as the bare one.
func compare(t *testing.T, s script, c combo) bool {
	bare := play(t, s, c, func(f *fake.Base) driver.Connector { return f })
	same := true
	for _, how := range []string{"without spans", "with spans", "with interceptors"} {
		spans := tracetest.NewSpanRecorder()
		events := &recorder{}
		cfg := wrap.Config{Recorder: events}
		switch how {
		case "with spans":
			cfg.Tracing = newTracer(t, spans)
		case "with interceptors":
			if strings.Contains(c.rows.Name, "Scanner") {
				continue // as the package says: sqlmw's rows hide it
			}
			cfg.Interceptors = []sqlmw.Interceptor{sqlmw.NullInterceptor{}, sqlmw.NullInterceptor{}}
		}
		wrapped := play(t, s, c, func(f *fake.Base) driver.Connector { return wrap.NewConnector(f, cfg) })
		if err := checkSpans(spans); err != nil {
			t.Errorf("%v: %v", c, err)
			same = false
		}
		if err := events.check(s.fault == "panic"); err != nil {
			t.Errorf("%v: %v\n%s", c, err, events)
			same = false
		}
		i := allowance(s, c.conn)
		if i >= 0 {
			if !slices.Equal(bare, wrapped) {
				allowed[i].seen.Store(true)
			}
			bare, wrapped = seenByProgram(bare), seenByProgram(wrapped)
		}
		if slices.Equal(bare, wrapped) {
			continue
		}
		again := play(t, s, c, func(f *fake.Base) driver.Connector { return f })
		if i >= 0 {
			again = seenByProgram(again)
		}
		if !slices.Equal(bare, again) {
			t.Errorf("%v: this script is no test, for the bare base differs from itself\n%s", c, diff("once", bare, "again", again))
			return false
		}
		t.Errorf("%v: the wrapped base (%s) must be as the bare one\n%s", c, how, diff("bare", bare, "wrapped", wrapped))
		return false
	}
	return same
}

// play runs a script in a bubble of its own and returns its log.
func play(t *testing.T, s script, c combo, connector func(*fake.Base) driver.Connector) []fake.Entry {
	f := &fake.Base{Conn: c.conn, Stmt: c.stmt, Rows: c.rows, Sets: max(s.sets, 1)}
	synctest.Test(t, func(t *testing.T) {
		r := &run{Base: f, db: sql.OpenDB(connector(f))}
		s.play(r)
		f.Off()
		stats := r.db.Stats()
		stats.WaitDuration = 0
		f.Write(fake.Pool, "%+v", stats)
		r.Write(fake.Program, "db.Close: %s", showErr(r.db.Close()))
		synctest.Wait()
	})
	return f.Log()
}

func seenByProgram(log []fake.Entry) []fake.Entry {
	return slices.DeleteFunc(slices.Clone(log), func(e fake.Entry) bool { return e.By != fake.Program })
}

// diff shows two logs from a little before where they part.
func diff(nameA string, a []fake.Entry, nameB string, b []fake.Entry) string {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	var text strings.Builder
	show := func(name string, log []fake.Entry, from, to int) {
		for _, e := range log[max(0, min(from, len(log))):min(to, len(log))] {
			fmt.Fprintf(&text, "\t%-8s %v\n", name, e)
		}
	}
	show("both", a, at-8, at)
	show(nameA, a, at, at+8)
	show(nameB, b, at, at+8)
	return text.String()
}

// A run is a script being played.
type run struct {
	*fake.Base
	db     *sql.DB
	ctx    context.Context // of the step
	cancel context.CancelFunc
}

// say writes down what the program sees.
func (r *run) say(format string, args ...any) { r.Write(fake.Program, format, args...) }

// step plays one step with a context of its own, to its end on all goroutines.
func (r *run) step(name string, do func()) {
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.Know(r.ctx, "the step's")
	r.say("%s", name)
	func() {
		defer func() {
			if p := recover(); p != nil {
				r.say("panic: %v", p)
			}
		}()
		do()
	}()
	synctest.Wait()
	r.cancel()
	synctest.Wait()
}

// result shows what an Exec answered.
func (r *run) result(res sql.Result, err error) {
	synctest.Wait()
	if err != nil {
		r.say("no result: %s", showErr(err))
		return
	}
	id, err := res.LastInsertId()
	r.say("last insert ID %d, %s", id, showErr(err))
	n, err := res.RowsAffected()
	r.say("rows affected %d, %s", n, showErr(err))
}

// read reads rows to their end, and closes them.
func (r *run) read(rows *sql.Rows, err error) {
	synctest.Wait()
	if err != nil {
		r.say("no rows: %s", showErr(err))
		return
	}
	defer rows.Close() // for a panic
	r.columns(rows)
	for set := true; set; set = rows.NextResultSet() {
		for rows.Next() {
			synctest.Wait()
			r.scan(rows)
		}
		synctest.Wait()
		r.say("end of rows: %s", showErr(rows.Err()))
	}
	r.say("end of sets: %s", showErr(rows.Err()))
	r.say("closed: %s", showErr(rows.Close()))
}

func (r *run) columns(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	r.say("column types: %s", showErr(err))
	for _, t := range types {
		length, hasLength := t.Length()
		precision, scale, hasPrecision := t.DecimalSize()
		nullable, knowsNull := t.Nullable()
		r.say("%s: type %q, scans as %v, length %d %t, precision %d %d %t, nullable %t %t", t.Name(), t.DatabaseTypeName(), t.ScanType(),
			length, hasLength, precision, scale, hasPrecision, nullable, knowsNull)
	}
}

func (r *run) scan(rows *sql.Rows) {
	var id int64
	var name string
	err := rows.Scan(&id, &name)
	r.say("row %d %q: %s", id, name, showErr(err))
}

// begin begins a transaction with the step's context.
func (r *run) begin(opts *sql.TxOptions) *sql.Tx {
	tx, err := r.db.BeginTx(r.ctx, opts)
	synctest.Wait()
	r.say("begin: %s", showErr(err))
	return tx
}

func (r *run) take() *sql.Conn {
	conn, err := r.db.Conn(r.ctx)
	synctest.Wait()
	r.say("conn: %s", showErr(err))
	return conn
}

// showErr shows an error's text, type, and what it is.
func showErr(err error) string {
	if err == nil {
		return "ok"
	}
	if errors.Is(err, driver.ErrSkip) {
		return "ErrSkip: " + err.Error() // or a value that wraps it, as the package says
	}
	text := fmt.Sprintf("error %q (%T)", err, err)
	for _, known := range []error{
		driver.ErrBadConn, driver.ErrSkip, fake.ErrFault, fake.ErrRefused, fake.ErrValuer,
		context.Canceled, sql.ErrTxDone, sql.ErrConnDone, sql.ErrNoRows,
	} {
		if err == known {
			text += fmt.Sprintf(", is itself %q", known)
		} else if errors.Is(err, known) {
			text += fmt.Sprintf(", is %q", known)
		}
	}
	return text
}

// A verb is a way to have a text executed.
type verb struct {
	group string
	name  string
	query bool // answers rows
	do    func(r *run, text string, args ...any)
}

var verbs = []verb{
	{"db", "db.Exec", false, func(r *run, text string, args ...any) {
		r.result(r.db.ExecContext(r.ctx, text, args...))
	}},
	{"db", "db.Query", true, func(r *run, text string, args ...any) {
		r.read(r.db.QueryContext(r.ctx, text, args...))
	}},
	{"row", "db.QueryRow", true, func(r *run, text string, args ...any) {
		var id, name any
		err := r.db.QueryRowContext(r.ctx, text, args...).Scan(&id, &name)
		r.say("row %v %s: %s", id, name, showErr(err))
	}},
	{"conn", "conn.Exec", false, func(r *run, text string, args ...any) {
		if conn := r.take(); conn != nil {
			defer func() { r.say("conn.Close: %s", showErr(conn.Close())) }()
			r.result(conn.ExecContext(r.ctx, text, args...))
		}
	}},
	{"conn", "conn.Query", true, func(r *run, text string, args ...any) {
		if conn := r.take(); conn != nil {
			r.read(conn.QueryContext(r.ctx, text, args...))
			r.say("conn.Close: %s", showErr(conn.Close()))
		}
	}},
	{"stmt", "db.Prepare, stmt.Exec", false, func(r *run, text string, args ...any) {
		stmt, err := r.db.PrepareContext(r.ctx, text)
		r.say("prepare: %s", showErr(err))
		if err == nil {
			defer func() { r.say("stmt.Close: %s", showErr(stmt.Close())) }()
			r.result(stmt.ExecContext(r.ctx, args...))
			r.result(stmt.ExecContext(r.ctx, args...))
		}
	}},
	{"stmt", "db.Prepare, stmt.Query", true, func(r *run, text string, args ...any) {
		stmt, err := r.db.PrepareContext(r.ctx, text)
		r.say("prepare: %s", showErr(err))
		if err == nil {
			defer func() { r.say("stmt.Close: %s", showErr(stmt.Close())) }()
			r.read(stmt.QueryContext(r.ctx, args...))
		}
	}},
	{"stmt", "conn.Prepare, stmt.Exec", false, func(r *run, text string, args ...any) {
		if conn := r.take(); conn != nil {
			defer func() { r.say("conn.Close: %s", showErr(conn.Close())) }()
			stmt, err := conn.PrepareContext(r.ctx, text)
			r.say("prepare: %s", showErr(err))
			if err == nil {
				defer func() { r.say("stmt.Close: %s", showErr(stmt.Close())) }()
				r.result(stmt.ExecContext(r.ctx, args...))
			}
		}
	}},
	{"tx", "tx.Exec", false, func(r *run, text string, args ...any) {
		if tx := r.begin(nil); tx != nil {
			defer tx.Rollback() // for a panic
			r.result(tx.ExecContext(r.ctx, text, args...))
			r.say("commit: %s", showErr(tx.Commit()))
		}
	}},
	{"tx", "tx.Query", true, func(r *run, text string, args ...any) {
		if tx := r.begin(nil); tx != nil {
			r.read(tx.QueryContext(r.ctx, text, args...))
			r.say("rollback: %s", showErr(tx.Rollback()))
		}
	}},
	{"tx", "tx.Prepare, stmt.Exec", false, func(r *run, text string, args ...any) {
		if tx := r.begin(&sql.TxOptions{}); tx != nil {
			defer tx.Rollback() // for a panic
			stmt, err := tx.PrepareContext(r.ctx, text)
			r.say("prepare: %s", showErr(err))
			if err == nil {
				r.result(stmt.ExecContext(r.ctx, args...))
			}
			r.say("commit: %s", showErr(tx.Commit()))
		}
	}},
	{"tx", "tx.Stmt, stmt.Exec", false, func(r *run, text string, args ...any) {
		outer, err := r.db.PrepareContext(r.ctx, text)
		r.say("prepare: %s", showErr(err))
		if err != nil {
			return
		}
		defer func() { r.say("stmt.Close: %s", showErr(outer.Close())) }()
		if tx := r.begin(nil); tx != nil {
			defer tx.Rollback() // for a panic
			stmt := tx.StmtContext(r.ctx, outer)
			r.result(stmt.ExecContext(r.ctx, args...))
			r.say("commit: %s", showErr(tx.Commit()))
		}
	}},
}

// argumentScripts pass all kinds of arguments in all ways.
func argumentScripts() []script {
	at := time.Date(2026, 8, 1, 12, 30, 0, 0, time.UTC)
	number := 5
	sets := []struct {
		name  string
		query string
		args  func(f *fake.Base) []any
	}{
		{"none", "q", func(*fake.Base) []any { return nil }},
		{"plain", "q ?????????", func(*fake.Base) []any { return []any{1, int64(2), "three", true, 4.5, []byte("six"), at, nil, &number} }},
		{"small and unsigned integers", "q ????", func(*fake.Base) []any { return []any{int8(-1), uint8(2), uint64(3), int32(4)} }},
		{"unsigned with the high bit set", "q ?", func(*fake.Base) []any { return []any{uint64(1 << 63)} }},
		{"of named types", "q ??", func(*fake.Base) []any { return []any{time.Second, sql.RawBytes("raw")} }},
		{"named", "q ??", func(*fake.Base) []any { return []any{sql.Named("a", 1), sql.Named("b", "x")} }},
		{"named and not", "q ??", func(*fake.Base) []any { return []any{sql.Named("a", 1), "x"} }},
		{"named, converting themselves", "q ??", func(f *fake.Base) []any { return []any{sql.Named("a", fake.Valuer{Base: f}), fake.Valuer{Base: f}} }},
		{"a bad name", "q ??", func(*fake.Base) []any { return []any{1, sql.Named("1a", 1)} }},
		{"special to a checker", "q ??", func(*fake.Base) []any { return []any{fake.Special{}, sql.Named("s", fake.Special{})} }},
		{"special to a column", "q ??", func(*fake.Base) []any { return []any{"text", fake.Column{}} }},
		{"turned into nonsense by a column", "q ?", func(*fake.Base) []any { return []any{fake.Odd{}} }},
		{"removed, the first", "q ??", func(*fake.Base) []any { return []any{fake.Removed{}, 1, 2} }},
		{"removed, the last", "q ??", func(*fake.Base) []any { return []any{1, 2, fake.Removed{}} }},
		{"removed, all", "q", func(*fake.Base) []any { return []any{fake.Removed{}, fake.Removed{}} }},
		{"removed, named before named", "q ?", func(*fake.Base) []any { return []any{sql.Named("a", fake.Removed{}), sql.Named("b", 1)} }},
		{"refused", "q ??", func(*fake.Base) []any { return []any{1, fake.Refused{}} }},
		{"refused, named", "q ??", func(*fake.Base) []any { return []any{1, sql.Named("r", fake.Refused{})} }},
		{"nobody's", "q ?", func(*fake.Base) []any { return []any{fake.Letters{Text: "x"}} }},
		{"out", "q ?", func(*fake.Base) []any { return []any{sql.Out{Dest: new(string)}} }},
		{"converting themselves", "q ???", func(f *fake.Base) []any { return []any{fake.Valuer{Base: f}, &fake.Valuer{Base: f}, sql.NullInt64{}} }},
		{"nil pointers that convert themselves", "q ?", func(*fake.Base) []any { return []any{(*fake.NilValuer)(nil)} }},
		{"failing to convert themselves", "q ?", func(f *fake.Base) []any { return []any{fake.BadValuer{Base: f}} }},
		{"converting themselves to nonsense", "q ?", func(f *fake.Base) []any { return []any{fake.OddValuer{Base: f}} }},
		{"too many", "q ?", func(f *fake.Base) []any { return []any{1, fake.Valuer{Base: f}} }},
		{"too few", "q ??", func(f *fake.Base) []any { return []any{fake.Valuer{Base: f}} }},
		{"any number", "q *", func(f *fake.Base) []any { return []any{fake.Valuer{Base: f}, 2, "three"} }},
	}
	var scripts []script
	for _, set := range sets {
		scripts = append(scripts, script{name: set.name, play: func(r *run) {
			for _, v := range verbs {
				r.step(v.name, func() { v.do(r, set.query, set.args(r.Base)...) })
			}
		}})
	}
	scripts = append(scripts, script{name: "panicking", fault: "panic", play: func(r *run) {
		for _, v := range verbs {
			if v.query || strings.Contains(v.name, "stmt.") {
				continue // a panic leaves database/sql's connection locked
			}
			r.step(v.name, func() { v.do(r, "q ?", fake.PanicValuer{Base: r.Base}) })
		}
	}})
	// What a checker's own answers do, whatever the type of the argument.
	for name, err := range map[string]error{
		"that the checker skips":         driver.ErrSkip,
		"that the checker removes":       driver.ErrRemoveArgument,
		"that the checker refuses":       fake.ErrRefused,
		"that the checker skips wrapped": fmt.Errorf("wrapped: %w", driver.ErrSkip),
		"that have a bad connection":     driver.ErrBadConn,
	} {
		scripts = append(scripts, script{name: name, play: func(r *run) {
			r.On(fake.Fail(err), "CheckNamedValue", "stmt.CheckNamedValue")
			for _, v := range verbs {
				r.step(v.name, func() { v.do(r, "q ?", fake.Special{}, sql.Named("a", 1)) })
			}
		}})
	}
	slices.SortFunc(scripts, func(a, b script) int { return strings.Compare(a.name, b.name) })
	return scripts
}

// faultScripts have each thing go wrong at each point.
func faultScripts() []script {
	points := []struct {
		name   string
		groups string
		ops    []string
	}{
		{"connect", "db row conn stmt tx", []string{"Connect"}},
		{"prepare", "db row conn stmt tx", []string{"Prepare", "PrepareContext"}},
		{"direct", "db row conn tx", []string{"Exec", "ExecContext", "Query", "QueryContext"}},
		{"statement", "db row conn stmt tx", []string{"stmt.Exec", "stmt.ExecContext", "stmt.Query", "stmt.QueryContext"}},
		{"check", "db stmt tx", []string{"CheckNamedValue", "stmt.CheckNamedValue"}},
		{"statement's close", "db stmt tx", []string{"stmt.Close"}},
		{"begin", "tx", []string{"Begin", "BeginTx"}},
		{"commit", "tx", []string{"Commit"}},
		{"rollback", "tx", []string{"Rollback"}},
		{"reset", "db conn stmt tx", []string{"ResetSession"}},
		{"validation", "db conn stmt tx", []string{"IsValid"}},
		{"next", "db row conn stmt tx", []string{"rows.Next"}},
		{"rows' close", "db row conn stmt tx", []string{"rows.Close"}},
		{"result", "db", []string{"LastInsertId", "RowsAffected"}},
		{"close", "db", []string{"Close"}},
	}
	faults := []struct {
		name string
		make func(r *run) fake.Hook
	}{
		{"error", func(*run) fake.Hook { return fake.Fail(fake.ErrFault) }},
		{"bad connection", func(*run) fake.Hook { return fake.Fail(driver.ErrBadConn) }},
		{"bad connection once", func(*run) fake.Hook {
			return func(_ context.Context, n int) error {
				if n == 0 {
					return driver.ErrBadConn
				}
				return nil
			}
		}},
		{"bad connection wrapped", func(*run) fake.Hook { return fake.Fail(fmt.Errorf("wrapped: %w", driver.ErrBadConn)) }},
		{"skip", func(*run) fake.Hook { return fake.Fail(driver.ErrSkip) }},
		{"panic", func(*run) fake.Hook { return fake.Panic("fake: panic") }},
		{"cancel and ok", func(r *run) fake.Hook {
			return func(context.Context, int) error { r.cancel(); return nil }
		}},
		{"cancel and fail", func(r *run) fake.Hook {
			return func(context.Context, int) error { r.cancel(); return r.ctx.Err() }
		}},
	}
	var scripts []script
	for _, p := range points {
		for _, fault := range faults {
			for group := range strings.FieldsSeq(p.groups) {
				s := script{
					name:  fmt.Sprintf("%s, %s at %s", group, fault.name, p.name),
					group: group,
					fault: fault.name,
				}
				if untestable(s, p.name) {
					continue
				}
				s.play = func(r *run) {
					for _, v := range verbs {
						if v.group != group {
							continue
						}
						r.step(v.name, func() {
							r.On(fault.make(r), p.ops...)
							defer r.Off()
							v.do(r, "q ?", 1)
						})
						r.step(v.name+" after that", func() { v.do(r, "q ?", 2) })
					}
				}
				scripts = append(scripts, s)
			}
		}
	}
	return scripts
}

// untestable says where the bare base leaves no test to be made: database/sql
// itself hangs (a panic with its locks held), or two of its goroutines race.
func untestable(s script, point string) bool {
	switch {
	case s.fault == "panic" && (point == "statement's close" || point == "close" || point == "validation"):
		return true
	case s.fault == "panic" && s.group != "db" && s.group != "row":
		return true
	case strings.HasPrefix(s.fault, "cancel") && s.group == "row":
		return true
	case strings.HasPrefix(s.fault, "cancel") && s.group == "tx" && point == "prepare":
		return true
	}
	return false
}

// callScripts are the calls that take no text.
func callScripts() []script {
	return []script{
		{name: "begin", play: func(r *run) {
			for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelSerializable, sql.LevelLinearizable} {
				for _, readOnly := range []bool{false, true} {
					r.step(fmt.Sprintf("begin %v %t", level, readOnly), func() {
						if tx := r.begin(&sql.TxOptions{Isolation: level, ReadOnly: readOnly}); tx != nil {
							r.say("commit: %s", showErr(tx.Commit()))
						}
					})
				}
			}
			r.step("db.Begin", func() {
				tx, err := r.db.Begin()
				r.say("begin: %s", showErr(err))
				r.say("rollback: %s, %s", showErr(tx.Rollback()), showErr(tx.Commit()))
			})
		}},
		{name: "ping", play: func(r *run) {
			r.step("db.Ping", func() { r.say("%s", showErr(r.db.PingContext(r.ctx))) })
			r.On(fake.Fail(fake.ErrFault), "Ping")
			r.step("db.Ping that fails", func() { r.say("%s", showErr(r.db.PingContext(r.ctx))) })
			r.On(fake.Fail(driver.ErrBadConn), "Ping")
			r.step("db.Ping of bad connections", func() { r.say("%s", showErr(r.db.PingContext(r.ctx))) })
			r.Off()
			r.step("conn.Ping, cancelled", func() {
				conn := r.take()
				r.cancel()
				r.say("%s", showErr(conn.PingContext(r.ctx)))
				r.say("%s", showErr(conn.Close()))
			})
		}},
		{name: "without a context", play: func(r *run) {
			r.step("all", func() {
				r.result(r.db.Exec("q ?", 1))
				r.read(r.db.Query("q ?", 1))
				stmt, err := r.db.Prepare("q ?")
				r.say("%s", showErr(err))
				r.result(stmt.Exec(1))
				r.read(stmt.Query(1))
				r.say("%s", showErr(stmt.Close()))
				r.say("%s", showErr(r.db.Ping()))
			})
		}},
		{name: "cancelled before", play: func(r *run) {
			for _, v := range verbs {
				r.step(v.name, func() { r.cancel(); v.do(r, "q ?", 1) })
			}
			r.step("on a connection that is held", func() {
				conn := r.take()
				stmt, err := conn.PrepareContext(r.ctx, "q ?")
				r.say("%s", showErr(err))
				r.cancel()
				r.result(conn.ExecContext(r.ctx, "q ?", 1))
				_, err = conn.QueryContext(r.ctx, "q ?", 1)
				synctest.Wait()
				r.say("%s", showErr(err))
				_, err = conn.PrepareContext(r.ctx, "q ?")
				r.say("%s", showErr(err))
				r.result(stmt.ExecContext(r.ctx, 1))
				_, err = stmt.QueryContext(r.ctx, 1)
				synctest.Wait()
				r.say("%s", showErr(err))
				r.say("%s", showErr(stmt.Close()))
				r.say("%s", showErr(conn.Close()))
			})
		}},
		{name: "begin on a held connection, cancelled before", group: "tx", fault: "cancel", play: func(r *run) {
			r.step("begin", func() {
				conn := r.take()
				r.cancel()
				_, err := conn.BeginTx(r.ctx, nil)
				synctest.Wait()
				r.say("%s", showErr(err))
				conn.Close()
			})
		}},
		{name: "two statements on two connections", play: func(r *run) {
			r.step("all", func() {
				stmt, err := r.db.PrepareContext(r.ctx, "q ?")
				r.say("%s", showErr(err))
				held := r.take()
				r.result(stmt.ExecContext(r.ctx, 1))
				r.say("%s", showErr(stmt.Close()))
				r.say("%s", showErr(held.Close()))
			})
		}},
		{name: "raw", play: func(r *run) {
			r.step("that fails", func() {
				conn := r.take()
				r.say("%s", showErr(conn.Raw(func(any) error { return fake.ErrFault })))
				r.say("%s", showErr(conn.Close()))
			})
			r.step("with a bad connection", func() {
				conn := r.take()
				r.say("%s", showErr(conn.Raw(func(any) error { return driver.ErrBadConn })))
				r.say("%s", showErr(conn.Close()))
			})
			r.step("that panics", func() {
				conn := r.take()
				defer func() { r.say("%s", showErr(conn.Close())) }()
				conn.Raw(func(any) error { panic("fake: raw") })
			})
		}},
		{name: "pool", play: func(r *run) {
			r.db.SetMaxIdleConns(1)
			r.step("surplus", func() {
				a, b := r.take(), r.take()
				r.say("%s, %s", showErr(a.Close()), showErr(b.Close()))
			})
			r.step("shrunk", func() { r.db.SetMaxIdleConns(0) })
			r.db.SetMaxIdleConns(2)
			r.db.SetConnMaxIdleTime(time.Minute)
			r.step("used", func() { r.result(r.db.ExecContext(r.ctx, "q ?", 1)) })
			r.step("idle for too long", func() { time.Sleep(3 * time.Minute) })
			r.db.SetConnMaxLifetime(time.Minute)
			r.step("used", func() {
				conn := r.take()
				time.Sleep(3 * time.Minute)
				r.say("%s", showErr(conn.Close()))
			})
		}},
	}
}

// rowsScripts read rows of all kinds in all ways.
func rowsScripts() []script {
	var scripts []script
	for sets := 1; sets <= 3; sets++ {
		scripts = append(scripts, script{name: fmt.Sprintf("%d sets", sets), sets: sets, play: func(r *run) {
			for _, v := range verbs {
				if v.query {
					r.step(v.name, func() { v.do(r, "q ?", 1) })
				}
			}
		}})
	}
	query := func(name string, do func(*run, *sql.Rows)) script {
		return script{name: name, sets: 2, play: func(r *run) {
			for range 2 { // the second time shows what became of the connection
				r.step("query", func() {
					rows, err := r.db.QueryContext(r.ctx, "q ?", 1)
					r.say("query: %s", showErr(err))
					do(r, rows)
					r.say("end: %s, %s", showErr(rows.Err()), showErr(rows.Close()))
				})
			}
		}}
	}
	scripts = append(scripts,
		query("closed at once", func(*run, *sql.Rows) {}),
		query("closed early", func(r *run, rows *sql.Rows) { rows.Next(); r.scan(rows) }),
		query("skipped to the next set", func(r *run, rows *sql.Rows) {
			rows.Next()
			r.say("next set: %t", rows.NextResultSet())
			r.columns(rows)
			r.say("next: %t", rows.Next())
			r.scan(rows)
		}),
		query("cancelled between rows", func(r *run, rows *sql.Rows) {
			rows.Next()
			r.cancel()
			synctest.Wait()
			r.scan(rows)
			r.say("next: %t, %t", rows.Next(), rows.NextResultSet())
		}),
		query("scanned in all ways", func(r *run, rows *sql.Rows) {
			rows.Next()
			var id, name any
			r.say("any: %s %v %s", showErr(rows.Scan(&id, &name)), id, name)
			var bytes []byte
			var n sql.NullString
			r.say("bytes: %s %s %v", showErr(rows.Scan(&bytes, &n)), bytes, n)
			var raw sql.RawBytes
			r.say("raw: %s %s", showErr(rows.Scan(&id, &raw)), raw)
			r.say("next: %t", rows.Next())
			var number int
			r.say("number: %s", showErr(rows.Scan(&id, &number)))
			r.say("one: %s", showErr(rows.Scan(&id)))
		}),
	)
	for name, h := range map[string]fake.Hook{
		"failing":        fake.Fail(fake.ErrFault),
		"failing as bad": fake.Fail(driver.ErrBadConn),
		"failing at the second row": func(_ context.Context, n int) error {
			if n == 1 {
				return fake.ErrFault
			}
			return nil
		},
	} {
		for _, op := range []string{"rows.Next", "rows.NextResultSet", "rows.Close", "rows.ScanColumn"} {
			scripts = append(scripts, script{name: op + " " + name, sets: 2, play: func(r *run) {
				for _, v := range verbs {
					if v.query {
						r.On(h, op)
						r.step(v.name, func() { v.do(r, "q ?", 1) })
						r.Off()
						r.step(v.name+" after that", func() { v.do(r, "q ?", 1) })
					}
				}
			}})
		}
	}
	asked := scripts[1]
	asked.name = "asked for another set"
	inner := asked.play
	asked.play = func(r *run) {
		r.AsksForSets = true
		inner(r)
	}
	scripts = append(scripts, asked)
	slices.SortFunc(scripts, func(a, b script) int { return strings.Compare(a.name, b.name) })
	return scripts
}

// newTracer returns a tracer whose spans go to spans.
func newTracer(t *testing.T, spans *tracetest.SpanRecorder) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// checkSpans checks that every span that started has ended, once.
func checkSpans(spans *tracetest.SpanRecorder) error {
	ended := make(map[string]int)
	for _, s := range spans.Ended() {
		ended[s.SpanContext().SpanID().String()]++
	}
	for _, s := range spans.Started() {
		if n := ended[s.SpanContext().SpanID().String()]; n != 1 {
			return fmt.Errorf("every span must end once, but %q ended %d times", s.Name(), n)
		}
	}
	return nil
}
