package fake_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"time"
)

// waitingLiars deadlock, or leave a goroutine blocked.
var waitingLiars = []liar{
	{
		name: "a mutex is held throughout a transaction",
		conn: func() func(driver.Conn) driver.Conn {
			var mu sync.Mutex
			return full(func(c fullConn) driver.Conn { return lockingConn{c, &mu} })
		}(),
		fails:   []string{"interfaces/two transactions at once"},
		says:    "it hangs, and was given up",
		timeout: time.Second,
	},
	{
		name:   "a connection's turn is held until rows are closed",
		conn:   full(func(c fullConn) driver.Conn { return turnConn{c, make(chan struct{}, 1)} }),
		fails:  []string{"interfaces/calls while rows are open"},
		passes: []string{"interfaces/pool", "faults/db, error at next"},
		says:   "deadlock",
	},
	{
		name: "a goroutine is left behind",
		conn: full(func(c fullConn) driver.Conn {
			go func() { select {} }()
			return c
		}),
		fails: []string{"interfaces/ping", "interfaces/closed early"},
		says:  "blocked goroutines remain",
	},
	{
		name:   "a call is given up after a while",
		conn:   full(func(c fullConn) driver.Conn { return impatientConn{c} }),
		fails:  []string{"faults/db, delay at direct"},
		passes: []string{"faults/db, error at direct"},
		says:   "liar: too slow",
	},
}

type lockingConn struct {
	fullConn
	mu *sync.Mutex
}

func (c lockingConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.mu.Lock()
	tx, err := c.fullConn.BeginTx(ctx, opts)
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	return lockingTx{tx, c.mu}, nil
}

type lockingTx struct {
	driver.Tx
	mu *sync.Mutex
}

func (t lockingTx) Commit() error {
	defer t.mu.Unlock()
	return t.Tx.Commit()
}

func (t lockingTx) Rollback() error {
	defer t.mu.Unlock()
	return t.Tx.Rollback()
}

type turnConn struct {
	fullConn
	turn chan struct{}
}

func (c turnConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	return c.fullConn.ExecContext(ctx, query, args)
}

func (c turnConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.turn <- struct{}{}
	rows, err := c.fullConn.QueryContext(ctx, query, args)
	typed, ok := asTyped(rows)
	if err != nil || !ok {
		<-c.turn
		return rows, err
	}
	return turnRows{typed, c.turn}, nil
}

type turnRows struct {
	typedRows
	turn chan struct{}
}

func (r turnRows) Close() error {
	defer func() { <-r.turn }()
	return r.typedRows.Close()
}

type impatientConn struct{ fullConn }

func (c impatientConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	type answer struct {
		res driver.Result
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		res, err := c.fullConn.ExecContext(ctx, query, args)
		answers <- answer{res, err}
	}()
	select {
	case a := <-answers:
		return a.res, a.err
	case <-time.After(time.Minute):
		return nil, errors.New("liar: too slow")
	}
}
