package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"slices"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

//lint:file-ignore SA1019 what is deprecated must work, too

func newFake() *fake.Base {
	return &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
}

// A driver without connectors is opened by name for each connection, when it is
// needed and no sooner.
func TestDriverWithoutConnectors(t *testing.T) {
	f := newFake()
	d := wrap.Driver(f.Driver(), wrap.Config{})
	connector, err := d.(driver.DriverContext).OpenConnector("the name")
	if err != nil {
		t.Fatal(err)
	}
	if asked := f.Asked(); len(asked) != 0 {
		t.Errorf("a connector opens nothing, but the parent was asked %v", asked)
	}
	if connector.Driver() != d {
		t.Errorf("a connector's driver is the one that made it, but it is %T", connector.Driver())
	}
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if asked := f.Asked(); len(asked) == 0 || asked[0] != "base Open(the name)" {
		t.Errorf("the parent is asked to open the name, but was asked %v", asked)
	}

	conn, err := d.Open("another")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := conn.(*wrap.Conn); !ok {
		t.Errorf("Open gives a wrapped connection, but gave %T", conn)
	}
	conn.Close()

	f.On(fake.Fail(fake.ErrFault), "Open")
	if _, err := d.Open("another"); err != fake.ErrFault {
		t.Errorf("the error of the parent's Open is passed on, but got %v", err)
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

// A driver with connectors is asked for one, once, and its error is sql.Open's.
func TestDriverWithConnectors(t *testing.T) {
	f := newFake()
	d := wrap.Driver(contextDriver{Driver: f.Driver(), base: f, connector: f}, wrap.Config{})
	connector, err := d.(driver.DriverContext).OpenConnector("the name")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.Ping()
	db.Close()
	asked := f.Asked()
	if len(asked) < 2 || asked[0] != "base OpenConnector(the name)" || slices.Contains(asked, "base Open(the name)") {
		t.Errorf("the parent is asked for a connector, and for connections by it, but was asked %v", asked)
	}

	d = wrap.Driver(contextDriver{Driver: f.Driver(), base: f, err: fake.ErrFault}, wrap.Config{})
	if c, err := d.(driver.DriverContext).OpenConnector("the name"); err != fake.ErrFault || c != nil {
		t.Errorf("the error of the parent's OpenConnector is passed on, but got %v, %v", c, err)
	}
	if c, err := d.Open("the name"); err != fake.ErrFault || c != nil {
		t.Errorf("the error of the parent's OpenConnector is Open's, too, but got %v, %v", c, err)
	}
}

// Every way to a connection has the Config that the driver or connector was given.
func TestConfigIsEverywhere(t *testing.T) {
	for name, connect := range map[string]func(*fake.Base, wrap.Config) (driver.Conn, error){
		"a driver without connectors": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.Driver(f.Driver(), cfg).Open("")
		},
		"a driver with connectors": func(f *fake.Base, cfg wrap.Config) (driver.Conn, error) {
			return wrap.Driver(contextDriver{Driver: f.Driver(), base: f, connector: f}, cfg).Open("")
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
			t.Errorf("%s must tell the Recorder, but it was told %q", name, got)
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

// Closing the database closes the parent's connector, if that can be closed, and
// passes on its error.
func TestConnectorCloses(t *testing.T) {
	closed := 0
	db := sql.OpenDB(wrap.NewConnector(closingConnector{newFake(), fake.ErrFault, &closed}, wrap.Config{}))
	if err := db.Close(); err != fake.ErrFault || closed != 1 {
		t.Errorf("the parent's connector is closed once and its error passed on, but it was closed %d times, with %v", closed, err)
	}
	if err := sql.OpenDB(wrap.NewConnector(newFake(), wrap.Config{})).Close(); err != nil {
		t.Errorf("a connector that cannot be closed closes well, but %v", err)
	}
}

// The connector passes the caller's own context to the parent, and a nil
// connection, not one that holds nil, where there is none.
func TestConnectorConnects(t *testing.T) {
	f := newFake()
	ctx := fake.NewContext(t.Context(), "mine")
	connector := wrap.NewConnector(f, wrap.Config{})
	conn, err := connector.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if asked := f.Asked(); asked[0] != "base Connect() ctx=mine" {
		t.Errorf("the parent gets the caller's own context, but was asked %v", asked)
	}
	f.On(fake.Fail(fake.ErrFault), "Connect")
	if conn, err := connector.Connect(ctx); conn != nil || err != fake.ErrFault {
		t.Errorf("a failed connect answers nil and the parent's error, but %v, %v", conn, err)
	}
}

// A program reaches the parent's connection, and the connection's name, through
// Raw; no two connections have one name.
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
				t.Errorf("Parent gives the parent's own connection, but gave %T", w.Parent())
			}
			all := events.all()
			if seen[w.ID()] || w.ID() == 0 || w.ID() != all[len(all)-1].Conn {
				t.Errorf("a connection has a name of its own, that of its events, but it is %v", w.ID())
			}
			seen[w.ID()] = true
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// The deprecated methods of connections and statements, which database/sql does
// not call where there are others, work all the same.
func TestDeprecatedMethods(t *testing.T) {
	f := newFake()
	conn, err := wrap.NewConnector(f, wrap.Config{}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.Begin() //nolint:staticcheck // the point
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
		t.Errorf("the parent's statement has one parameter, but there are %d", n)
	}
	if _, err := stmt.Exec([]driver.Value{"x"}); err != nil { //nolint:staticcheck // the point
		t.Error(err)
	}
	rows, err := stmt.Query([]driver.Value{"x"}) //nolint:staticcheck // the point
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
		t.Errorf("the parent was asked\n%q, want\n%q", got, want)
	}
}

// An argument that a checker removes takes its name with it. (database/sql, on
// the bare base, gives its name to the next argument, if that has none.)
func TestRemovedArgumentTakesItsName(t *testing.T) {
	f := &fake.Base{Conn: fake.ConnOf("all with contexts"), Stmt: fake.StmtOf("contexts"), Rows: fake.RowsOf("SQLite's")}
	db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{}))
	defer db.Close()
	if _, err := db.Exec("q", sql.Named("a", fake.Removed{}), 1); err != nil {
		t.Fatal(err)
	}
	if want := "c1 ExecContext(q, 1:=int64 1) ctx=background"; !slices.Contains(f.Asked(), want) {
		t.Errorf("the parent was asked %q, want %q", f.Asked(), want)
	}
}

// The words of events are fixed: they are those of the spans, and programs'.
func TestWords(t *testing.T) {
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
