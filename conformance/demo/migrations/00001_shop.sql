-- +goose Up
CREATE TABLE customers (
	id            INTEGER  PRIMARY KEY,
	name          TEXT     NOT NULL,
	email         TEXT     NOT NULL UNIQUE,
	registered_at DATETIME NOT NULL
);

-- Money is in cents.
CREATE TABLE products (
	id            INTEGER PRIMARY KEY,
	sku           TEXT    NOT NULL UNIQUE,
	name          TEXT    NOT NULL,
	category      TEXT    NOT NULL,
	price         INTEGER NOT NULL CHECK (price > 0),
	initial_stock INTEGER NOT NULL,
	stock         INTEGER NOT NULL CHECK (stock >= 0)
);

CREATE TABLE orders (
	id          INTEGER  PRIMARY KEY,
	customer_id INTEGER  NOT NULL REFERENCES customers (id),
	placed_at   DATETIME NOT NULL,
	total       INTEGER  NOT NULL
);

CREATE INDEX orders_by_customer ON orders (customer_id);

CREATE TABLE order_items (
	order_id   INTEGER NOT NULL REFERENCES orders (id),
	product_id INTEGER NOT NULL REFERENCES products (id),
	quantity   INTEGER NOT NULL CHECK (quantity > 0),
	price      INTEGER NOT NULL,
	PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;

CREATE INDEX order_items_by_product ON order_items (product_id);

-- +goose Down
DROP TABLE order_items;
DROP TABLE orders;
DROP TABLE products;
DROP TABLE customers;
