package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// Every event has the duration of its step and the trace of its call. It also has the age,
// the idle time and the number of uses of its connection.
func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's")}
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
		f.On(fake.Take(2*time.Second), "Connect")
		f.On(fake.Take(3*time.Second), "ExecContext")
		f.On(fake.Take(time.Second), "Close")
		a, b := trace.TraceID{1}, trace.TraceID{2}
		start := time.Now()
		for i, id := range []trace.TraceID{a, b, {}} {
			if i > 0 {
				time.Sleep(5 * time.Second)
			}
			ctx := t.Context()
			if id.IsValid() {
				ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
			}
			if _, err := db.ExecContext(ctx, "q"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(7 * time.Second)
		db.Close()

		id := events.all()[0].Conn
		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		const s = time.Second
		want := []wrap.Event{
			{Time: at(2), Kind: wrap.KindConnect, Conn: id, Duration: 2 * s, Trace: a},
			{Time: at(2), Kind: wrap.KindAcquire, Conn: id, Duration: 2 * s, Uses: 1, Trace: a},
			{Time: at(5), Kind: wrap.KindRelease, Conn: id, Duration: 3 * s, Age: 3 * s, Uses: 1, Trace: a},
			{Time: at(10), Kind: wrap.KindAcquire, Conn: id, Idle: 5 * s, Age: 8 * s, Uses: 2, Trace: b},
			{Time: at(13), Kind: wrap.KindRelease, Conn: id, Duration: 3 * s, Age: 11 * s, Uses: 2, Trace: b},
			{Time: at(18), Kind: wrap.KindAcquire, Conn: id, Idle: 5 * s, Age: 16 * s, Uses: 3},
			{Time: at(21), Kind: wrap.KindRelease, Conn: id, Duration: 3 * s, Age: 19 * s, Uses: 3},
			{Time: at(29), Kind: wrap.KindClose, Conn: id, Duration: s, Idle: 7 * s, Age: 26 * s, Uses: 3, Reason: wrap.ReasonDatabaseClosed, Derived: true},
		}
		compareEvents(t, events.all(), want)
	})
}

func compareEvents(t *testing.T, got, want []wrap.Event) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("event %d is missing: %+v", i+1, want[i])
		case i >= len(want):
			t.Errorf("event %d is unexpected: %+v", i+1, got[i])
		case !got[i].Time.Equal(want[i].Time):
			t.Errorf("event %d, %v: time %v, want %v", i+1, got[i].Kind, got[i].Time, want[i].Time)
		default:
			got[i].Time = want[i].Time
			if got[i] != want[i] {
				t.Errorf("event %d: got\n\t%+v, want\n\t%+v", i+1, got[i], want[i])
			}
		}
	}
}

// The Duration of an acquire is the time that the driver spends on it. For a reused
// connection, that is the parent's ResetSession.
func TestAccountOfReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's")}
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
		defer db.Close()
		db.Exec("q")
		time.Sleep(5 * time.Second)
		f.On(fake.Take(2*time.Second), "ResetSession")
		db.Exec("q")
		acquire := events.all()[3]
		if acquire.Kind != wrap.KindAcquire || acquire.Duration != 2*time.Second || acquire.Idle != 5*time.Second {
			t.Errorf("the acquire has duration %v after %v idle, want 2s of reset after 5s", acquire.Duration, acquire.Idle)
		}
	})
}

// A Recorder that is attached in the middle of a connection's life records no times from
// before. All later times are right.
func TestAttachInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's")}
		opener := wrap.NewOpener(wrap.Config{})
		db := sql.OpenDB(openerConnector{f, opener})
		use := func() {
			t.Helper()
			if _, err := db.Exec("q"); err != nil {
				t.Fatal(err)
			}
		}
		f.On(fake.Take(3*time.Second), "ExecContext")
		use()
		time.Sleep(5 * time.Second)

		// Attached while the connection is idle.
		events := &recorder{}
		detach := opener.Attach(events)
		start := time.Now()
		use()
		detach()
		time.Sleep(5 * time.Second)
		use()
		time.Sleep(5 * time.Second)

		// Attached while it is in use.
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		detach = opener.Attach(events)
		defer detach()
		conn.Close()
		time.Sleep(time.Second)
		db.Close()

		at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		const s = time.Second
		id := events.all()[0].Conn
		compareEvents(t, events.all(), []wrap.Event{
			{Time: at(0), Kind: wrap.KindAcquire, Conn: id, Age: 8 * s, Uses: 2},
			{Time: at(3), Kind: wrap.KindRelease, Conn: id, Duration: 3 * s, Age: 11 * s, Uses: 2},
			{Time: at(21), Kind: wrap.KindRelease, Conn: id, Age: 29 * s, Uses: 4},
			{Time: at(22), Kind: wrap.KindClose, Conn: id, Idle: s, Age: 30 * s, Uses: 4, Reason: wrap.ReasonDatabaseClosed, Derived: true},
		})
	})
}

