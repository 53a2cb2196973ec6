package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sqlitemw/sqlitemw/pool"
)

// The actions of the night.
const (
	actOpen    = "open for online orders"
	actPrices  = "change prices"
	actOnline  = "online order"
	actCatalog = "look at the catalogue"
)

const nightConnections = 3

// night opens the shop's database again, with a pool. While another transaction changes prices,
// an online order waits for its turn to write, and a visitor reads.
func night(ctx context.Context, file string, j *journal) (_ pool.Stats, err error) {
	p, err := openNight(ctx, file, j)
	if err != nil {
		return pool.Stats{}, err
	}
	defer p.Close()
	db := p.DB()

	ctx, act := j.begin(ctx, actPrices)
	defer func() { act.end(err) }()
	act.acquired()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return pool.Stats{}, err
	}
	defer tx.Rollback()
	act.called("BEGIN")
	if _, err := tx.ExecContext(ctx, "UPDATE products SET price = price + ? WHERE id = ?", 1, 3); err != nil {
		return pool.Stats{}, err
	}
	act.called("UPDATE products")

	ordered := make(chan error, 1)
	go func() { ordered <- orderOnline(context.WithoutCancel(ctx), db, j) }()
	for p.Stats().Waiting == 0 && len(ordered) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := lookAtCatalogue(ctx, db, j); err != nil {
		return pool.Stats{}, err
	}
	if err := tx.Commit(); err != nil {
		return pool.Stats{}, err
	}
	act.called("COMMIT")
	if err := <-ordered; err != nil {
		return pool.Stats{}, err
	}
	stats := p.Stats()
	return stats, p.Close()
}

// openNight opens the pool within a trace, so that its first connections belong to it.
func openNight(ctx context.Context, file string, j *journal) (p *pool.Pool, err error) {
	ctx, act := j.begin(ctx, actOpen)
	defer func() { act.end(err) }()
	return pool.Open(ctx, pool.Config{Path: dsn(file), MaxConns: nightConnections, Logger: slog.New(slog.DiscardHandler)})
}

// orderOnline has its own trace, because it only happens at the same time.
func orderOnline(ctx context.Context, db *sql.DB, j *journal) (err error) {
	ctx, act := j.beginAlone(ctx, actOnline)
	defer func() { act.end(err) }()
	act.acquired()
	_, err = db.ExecContext(ctx, "UPDATE products SET stock = stock - ? WHERE id = ?", 1, 14)
	act.called("UPDATE products")
	return err
}

func lookAtCatalogue(ctx context.Context, db *sql.DB, j *journal) (err error) {
	ctx, act := j.beginAlone(ctx, actCatalog)
	defer func() { act.end(err) }()
	act.acquired()
	var n int
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM products WHERE stock > ?", 0).Scan(&n)
	act.called("SELECT products")
	return err
}

// printNight prints the order that waited, and the pool's statistics.
func printNight(w io.Writer, tel *telemetry, j *journal, s pool.Stats) {
	act, ok := j.firstOf(actOnline)
	if !ok {
		return
	}
	spans := tel.spansOf(act.trace())
	fmt.Fprintf(w, "%s, trace %s\n\n", act.name, act.trace())
	printTree(w, spans)
	for _, span := range spans {
		if span.Name() == "acquire" {
			printWait(w, span)
		}
	}
	fmt.Fprintf(w, "%d acquires, %d of which waited, the longest for %s; %d timeouts.\n",
		s.Acquires, s.Waits, human(s.LongestWait), s.Timeouts)
}

func printWait(w io.Writer, span sdktrace.ReadOnlySpan) {
	fmt.Fprintf(w, "\nIt waited at place %s for its turn as the %s, and no caller got %q meanwhile.\n",
		attributeOf(span, "sqlitemw.acquire.queue_position"), attributeOf(span, "sqlitemw.connection.lane"), "database is locked")
}
