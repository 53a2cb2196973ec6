// Package sqlc is written by hand in exactly the shape that sqlc generates for
// database/sql, with prepared queries.
package sqlc

import (
	"context"
	"database/sql"
	"fmt"
)

type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

func New(db DBTX) *Queries {
	return &Queries{db: db}
}

func Prepare(ctx context.Context, db DBTX) (*Queries, error) {
	q := Queries{db: db}
	var err error
	if q.countItemsStmt, err = db.PrepareContext(ctx, countItems); err != nil {
		return nil, fmt.Errorf("error preparing query CountItems: %w", err)
	}
	if q.createItemStmt, err = db.PrepareContext(ctx, createItem); err != nil {
		return nil, fmt.Errorf("error preparing query CreateItem: %w", err)
	}
	if q.deleteItemStmt, err = db.PrepareContext(ctx, deleteItem); err != nil {
		return nil, fmt.Errorf("error preparing query DeleteItem: %w", err)
	}
	if q.getItemStmt, err = db.PrepareContext(ctx, getItem); err != nil {
		return nil, fmt.Errorf("error preparing query GetItem: %w", err)
	}
	if q.insertTagStmt, err = db.PrepareContext(ctx, insertTag); err != nil {
		return nil, fmt.Errorf("error preparing query InsertTag: %w", err)
	}
	if q.listItemsStmt, err = db.PrepareContext(ctx, listItems); err != nil {
		return nil, fmt.Errorf("error preparing query ListItems: %w", err)
	}
	if q.listTaggedStmt, err = db.PrepareContext(ctx, listTagged); err != nil {
		return nil, fmt.Errorf("error preparing query ListTagged: %w", err)
	}
	if q.takeStockStmt, err = db.PrepareContext(ctx, takeStock); err != nil {
		return nil, fmt.Errorf("error preparing query TakeStock: %w", err)
	}
	if q.touchItemsStmt, err = db.PrepareContext(ctx, touchItems); err != nil {
		return nil, fmt.Errorf("error preparing query TouchItems: %w", err)
	}
	if q.upsertItemStmt, err = db.PrepareContext(ctx, upsertItem); err != nil {
		return nil, fmt.Errorf("error preparing query UpsertItem: %w", err)
	}
	return &q, nil
}

func (q *Queries) Close() error {
	var err error
	for name, stmt := range map[string]*sql.Stmt{
		"countItemsStmt": q.countItemsStmt,
		"createItemStmt": q.createItemStmt,
		"deleteItemStmt": q.deleteItemStmt,
		"getItemStmt":    q.getItemStmt,
		"insertTagStmt":  q.insertTagStmt,
		"listItemsStmt":  q.listItemsStmt,
		"listTaggedStmt": q.listTaggedStmt,
		"takeStockStmt":  q.takeStockStmt,
		"touchItemsStmt": q.touchItemsStmt,
		"upsertItemStmt": q.upsertItemStmt,
	} {
		if stmt != nil {
			if cerr := stmt.Close(); cerr != nil {
				err = fmt.Errorf("error closing %s: %w", name, cerr)
			}
		}
	}
	return err
}

func (q *Queries) exec(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) (sql.Result, error) {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	case stmt != nil:
		return stmt.ExecContext(ctx, args...)
	default:
		return q.db.ExecContext(ctx, query, args...)
	}
}

func (q *Queries) query(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) (*sql.Rows, error) {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryContext(ctx, args...)
	default:
		return q.db.QueryContext(ctx, query, args...)
	}
}

func (q *Queries) queryRow(ctx context.Context, stmt *sql.Stmt, query string, args ...interface{}) *sql.Row {
	switch {
	case stmt != nil && q.tx != nil:
		return q.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	case stmt != nil:
		return stmt.QueryRowContext(ctx, args...)
	default:
		return q.db.QueryRowContext(ctx, query, args...)
	}
}

type Queries struct {
	db             DBTX
	tx             *sql.Tx
	countItemsStmt *sql.Stmt
	createItemStmt *sql.Stmt
	deleteItemStmt *sql.Stmt
	getItemStmt    *sql.Stmt
	insertTagStmt  *sql.Stmt
	listItemsStmt  *sql.Stmt
	listTaggedStmt *sql.Stmt
	takeStockStmt  *sql.Stmt
	touchItemsStmt *sql.Stmt
	upsertItemStmt *sql.Stmt
}

func (q *Queries) WithTx(tx *sql.Tx) *Queries {
	return &Queries{
		db:             tx,
		tx:             tx,
		countItemsStmt: q.countItemsStmt,
		createItemStmt: q.createItemStmt,
		deleteItemStmt: q.deleteItemStmt,
		getItemStmt:    q.getItemStmt,
		insertTagStmt:  q.insertTagStmt,
		listItemsStmt:  q.listItemsStmt,
		listTaggedStmt: q.listTaggedStmt,
		takeStockStmt:  q.takeStockStmt,
		touchItemsStmt: q.touchItemsStmt,
		upsertItemStmt: q.upsertItemStmt,
	}
}
