package clients

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/types"
)

// sqlx knows "sqlite3". For other drivers, it must be told how arguments are bound.
func init() {
	sqlx.BindDriver("sqlitemw", sqlx.QUESTION)
	sqlx.BindDriver("sqlitemw-pool", sqlx.QUESTION)
}

type (
	sqlxAuthor struct {
		ID      int64             `db:"id"`
		Name    string            `db:"name"`
		Email   sql.NullString    `db:"email"`
		Born    *time.Time        `db:"born"`
		Active  bool              `db:"active"`
		Rating  *float64          `db:"rating"`
		Photo   []byte            `db:"photo"`
		Profile types.JSONText    `db:"profile"`
		Paid    types.BitBool     `db:"paid"`
		Letter  types.GzippedText `db:"letter"`
	}
	sqlxBook struct {
		ID        int64     `db:"id"`
		AuthorID  int64     `db:"author_id"`
		Title     string    `db:"title"`
		Price     string    `db:"price"`
		Published time.Time `db:"published"`
	}
	sqlxListing struct {
		sqlxBook `db:"book"`
		Author   struct {
			Name  string  `db:"name"`
			Email *string `db:"email"`
		} `db:"author"`
	}
)

var sqlxSchema = `
CREATE TABLE author (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	email TEXT,
	born DATETIME,
	active BOOLEAN NOT NULL DEFAULT TRUE,
	rating REAL,
	photo BLOB,
	profile JSON,
	paid BLOB,
	letter BLOB
);
CREATE TABLE book (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	author_id INTEGER NOT NULL REFERENCES author ON DELETE CASCADE,
	title VARCHAR(100) NOT NULL CHECK (title <> ''),
	price DECIMAL(10,2) NOT NULL,
	published TIMESTAMP NOT NULL
);
CREATE INDEX book_author ON book(author_id);`

func sqlxProgram(a *app) {
	db := sqlx.NewDb(a.db, a.driver)
	a.see("bind type", sqlx.BindType(db.DriverName()))
	a.ok(db.Ping())

	a.chapter("schema")
	res, err := sqlx.LoadFile(db, "no-such-file.sql")
	a.see("no file", res == nil, err != nil)
	result := db.MustExec(sqlxSchema)
	id, err := result.LastInsertId()
	n, err2 := result.RowsAffected()
	a.see("created", id, err, n, err2)

	sqlxInserts(a, db)
	sqlxQueries(a, db)
	sqlxTypes(a, db)
	sqlxPrepared(a, db)
	sqlxTransactions(a, db)
	sqlxErrors(a, db)
	sqlxCancelled(a, db)
	sqlxConcurrent(a, db)

	a.chapter("the end")
	var all []sqlxBook
	a.ok(db.Select(&all, "SELECT * FROM book ORDER BY id"))
	a.see("books", all)
}

func sqlxInserts(a *app, db *sqlx.DB) {
	a.chapter("inserts")
	born := time.Date(1929, 10, 21, 4, 5, 6, 789_000_000, time.FixedZone("", -8*3600))
	rating := 4.5
	for _, author := range []sqlxAuthor{
		{Name: "Le Guin", Email: sql.NullString{String: "ursula@example.org", Valid: true}, Born: &born, Active: true, Rating: &rating,
			Photo: []byte("\x00\x01\xff"), Profile: types.JSONText(`{"awards": ["Hugo", "Nebula"]}`), Paid: true, Letter: types.GzippedText("Dear reader")},
		{Name: "Lem", Profile: types.JSONText(`null`), Letter: types.GzippedText("")},
		{Name: "Ćapek", Active: true, Photo: []byte{}, Profile: types.JSONText(`[]`), Letter: types.GzippedText("ř")},
	} {
		res, err := db.NamedExec(`INSERT INTO author (name, email, born, active, rating, photo, profile, paid, letter)
			VALUES (:name, :email, :born, :active, :rating, :photo, :profile, :paid, :letter)`, author)
		a.ok(err)
		id, err := res.LastInsertId()
		n, err2 := res.RowsAffected()
		a.see("author", id, err, n, err2)
	}
	var books []sqlxBook
	for i, title := range []string{"The Dispossessed", "Solaris", "R.U.R.", "Always Coming Home", "Fiasko"} {
		books = append(books, sqlxBook{
			AuthorID: int64(i%3 + 1), Title: title, Price: fmt.Sprintf("%d.50", 10+i),
			Published: time.Date(1960+i, 2, 3, 4, 5, 6, 7000, time.UTC),
		})
	}
	res, err := db.NamedExec(`INSERT INTO book (author_id, title, price, published) VALUES (:author_id, :title, :price, :published)`, books)
	a.ok(err)
	id, err := res.LastInsertId()
	n, err2 := res.RowsAffected()
	a.see("batch", id, err, n, err2)

	rows, err := db.NamedQuery(`INSERT INTO book (author_id, title, price, published) VALUES (:author, :title, :price, :when) RETURNING id, title, published`,
		map[string]any{"author": 1, "title": "Tehanu", "price": 9.99, "when": time.Date(1990, 1, 1, 0, 0, 0, 0, time.Local)})
	a.ok(err)
	for rows.Next() {
		row := make(map[string]any)
		a.ok(rows.MapScan(row))
		a.see("returned", row)
	}
	a.ok(rows.Err())
	a.ok(rows.Close())
}

