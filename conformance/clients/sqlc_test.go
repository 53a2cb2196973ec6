package clients

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/clients/sqlc"
)

const sqlcSchema = `
CREATE TABLE items (
	id INTEGER PRIMARY KEY,
	sku TEXT NOT NULL UNIQUE,
	price REAL NOT NULL CHECK (price > 0),
	stock INTEGER NOT NULL DEFAULT 0,
	sold BOOLEAN NOT NULL DEFAULT FALSE,
	note TEXT,
	image BLOB,
	details JSON NOT NULL DEFAULT (CAST('{}' AS BLOB)),
	created_at DATETIME NOT NULL,
	sold_at DATETIME
);
CREATE TABLE tags (
	item_id INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
	name TEXT NOT NULL,
	PRIMARY KEY (item_id, name)
);`

func sqlcProgram(a *app) {
	ctx := context.Background()
	_, err := sqlc.Prepare(ctx, a.db)
	a.fails("prepare without tables", err)
	_, err = a.db.ExecContext(ctx, sqlcSchema)
	a.ok(err)

	plain := sqlc.New(a.db)
	sqlcQueries(a, "plain", plain)
	_, err = a.db.ExecContext(ctx, "DELETE FROM items")
	a.ok(err)
	prepared, err := sqlc.Prepare(ctx, a.db)
	a.ok(err)
	sqlcQueries(a, "prepared", prepared)
	sqlcCancelled(a, "plain", plain)
	sqlcCancelled(a, "prepared", prepared)
	sqlcConcurrent(a, "plain", plain)
	sqlcConcurrent(a, "prepared", prepared)

	a.chapter("schema changes beneath prepared queries")
	_, err = a.db.ExecContext(ctx, "ALTER TABLE items ADD COLUMN extra TEXT DEFAULT 'x'")
	a.ok(err)
	item, err := prepared.GetItem(ctx, 2)
	a.see("get", item, err)
	_, err = a.db.ExecContext(ctx, "ALTER TABLE tags RENAME TO labels")
	a.ok(err)
	_, err = prepared.ListTagged(ctx, "%")
	a.fails("renamed", err)
	a.ok(prepared.Close())
	_, err = prepared.GetItem(ctx, 1)
	a.fails("closed", err)
}

