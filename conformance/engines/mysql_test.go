package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqlitemw/sqlitemw/tracing"
)

// mysqlEngine is MySQL, opened with the DSN parameters.
func mysqlEngine(name, params string) engine {
	return engine{
		name:   name,
		system: "mysql",
		raw:    "*mysql.mysqlConn",
		classify: func(err error) tracing.ErrorClass {
			if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
				return tracing.ErrorClass{StatusCode: strconv.Itoa(int(e.Number))}
			}
			return tracing.ErrorClass{}
		},
		start: func(t *testing.T, log *transcript) site { return startMySQL(t, log, params) },
		programs: slices.Concat(commonPrograms("select two", "select none", "insert one", "select wrong", "?"),
			serverPrograms("insert one ?", "select drops"), mysqlPrograms),
	}
}

func startMySQL(t *testing.T, log *transcript, params string) site {
	s := newMyServer(log)
	// Each server has its own network, because a DSN can name nothing else.
	network := "memory" + strings.ReplaceAll(t.Name(), "/", "_")
	mysql.RegisterDialContext(network, func(context.Context, string) (net.Conn, error) { return s.dial(), nil })
	t.Cleanup(func() { mysql.DeregisterDialContext(network) })
	dsn := "shop@" + network + "(server)/orders?" + params
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return site{connector, mysql.MySQLDriver{}, dsn, s.drop}
}

var mysqlPrograms = []program{
	{name: "types", play: func(r *run) {
		r.query(r.db, "select types")
		r.query(r.db, "select types ?", 1)
		stmt := r.prepare(r.db, "select types")
		r.queryStmt(stmt)
		r.queryStmt(stmt)
		r.close(stmt)
	}},
	{name: "scanning into Go types", play: func(r *run) {
		var n sql.NullInt64
		var i uint8
		var s string
		var raw sql.RawBytes
		r.scan("select two", &n)
		r.scan("select two", &i)
		r.scan("select two", &s)
		r.scan("select two", &raw)
	}},
	{name: "arguments", play: func(r *run) {
		at := time.Date(2026, 8, 1, 12, 30, 0, 123456000, time.UTC)
		number := 5
		for _, args := range [][]any{
			{1, "it's ?", true, 4.5, []byte("six\x00'"), at},
			{int8(1), sql.NullString{}, nil, float32(4), []byte(nil), &at},
			{&number, sql.NullString{String: "x", Valid: true}, sql.NullBool{}, sql.NullFloat64{}, json.RawMessage(`{"k": 1}`), time.Time{}},
			{uint64(math.MaxUint64), time.Second, false, math.MaxFloat64, json.RawMessage(nil), sql.NullTime{}},
			{1, 2, 3},
			{1, 2, 3, 4, 5, 6, 7},
			{sql.Named("a", 1), 2, 3, 4, 5, 6},
			{failing{}, 2, 3, 4, 5, 6},
			{struct{}{}, 2, 3, 4, 5, 6},
			{[]int{1}, 2, 3, 4, 5, 6},
		} {
			r.exec(r.db, "insert args ?,?,?,?,?,?", args...)
			r.query(r.db, "select echo ?,?,?,?,?,?", args...)
			stmt := r.prepare(r.db, "insert args ?,?,?,?,?,?")
			r.execStmt(stmt, args...)
			r.close(stmt)
		}
	}},
	{name: "an argument that is sent by itself", play: func(r *run) {
		stmt := r.prepare(r.db, "insert args ?")
		r.execStmt(stmt, strings.Repeat("long", 10000))
		r.close(stmt)
		r.exec(r.db, "insert args ?", []byte(strings.Repeat("long", 10000)))
	}},
	{name: "isolation levels", play: func(r *run) {
		for _, level := range isolationLevels {
			for _, readOnly := range []bool{false, true} {
				if tx := r.begin(&sql.TxOptions{Isolation: level, ReadOnly: readOnly}); tx != nil {
					r.exec(tx, "insert one ?", 1)
					r.say("commit: %s", showErr(tx.Commit()))
				}
			}
		}
	}},
	{name: "errors", play: func(r *run) {
		r.exec(r.db, "insert twice ?", 1)
		r.query(r.db, "insert twice ?", 1)
		r.exec(r.db, "insert twice")
		r.query(r.db, "select half")
		r.query(r.db, "select half ?", 1)
		r.exec(r.db, "select half")
		r.exec(r.db, "gibberish ?", 1)
		var n int
		r.say("row: %s", showErr(r.db.QueryRowContext(r.ctx, "insert twice ?", 1).Scan(&n)))
		r.stats()
	}},
	{name: "several results", play: func(r *run) {
		r.query(r.db, "select two; update; select types; select none")
		r.query(r.db, "select two; update; select types; select none ?", 1)
		r.query(r.db, "update; update")
		r.exec(r.db, "update; update")
		r.exec(r.db, "select two; update; select types; select none")
		r.query(r.db, "select two, then fail")
		r.query(r.db, "select two, then fail ?", 1)
		rows, err := r.db.QueryContext(r.ctx, "select two; update; select types; select none")
		r.say("skipped: %s, %t, %t, %t, %s", showErr(err), rows.NextResultSet(), rows.Next(), rows.NextResultSet(), showErr(rows.Close()))
		rows, err = r.db.QueryContext(r.ctx, "select two; update; select types; select none ?", 1)
		r.say("closed: %s, %t, %s", showErr(err), rows.Next(), showErr(rows.Close()))
		r.exec(r.db, "update")
	}},
	{name: "all results by the parent", play: func(r *run) {
		conn := r.conn()
		r.parent(conn, func(c any) error {
			res, err := c.(driver.ExecerContext).ExecContext(r.ctx, "update; update", nil)
			if err != nil {
				return err
			}
			all := res.(mysql.Result)
			r.say("all: %v %v", all.AllRowsAffected(), all.AllLastInsertIds())
			return nil
		})
		r.close(conn)
	}},
	{name: "cancelled while it runs", play: func(r *run) {
		for _, do := range []func(){
			func() { r.exec(r.db, "select blocks") },
			func() { r.exec(r.db, "select blocks ?", 1) },
			func() { r.query(r.db, "select blocks") },
			func() { r.query(r.db, "select blocks ?", 1) },
			func() { r.execStmt(r.prepare(r.db, "select blocks")) },
		} {
			r.renew()
			time.AfterFunc(time.Second, r.cancel)
			do()
			r.stats()
		}
		r.renew()
		r.exec(r.db, "update")
	}},
	{name: "out of time in a transaction", play: func(r *run) {
		r.ctx, r.cancel = context.WithTimeout(context.Background(), time.Second)
		tx := r.begin(nil)
		r.exec(tx, "select blocks")
		r.say("commit: %s", showErr(tx.Commit()))
		r.stats()
		r.renew()
		r.exec(r.db, "update")
	}},
}
