package pool

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// A transaction that fails because the database is locked is tried up to txTries times. Before
// each retry there is a random pause, whose maximum doubles each time. So transactions that
// failed together do not retry together.
const (
	txTries      = 6
	txFirstPause = 2 * time.Millisecond
)

// WithTx calls f with a transaction of [Pool.DB], begun with opts, and commits it. If f returns
// an error or panics, WithTx rolls back the transaction, and returns the same error or lets the
// panic pass. f must not end the transaction itself.
//
// WithTx retries the whole transaction if SQLite returns sqlite3.BUSY in any form, such as
// BUSY_SNAPSHOT: from the begin, from the commit, or from f, if f returns that error or wraps
// it. It tries up to six times, with short pauses, as long as ctx allows. So f may be called
// more than once. A second call must do no harm; the rollback undoes only changes of the
// database.
//
// When all tries have failed or ctx has ended, the error contains the number of tries and wraps
// the last BUSY. If ctx has ended, it also wraps ctx's error.
//
// WithTx does not retry an [*AcquireError], because the call has already waited in the pool's
// queue.
func (p *Pool) WithTx(ctx context.Context, opts *sql.TxOptions, f func(*sql.Tx) error) error {
	pause := txFirstPause
	for try := 1; ; try++ {
		err := p.try(ctx, opts, f)
		if !isLocked(err) {
			return err
		}
		if try < txTries && ctx.Err() == nil {
			timer := time.NewTimer(rand.N(pause))
			pause *= 2
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("pool: transaction: %w after %d tries: %w", ctx.Err(), try, err)
		}
		return fmt.Errorf("pool: transaction: given up after %d tries: %w", try, err)
	}
}

// try runs the transaction once.
func (p *Pool) try(ctx context.Context, opts *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := p.ownDB().BeginTx(ctx, opts)
	if err != nil {
		return p.openError(err)
	}
	// Rollback also runs if f panics or ends its goroutine. After a commit it does nothing. Its
	// error is ignored, because the caller needs the original one.
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// isLocked reports whether SQLite returned that the database is locked, which a retry may
// solve.
func isLocked(err error) bool {
	var acquire *AcquireError
	return errors.Is(err, sqlite3.BUSY) && !errors.As(err, &acquire) && !errors.Is(err, ErrTimeLimit)
}