// openerConnector is a connector for an Opener of the test.
type openerConnector struct {
	*fake.Base
	opener *wrap.Opener
}

func (c openerConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.opener.Open(ctx, c.Base.Connect)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// hold takes db's only connection, and starts a waiter that runs call. It returns when the
// waiter is waiting.
func hold(t *testing.T, db *sql.DB, call func()) (held *sql.Conn, waiter *sync.WaitGroup) {
	t.Helper()
	db.SetMaxOpenConns(1)
	held, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiter = new(sync.WaitGroup)
	waiter.Go(call)
	synctest.Wait()
	if n := db.Stats().WaitCount; n != 1 {
		t.Fatalf("this test needs one waiter, got %d", n)
	}
	return held, waiter
}

// discardHeld makes database/sql discard a held connection.
func discardHeld(held *sql.Conn) {
	held.Raw(func(any) error { return driver.ErrBadConn })
	held.Close()
}

func checkStory(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Connections that database/sql opens on its own goroutine have the right events.
func TestOpener(t *testing.T) {
	first := []string{"1 connect", "1 acquire", "1 discard bad", "1 close bad"}

	t.Run("for a waiter", func(t *testing.T) {
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			held, waiter := hold(t, db, func() {
				if _, err := db.Exec("q"); err != nil {
					t.Error(err)
				}
			})
			discardHeld(held)
			waiter.Wait()
		})
		checkStory(t, got, append(first, "2 connect background", "2 acquire derived", "2 release", "2 close database closed derived")...)
	})
	t.Run("for a waiter, but fails", func(t *testing.T) {
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			held, waiter := hold(t, db, func() {
				if err := db.Ping(); err != fake.ErrFault {
					t.Errorf("the waiter must get the connector's own error, got %v", err)
				}
			})
			f.On(fake.Fail(fake.ErrFault), "Connect")
			discardHeld(held)
			waiter.Wait()
		})
		checkStory(t, got, append(first, "0 connect error *errors.errorString background")...)
	})
	t.Run("until after the database is closed", func(t *testing.T) {
		// database/sql holds its mutex while it closes this connection.
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			held, waiter := hold(t, db, func() { db.Ping() })
			f.On(fake.Take(time.Minute), "Connect")
			discardHeld(held)
			synctest.Wait()
			db.Close()
			waiter.Wait()
			time.Sleep(2 * time.Minute)
		})
		checkStory(t, got, append(first, "2 connect background", "2 close surplus derived")...)
	})
	t.Run("until there is no waiter and no idle connection is kept", func(t *testing.T) {
		// As above.
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			db.SetMaxIdleConns(-1)
			ctx, cancel := context.WithCancel(t.Context())
			held, waiter := hold(t, db, func() { db.PingContext(ctx) })
			f.On(func(context.Context, int) error { cancel(); waiter.Wait(); return nil }, "Connect")
			discardHeld(held)
			synctest.Wait()
			if n := db.Stats().MaxIdleClosed; n != 1 {
				t.Errorf("this test needs one connection that is not kept, but %d were closed", n)
			}
		})
		checkStory(t, got, append(first, "2 connect background", "2 close surplus derived")...)
	})

	// park leaves a connection idle that has never been used.
	park := func(t *testing.T, f *fake.Base, db *sql.DB) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		held, waiter := hold(t, db, func() { db.PingContext(ctx) })
		f.On(func(context.Context, int) error { cancel(); waiter.Wait(); return nil }, "Connect")
		discardHeld(held)
		synctest.Wait()
		f.Off()
		if n := db.Stats().Idle; n != 1 {
			t.Fatalf("this test needs one idle connection, got %d", n)
		}
	}
	t.Run("parked, never used", func(t *testing.T) {
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			park(t, f, db)
			db.SetConnMaxIdleTime(time.Minute)
			time.Sleep(3 * time.Minute)
		})
		checkStory(t, got, append(first, "2 connect background", "2 close expired derived")...)
	})
	t.Run("parked, acquired and released without a call", func(t *testing.T) {
		got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
			park(t, f, db)
			for range 2 { // the second use resets the connection, and so acquires it
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
		})
		checkStory(t, got, append(first, "2 connect background", "2 acquire", "2 release", "2 close database closed derived")...)
	})
	for name, raw := range map[string]func(any) error{
		"is bad": func(any) error { return driver.ErrBadConn },
		"panics": func(any) error { panic("program") },
	} {
		t.Run("parked, and its first use is a Raw that "+name, func(t *testing.T) {
			got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
				park(t, f, db)
				conn, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				defer func() { recover() }()
				conn.Raw(raw)
			})
			if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "2 close bad") {
				t.Errorf("a connection that Raw made bad must be closed as bad, but its story ends with %q", got[len(got)-1])
			}
		})
	}
}

