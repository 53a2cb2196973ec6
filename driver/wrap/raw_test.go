package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A copier is a driver's own connection, with a method that database/sql does not know.
type copier struct {
	driver.Conn
	copied int
}

func (c *copier) Copy() { c.copied++ }

func (c *copier) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return nil, driver.ErrBadConn
}

type copierConnector struct {
	*fake.Base
	conns *[]*copier
}

func (c copierConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Base.Connect(ctx)
	if err != nil {
		return nil, err
	}
	*c.conns = append(*c.conns, &copier{Conn: conn})
	return (*c.conns)[len(*c.conns)-1], nil
}

func TestRaw(t *testing.T) {
	ctx := t.Context()
	for _, wraps := range []int{0, 1, 2} {
		var conns []*copier
		var connector driver.Connector = copierConnector{newFake(), &conns}
		for range wraps {
			connector = wrap.NewConnector(connector, wrap.Config{Once: true})
		}
		db := sql.OpenDB(connector)
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := wrap.Raw(conn, func(c *copier) error { c.Copy(); return nil }); err != nil || conns[0].copied != 1 {
			t.Errorf("wrapped %d times: Raw returned %v and copied %d times", wraps, err, conns[0].copied)
		}
		// An interface that the wrapper implements, too: the driver's own comes first.
		if err := wrap.Raw(conn, func(c driver.ExecerContext) error {
			if c != driver.ExecerContext(conns[0]) {
				t.Errorf("wrapped %d times: got a %T, want the driver's own", wraps, c)
			}
			return fake.ErrFault
		}); err != fake.ErrFault {
			t.Errorf("wrapped %d times: Raw returned %v, want the function's error", wraps, err)
		}
		if err := wrap.Raw(conn, func(*wrap.Conn) error { return nil }); (err == nil) != (wraps > 0) {
			t.Errorf("wrapped %d times: the wrapper itself: %v", wraps, err)
		}
		err = wrap.Raw(conn, func(*strings.Builder) error { t.Error("called"); return nil })
		if err == nil || !strings.Contains(err.Error(), "*wrap_test.copier") || !strings.Contains(err.Error(), "*strings.Builder") {
			t.Errorf("wrapped %d times: the error %q must name both types", wraps, err)
		}
		conn.Close()
		if err := wrap.Raw(conn, func(*copier) error { t.Error("called"); return nil }); !errors.Is(err, sql.ErrConnDone) {
			t.Errorf("wrapped %d times: a closed connection returned %v", wraps, err)
		}
		db.Close()
	}
}

// Raw does not pass a connection that must not be used any more: the parent's is closed, or its
// transaction is lost.
func TestRawOfUnusable(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		name string
		hook fake.Hook
		want error
	}{
		{"lost", fake.Fail(driver.ErrBadConn), driver.ErrBadConn},
		{"panicked", fake.Panic("engine"), wrap.ErrPanicked},
	} {
		f := newFake()
		f.On(tc.hook, "ExecContext")
		events := &recorder{}
		db := sql.OpenDB(wrap.NewConnector(f, wrap.Config{Once: true, Recorder: events}))
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			conn.ExecContext(ctx, insertText, 1)
		}()
		if err := wrap.Raw(conn, func(driver.Conn) error { t.Error("called"); return nil }); !errors.Is(err, tc.want) {
			t.Errorf("%s: Raw returned %v, want %v", tc.name, err, tc.want)
		}
		conn.Close()
		if got := events.story(); !slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, "1 discard") }) {
			t.Errorf("%s: the connection must be discarded: %q", tc.name, got)
		}
		db.Close()
	}
}
