package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

func newFake() *fake.Base {
	return &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
}

// A driver without connectors is opened by name for each connection, and only when the
// connection is needed.
func TestDriverWithoutConnectors(t *testing.T) {
	f := newFake()
	d := wrap.NewDriver(f.Driver(), wrap.Config{})
	connector, err := d.(driver.DriverContext).OpenConnector("the name")
	if err != nil {
		t.Fatal(err)
	}
	if calls := f.Asked(); len(calls) != 0 {
		t.Errorf("a new connector must open nothing, but called the parent: %v", calls)
	}
	if got, want := fmt.Sprintf("%T", connector.Driver()), fmt.Sprintf("%T", d); got != want {
		t.Errorf("Driver must return a driver of the type that made the connector, %s, got %s", want, got)
	}
	if detach := d.(wrap.Attacher).Attach(wrap.RecorderFunc(func(wrap.Event) {})); detach != nil {
		t.Error("a driver that belongs to no connector must not take a Recorder")
	}
	connects := 0
	detach := connector.Driver().(wrap.Attacher).Attach(wrap.RecorderFunc(func(e wrap.Event) {
		if e.Kind == wrap.KindConnect {
			connects++
		}
	}))
	defer detach()
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if connects != 1 {
		t.Errorf("the Recorder of the connector's driver has %d connects, want 1", connects)
	}
	if calls := f.Asked(); len(calls) == 0 || calls[0] != "base Open(the name)" {
		t.Errorf("the parent must open the name, but the calls were %v", calls)
	}

	conn, err := d.Open("another")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(*wrap.Conn); !ok {
		t.Errorf("Open must return a wrapped connection, got %T", conn)
	}
	conn.Close()

	f.On(fake.Fail(fake.ErrFault), "Open")
	if _, err := d.Open("another"); err != fake.ErrFault {
		t.Errorf("Open must return the parent's error, got %v", err)
	}
}

type contextDriver struct {
	driver.Driver
	base      *fake.Base
	connector driver.Connector
	err       error
}

func (d contextDriver) OpenConnector(name string) (driver.Connector, error) {
	d.base.Call("base", "OpenConnector", nil, "%s", name)
	return d.connector, d.err
}

// A driver with connectors is asked for one, once. sql.Open returns its error.
func TestDriverWithConnectors(t *testing.T) {
	f := newFake()
	d := wrap.NewDriver(contextDriver{Driver: f.Driver(), base: f, connector: f}, wrap.Config{})
	connector, err := d.(driver.DriverContext).OpenConnector("the name")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.Ping()
	db.Close()
	calls := f.Asked()
	if len(calls) < 2 || calls[0] != "base OpenConnector(the name)" || slices.Contains(calls, "base Open(the name)") {
		t.Errorf("the parent's connector must open the connections, but the calls were %v", calls)
	}

	d = wrap.NewDriver(contextDriver{Driver: f.Driver(), base: f, err: fake.ErrFault}, wrap.Config{})
	if c, err := d.(driver.DriverContext).OpenConnector("the name"); err != fake.ErrFault || c != nil {
		t.Errorf("OpenConnector must return the parent's error, got %v, %v", c, err)
	}
	if c, err := d.Open("the name"); err != fake.ErrFault || c != nil {
		t.Errorf("Open must return the error of the parent's OpenConnector, got %v, %v", c, err)
	}
}

// Every way to open a connection uses the Config of the driver or connector.
func TestConfigIsUsedEverywhere(t *testing.T) {
	for name, connect := range map[string]func(*fake.Base, wrap.Config) (driver.Conn, error){
		"a driver without connectors": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.NewDriver(f.Driver(), cfg).Open("")
		},
		"a driver with connectors": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.NewDriver(contextDriver{Driver: f.Driver(), base: f, connector: f}, cfg).Open("")
		},
		"a connector": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.NewConnector(f, cfg).Connect(context.Background())
		},
		"a connector's driver": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.NewConnector(f, cfg).Driver().Open("")
		},
	} {
		events := &recorder{}
		conn, err := connect(newFake(), wrap.Config{Recorder: events})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.Close()
		if got := events.story(); len(got) == 0 || got[0] != "1 connect" {
			t.Errorf("%s: the Recorder has %q", name, got)
		}
	}
}

type closingConnector struct {
	*fake.Base
	err    error
	closed *int
}

func (c closingConnector) Close() error {
	*c.closed++
	return c.err
}

var _ io.Closer = closingConnector{}