// If a connection was opened in the background, its acquire has the trace and the idle time
// of its first call. Its connect has no trace.
func TestOpenerAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("SQLite's")}
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
		waits, cancel := context.WithCancel(context.Background())
		held, waiter := hold(t, db, func() { db.PingContext(waits) })
		f.On(func(context.Context, int) error { cancel(); waiter.Wait(); return nil }, "Connect")
		discardHeld(held)
		synctest.Wait()
		time.Sleep(9 * time.Second)
		id := trace.TraceID{7}
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
		if _, err := db.ExecContext(ctx, "q"); err != nil {
			t.Error(err)
		}
		db.Close()
		for _, e := range events.all() {
			switch {
			case e.Background && e.Trace.IsValid():
				t.Errorf("a connect in the background must have no trace, got %v", e.Trace)
			case e.Derived && e.Kind == wrap.KindAcquire && (e.Trace != id || e.Idle != 9*time.Second || e.Age != 9*time.Second || e.Duration != 0):
				t.Errorf("the first call came after 9s in trace %v, but its acquire is %+v", id, e)
			}
		}
	})
}

// If a connection is handed to a waiter that has just gone, it is validated again. It is
// neither acquired nor released.
//
// The waiter goes during a statement's close, which happens between the release of the
// connection and its hand-off.
func TestBounce(t *testing.T) {
	validated := 0
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		stmt, err := db.Prepare("q")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		held, waiter := hold(t, db, func() {
			if err := db.PingContext(ctx); err != context.Canceled {
				t.Errorf("the waiter must get its context's error, got %v", err)
			}
		})
		stmt.Close() // delayed until the connection is given back
		f.On(func(context.Context, int) error { cancel(); return nil }, "stmt.Close")
		f.On(func(context.Context, int) error { validated++; return nil }, "IsValid")
		held.Close()
		waiter.Wait()
	})
	if validated != 2 {
		t.Errorf("this test needs a connection whose waiter has gone, but it was validated %d times", validated)
	}
	checkStory(t, got, "1 connect", "1 acquire", "1 release", "1 acquire", "1 release", "1 close database closed derived")
}

// A connection that such a second validation finds invalid is closed as bad, without a second
// discard.
func TestBounceOfInvalid(t *testing.T) {
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		stmt, err := db.Prepare("q")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		held, waiter := hold(t, db, func() { db.PingContext(ctx) })
		stmt.Close()
		f.On(func(context.Context, int) error { cancel(); return nil }, "stmt.Close")
		f.On(func(_ context.Context, n int) error {
			if n == 1 {
				return fake.ErrFault
			}
			return nil
		}, "IsValid")
		held.Close()
		waiter.Wait()
	})
	checkStory(t, got, "1 connect", "1 acquire", "1 release", "1 acquire", "1 release", "1 close bad")
}

// A connection can pass from one call to another without being idle.
func TestHandOff(t *testing.T) {
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		held, waiter := hold(t, db, func() { db.Ping() })
		held.Close()
		waiter.Wait()
	})
	checkStory(t, got, "1 connect", "1 acquire", "1 release", "1 acquire", "1 release", "1 close database closed derived")
}

// If ResetSession returns an error other than ErrBadConn, database/sql ignores it and uses
// the connection. So the connection is acquired.
func TestResetFails(t *testing.T) {
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		db.Exec("q")
		f.On(fake.Fail(fake.ErrFault), "ResetSession")
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	checkStory(t, got, "1 connect", "1 acquire", "1 release", "1 acquire", "1 release", "1 close database closed derived")
}

