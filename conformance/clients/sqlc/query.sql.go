package sqlc

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"time"
)

const countItems = `-- name: CountItems :one
SELECT count(*) FROM items
`

func (q *Queries) CountItems(ctx context.Context) (int64, error) {
	row := q.queryRow(ctx, q.countItemsStmt, countItems)
	var count int64
	err := row.Scan(&count)
	return count, err
}

const createItem = `-- name: CreateItem :one
INSERT INTO items (sku, price, stock, sold, note, image, details, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id, sku, price, stock, sold, note, image, details, created_at, sold_at
`

type CreateItemParams struct {
	Sku       string          `json:"sku"`
	Price     float64         `json:"price"`
	Stock     int64           `json:"stock"`
	Sold      bool            `json:"sold"`
	Note      sql.NullString  `json:"note"`
	Image     []byte          `json:"image"`
	Details   json.RawMessage `json:"details"`
	CreatedAt time.Time       `json:"created_at"`
}

func (q *Queries) CreateItem(ctx context.Context, arg CreateItemParams) (Item, error) {
	row := q.queryRow(ctx, q.createItemStmt, createItem,
		arg.Sku,
		arg.Price,
		arg.Stock,
		arg.Sold,
		arg.Note,
		arg.Image,
		arg.Details,
		arg.CreatedAt,
	)
	var i Item
	err := row.Scan(
		&i.ID,
		&i.Sku,
		&i.Price,
		&i.Stock,
		&i.Sold,
		&i.Note,
		&i.Image,
		&i.Details,
		&i.CreatedAt,
		&i.SoldAt,
	)
	return i, err
}

const deleteItem = `-- name: DeleteItem :exec
DELETE FROM items WHERE id = ?
`

func (q *Queries) DeleteItem(ctx context.Context, id int64) error {
	_, err := q.exec(ctx, q.deleteItemStmt, deleteItem, id)
	return err
}

const getItem = `-- name: GetItem :one
SELECT id, sku, price, stock, sold, note, image, details, created_at, sold_at FROM items
WHERE id = ? LIMIT 1
`

func (q *Queries) GetItem(ctx context.Context, id int64) (Item, error) {
	row := q.queryRow(ctx, q.getItemStmt, getItem, id)
	var i Item
	err := row.Scan(
		&i.ID,
		&i.Sku,
		&i.Price,
		&i.Stock,
		&i.Sold,
		&i.Note,
		&i.Image,
		&i.Details,
		&i.CreatedAt,
		&i.SoldAt,
	)
	return i, err
}

const insertTag = `-- name: InsertTag :execlastid
INSERT INTO tags (item_id, name) VALUES (?1, ?2)
`

type InsertTagParams struct {
	ItemID int64  `json:"item_id"`
	Name   string `json:"name"`
}

