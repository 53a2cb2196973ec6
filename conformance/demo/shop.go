package main

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/ncruces/go-sqlite3"
	"github.com/pressly/goose/v3"
	"go.opentelemetry.io/otel/attribute"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The actions that the output and the summary show.
const (
	actMigrate = "migrate"
	actOrder   = "place order"
	actRefused = "register customer (refused)"
	actGivenUp = "slow search (cancelled)"
	actReport  = "sales report"
)

const (
	searchPatience = 50 * time.Millisecond // timeout of a customer's search
	readingTime    = 2 * time.Millisecond  // how long a customer looks at the products of a category
)

// A shop is the program that uses the database. Each method is an action with its own trace. A
// shop is safe for concurrent use.
type shop struct {
	db      *sqlx.DB
	journal *journal
	bySKU   *sqlx.Stmt
}

// openShop migrates the database and prepares the most frequent query.
func openShop(ctx context.Context, db *sql.DB, j *journal) (*shop, error) {
	if err := migrate(ctx, db, j); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	// sqlx derives the SQL dialect from the driver's name.
	s := &shop{db: sqlx.NewDb(db, "sqlite3"), journal: j}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the look-up of products: %w", err)
	}
	return s, nil
}

func (s *shop) prepare(ctx context.Context) (err error) {
	ctx, act := s.journal.begin(ctx, "prepare look-ups")
	defer func() { act.end(err) }()

	s.bySKU, err = s.db.PreparexContext(ctx, "SELECT id, sku, name, price, stock FROM products WHERE sku = ?")
	return err
}

func (s *shop) close() error { return s.bySKU.Close() }

// migrate runs the migrations. Goose decides which calls that needs.
func migrate(ctx context.Context, db *sql.DB, j *journal) (err error) {
	ctx, act := j.begin(ctx, actMigrate)
	defer func() { act.end(err) }()

	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	act.about(attribute.Int("shop.migrations", len(done)))
	return err
}

type product struct {
	ID    int64
	SKU   string
	Name  string
	Price int64
	Stock int64
}

// lookUp finds a product. It records no calls, because database/sql decides when to prepare the
// statement again on another connection.
func (s *shop) lookUp(ctx context.Context, sku string) (p product, err error) {
	ctx, act := s.journal.begin(ctx, "look up product")
	defer func() { act.end(err) }()

	err = s.bySKU.GetContext(ctx, &p, sku)
	return p, err
}

type customer struct {
	ID           int64
	Name         string
	Email        string
	RegisteredAt time.Time `db:"registered_at"`
}

// register adds a customer and sets its ID. If the email address is taken, it returns taken and
// no error: the shop answers the customer, and has not failed.
func (s *shop) register(ctx context.Context, c *customer) (taken bool, err error) {
	ctx, act := s.journal.begin(ctx, "register customer")
	defer func() { act.end(err) }()

	c.RegisteredAt = time.Now().UTC()
	res, err := s.db.NamedExecContext(ctx,
		`INSERT INTO customers (name, email, registered_at) VALUES (:name, :email, :registered_at)`, c)
	act.acquired()
	if errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) {
		act.failed("INSERT customers", "2067") // SQLITE_CONSTRAINT_UNIQUE
		act.outcome("refused")
		return true, nil
	}
	if err != nil {
		return false, err
	}
	act.called("INSERT customers")
	c.ID, err = res.LastInsertId()
	return false, err
}

// A line is a line of an order.
type line struct {
	Product  int64 `db:"product_id"`
	Quantity int64 `db:"quantity"`
}