// Closing the database closes the parent's connector, if that implements io.Closer, and
// returns its error.
func TestConnectorCloses(t *testing.T) {
	closed := 0
	db := sql.OpenDB(wrap.NewConnector(closingConnector{newFake(), fake.ErrFault, &closed}, wrap.Config{}))
	if err := db.Close(); err != fake.ErrFault || closed != 1 {
		t.Errorf("the parent's connector was closed %d times with error %v, want once with its own error", closed, err)
	}
	if err := sql.OpenDB(wrap.NewConnector(newFake(), wrap.Config{})).Close(); err != nil {
		t.Errorf("closing a connector without Close must succeed, got %v", err)
	}
}

// The connector passes the caller's own context to the parent. If the parent fails, it
// returns a nil interface, not an interface that contains nil.
func TestConnectorConnects(t *testing.T) {
	f := newFake()
	ctx := fake.NewContext(t.Context(), "mine")
	connector := wrap.NewConnector(f, wrap.Config{})
	conn, err := connector.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if calls := f.Asked(); calls[0] != "base Connect() ctx=mine" {
		t.Errorf("the parent must get the caller's own context, but the calls were %v", calls)
	}
	f.On(fake.Fail(fake.ErrFault), "Connect")
	if conn, err := connector.Connect(ctx); conn != nil || err != fake.ErrFault {
		t.Errorf("a failed connect must return nil and the parent's error, got %v, %v", conn, err)
	}
}

// Through Raw, a program gets the parent's connection and the connection's ID. Every
// connection has a different ID.
func TestConnParent(t *testing.T) {
	f := newFake()
	events := &recorder{}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Recorder: events}))
	defer db.Close()
	seen := make(map[wrap.ConnID]bool)
	for range 3 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.Raw(func(c any) error {
			w := c.(*wrap.Conn)
			if _, ok := w.Parent().(interface {
				CheckNamedValue(*driver.NamedValue) error
			}); !ok {
				t.Errorf("Parent must return the parent's own connection, got %T", w.Parent())
			}
			all := events.all()
			if seen[w.ID()] || w.ID() == 0 || w.ID() != all[len(all)-1].Conn {
				t.Errorf("the ID of a connection must be unique and that of its events, got %v", w.ID())
			}
			seen[w.ID()] = true
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// The deprecated methods of connections and statements work, although database/sql does not
// call them if there are others.
func TestDeprecatedMethods(t *testing.T) {
	f := newFake()
	conn, err := wrap.NewConnector(f, wrap.Config{}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	stmt, err := conn.Prepare("q ?")
	if err != nil {
		t.Fatal(err)
	}
	if n := stmt.NumInput(); n != 1 {
		t.Errorf("the parent's statement has one parameter, got %d", n)
	}
	if _, err := stmt.Exec([]driver.Value{"x"}); err != nil {
		t.Error(err)
	}
	rows, err := stmt.Query([]driver.Value{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	if err := stmt.Close(); err != nil {
		t.Error(err)
	}
	want := []string{
		"base Connect() ctx=",
		"c1 BeginTx(isolation 0, read-only false) ctx=background",
		"c1 Commit()",
		"c1 PrepareContext(q ?) ctx=background",
		"c1.stmt NumInput()",
		"c1.stmt ExecContext(q ?, 1:=string x) ctx=background",
		"c1.stmt QueryContext(q ?, 1:=string x) ctx=background",
		"c1.rows Close()",
		"c1.stmt Close(q ?)",
	}
	got := f.Asked()
	got[0] = got[0][:len(want[0])]
	if !slices.Equal(got, want) {
		t.Errorf("calls of the parent\n%q, want\n%q", got, want)
	}
}

// If a checker removes an argument, its name is removed, too. (Without the wrapper,
// database/sql gives the name to the next argument, if that has none.)
func TestRemovedArgumentTakesItsName(t *testing.T) {
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{}))
	defer db.Close()
	if _, err := db.Exec("q", sql.Named("a", fake.Removed{}), 1); err != nil {
		t.Fatal(err)
	}
	if want := "c1 ExecContext(q, 1:=int64 1) ctx=background"; !slices.Contains(f.Asked(), want) {
		t.Errorf("calls of the parent: %q, want %q", f.Asked(), want)
	}
}

// The names of kinds are fixed, because spans and programs use them.
func TestKindNames(t *testing.T) {
	for kind, want := range map[wrap.Kind]string{
		0: "unknown", wrap.KindConnect: "connect", wrap.KindAcquire: "acquire", wrap.KindRelease: "release",
		wrap.KindDiscard: "discard", wrap.KindClose: "close", 200: "unknown",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", kind, got, want)
		}
	}
	if got := wrap.ConnID(42).String(); got != "42" {
		t.Errorf("connection 42 is %q", got)
	}
}
