package conformance

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// A player plays a script on one driver, within a synctest bubble.
type player struct {
	*fake.Base
	db     *sql.DB
	ctx    context.Context // of the step
	cancel context.CancelFunc
	timers []*time.Timer // of the step
}

// say records what the program sees.
func (p *player) say(format string, args ...any) { p.Write(fake.Program, format, args...) }

// step runs one step with its own context, until all goroutines are done with it.
func (p *player) step(name string, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	p.ctx, p.cancel = fake.NewContext(ctx, "the step's"), cancel
	p.say("%s", name)
	began := time.Now()
	func() {
		defer func() {
			if v := recover(); v != nil {
				p.say("panic: %v", v)
			}
		}()
		do()
	}()
	synctest.Wait()
	if took := time.Since(began); took != 0 {
		p.say("took %v", took)
	}
	p.cancel()
	synctest.Wait()
	for _, timer := range p.timers {
		timer.Stop()
	}
	p.timers = nil
}

// later calls f, within the same step, after all goroutines have waited for d.
func (p *player) later(d time.Duration, f func()) {
	p.timers = append(p.timers, time.AfterFunc(d, f))
}

// end closes the database.
func (p *player) end() {
	p.Off()
	stats := p.db.Stats()
	stats.WaitDuration = 0
	p.Write(fake.Pool, "%+v", stats)
	p.say("db.Close: %s", showError(p.db.Close()))
	synctest.Wait()
}

// result records the result of an Exec.
func (p *player) result(res sql.Result, err error) {
	synctest.Wait()
	if err != nil {
		p.say("no result: %s", showError(err))
		return
	}
	id, err := res.LastInsertId()
	p.say("last insert ID %d, %s", id, showError(err))
	n, err := res.RowsAffected()
	p.say("rows affected %d, %s", n, showError(err))
}

// read records rows up to their end, and closes them.
func (p *player) read(rows *sql.Rows, err error) {
	synctest.Wait()
	if err != nil {
		p.say("no rows: %s", showError(err))
		return
	}
	defer rows.Close() // in case of a panic
	p.columns(rows)
	for set := true; set; set = rows.NextResultSet() {
		for rows.Next() {
			synctest.Wait()
			p.scan(rows)
		}
		synctest.Wait()
		p.say("end of rows: %s", showError(rows.Err()))
	}
	p.say("end of sets: %s", showError(rows.Err()))
	p.say("closed: %s", showError(rows.Close()))
}

func (p *player) columns(rows *sql.Rows) {
	types, err := rows.ColumnTypes()
	p.say("column types: %s", showError(err))
	for _, t := range types {
		length, hasLength := t.Length()
		precision, scale, hasPrecision := t.DecimalSize()
		nullable, knowsNull := t.Nullable()
		p.say("%s: type %q, scans as %v, length %d %t, precision %d %d %t, nullable %t %t", t.Name(), t.DatabaseTypeName(), t.ScanType(),
			length, hasLength, precision, scale, hasPrecision, nullable, knowsNull)
	}
}

func (p *player) scan(rows *sql.Rows) {
	var id int64
	var name string
	err := rows.Scan(&id, &name)
	p.say("row %d %q: %s", id, name, showError(err))
}

// begin begins a transaction with the step's context.
func (p *player) begin(opts *sql.TxOptions) *sql.Tx {
	tx, err := p.db.BeginTx(p.ctx, opts)
	synctest.Wait()
	p.say("begin: %s", showError(err))
	return tx
}

// take acquires a connection with the step's context.
func (p *player) take() *sql.Conn {
	conn, err := p.db.Conn(p.ctx)
	synctest.Wait()
	p.say("conn: %s", showError(err))
	return conn
}

// showError returns an error's text, its type, and the sentinel errors that it matches.
func showError(err error) string {
	if err == nil {
		return "ok"
	}
	if errors.Is(err, driver.ErrSkip) {
		// A bare ErrSkip is a signal between a driver and database/sql. A wrapper that
		// has consumed it can only return a value that wraps it.
		return "ErrSkip: " + err.Error()
	}
	text := fmt.Sprintf("error %q (%T)", err, err)
	for _, known := range []error{
		driver.ErrBadConn, fake.ErrFault, fake.ErrRefused, fake.ErrValuer,
		context.Canceled, sql.ErrTxDone, sql.ErrConnDone, sql.ErrNoRows,
	} {
		if err == known {
			text += fmt.Sprintf(", is itself %q", known)
		} else if errors.Is(err, known) {
			text += fmt.Sprintf(", is %q", known)
		}
	}
	return text
}
