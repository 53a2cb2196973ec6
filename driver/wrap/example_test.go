package wrap_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// NewConnector adds spans and events to the connections of any driver.
func ExampleNewConnector() {
	db := sql.OpenDB(wrap.NewConnector(echoConnector{}, wrap.Config{
		Source:   tracing.Source{System: "echo", Namespace: "test"},
		Recorder: wrap.RecorderFunc(func(e wrap.Event) { fmt.Println(e.Kind) }),
	}))
	_, err := db.ExecContext(context.Background(), "do it")
	fmt.Println("done", err)
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// connect
	// acquire
	// release
	// done echo: do it
	// close
}

// Tee passes every event to several Recorders.
func ExampleTee() {
	var closed int
	count := wrap.RecorderFunc(func(e wrap.Event) {
		if e.Kind == wrap.KindClose {
			closed++
		}
	})
	print := wrap.RecorderFunc(func(e wrap.Event) { fmt.Println(e.Kind, e.Reason) })
	wrap.Tee(count, nil, print).Record(wrap.Event{Kind: wrap.KindClose, Reason: wrap.ReasonExpired})
	fmt.Println(closed)
	// Output:
	// close expired
	// 1
}

// An echoConnector stands for any driver's connector. Its connections return each query as an
// error.
type echoConnector struct{}

func (echoConnector) Connect(context.Context) (driver.Conn, error) { return echoConn{}, nil }
func (echoConnector) Driver() driver.Driver                        { return nil }

type echoConn struct{}

func (echoConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (echoConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (echoConn) Close() error                        { return nil }

func (echoConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	return nil, fmt.Errorf("echo: %s", query)
}