// SetMaxOpenConns closes idle connections, too.
func TestShrunkByMaxOpen(t *testing.T) {
	got := live(t, func(t *testing.T, f *fake.Base, db *sql.DB) {
		a, errA := db.Conn(t.Context())
		b, errB := db.Conn(t.Context())
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		a.Close()
		b.Close()
		db.SetMaxOpenConns(1)
	})
	checkStory(t, got, "1 connect", "1 acquire", "2 connect", "2 acquire", "1 release", "2 release",
		"2 close shrunk derived", "1 close database closed derived")
}

// A connection that a caller other than database/sql closes has the reason other, and not
// bad.
func TestClosedByOtherCaller(t *testing.T) {
	for name, before := range map[string]func(driver.Conn){
		"in use":            func(driver.Conn) {},
		"after it is valid": func(c driver.Conn) { c.(driver.Validator).IsValid() },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake.Base{Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("none")}
			events := &recorder{}
			conn, err := wrap.NewConnector(f, wrap.Config{Recorder: events}).Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			before(conn)
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			all := events.all()
			if last := all[len(all)-1]; last.Kind != wrap.KindClose || last.Reason != wrap.ReasonOther {
				t.Errorf("the reason must be %q, got the story %v", wrap.ReasonOther, events.story())
			}
		})
	}
}

// An event has the class of an error, but none of its text.
func TestEventsHoldNoErrorText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake.Base{Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("none")}
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
		secret := errors.New("secret")
		f.On(fake.Fail(fmt.Errorf("while opening: %w", secret)), "Connect")
		db.Ping()
		f.Off()
		db.Ping()
		f.On(fake.Fail(secret), "Close")
		if err := db.Close(); err != secret {
			t.Errorf("the program must get the parent's own error, got %v", err)
		}
		failed := 0
		for _, e := range events.all() {
			if e.Err != "" {
				failed++
			}
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, "secret") || strings.Contains(text, "opening") {
				t.Errorf("an event quotes an error: %s", text)
			}
		}
		if failed != 2 {
			t.Errorf("%d events have an error, want 2: connect and close", failed)
		}
	})
}

// Many goroutines use the database at the same time, and any call may fail. Still, each
// connection has a complete story, each span ends, and the numbers agree with database/sql's.
func TestStress(t *testing.T) { synctest.Test(t, testStress) }

func testStress(t *testing.T) {
	const workers, each = 8, 200
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("all"), Rows: fake.RowsOf("all"), Sets: 2}
	events := &recorder{}
	spans := tracetest.NewSpanRecorder()
	connector := wrap.NewConnector(f, wrap.Config{Recorder: events, Tracing: newTracer(t, spans)})
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(2)
	sometimes := func(one int, err error) fake.Hook {
		return func(context.Context, int) error {
			if rand.IntN(one) == 0 {
				return err
			}
			return nil
		}
	}
	f.On(sometimes(10, fake.ErrFault), "Connect", "rows.Next", "rows.Close", "stmt.ExecContext")
	f.On(sometimes(10, driver.ErrBadConn), "PrepareContext", "QueryContext", "ResetSession", "IsValid", "BeginTx")
	f.On(func(context.Context, int) error {
		if rand.IntN(20) == 0 {
			panic("fake: stress") // database/sql still gives the connection back
		}
		return nil
	}, "ExecContext")

	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(10) == 0 {
					go cancel()
				}
				stress(ctx, db)
				cancel()
			}
		})
	}
	all.Wait()
	synctest.Wait() // until database/sql has finished its rollbacks and closes
	f.Off()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d connections are still open: a call has lost one", n)
	}
	if err := events.check(false); err != nil {
		t.Error(err)
	}
	if err := checkSpans(spans); err != nil {
		t.Error(err)
	}
}

func stress(ctx context.Context, db *sql.DB) {
	defer func() { recover() }()
	switch rand.IntN(4) {
	case 0:
		db.ExecContext(ctx, "q ?", 1)
	case 1:
		if rows, err := db.QueryContext(ctx, "q ?", 1); err == nil {
			for rows.Next() {
			}
			if rand.IntN(2) == 0 {
				rows.NextResultSet()
			}
			rows.Close()
		}
	case 2:
		if tx, err := db.BeginTx(ctx, nil); err == nil {
			defer tx.Rollback()
			tx.ExecContext(ctx, "q ?", 1)
			if rand.IntN(2) == 0 {
				tx.Commit()
			}
		}
	case 3:
		if stmt, err := db.PrepareContext(ctx, "q ?"); err == nil {
			stmt.ExecContext(ctx, 1)
			stmt.Close()
		}
	}
}
