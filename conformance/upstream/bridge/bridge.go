// Package bridge opens databases through sqlitemw for tests that were written for
// github.com/ncruces/go-sqlite3/driver. It records how many connections it opened.
package bridge

import (
	"database/sql"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
)

// Open has the signature of ncruces' driver.Open, and opens sqlitemw. Without callbacks it
// opens the registered name. With callbacks it makes a connector.
func Open(name string, fn ...func(*sqlite3.Conn) error) (*sql.DB, error) {
	if len(fn) > 2 {
		return nil, sqlite3.MISUSE
	}
	fn = append(fn, nil, nil)
	initialize, terminate := fn[0], fn[1]
	if initialize == nil && terminate == nil {
		return Watch(sql.Open(driver.Name, name))
	}
	c, err := driver.NewConnector(name, driver.Config{Init: initialize, Term: terminate})
	if err != nil {
		return nil, err
	}
	return Watch(sql.OpenDB(c), nil)
}

// Watch counts the connections of a database that has just been opened, and returns its
// arguments. It panics if the database does not belong to sqlitemw, because the tests would
// then prove nothing.
func Watch(db *sql.DB, err error) (*sql.DB, error) {
	if err != nil {
		return db, err
	}
	c := driver.ConnectorOf(db)
	if c == nil {
		panic(fmt.Sprintf("bridge: the database is of driver %T, not of sqlitemw's", db.Driver()))
	}
	c.Attach(driver.RecorderFunc(func(e driver.Event) {
		if e.Kind == driver.KindConnect && e.Err == "" {
			leave(Connection)
		}
	}))
	return db, nil
}
