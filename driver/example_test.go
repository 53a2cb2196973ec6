package driver_test

import (
	"database/sql"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A program that used "sqlite3" changes that one word.
func Example() {
	db, err := sql.Open("sqlitemw", "file::memory:?cache=shared&_pragma=busy_timeout(5000)&_pragma=foreign_keys(on)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	if _, err := db.Exec("CREATE TABLE users(name TEXT UNIQUE)"); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO users VALUES (?)", "ada"); err != nil {
		log.Fatal(err)
	}
	_, err = db.Exec("INSERT INTO users VALUES (?)", "ada")
	fmt.Println(errors.Is(err, sqlite3.CONSTRAINT_UNIQUE))
	// Output: true
}

// For options that do not fit in a DSN, register the driver with a Config, under a name
// of your own.
func ExampleDriver() {
	sql.Register("mine", &driver.Driver{Config: driver.Config{
		Pragmas: []driver.Pragma{{Name: "foreign_keys", Value: "on"}},
		Init: func(c *sqlite3.Conn) error {
			return c.CreateFunction("shout", 1, sqlite3.DETERMINISTIC, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
				ctx.ResultText(strings.ToUpper(arg[0].Text()))
			})
		},
	}})

	db, err := sql.Open("mine", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var s string
	if err := db.QueryRow("SELECT shout('hello')").Scan(&s); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s)
	// Output: HELLO
}

// A Connector needs no name. It records what happens to each connection.
func ExampleNewConnector() {
	connector, err := driver.NewConnector(":memory:", driver.Config{
		Recorder: driver.RecorderFunc(func(e driver.Event) { fmt.Println(e.Kind) }),
	})
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// connect
	// acquire
	// release
	// close
}

// A DSN is checked as a whole. The error lists everything that is wrong, and no secret.
func ExampleParseDSN() {
	dsn, err := driver.ParseDSN("file:app.db?mode=ro&_pragma=cache_size(-2000)")
	if err != nil {
		log.Fatal(err)
	}
	size, _ := dsn.Pragma("cache_size")
	fmt.Println(dsn.File(), size)

	_, err = driver.ParseDSN("file:app.db?_pragma=foreign_keys(maybe)&_txlock=now")
	fmt.Println(err)
	// Output:
	// app.db cache_size=-2000
	// sqlitemw: invalid data source name: pragma foreign_keys: asked for "maybe": use on or off; _txlock is "now": use deferred, immediate, exclusive or concurrent
}

// Code returns SQLite's numbers, whatever is around the error.
func ExampleCode() {
	db, err := sql.Open("sqlitemw-mattn", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1), (1)")
	code, extended, ok := driver.Code(fmt.Errorf("store: %w", err))
	fmt.Println(code, extended, ok)
	// Output: 19 2067 true
}

// Watch shows what a program executes, without a Tracer.
func ExampleWatch() {
	db, err := sql.Open("sqlitemw", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has an in-memory database of its own
	if _, err := db.Exec("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)"); err != nil {
		log.Fatal(err)
	}
	detach, err := driver.Watch(db, func(c driver.Call) {
		plan, err := c.Plan()
		fmt.Println(c.Text, c.Rows, "row", c.FullScanSteps, "steps", plan, err)
	})
	if err != nil {
		log.Fatal(err)
	}
	defer detach()
	var a int
	if err := db.QueryRow("SELECT count(*) FROM t WHERE a < ?", 3).Scan(&a); err != nil {
		log.Fatal(err)
	}
	// Output: SELECT count(*) FROM t WHERE a < ? 1 row 2 steps [SCAN t] <nil>
}