func sqlxQueries(a *app, db *sqlx.DB) {
	a.chapter("queries")
	var author sqlxAuthor
	a.ok(db.Get(&author, "SELECT * FROM author WHERE id = ?", 1))
	a.see("get", author)
	var authors []*sqlxAuthor
	a.ok(db.Select(&authors, "SELECT * FROM author ORDER BY name COLLATE NOCASE"))
	a.see("select", authors)
	var count int
	a.ok(db.Get(&count, "SELECT count(*) FROM book"))
	a.see("count", count)
	var names []string
	a.ok(db.Select(&names, "SELECT title FROM book WHERE price > $1 ORDER BY title", 11))
	a.see("titles", names)
	var none []sqlxBook
	a.see("none", db.Select(&none, "SELECT * FROM book WHERE id < 0"), none)
	a.fails("no row", db.Get(&author, "SELECT * FROM author WHERE id = 99"))

	query, args, err := sqlx.In("SELECT * FROM book WHERE id IN (?) AND author_id IN (?) ORDER BY id", []int{1, 2, 4}, []int64{1})
	a.ok(err)
	var books []sqlxBook
	a.ok(db.Select(&books, db.Rebind(query), args...))
	a.see("in", db.Rebind(query), args, books)

	var listings []sqlxListing
	a.ok(db.Select(&listings, `SELECT b.id "book.id", b.title "book.title", b.price "book.price", b.published "book.published",
		a.name "author.name", a.email "author.email" FROM book b JOIN author a ON a.id = b.author_id ORDER BY b.id DESC LIMIT 3`))
	a.see("join", listings)
	a.fails("missing destination", db.Select(&books, "SELECT *, 1 AS surplus FROM book"))
	var book sqlxBook
	a.see("unsafe", db.Unsafe().Get(&book, "SELECT *, 1 AS surplus FROM book WHERE id = 2"), book)

	var stats struct {
		Author string
		Books  int
		Mean   float64
		Last   any
		Best   sql.NullString
	}
	rows, err := db.Queryx(`SELECT a.name AS author, count(b.id) AS books, avg(b.price) AS mean, max(b.published) AS last,
		group_concat(b.title, ', ') FILTER (WHERE b.price > 12) AS best FROM author a LEFT JOIN book b ON b.author_id = a.id GROUP BY a.id ORDER BY a.id`)
	a.ok(err)
	defer rows.Close()
	for rows.Next() {
		a.ok(rows.StructScan(&stats))
		a.see("stats", stats)
	}
	a.ok(rows.Err())
}

func sqlxTypes(a *app, db *sqlx.DB) {
	a.chapter("types")
	for _, query := range []string{
		"SELECT * FROM author ORDER BY id",
		"SELECT * FROM book ORDER BY id LIMIT 2",
		"SELECT 1, 1.5, 'text', x'00ff', NULL, TRUE, date('2026-01-02'), datetime('2026-01-02'), 9223372036854775807, ''",
		"SELECT id + 1 AS next, upper(name) AS name, coalesce(rating, 0), born IS NULL AS unborn FROM author ORDER BY id",
		"PRAGMA table_info(book)",
		"PRAGMA foreign_key_list(book)",
		"PRAGMA journal_mode",
		"EXPLAIN QUERY PLAN SELECT * FROM book WHERE author_id = 1",
		"SELECT name, json_extract(profile, '$.awards[0]') AS award, json_each.value FROM author, json_each('[1, \"two\", null]') WHERE author.id = 1",
	} {
		rows, err := db.Queryx(query)
		a.ok(err)
		a.columns(query, rows.Rows)
		for i := 0; rows.Next(); i++ {
			if i%2 == 0 {
				values, err := rows.SliceScan()
				a.see("slice", values, err)
			} else {
				values := make(map[string]any)
				a.see("map", rows.MapScan(values), values)
			}
		}
		a.columns("at the end", rows.Rows)
		a.see("end", rows.Err(), rows.Close())
	}
	row := db.QueryRowx("SELECT * FROM author WHERE id = 1")
	columns, err := row.Columns()
	a.see("row's columns", columns, err)
	values, err := row.SliceScan()
	a.see("row", values, err)
	for _, dest := range []any{new(int), new(string), new([]byte), new(bool), new(time.Time), new(sql.RawBytes), new(any), new(sql.NullTime)} {
		for _, column := range []string{"name", "born", "active", "photo", "rating"} {
			err := db.QueryRow("SELECT " + column + " FROM author WHERE id = 1").Scan(dest)
			a.see(fmt.Sprintf("%s into %T", column, dest), dest, err)
		}
	}
}

