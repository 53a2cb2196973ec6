-- +goose Up
CREATE TABLE visits (
	id         INTEGER PRIMARY KEY,
	product_id INTEGER NOT NULL REFERENCES products (id),
	day        INTEGER NOT NULL,
	seconds    INTEGER NOT NULL
);

WITH RECURSIVE n (i) AS (
	SELECT 0
	UNION ALL
	SELECT i + 1 FROM n WHERE i < 5999
)
INSERT INTO visits (product_id, day, seconds)
SELECT i * 7 % 40 + 1, i / 200, i * 31 % 300 + 5 FROM n;

-- This walk from product to product never ends: a query of the view runs until
-- something else ends it.
CREATE VIEW also_visited AS
WITH RECURSIVE walk (start, product_id, step) AS (
	SELECT id, id, 0 FROM products
	UNION ALL
	SELECT start, product_id * 7 % 40 + 1, step + 1 FROM walk
)
SELECT start, product_id, step FROM walk;

-- +goose Down
DROP VIEW also_visited;
DROP TABLE visits;
