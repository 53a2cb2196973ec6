package random

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// A player holds a program's variables.
type player struct {
	strict  bool // known differences count, too
	several bool // the program uses several connections
	db      *sql.DB
	conns   map[string]*sql.Conn
	txs     map[string]*sql.Tx
	stmts   map[string]*sql.Stmt
	rows    map[string]*openRows
	points  map[string]*sqlite3.Savepoint
}

// openRows are rows that the program has left open.
type openRows struct {
	*sql.Rows
	touched bool // the program has asked for columns and a row
}

var cancelled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// A runner executes queries with arguments, or a statement with arguments only.
type runner struct {
	exec     func(context.Context, ...any) (sql.Result, error)
	query    func(context.Context, ...any) (*sql.Rows, error)
	queryRow func(context.Context, ...any) *sql.Row
}

// handle has the methods that *sql.DB, *sql.Conn and *sql.Tx have in common.
type handle interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
	PrepareContext(context.Context, string) (*sql.Stmt, error)
}

// play plays a program. It stops after a step that panics. If want is not nil, it also stops
// after the first step whose outcome differs, because later calls may then wait forever.
func play(db *sql.DB, p program, want []outcome, strict, several bool) []outcome {
	db.SetMaxOpenConns(p.connections)
	db.SetMaxIdleConns(p.connections)
	l := &player{
		strict: strict, several: several,
		db:     db,
		conns:  map[string]*sql.Conn{},
		txs:    map[string]*sql.Tx{},
		stmts:  map[string]*sql.Stmt{},
		rows:   map[string]*openRows{},
		points: map[string]*sqlite3.Savepoint{},
	}
	var seen []outcome
	for i, s := range p.steps {
		o, panicked := l.step(s)
		if s.unseen {
			o.lines = nil
		}
		seen = append(seen, o)
		if panicked || want != nil && !sameOutcome(want, i, seen, i) {
			break
		}
	}
	return seen
}

func (l *player) step(s step) (o outcome, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			o.see("panic: %s", mask(fmt.Sprint(p)))
			panicked = true
			// A savepoint's own release function panics if the savepoint cannot be
			// released.
			if s.verb == release {
				panicked = false
			}
		}
	}()
	o.vague = !l.strict && s.on[0] == 'r'
	o.misplaced = !l.strict && s.text != nil && s.text.several && s.verb == exec
	ctx := context.Background()
	if s.cancelled {
		ctx = cancelled
	}
	if !l.has(s.on) || s.stmt != "" && !l.has(s.stmt) {
		o.skipped = true
		o.see("skipped")
		return o, false
	}
	switch s.verb {
	case exec:
		res, err := l.runner(s).exec(ctx, values(s.args)...)
		o.fail("exec", err)
		if err == nil {
			id, err := res.LastInsertId()
			o.see("id %d, %s", id, showError(err))
			n, err := res.RowsAffected()
			o.see("%d rows, %s", n, showError(err))
		}
	case query:
		rows, err := l.runner(s).query(ctx, values(s.args)...)
		o.fail("query", err)
		if err == nil {
			o.head(rows)
			for n := 0; o.next(rows); n++ {
				if n == 0 {
					o.types(rows)
				}
			}
			l.forgetTypes(&o)
			o.fail("close", rows.Close())
		}
	case queryRow:
		var v any
		err := l.runner(s).queryRow(ctx, values(s.args)...).Scan(&v)
		o.fail("row "+show(v), err)
	case open:
		rows, err := l.runner(s).query(ctx, values(s.args)...)
		o.fail("query", err)
		if err == nil {
			l.rows[s.to] = &openRows{Rows: rows}
		}
	case read:
		rows := l.rows[s.on]
		if !rows.touched {
			rows.touched = true
			o.head(rows.Rows)
		}
		for n := 0; n < s.rows && o.next(rows.Rows); n++ {
			o.types(rows.Rows)
		}
		l.forgetTypes(&o)
	case prepare:
		stmt, err := l.handle(s.on).PrepareContext(ctx, s.text.sql)
		o.fail("prepare", err)
		if err == nil {
			l.stmts[s.to] = stmt
		}
	case bind:
		l.stmts[s.to] = l.txs[s.on].StmtContext(ctx, l.stmts[s.stmt])
	case begin:
		from := l.db.BeginTx
		if s.on != "db" {
			from = l.conns[s.on].BeginTx
		}
		tx, err := from(ctx, &s.opts)
		o.fail("begin", err)
		if err == nil {
			l.txs[s.to] = tx
		}
	case commit:
		o.fail("commit", l.txs[s.on].Commit())
	case rollback:
		o.fail("rollback", l.txs[s.on].Rollback())
	case mark:
		p := driver.Savepoint(l.txs[s.on])
		l.points[s.to] = &p
	case rollbackTo:
		o.fail("rollback", l.points[s.on].Rollback())
	case release:
		var err error
		l.points[s.on].Release(&err)
		o.fail("release", err)
	case connect:
		conn, err := l.db.Conn(ctx)
		o.fail("conn", err)
		if err == nil {
			l.conns[s.to] = conn
		}
	case raw:
		o.fail("raw", l.conns[s.on].Raw(func(dc any) error {
			return dc.(driver.Conn).Raw().Exec(s.text.sql)
		}))
	case promoted:
		o.fail("raw", l.conns[s.on].Raw(func(dc any) error {
			return dc.(interface{ Exec(string) error }).Exec(s.text.sql)
		}))
	case finish:
		switch s.on[0] {
		case 'c':
			o.fail("close", l.conns[s.on].Close())
		case 's':
			o.fail("close", l.stmts[s.on].Close())
		case 'r':
			o.fail("close", l.rows[s.on].Close())
		}
	}
	return o, false
}

// forgetTypes removes the types of columns from an outcome without a first row, if a table no
// longer exists and another connection may have dropped it. "sqlitemw" asks SQLite for the
// types after it has failed to prepare the statement again. This is the entry "Queries"
// of package driver's differences from the plain driver: a query begins when the program first
// asks for columns.
func (l *player) forgetTypes(o *outcome) {
	if !l.strict && l.several && len(o.rows) == 0 && o.err != nil && strings.Contains(o.err.Error(), ": no such ") {
		o.lines = slices.DeleteFunc(o.lines, func(line string) bool { return strings.HasPrefix(line, "types") })
	}
}

func (l *player) has(name string) (ok bool) {
	switch name[0] {
	case 'd':
		return true
	case 'c':
		_, ok = l.conns[name]
	case 'x':
		_, ok = l.txs[name]
	case 's':
		_, ok = l.stmts[name]
	case 'r':
		_, ok = l.rows[name]
	case 'p':
		_, ok = l.points[name]
	}
	return ok
}

func (l *player) handle(name string) handle {
	switch name[0] {
	case 'c':
		return l.conns[name]
	case 'x':
		return l.txs[name]
	}
	return l.db
}

func (l *player) runner(s step) runner {
	if s.on[0] == 's' {
		stmt := l.stmts[s.on]
		return runner{stmt.ExecContext, stmt.QueryContext, stmt.QueryRowContext}
	}
	h, text := l.handle(s.on), s.text.sql
	return runner{
		func(ctx context.Context, args ...any) (sql.Result, error) { return h.ExecContext(ctx, text, args...) },
		func(ctx context.Context, args ...any) (*sql.Rows, error) { return h.QueryContext(ctx, text, args...) },
		func(ctx context.Context, args ...any) *sql.Row { return h.QueryRowContext(ctx, text, args...) },
	}
}
