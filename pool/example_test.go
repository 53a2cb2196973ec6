package pool_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/sqlitemw/sqlitemw/pool"
)

func Example() {
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	p, err := pool.Open(ctx, pool.Config{Path: filepath.Join(dir, "shop.db")})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	db := p.DB() // a *sql.DB like any other
	if _, err := db.ExecContext(ctx, "CREATE TABLE product(name TEXT, stock INTEGER)"); err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO product VALUES (?, ?), (?, ?)", "tea", 7, "coffee", 3); err != nil {
		log.Fatal(err)
	}
	rows, err := db.QueryContext(ctx, "SELECT name, stock FROM product ORDER BY name")
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var stock int
		if err := rows.Scan(&name, &stock); err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, stock)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}

	s := p.Stats()
	fmt.Println(s.Writers, "writes,", s.Readers, "reads, of", s.Max, "at most")
	// Output:
	// coffee 3
	// tea 7
	// 1 writes, 1 reads, of 10 at most
}

func ExampleManager() {
	ctx := context.Background()
	var m pool.Manager
	if _, err := m.OpenPrimary(ctx, pool.InMemory()); err != nil {
		log.Fatal(err)
	}
	if _, err := m.Add(ctx, "sessions", pool.InMemory()); err != nil {
		log.Fatal(err)
	}

	_, err := m.OpenPrimary(ctx, pool.InMemory())
	fmt.Println("a second primary is refused:", errors.Is(err, pool.ErrExists))
	if p, ok := m.Primary(); ok {
		fmt.Println("the primary is there:", p.DB().PingContext(ctx) == nil)
	}
	health := m.HealthCheck(ctx)
	for _, name := range m.Names() {
		fmt.Println(name, "is healthy:", health[name] == nil)
	}
	fmt.Println("closed:", m.Close(ctx) == nil, len(m.Names()))
	// Output:
	// a second primary is refused: true
	// the primary is there: true
	// primary is healthy: true
	// sessions is healthy: true
	// closed: true 0
}

func ExamplePool_WithTx() {
	ctx := context.Background()
	p, err := pool.Open(ctx, pool.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if _, err := p.DB().ExecContext(ctx, "CREATE TABLE account(name TEXT, money INTEGER CHECK (money >= 0)); INSERT INTO account VALUES ('ann', 10), ('bob', 0)"); err != nil {
		log.Fatal(err)
	}

	transfer := func(amount int) error {
		return p.WithTx(ctx, nil, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "UPDATE account SET money = money + ? WHERE name = 'bob'", amount); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "UPDATE account SET money = money - ? WHERE name = 'ann'", amount)
			return err
		})
	}
	for _, amount := range []int{4, 100} {
		fmt.Println("transfer", amount, "done:", transfer(amount) == nil)
	}
	var ann, bob int
	if err := p.DB().QueryRowContext(ctx, "SELECT a.money, b.money FROM account a, account b WHERE a.name = 'ann' AND b.name = 'bob'").Scan(&ann, &bob); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ann has", ann, "and bob", bob)
	// Output:
	// transfer 4 done: true
	// transfer 100 done: false
	// ann has 6 and bob 4
}

func ExampleAcquireError() {
	dir, err := os.MkdirTemp("", "pool")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	p, err := pool.Open(context.Background(), pool.Config{Path: filepath.Join(dir, "shop.db")})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()

	ctx := pool.WithOwner(context.Background(), "import")
	tx, err := p.DB().BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	_, err = p.DB().ExecContext(ctx, "CREATE TABLE product(name TEXT)") // not tx.ExecContext
	var e *pool.AcquireError
	if errors.As(err, &e) {
		fmt.Println("deadlock:", errors.Is(err, pool.ErrDeadlock))
		fmt.Println("cause:", e.Cause)
		fmt.Println("advice:", e.Advice)
		for _, h := range e.Holders {
			fmt.Println("holder:", h.Owner, "in a transaction:", h.Tx)
		}
	}
	// Output:
	// deadlock: true
	// cause: cycle
	// advice: close the rows or use the transaction before asking the database again
	// holder: import in a transaction: true
}
