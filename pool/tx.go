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

// A transaction that found the database locked is tried again: so many times in
// all, after a pause that is random and at most twice as long each time, so that
// who failed together does not come together again.
const (
	txTries      = 6
	txFirstPause = 2 * time.Millisecond
)

// WithTx calls f with a transaction of [Pool.DB], begun with opts, and commits it.
// If f returns an error or panics, the transaction is rolled back, and the error is
// returned as it is, or the panic goes on. f must not end the transaction itself.
//
// If SQLite says sqlite3.BUSY, in any of its forms, BUSY_SNAPSHOT among them, to
// the transaction's begin, to f, which then returns that error or one around it,
// or to the commit, the whole transaction is tried again, as ctx allows: up to six
// times, with short pauses. So f may be called more than once, and must do nothing
// that a rollback does not undo, or do it so that twice is no harm. When the tries
// are used up, or ctx is over, the error says how many there were, and is the last
// BUSY, and ctx's own in the second case.
//
// An acquire that got no connection is not tried again: an [*AcquireError] is the
// pool's queue, which has waited already, and not SQLite.
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

// try is one try of a transaction.
func (p *Pool) try(ctx context.Context, opts *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, opts)
	if err != nil {
		return p.openError(err)
	}
	// Also if f has panicked, or ended its goroutine; after a commit it does
	// nothing. Why it is rolled back is what is to be told, not how that went.
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// isLocked reports whether SQLite has said that the database is locked, which may
// be otherwise when it is next asked.
func isLocked(err error) bool {
	var acquire *AcquireError
	return errors.Is(err, sqlite3.BUSY) && !errors.As(err, &acquire) && !errors.Is(err, ErrTimeLimit)
}