func sqlcQueries(a *app, how string, q *sqlc.Queries) {
	a.chapter(how)
	ctx := context.Background()
	created := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.Local)
	for i, arg := range []sqlc.CreateItemParams{
		{Sku: "A", Price: 1.25, Stock: 5, Note: sql.NullString{String: "note", Valid: true}, Image: []byte{0, 1, 255}, Details: json.RawMessage(`{"w":[1,null]}`), CreatedAt: created},
		{Sku: "B", Price: 2, Sold: true, Image: []byte{}, Details: json.RawMessage("null"), CreatedAt: created.UTC()},
		{Sku: "C", Price: 1e300, Stock: 1 << 60, Details: json.RawMessage("[]"), CreatedAt: time.Time{}},
		{Sku: "Ž", Price: 0.1, Note: sql.NullString{Valid: true}, Details: json.RawMessage(""), CreatedAt: created.AddDate(5000, 0, 0)},
	} {
		item, err := q.CreateItem(ctx, arg)
		a.see("create", item, err)
		for _, tag := range []string{"all", fmt.Sprint("tag", i%2)} {
			id, err := q.InsertTag(ctx, sqlc.InsertTagParams{ItemID: item.ID, Name: tag})
			a.see("tag", id, err)
		}
	}
	_, err := q.CreateItem(ctx, sqlc.CreateItemParams{Sku: "A", Price: 1})
	a.fails("unique", err)
	_, err = q.CreateItem(ctx, sqlc.CreateItemParams{Sku: "D", Price: -1})
	a.fails("check", err)
	_, err = q.InsertTag(ctx, sqlc.InsertTagParams{ItemID: 99, Name: "x"})
	a.fails("foreign key", err)
	_, err = q.InsertTag(ctx, sqlc.InsertTagParams{ItemID: 1, Name: "all"})
	a.fails("primary key", err)

	for id := range int64(5) {
		item, err := q.GetItem(ctx, id)
		a.see("get", item, err)
	}
	for _, arg := range []sqlc.ListItemsParams{
		{Limit: 10}, {MinPrice: 1, Offset: 1, Limit: 1}, {Note: "note", Limit: 10}, {Note: "", Limit: -1}, {MinPrice: 1e301, Limit: 1},
	} {
		items, err := q.ListItems(ctx, arg)
		a.see("list", items, err)
	}
	for _, ids := range [][]int64{nil, {1}, {3, 1, 2, 1}} {
		items, err := q.ListByIDs(ctx, ids)
		a.see("by ids", items, err)
	}
	for _, pattern := range []string{"%", "tag1", "none"} {
		tagged, err := q.ListTagged(ctx, pattern)
		a.see("tagged", tagged, err)
	}
	for range 2 {
		row, err := q.UpsertItem(ctx, sqlc.UpsertItemParams{Sku: "E", Price: 7, CreatedAt: created})
		a.see("upsert", row, err)
	}
	for _, amount := range []int64{3, 3, 2} {
		n, err := q.TakeStock(ctx, sqlc.TakeStockParams{Amount: amount, ID: 1})
		a.see("take", n, err)
	}
	res, err := q.TouchItems(ctx, sql.NullTime{Time: created, Valid: true})
	a.ok(err)
	n, err := res.RowsAffected()
	id, err2 := res.LastInsertId()
	a.see("touch", n, err, id, err2)

	for _, commit := range []bool{true, false} {
		tx, err := a.db.BeginTx(ctx, nil)
		a.ok(err)
		inside := q.WithTx(tx)
		a.see("delete", inside.DeleteItem(ctx, 3))
		_, err = inside.UpsertItem(ctx, sqlc.UpsertItemParams{Sku: fmt.Sprint("in tx ", commit), Price: 1, CreatedAt: created})
		a.ok(err)
		n, err := inside.CountItems(ctx)
		outside, err2 := q.CountItems(ctx)
		a.see("inside", n, err, outside, err2)
		if commit {
			a.ok(tx.Commit())
		} else {
			a.ok(tx.Rollback())
		}
		_, err = inside.CountItems(ctx)
		a.fails("after", err)
		n, err = q.CountItems(ctx)
		a.see("count", n, err)
	}
	items, err := q.ListItems(ctx, sqlc.ListItemsParams{Limit: 100})
	a.ok(err)
	a.see("all", items)
	tagged, err := q.ListTagged(ctx, "all")
	a.see("tags", len(tagged), err)
}

func sqlcCancelled(a *app, how string, q *sqlc.Queries) {
	a.chapter("cancelled, " + how)
	ctx, cancel := context.WithCancel(context.Background())
	tx, err := a.db.BeginTx(ctx, nil)
	a.ok(err)
	a.ok(q.WithTx(tx).DeleteItem(ctx, 1))
	cancel()
	a.see("commit", gaveUp(tx.Commit()))
	_, err = q.GetItem(ctx, 1)
	a.fails("one", err)
	_, err = q.ListItems(ctx, sqlc.ListItemsParams{Limit: 1})
	a.fails("many", err)
	a.fails("exec", q.DeleteItem(ctx, 1))
	_, err = sqlc.Prepare(ctx, a.db)
	a.fails("prepare", err)
	item, err := q.GetItem(context.Background(), 1)
	a.see("still there", item.Sku, err)
}

func sqlcConcurrent(a *app, how string, q *sqlc.Queries) {
	a.chapter("concurrent, " + how)
	ctx := context.Background()
	a.parallel(6, func(worker int) error {
		for i := range 6 {
			sku := fmt.Sprintf("%s %d %d", how, worker, i)
			row, err := q.UpsertItem(ctx, sqlc.UpsertItemParams{Sku: sku, Price: 1, CreatedAt: time.Unix(int64(i), 0)})
			if err != nil {
				return err
			}
			if item, err := q.GetItem(ctx, row.ID); err != nil || item.Sku != sku {
				return fmt.Errorf("item %q: %q, %w", sku, item.Sku, err)
			}
		}
		return nil
	})
	n, err := q.CountItems(ctx)
	a.see("items", n, err)
}
