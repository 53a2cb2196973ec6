package dqlite_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"log"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/dqlite"
)

// connect stands for the connector of go-dqlite's driver:
//
//	d, err := dqlitedriver.New(store)
//	...
//	connector, err := d.OpenConnector("shop")
func connect() driver.Connector { return nil }

func Example() {
	ctx := context.Background()
	p, err := dqlite.Open(ctx, dqlite.Config{Connector: connect(), Database: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	// Writers wait for each other, first come, first served.
	if _, err := p.DB().ExecContext(ctx, "UPDATE items SET stock = stock - 1 WHERE id = ?", 7); err != nil {
		log.Fatal(err)
	}

	// Readers wait for no writer.
	var stock int
	if err := p.DB().QueryRowContext(ctx, "SELECT stock FROM items WHERE id = ?", 7).Scan(&stock); err != nil {
		log.Fatal(err)
	}
}

// When the leader is lost during a write, it is unknown whether the write has been applied. The pool does
// not repeat it.
func ExamplePool_DB_unknownOutcome() {
	var p *dqlite.Pool // from Open
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.DB().ExecContext(ctx, "INSERT INTO payments (id, amount) VALUES (?, ?)", "a1b2", 100)
	var unknown *wrap.OutcomeError
	switch {
	case errors.Is(err, dqlite.ErrNoLeader):
		log.Print("nothing was sent: try again later")
	case errors.As(err, &unknown):
		log.Print("look for the payment a1b2 before you pay again")
	case err != nil:
		log.Print(err)
	}
}
