package prometheus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"go.opentelemetry.io/otel"
)

// secret is part of every value that the program has in an argument, a literal or a comment,
// and of nothing else.
const secret = "hush"

// A tally counts what the program has done. The program counts each call where it makes it, and
// never takes a count from what is exported.
type tally struct {
	calls    map[string]int   // by labels
	rows     map[string][]int // number of rows of each query
	opened   int              // connections
	released int              // connections that were released
}

// A program makes every kind of call, with every outcome.
type program struct {
	t  *testing.T
	db *sql.DB
	tally
}

func newProgram(t *testing.T, file string) *program {
	db, err := sql.Open("sqlitemw", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &program{t: t, db: db, tally: tally{calls: make(map[string]int), rows: make(map[string][]int)}}
}

// execer is the database, a connection, a transaction or, with preparedStmt, a statement.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// preparedStmt executes the one query that it was prepared from.
type preparedStmt struct{ *sql.Stmt }

func (s preparedStmt) ExecContext(ctx context.Context, _ string, args ...any) (sql.Result, error) {
	return s.Stmt.ExecContext(ctx, args...)
}

func (s preparedStmt) QueryContext(ctx context.Context, _ string, args ...any) (*sql.Rows, error) {
	return s.Stmt.QueryContext(ctx, args...)
}

// exec makes a call. labels are its expected labels, without those of the database.
func (p *program) exec(ctx context.Context, on execer, labels, text string, args ...any) error {
	_, err := on.ExecContext(ctx, text, args...)
	p.note(on, labels)
	return err
}

// query reads all rows. labels are its expected labels.
func (p *program) query(ctx context.Context, on execer, labels, text string, args ...any) error {
	p.t.Helper()
	rows, err := on.QueryContext(ctx, text, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	p.note(on, labels)
	p.rows[labels] = append(p.rows[labels], n)
	return errors.Join(rows.Err(), rows.Close())
}

func (p *program) note(on execer, labels string) {
	p.calls[labels]++
	if on == execer(p.db) {
		p.released++ // a call on the database acquires a connection for that call
	}
}

func (p *program) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// run runs the program and returns a connection that is still in use. Two others are idle.
func (p *program) run() *sql.Conn {
	t, db := p.t, p.db
	ctx, span := otel.Tracer("program").Start(t.Context(), "program")
	defer span.End()

	p.must(db.PingContext(ctx))
	p.calls[operation("PING")]++
	p.released++
	p.must(p.exec(ctx, db, summary("CREATE TABLE users"),
		`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT DEFAULT 'hush by default')`))

	const insert = `INSERT INTO users (name, note) VALUES (?, ?)`
	for i := range 5 {
		p.must(p.exec(ctx, db, summary("INSERT users"), insert, fmt.Sprint(secret, i), secret))
	}
	p.must(p.exec(ctx, db, summary("INSERT users"), `INSERT INTO users (name) VALUES ('hush literally') -- hush`))
	if err := p.exec(ctx, db, failed("INSERT users", "2067", "2067"), insert, secret+"0", nil); !errors.Is(err, sqlite3.CONSTRAINT_UNIQUE) {
		t.Fatalf("the same name again: %v", err)
	}
	if err := p.exec(ctx, db, failed("DELETE nobody", "1", "1"), `DELETE FROM nobody WHERE name = 'hush'`); err == nil {
		t.Fatal("the missing table exists")
	}

	p.must(p.query(ctx, db, summary("SELECT users"), `SELECT * FROM users`))
	p.must(p.query(ctx, db, summary("SELECT users"), `SELECT name FROM users WHERE note = ?`, secret))
	for i := range 20 { // a different query each time, but one label
		p.must(p.query(ctx, db, summary("SELECT users"), fmt.Sprintf(`SELECT name FROM users WHERE name = 'hush %d' /* hush */`, i)))
	}
	p.must(p.exec(ctx, db, summary("SELECT users"), `SELECT 'hush' FROM users`)) // its rows are discarded

	// The third row overflows abs.
	if err := p.query(ctx, db, failed("SELECT users", "1", "1"),
		`SELECT iif(id < 3, id, abs(-9223372036854775808)) FROM users ORDER BY id`); !errors.Is(err, sqlite3.ERROR) {
		t.Fatalf("a query that fails while it is read: %v", err)
	}

	p.transactions(ctx)
	return p.connections(ctx)
}

// transactions commits one transaction and rolls one back.
func (p *program) transactions(ctx context.Context) {
	for _, commit := range []bool{true, false} {
		tx, err := p.db.BeginTx(ctx, nil)
		p.must(err)
		p.calls[operation("BEGIN")]++
		p.must(p.exec(ctx, tx, summary("UPDATE users"), `UPDATE users SET note = ? WHERE id = 1`, secret))
		p.must(p.query(ctx, tx, summary("SELECT users"), `SELECT note FROM users WHERE id = :id`, sql.Named("id", 1)))
		if commit {
			p.must(tx.Commit())
			p.calls[operation("COMMIT")]++
		} else {
			p.must(tx.Rollback())
			p.calls[operation("ROLLBACK")]++
		}
		p.released++
	}
}

// connections uses three connections concurrently, one of them as a *sql.Conn.
func (p *program) connections(ctx context.Context) *sql.Conn {
	p.db.SetMaxIdleConns(3)
	var conns [3]*sql.Conn
	for i := range conns {
		var err error
		conns[i], err = p.db.Conn(ctx)
		p.must(err)
		p.t.Cleanup(func() { conns[i].Close() })
	}
	p.opened += len(conns)
	for _, c := range conns[1:] {
		p.must(c.Close())
		p.released++
	}

	conn := conns[0]
	stmt, err := conn.PrepareContext(ctx, `SELECT 'hush', name FROM users WHERE id < ?`)
	p.must(err)
	p.calls[prepare("SELECT users")]++
	for i := range 3 {
		p.must(p.query(ctx, preparedStmt{stmt}, summary("SELECT users"), "", i))
	}
	p.must(stmt.Close())

	p.must(p.exec(ctx, conn, summary("ATTACH side"), `ATTACH DATABASE 'file:/hush?vfs=memdb' AS side`))
	p.must(p.exec(ctx, conn, summary("DETACH side"), `DETACH side`))
	p.must(p.exec(ctx, conn, summary("PRAGMA user_version"), `PRAGMA user_version = 2042424242`))
	p.giveUp(ctx, conn)
	return conn
}

// giveUp makes a call that is canceled while it runs, by a function that it calls.
func (p *program) giveUp(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.must(conn.Raw(func(c any) error {
		return c.(driver.Conn).Raw().CreateFunction("give_up", 0, 0, func(sqlite3.Context, ...sqlite3.Value) { cancel() })
	}))
	err := p.exec(ctx, conn, failed("SELECT SELECT SELECT", "context.Canceled", "9"),
		`WITH RECURSIVE n (i) AS (SELECT give_up() UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n`)
	if !errors.Is(err, sqlite3.INTERRUPT) {
		p.t.Fatalf("a canceled call: %v", err)
	}
}