func (q *Queries) InsertTag(ctx context.Context, arg InsertTagParams) (int64, error) {
	result, err := q.exec(ctx, q.insertTagStmt, insertTag, arg.ItemID, arg.Name)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

const listByIDs = `-- name: ListByIDs :many
SELECT id, sku FROM items WHERE id IN (/*SLICE:ids*/?) ORDER BY id
`

type ListByIDsRow struct {
	ID  int64  `json:"id"`
	Sku string `json:"sku"`
}

func (q *Queries) ListByIDs(ctx context.Context, ids []int64) ([]ListByIDsRow, error) {
	query := listByIDs
	var queryParams []interface{}
	if len(ids) > 0 {
		for _, v := range ids {
			queryParams = append(queryParams, v)
		}
		query = strings.Replace(query, "/*SLICE:ids*/?", strings.Repeat(",?", len(ids))[1:], 1)
	} else {
		query = strings.Replace(query, "/*SLICE:ids*/?", "NULL", 1)
	}
	rows, err := q.query(ctx, nil, query, queryParams...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []ListByIDsRow
	for rows.Next() {
		var i ListByIDsRow
		if err := rows.Scan(&i.ID, &i.Sku); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const listItems = `-- name: ListItems :many
SELECT id, sku, price, stock, sold, note, image, details, created_at, sold_at FROM items
WHERE price >= ?1 AND (?2 IS NULL OR note = ?2)
ORDER BY sku
LIMIT ?4 OFFSET ?3
`

type ListItemsParams struct {
	MinPrice float64     `json:"min_price"`
	Note     interface{} `json:"note"`
	Offset   int64       `json:"offset"`
	Limit    int64       `json:"limit"`
}

func (q *Queries) ListItems(ctx context.Context, arg ListItemsParams) ([]Item, error) {
	rows, err := q.query(ctx, q.listItemsStmt, listItems,
		arg.MinPrice,
		arg.Note,
		arg.Offset,
		arg.Limit,
	)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []Item
	for rows.Next() {
		var i Item
		if err := rows.Scan(
			&i.ID,
			&i.Sku,
			&i.Price,
			&i.Stock,
			&i.Sold,
			&i.Note,
			&i.Image,
			&i.Details,
			&i.CreatedAt,
			&i.SoldAt,
		); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const listTagged = `-- name: ListTagged :many
SELECT items.id, items.sku, items.price, items.stock, items.sold, items.note, items.image, items.details, items.created_at, items.sold_at, tags.item_id, tags.name, count(*) OVER () AS total, max(items.price) OVER () AS dearest
FROM items JOIN tags ON tags.item_id = items.id
WHERE tags.name LIKE :pattern
ORDER BY tags.name, items.id
`

type ListTaggedRow struct {
	Item    Item        `json:"item"`
	Tag     Tag         `json:"tag"`
	Total   int64       `json:"total"`
	Dearest interface{} `json:"dearest"`
}

func (q *Queries) ListTagged(ctx context.Context, pattern string) ([]ListTaggedRow, error) {
	rows, err := q.query(ctx, q.listTaggedStmt, listTagged, sql.Named("pattern", pattern))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []ListTaggedRow
	for rows.Next() {
		var i ListTaggedRow
		if err := rows.Scan(
			&i.Item.ID,
			&i.Item.Sku,
			&i.Item.Price,
			&i.Item.Stock,
			&i.Item.Sold,
			&i.Item.Note,
			&i.Item.Image,
			&i.Item.Details,
			&i.Item.CreatedAt,
			&i.Item.SoldAt,
			&i.Tag.ItemID,
			&i.Tag.Name,
			&i.Total,
			&i.Dearest,
		); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const takeStock = `-- name: TakeStock :execrows
UPDATE items SET stock = stock - ?1 WHERE id = ?2 AND stock >= ?1
`

type TakeStockParams struct {
	Amount int64 `json:"amount"`
	ID     int64 `json:"id"`
}

func (q *Queries) TakeStock(ctx context.Context, arg TakeStockParams) (int64, error) {
	result, err := q.exec(ctx, q.takeStockStmt, takeStock, arg.Amount, arg.ID)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const touchItems = `-- name: TouchItems :execresult
UPDATE items SET sold_at = ?, sold = TRUE WHERE stock = 0
`

func (q *Queries) TouchItems(ctx context.Context, soldAt sql.NullTime) (sql.Result, error) {
	return q.exec(ctx, q.touchItemsStmt, touchItems, soldAt)
}

const upsertItem = `-- name: UpsertItem :one
INSERT INTO items (sku, price, created_at) VALUES (?, ?, ?)
ON CONFLICT (sku) DO UPDATE SET price = excluded.price, stock = stock + 1
RETURNING id, stock
`

type UpsertItemParams struct {
	Sku       string    `json:"sku"`
	Price     float64   `json:"price"`
	CreatedAt time.Time `json:"created_at"`
}

type UpsertItemRow struct {
	ID    int64 `json:"id"`
	Stock int64 `json:"stock"`
}

func (q *Queries) UpsertItem(ctx context.Context, arg UpsertItemParams) (UpsertItemRow, error) {
	row := q.queryRow(ctx, q.upsertItemStmt, upsertItem, arg.Sku, arg.Price, arg.CreatedAt)
	var i UpsertItemRow
	err := row.Scan(&i.ID, &i.Stock)
	return i, err
}