func sqlxPrepared(a *app, db *sqlx.DB) {
	a.chapter("prepared")
	get, err := db.Preparex("SELECT * FROM book WHERE id = ?")
	a.ok(err)
	defer get.Close()
	named, err := db.PrepareNamed("UPDATE book SET price = price + :more WHERE author_id = :author")
	a.ok(err)
	defer named.Close()
	for i := range 4 {
		var book sqlxBook
		a.see("get", get.Get(&book, i), book)
		res, err := named.Exec(map[string]any{"more": i, "author": i})
		a.ok(err)
		n, err := res.RowsAffected()
		a.see("update", n, err)
	}
	_, err = named.Exec(map[string]any{"more": 1})
	a.fails("argument missing", err)
	_, err = get.Query()
	a.fails("too few", err)
	_, err = get.Query(1, 2)
	a.fails("too many", err)
	// The same query, concurrently on the statement's connection and on another.
	outer, err := get.Queryx(1)
	a.ok(err)
	for outer.Next() {
		var book, other sqlxBook
		a.ok(outer.StructScan(&book))
		a.ok(get.Get(&other, 2))
		a.see("nested", book.ID, other.ID)
	}
	a.see("end", outer.Err(), outer.Close())
}

func sqlxTransactions(a *app, db *sqlx.DB) {
	a.chapter("transactions")
	ctx := context.Background()
	count := func(q sqlx.Queryer) (n int) {
		a.ok(sqlx.Get(q, &n, "SELECT count(*) FROM book"))
		return n
	}
	a.see("before", count(db))
	tx := db.MustBegin()
	tx.MustExec("INSERT INTO book (author_id, title, price, published) VALUES (2, 'Eden', 1, CURRENT_DATE)")
	a.see("inside", count(tx), count(db))
	a.ok(tx.Rollback())
	a.see("rolled back", count(db), tx.Commit(), tx.Rollback())

	tx, err := db.Beginx()
	a.ok(err)
	_, err = tx.NamedExec("INSERT INTO book (author_id, title, price, published) VALUES (:a, :t, :p, :d)",
		map[string]any{"a": 2, "t": "Eden", "p": "3.00", "d": "1959-01-01"})
	a.ok(err)
	_, err = tx.Exec("SAVEPOINT inner_one")
	a.ok(err)
	_, err = tx.Exec("DELETE FROM book")
	a.ok(err)
	a.see("deleted", count(tx))
	_, err = tx.Exec("ROLLBACK TO inner_one; RELEASE inner_one")
	a.ok(err)
	a.see("restored", count(tx))
	stmt, err := tx.Preparex("SELECT title FROM book WHERE author_id = ? ORDER BY id")
	a.ok(err)
	var titles []string
	a.ok(stmt.Select(&titles, 2))
	a.see("titles", titles)
	_, err = tx.Exec("INSERT INTO author (id, name) VALUES (1, 'again')")
	a.fails("failure inside", err)
	a.see("still there", count(tx))
	a.ok(tx.Commit())
	a.see("committed", count(db))
	a.fails("statement of an ended transaction", stmt.Select(&titles, 2))

	for level := sql.LevelDefault; level <= sql.LevelLinearizable; level++ {
		for _, readOnly := range []bool{false, true} {
			tx, err := db.BeginTxx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: readOnly})
			a.see(fmt.Sprint("begin ", level, readOnly), err)
			if err != nil {
				continue
			}
			_, err = tx.Exec("UPDATE author SET active = active")
			a.see("  write", err)
			a.see("  commit", tx.Commit())
			_, err = db.Exec("UPDATE author SET active = active")
			a.see("  write after", err)
		}
	}

	conn, err := db.Connx(ctx)
	a.ok(err)
	_, err = conn.ExecContext(ctx, "CREATE TEMP TABLE mine(a); INSERT INTO mine VALUES (1), (2)")
	a.ok(err)
	var sum int
	a.ok(conn.GetContext(ctx, &sum, "SELECT sum(a) FROM mine"))
	a.see("temporary", sum)
	_, err = conn.ExecContext(ctx, "DROP TABLE mine")
	a.ok(err)
	a.ok(conn.Close())
	a.fails("closed", conn.GetContext(ctx, &sum, "SELECT 1"))
}

