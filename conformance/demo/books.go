package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// categorySales is a row of the sales report.
type categorySales struct {
	Category string
	Orders   int64
	Pieces   int64
	Revenue  int64
	Visits   int64 `db:"-"` // added from the log of visits
}

// report sums up sales and visits for each category. It reads the whole log of visits, row by
// row, and therefore returns their number.
func (s *shop) report(ctx context.Context) (sales []categorySales, visits int, err error) {
	ctx, act := s.journal.begin(ctx, actReport)
	defer func() { act.end(err) }()

	err = s.db.SelectContext(ctx, &sales, `
		SELECT p.category, count(DISTINCT i.order_id) AS orders, sum(i.quantity) AS pieces,
			sum(i.quantity * i.price) AS revenue
		FROM order_items AS i
		JOIN products AS p ON p.id = i.product_id
		GROUP BY p.category
		ORDER BY revenue DESC`)
	if err != nil {
		return nil, 0, err
	}
	act.acquired()
	act.called("SELECT order_items products")

	seen := make(map[string]int64)
	rows, err := s.db.QueryxContext(ctx, `
		SELECT p.category, v.seconds
		FROM visits AS v
		JOIN products AS p ON p.id = v.product_id
		WHERE v.seconds >= ?`, 1)
	if err != nil {
		return nil, 0, err
	}
	act.acquired()
	act.called("SELECT visits products")
	defer rows.Close()
	for rows.Next() {
		var visit struct {
			Category string
			Seconds  int64
		}
		if err := rows.StructScan(&visit); err != nil {
			return nil, 0, err
		}
		seen[visit.Category]++
		visits++
	}
	for i := range sales {
		sales[i].Visits = seen[sales[i].Category]
	}
	return sales, visits, rows.Err()
}

// books are the day's figures in the database.
type books struct {
	Orders    int64
	Customers int64
	Pieces    int64

	// Each of these counts inconsistencies, and must be zero.
	WrongStock  int64 `db:"wrong_stock"`
	WrongTotals int64 `db:"wrong_totals"`
	Dangling    int64
}

// audit reads the books in one transaction, so that all figures are from the same moment.
func (s *shop) audit(ctx context.Context) (b books, err error) {
	ctx, act := s.journal.begin(ctx, "audit")
	defer func() { act.end(err) }()

	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return b, err
	}
	act.acquired()
	act.called("BEGIN")
	defer tx.Rollback() // it makes no call after the commit

	err = tx.GetContext(ctx, &b, `
		SELECT
			(SELECT count(*) FROM orders) AS orders,
			(SELECT count(*) FROM customers) AS customers,
			(SELECT coalesce(sum(quantity), 0) FROM order_items) AS pieces,
			(SELECT count(*) FROM products AS p WHERE p.initial_stock <> p.stock + (
				SELECT coalesce(sum(quantity), 0) FROM order_items WHERE product_id = p.id)) AS wrong_stock,
			(SELECT count(*) FROM orders AS o WHERE o.total <> (
				SELECT coalesce(sum(quantity * price), 0) FROM order_items WHERE order_id = o.id)) AS wrong_totals,
			(SELECT count(*) FROM pragma_foreign_key_check) AS dangling`)
	if err != nil {
		return b, err
	}
	return b, tx.Commit()
}

// check compares the books with what the shop has counted.
func (b books) check(orders, customers, pieces int64) error {
	var errs []error
	same := func(what string, got, want int64) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s: %d, want %d", what, got, want))
		}
	}
	same("orders", b.Orders, orders)
	same("customers", b.Customers, customers)
	same("pieces sold", b.Pieces, pieces)
	same("products whose stock and sales do not add up to the initial stock", b.WrongStock, 0)
	same("orders whose total is not the sum of their lines", b.WrongTotals, 0)
	same("rows that refer to nothing", b.Dangling, 0)
	if len(errs) > 0 {
		return fmt.Errorf("the books are inconsistent: %w", errors.Join(errs...))
	}
	return nil
}
