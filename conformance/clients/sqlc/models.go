package sqlc

import (
	"database/sql"
	"encoding/json"
	"time"
)

type Item struct {
	ID        int64           `json:"id"`
	Sku       string          `json:"sku"`
	Price     float64         `json:"price"`
	Stock     int64           `json:"stock"`
	Sold      bool            `json:"sold"`
	Note      sql.NullString  `json:"note"`
	Image     []byte          `json:"image"`
	Details   json.RawMessage `json:"details"`
	CreatedAt time.Time       `json:"created_at"`
	SoldAt    sql.NullTime    `json:"sold_at"`
}

type Tag struct {
	ItemID int64  `json:"item_id"`
	Name   string `json:"name"`
}
