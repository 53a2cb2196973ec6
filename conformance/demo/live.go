package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
	"github.com/sqlitemw/sqlitemw/pool/page"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// live runs the shop on a pool until ctx ends, and serves the pool's page at address meanwhile.
func live(ctx context.Context, file, address string, out io.Writer) (err error) {
	tel, err := startTelemetry(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tel.shutdown(context.WithoutCancel(ctx))) }()
	tracer, err := tracing.New(tracing.Config{Statements: 100, SlowCall: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	p, err := pool.Open(ctx, pool.Config{Path: file, Name: "shop.db", Tracing: tracer, MaxConns: connections, LeakAfter: 10 * time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	stop, err := servePage(ctx, p, tracer, tel, address, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	shop, err := openShop(ctx, p.DB(), newJournal(tel.provider.Tracer("shop")))
	if err != nil {
		return err
	}
	defer shop.close()
	if err := shop.trade(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// servePage serves the page of a pool on this machine, and prints its address. The caller must
// call stop.
func servePage(ctx context.Context, p *pool.Pool, tracer *tracing.Tracer, tel *telemetry, address string, out io.Writer) (stop func() error, err error) {
	cfg := page.Config{Pools: page.List(p), Allow: page.Loopback, Tracer: tracer}
	if base := os.Getenv("JAEGER_QUERY"); base != "" && tel.endpoint != "" {
		cfg.TraceURL = strings.TrimRight(base, "/") + "/trace/{trace}"
	}
	h, err := page.New(cfg)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/sql/", h)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(out, "The shop's page is http://%s/debug/sql/ until the shop closes; Ctrl-C closes it now.\n", listener.Addr())
	return func() error {
		err := server.Shutdown(context.WithoutCancel(ctx))
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

// trade lets clerks serve customers, and others count the stock and make reports, until ctx ends.
// It returns the first error.
func (s *shop) trade(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	repeat := func(owner string, pause time.Duration, f func(ctx context.Context, n int) error) {
		wg.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				if err := f(pool.WithOwner(ctx, owner), n); err != nil {
					cancel(fmt.Errorf("%s: %w", owner, err))
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	today := newDay()
	for clerk := range clerks {
		random := rand.New(rand.NewPCG(1, uint64(clerk)))
		repeat(fmt.Sprint("clerk ", clerk+1), 40*time.Millisecond, func(ctx context.Context, n int) error {
			return today.serve(ctx, s, fmt.Sprintf("customer-%d-%d", clerk+1, n), basket(random))
		})
	}
	repeat("stock-taking", time.Second, func(ctx context.Context, _ int) error { return s.restock(ctx) })
	repeat("report", 2*time.Second, func(ctx context.Context, _ int) error {
		_, _, err := s.report(ctx)
		return err
	})
	wg.Wait()
	return context.Cause(ctx)
}

// restock fills the shelves. That takes a while, in which the clerks wait.
func (s *shop) restock(ctx context.Context) (err error) {
	ctx, act := s.journal.begin(ctx, "restock")
	defer func() { act.end(err) }()
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it makes no call after the commit
	if _, err := tx.ExecContext(ctx, "UPDATE products SET stock = initial_stock"); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	return tx.Commit()
}