func sqlxErrors(a *app, db *sqlx.DB) {
	a.chapter("errors")
	for _, query := range []string{
		"INSERT INTO author (name) VALUES ('Lem')",
		"INSERT INTO author (id, name) VALUES (1, 'other')",
		"INSERT INTO author (name) VALUES (NULL)",
		"INSERT INTO book (author_id, title, price, published) VALUES (1, '', 1, 1)",
		"INSERT INTO book (author_id, title, price, published) VALUES (77, 'x', 1, 1)",
		"INSERT INTO nowhere VALUES (1)",
		"SELECT nope FROM book",
		"SELEC",
		"DROP TABLE nowhere",
		"ALTER TABLE book ADD COLUMN title",
		"COMMIT",
		"RELEASE nope",
	} {
		_, err := db.Exec(query)
		a.fails(query, err)
		rows, err := db.Query(query + " -- by query")
		a.rows("  query", rows, err)
	}
	var n int
	a.fails("scan", db.Get(&n, "SELECT 'text'"))
	a.fails("null", db.Get(&n, "SELECT NULL"))
	a.fails("overflow", db.Get(new(int8), "SELECT 300"))
	a.fails("in iteration", db.Select(&[]int{}, "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)"))
	_, err := db.NamedExec("INSERT INTO author (name) VALUES (:nobody)", sqlxAuthor{})
	a.fails("no such name", err)
	a.see("empty", func() error { _, err := db.Exec(""); return err }())
	_, err = db.Exec("INSERT INTO author (name) VALUES (?); SELECT 1", "two statements")
	a.fails("many with arguments", err)
}

func sqlxCancelled(a *app, db *sqlx.DB) {
	a.chapter("cancelled")
	ctx, cancel := context.WithCancel(context.Background())
	rows, err := db.QueryxContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
	a.ok(err)
	for i := 1; rows.Next(); i++ {
		if i == 3 {
			cancel()
		}
	}
	a.see("endless rows", gaveUp(rows.Err()), rows.Close())
	cancel()
	var n int
	_, err = db.ExecContext(ctx, "INSERT INTO author (name) VALUES ('too late')")
	a.fails("exec", err)
	a.fails("get", db.GetContext(ctx, &n, "SELECT 1"))
	_, err = db.BeginTxx(ctx, nil)
	a.fails("begin", err)
	_, err = db.PreparexContext(ctx, "SELECT 1")
	a.fails("prepare", err)

	past, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	a.fails("deadline", db.SelectContext(past, &[]int{}, "SELECT 1"))

	ctx, cancel = context.WithCancel(context.Background())
	tx, err := db.BeginTxx(ctx, nil)
	a.ok(err)
	tx.MustExec("INSERT INTO author (name) VALUES ('rolled back')")
	cancel()
	a.see("commit", gaveUp(tx.Commit()))
	a.ok(db.Get(&n, "SELECT count(*) FROM author"))
	a.see("authors", n)
}

func sqlxConcurrent(a *app, db *sqlx.DB) {
	a.chapter("concurrent")
	_, err := db.Exec("CREATE TABLE hit(page TEXT, worker INTEGER, n INTEGER)")
	a.ok(err)
	a.parallel(6, func(worker int) error {
		for n := range 8 {
			if n%2 == 0 {
				if _, err := db.Exec("INSERT INTO hit VALUES (?, ?, ?)", fmt.Sprint("/", n), worker, n); err != nil {
					return err
				}
			} else {
				tx, err := db.Beginx()
				if err != nil {
					return err
				}
				if _, err := tx.Exec("INSERT INTO hit VALUES (?, ?, ?)", fmt.Sprint("/", n), worker, n); err != nil {
					tx.Rollback()
					return err
				}
				if err := tx.Commit(); err != nil {
					return err
				}
			}
			var mine int
			if err := db.Get(&mine, "SELECT count(*) FROM hit WHERE worker = ?", worker); err != nil {
				return err
			}
			if mine != n+1 {
				return fmt.Errorf("%d rows after %d inserts", mine, n+1)
			}
		}
		return nil
	})
	var hits []struct {
		Page string
		Hits int
		Sum  int64
	}
	a.ok(db.Select(&hits, "SELECT page, count(*) AS hits, sum(worker) AS sum FROM hit GROUP BY page ORDER BY page"))
	a.see("hits", hits)
}
