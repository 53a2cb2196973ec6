package engines_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// sqliteEngine is SQLite in a third-party build. Its "server" is a file.
var sqliteEngine = engine{
	name:   "sqlite",
	system: "sqlite",
	raw:    "*sqlite.conn",
	classify: func(err error) tracing.ErrorClass {
		if e, ok := errors.AsType[*sqlite.Error](err); ok {
			return tracing.ErrorClass{StatusCode: strconv.Itoa(e.Code())}
		}
		return tracing.ErrorClass{}
	},
	start: func(t *testing.T, _ *transcript) site {
		dsn := filepath.Join(t.TempDir(), "shop.db") + "?_pragma=busy_timeout(1000)&_pragma=journal_mode(wal)"
		connector, err := sqlite.NewConnector(dsn)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		if _, err := db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, n INTEGER)"); err != nil {
			t.Fatal(err)
		}
		return site{connector: connector, driver: connector.Driver(), dsn: dsn}
	},
	programs: append(commonPrograms("SELECT 1 AS n UNION ALL SELECT 2", "SELECT n FROM orders WHERE id < 0", "INSERT INTO orders (n) VALUES", "SELECT wrong", "(?)"),
		sqlitePrograms...),
}

var sqlitePrograms = []program{
	{name: "a shop", play: func(r *run) {
		at := time.Date(2026, 8, 1, 12, 30, 0, 123456789, time.UTC)
		r.exec(r.db, `CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price REAL, photo BLOB, since DATETIME, ok BOOLEAN, note VARCHAR(20), cost DECIMAL(10,2)) STRICTLY`)
		r.exec(r.db, `CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price REAL, photo BLOB, since DATETIME, ok BOOLEAN, note VARCHAR(20), cost DECIMAL(10,2))`)
		insert := "INSERT INTO items (name, price, photo, since, ok, note, cost) VALUES (?, ?, ?, ?, ?, ?, ?)"
		stmt := r.prepare(r.db, insert)
		for _, args := range [][]any{
			{"tea", 2.5, []byte{0, 1, 255}, at, true, "green", 1},
			{"milk", nil, nil, nil, nil, nil, nil},
			{"rye", int8(3), []byte{}, sql.NullTime{Time: at, Valid: true}, sql.NullBool{}, sql.NullString{String: "bread", Valid: true}, "12.50"},
			{"tea", 1.0, nil, nil, nil, nil, nil},
			{nil, 1.0, nil, nil, nil, nil, nil},
			{"few"},
			{"bad", failing{}, nil, nil, nil, nil, nil},
			{"bad", make(chan int), nil, nil, nil, nil, nil},
			{"big", uint64(1) << 63, nil, nil, nil, nil, nil},
		} {
			r.exec(r.db, insert, args...)
			if len(args) == 7 && args[0] != nil {
				args[0] = args[0].(string) + "2"
			}
			r.execStmt(stmt, args...)
		}
		r.close(stmt)
		r.query(r.db, "SELECT * FROM items ORDER BY id")
		r.query(r.db, "SELECT id, name FROM items WHERE name LIKE ? AND id > ?", "t%", 0)
		r.query(r.db, "SELECT :a, @b, $c", sql.Named("a", 1), sql.Named("b", "two"), sql.Named("c", nil))
		r.query(r.db, "SELECT ?2, ?1", "first", "second")
		r.exec(r.db, "UPDATE items SET price = price * 2 WHERE price IS NOT NULL")
		r.exec(r.db, "UPDATE items SET note = ? WHERE id = ?; DELETE FROM items WHERE id = ?", "x", 1, 2)
		r.query(r.db, "INSERT INTO items (name) VALUES (?) RETURNING id, name", "salt")
		r.query(r.db, "SELECT 1 AS a; SELECT 2 AS b, 3 AS c")
		r.exec(r.db, "")
		r.exec(r.db, "-- nothing")
		r.exec(r.db, "PRAGMA user_version = 7")
		r.query(r.db, "PRAGMA user_version")
		r.query(r.db, "EXPLAIN QUERY PLAN SELECT * FROM items")
		r.query(r.db, "SELECT abs(-9223372036854775808)")
		r.query(r.db, "SELECT json_extract('{', '$')")
		r.stats()
	}},
	{name: "transactions of a shop", play: func(r *run) {
		for _, level := range isolationLevels {
			for _, readOnly := range []bool{false, true} {
				if tx := r.begin(&sql.TxOptions{Isolation: level, ReadOnly: readOnly}); tx != nil {
					r.exec(tx, "INSERT INTO orders (n) VALUES (?)", int(level))
					r.exec(tx, "SAVEPOINT s")
					r.exec(tx, "DELETE FROM orders")
					r.exec(tx, "ROLLBACK TO s")
					r.say("commit: %s", showErr(tx.Commit()))
				}
			}
		}
		tx := r.begin(nil)
		r.exec(tx, "DELETE FROM orders")
		r.say("rollback: %s", showErr(tx.Rollback()))
		r.query(r.db, "SELECT count(*), sum(n) FROM orders")
		tx = r.begin(nil)
		r.exec(tx, "BEGIN")
		r.exec(tx, "COMMIT")
		r.say("commit: %s", showErr(tx.Commit()))
		r.stats()
	}},
	cancelledBetweenRows("SELECT 1 AS n UNION ALL SELECT 2", "INSERT INTO orders (n) VALUES (?)", 1),
	{name: "a lock", play: func(r *run) {
		holder := r.conn()
		r.exec(holder, "BEGIN IMMEDIATE")
		r.exec(holder, "INSERT INTO orders (n) VALUES (1)")
		r.query(r.db, "SELECT count(*) FROM orders")
		r.exec(r.db, "INSERT INTO orders (n) VALUES (2)")
		r.exec(holder, "COMMIT")
		r.exec(r.db, "INSERT INTO orders (n) VALUES (3)")
		r.query(r.db, "SELECT count(*) FROM orders")
		r.close(holder)
	}},
	{name: "the state of a connection", play: func(r *run) {
		r.exec(r.db, "CREATE TEMP TABLE mine (n)")
		r.exec(r.db, "INSERT INTO mine VALUES (1)")
		held := r.conn()
		r.query(held, "SELECT * FROM mine")
		r.query(r.db, "SELECT * FROM mine")
		r.exec(held, "ALTER TABLE orders ADD COLUMN note TEXT")
		r.query(r.db, "SELECT * FROM orders")
		r.close(held)
		r.parent(r.conn(), func(c any) error { return nil })
	}},
}
