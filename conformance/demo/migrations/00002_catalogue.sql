-- +goose Up
WITH RECURSIVE n (i) AS (
	SELECT 1
	UNION ALL
	SELECT i + 1 FROM n WHERE i < 40
)
INSERT INTO products (id, sku, name, category, price, initial_stock, stock)
SELECT
	i,
	format('SKU-%03d', i),
	format('product %d', i),
	CASE i % 5
		WHEN 0 THEN 'books'
		WHEN 1 THEN 'garden'
		WHEN 2 THEN 'kitchen'
		WHEN 3 THEN 'music'
		ELSE 'toys'
	END,
	199 + i * 50,
	1000,
	1000
FROM n;

-- +goose Down
DELETE FROM products;
