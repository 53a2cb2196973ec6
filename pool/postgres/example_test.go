package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// connect stands for the connectors of the program's driver. With pgx, it is
//
//	cfg, err := pgx.ParseConfig(dsn)
//	...
//	return stdlib.GetConnector(*cfg)
func connect(string) driver.Connector { return nil }

func Example() {
	ctx := context.Background()
	p, err := postgres.Open(ctx, postgres.Config{Servers: []postgres.Server{
		{Name: "db1:5432", Connector: connect("postgres://app@db1:5432/shop")},
		{Name: "db2:5432", Connector: connect("postgres://app@db2:5432/shop")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	// On the primary, whichever of the servers that is.
	if _, err := p.DB().ExecContext(ctx, "UPDATE items SET stock = stock - 1 WHERE id = $1", 7); err != nil {
		log.Fatal(err)
	}

	// On a standby.
	tx, err := p.DB().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	var stock int
	if err := tx.QueryRowContext(ctx, "SELECT stock FROM items WHERE id = $1", 7).Scan(&stock); err != nil {
		log.Fatal(err)
	}
}

// After a failover, a call that was running on the old primary has failed. Whether it has been
// executed is unknown, so only the program can decide whether to repeat it.
func ExamplePool_DB_failover() {
	var p *postgres.Pool // from Open
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := p.DB().ExecContext(ctx, "INSERT INTO payments (id, amount) VALUES ($1, $2)", "a1b2", 100)
	switch {
	case errors.Is(err, postgres.ErrNoPrimary), errors.Is(err, postgres.ErrTwoPrimaries):
		log.Print("nothing was sent: try again later")
	case errors.Is(err, postgres.ErrDemoted):
		log.Print("look for the payment a1b2 before you pay again")
	case err != nil:
		log.Print(err)
	}
}

// With ReadYourWrites, a reader sees what was written before, although a standby is a little behind.
func ExampleConfig_readYourWrites() {
	p, err := postgres.Open(context.Background(), postgres.Config{
		Servers: []postgres.Server{
			{Name: "db1:5432", Connector: connect("postgres://app@db1:5432/shop")},
			{Name: "db2:5432", Connector: connect("postgres://app@db2:5432/shop")},
		},
		ReadYourWrites: true,
		ReplayTimeout:  50 * time.Millisecond, // then the primary answers
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	rows, err := p.Reader().Query("SELECT id FROM items WHERE stock = 0")
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
}

// The live page shows the pool, its servers, holders and waiters.
func ExamplePool_page() {
	var p *postgres.Pool // from Open
	h, err := page.New(page.Config{Pools: page.List(p), Allow: page.Loopback})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/debug/pool/", http.StripPrefix("/debug/pool", h))
}