// placeOrder sells everything in lines, or nothing.
func (s *shop) placeOrder(ctx context.Context, customer int64, lines []line) (err error) {
	ctx, act := s.journal.begin(ctx, actOrder)
	defer func() { act.end(err) }()

	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	act.acquired()
	act.called("BEGIN")
	defer tx.Rollback() // it makes no call after the commit

	res, err := tx.ExecContext(ctx, `INSERT INTO orders (customer_id, placed_at, total) VALUES (?, ?, 0)`,
		customer, time.Now().UTC())
	if err != nil {
		return err
	}
	act.called("INSERT orders")
	order, err := res.LastInsertId()
	if err != nil {
		return err
	}
	act.about(attribute.Int64("shop.order.id", order), attribute.Int("shop.order.lines", len(lines)))

	var total int64
	for _, l := range lines {
		price, err := s.sell(ctx, act, tx, order, l)
		if err != nil {
			return fmt.Errorf("product %d: %w", l.Product, err)
		}
		total += price * l.Quantity
	}

	if _, err := tx.ExecContext(ctx, `UPDATE orders SET total = ? WHERE id = ?`, total, order); err != nil {
		return err
	}
	act.called("UPDATE orders")
	if err := tx.Commit(); err != nil {
		return err
	}
	act.called("COMMIT")
	return nil
}

// sell adds a line to an order, takes the pieces from the stock, and returns the price of one
// piece.
func (s *shop) sell(ctx context.Context, act *action, tx *sqlx.Tx, order int64, l line) (price int64, err error) {
	if err := tx.GetContext(ctx, &price, `SELECT price FROM products WHERE id = ?`, l.Product); err != nil {
		return 0, err
	}
	act.called("SELECT products")

	_, err = tx.NamedExecContext(ctx,
		`INSERT INTO order_items (order_id, product_id, quantity, price) VALUES (:order, :product, :quantity, :price)`,
		map[string]any{"order": order, "product": l.Product, "quantity": l.Quantity, "price": price})
	if err != nil {
		return 0, err
	}
	act.called("INSERT order_items")

	if _, err := tx.ExecContext(ctx, `UPDATE products SET stock = stock - ? WHERE id = ?`, l.Quantity, l.Product); err != nil {
		return 0, err
	}
	act.called("UPDATE products")
	return price, nil
}

// browse shows a customer the products of a category, with time to read. Meanwhile it keeps the
// connection, like every program that reads rows slowly. That makes other callers wait.
func (s *shop) browse(ctx context.Context, category string) (shown []product, err error) {
	ctx, act := s.journal.begin(ctx, "browse")
	defer func() { act.end(err) }()

	rows, err := s.db.QueryxContext(ctx,
		`SELECT id, sku, name, price, stock FROM products WHERE category = ? ORDER BY name`, category)
	if err != nil {
		return nil, err
	}
	act.acquired()
	act.called("SELECT products")
	defer rows.Close()
	for rows.Next() {
		var p product
		if err := rows.StructScan(&p); err != nil {
			return nil, err
		}
		shown = append(shown, p)
		if len(shown) == 1 {
			time.Sleep(readingTime)
		}
	}
	return shown, rows.Err()
}

// An order is an order as its customer sees it.
type order struct {
	ID       int64
	PlacedAt time.Time `db:"placed_at"`
	Total    int64
}

// history lists a customer's orders, the latest first.
func (s *shop) history(ctx context.Context, customer int64) (orders []order, err error) {
	ctx, act := s.journal.begin(ctx, "order history")
	defer func() { act.end(err) }()

	err = s.db.SelectContext(ctx, &orders,
		`SELECT id, placed_at, total FROM orders WHERE customer_id = ? ORDER BY id DESC`, customer)
	return orders, err
}

// search counts what other customers looked at. That takes longer than its timeout. It reports
// whether it was canceled.
func (s *shop) search(ctx context.Context, product int64) (found int64, givenUp bool, err error) {
	ctx, act := s.journal.begin(ctx, "slow search")
	defer func() { act.end(err) }()

	ctx, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	err = s.db.GetContext(ctx, &found, `SELECT count(*) FROM also_visited WHERE start = ?`, product)
	act.acquired()
	if err != nil && ctx.Err() != nil { // err itself may be SQLite's "interrupted"
		act.failed("SELECT also_visited", "context.DeadlineExceeded")
		act.outcome("cancelled")
		return 0, true, nil
	}
	if err == nil {
		act.called("SELECT also_visited")
	}
	return found, false, err
}
