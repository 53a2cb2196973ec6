// Demo is a small shop on SQLite that shows what sqlitemw reports about a program.
//
//	go run . [-db file]
//	go run . -page 127.0.0.1:0 [-for 1m] [-db file]
//
// It is an ordinary program: goose migrates the database, and sqlx runs the queries. Only the
// driver's name in sql.Open and the attached pool.Observe come from this library. Eight
// goroutines share four connections. The shop registers customers and sells products in
// transactions. A constraint refuses one registration, and a context cancels one search. The
// shop writes a report and audits its books. At night it opens its database with
// "sqlitemw-pool". Then it prints
//
//   - the spans of one order, of the refusal and of the canceled search
//   - the life of each connection over time
//   - the pool's statistics
//   - an order that waited for its turn, on a pool of this library with the same file
//
// The exit code is 1 if the books are wrong or spans could not be exported.
//
// The database is in a temporary directory, and removed at the end. With -db, it is in a new
// file, which is kept.
//
// With -page, it serves the page of pool/page at this address instead, while the shop trades for a
// minute, or as long as -for says.
//
// # Environment
//
//	OTEL_EXPORTER_OTLP_ENDPOINT   export the spans with OTLP over HTTP to this URL, such as
//	                              http://localhost:4318
//	OTEL_SERVICE_NAME             the name of the service; sqlitemw-demo by default
//	JAEGER_QUERY                  the address of Jaeger's UI; http://localhost:16686 by default
//	DEMO_SUMMARY                  a file for trace IDs and the spans that must exist, as JSON
//
// The other OTEL_EXPORTER_OTLP_ variables work, too. The last line of the output
// is "trace of one order: " and the trace's ID.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel"

	_ "github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

const connections = 4

func main() {
	file := flag.String("db", "", "keep the database in this new `file`")
	address := flag.String("page", "", "trade for a while, and serve the pool's page at this `address`")
	during := flag.Duration("for", time.Minute, "how long to trade with -page")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *address != "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *during)
		defer cancel()
	}
	if err := run(ctx, *file, *address, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the program. If file is empty, the database is a temporary one. If address is empty, no
// page is served.
func run(ctx context.Context, file, address string, out io.Writer) (err error) {
	if file == "" {
		dir, err := os.MkdirTemp("", "sqlitemw-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "shop.db")
	} else if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s exists: name a new file", file)
	}
	if address != "" {
		return live(ctx, file, address, out)
	}

	tel, err := startTelemetry(ctx)
	if err != nil {
		return err
	}
	// In case something fails before the shutdown below.
	defer func() { err = errors.Join(err, tel.shutdown(context.WithoutCancel(ctx))) }()

	fmt.Fprintf(out, "A shop opens: %d clerks share %d connections, and every call is a span.\n", clerks, connections)
	journal := newJournal(otel.Tracer("shop"))
	seen, err := trade(ctx, dsn(file), journal, out)
	if err != nil {
		return err
	}
	after, err := night(ctx, file, journal)
	if err != nil {
		return fmt.Errorf("night: %w", err)
	}
	show(out, tel, journal, seen)
	fmt.Fprint(out, "\n4. The same file over a pool of its own, \"sqlitemw-pool\": an order that waited its turn\n\n")
	printNight(out, tel, journal, after)

	fmt.Fprintf(out, "\n%d orders, %d customers, %d pieces sold, all consistent\n",
		seen.books.Orders, seen.books.Customers, seen.books.Pieces)
	if err := tel.shutdown(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	sum, err := summarise(tel.service, journal, seen.books.Orders, seen.books.Customers)
	if err != nil {
		return err
	}
	if name := os.Getenv("DEMO_SUMMARY"); name != "" {
		if err := sum.write(name); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "trace %s\n", sum.OrderTrace)
	if tel.endpoint == "" {
		fmt.Fprintln(out, "not exported: OTEL_EXPORTER_OTLP_ENDPOINT is not set")
	} else {
		base := cmp.Or(os.Getenv("JAEGER_QUERY"), "http://localhost:16686")
		fmt.Fprintf(out, "%s/trace/%s\n", strings.TrimRight(base, "/"), sum.OrderTrace)
	}
	fmt.Fprintf(out, "trace of one order: %s\n", sum.OrderTrace)
	return nil
}

// dsn returns an ordinary DSN: a file, SQLite's usual settings for a server, and transactions
// that take the write lock when they begin.
func dsn(file string) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=foreign_keys(1)&_txlock=immediate"
}

// seen is what was observed during a day.
type seen struct {
	books     books
	obs       *pool.Observer
	rush, end pool.Stats
}

// trade opens the database and the shop, and runs a day.
func trade(ctx context.Context, dsn string, j *journal, out io.Writer) (_ *seen, err error) {
	db, err := sql.Open("sqlitemw", dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	obs, err := pool.Observe(ctx, db, pool.ObserveConfig{})
	if err != nil {
		return nil, err
	}
	defer obs.Close() // what it has recorded remains readable
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)

	shop, err := openShop(ctx, db, j)
	if err != nil {
		return nil, err
	}
	defer shop.close()

	today := newDay()
	if err := opening(ctx, shop, today, out); err != nil {
		return nil, err
	}
	s := &seen{obs: obs}
	if err := today.rush(ctx, shop, func() { s.rush = obs.Stats() }); err != nil {
		return nil, err
	}
	start := time.Now()
	sales, visits, err := shop.report(ctx)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	fmt.Fprintf(out, "The report on %d visits took %s: most was sold in %s.\n", visits, human(time.Since(start)), sales[0].Category)

	db.SetMaxIdleConns(1) // the night needs fewer connections
	if s.books, err = shop.audit(ctx); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err := s.books.check(today.orders.Load(), today.customers.Load(), today.pieces.Load()); err != nil {
		return nil, err
	}
	if err := errors.Join(shop.close(), db.Close()); err != nil {
		return nil, err
	}
	s.end = obs.Stats()
	return s, nil
}

// opening is the quiet hour: one order, one customer with a registered address, and one whose
// search is canceled.
func opening(ctx context.Context, s *shop, today *day, out io.Writer) error {
	ada := customer{Name: "Ada", Email: "ada@example.com"}
	if taken, err := s.register(ctx, &ada); err != nil || taken {
		return fmt.Errorf("register the first customer: %w", cmp.Or(err, errors.New("refused")))
	}
	today.customers.Add(1)

	lines := []line{{Product: 3, Quantity: 1}, {Product: 14, Quantity: 2}, {Product: 15, Quantity: 4}}
	if err := s.placeOrder(ctx, ada.ID, lines); err != nil {
		return fmt.Errorf("place the first order: %w", err)
	}
	today.orders.Add(1)
	for _, l := range lines {
		today.pieces.Add(l.Quantity)
	}

	taken, err := s.register(ctx, &customer{Name: "Ada", Email: ada.Email})
	if err != nil || !taken {
		return fmt.Errorf("register a customer twice: %w", cmp.Or(err, errors.New("not refused")))
	}
	fmt.Fprintf(out, "%s was refused: there is such a customer already.\n", ada.Email)

	_, givenUp, err := s.search(ctx, 7)
	if err != nil || !givenUp {
		return fmt.Errorf("search: %w", cmp.Or(err, errors.New("it ended before its timeout")))
	}
	fmt.Fprintf(out, "A search was given up after %s.\n", human(searchPatience))
	return nil
}

// show prints the three sections.
func show(out io.Writer, tel *telemetry, j *journal, s *seen) {
	fmt.Fprint(out, "\n1. Spans: an order, a refusal and a cancelled search\n")
	for _, name := range []string{actOrder, actRefused, actGivenUp} {
		if act, ok := j.firstOf(name); ok {
			fmt.Fprintf(out, "\n%s, trace %s\n\n", act.name, act.trace())
			printTree(out, tel.spansOf(act.trace()))
		}
	}
	fmt.Fprint(out, "\n2. Connections: what became of each\n\n")
	printTimeline(out, s.obs.Events(), s.end.EventsDropped)
	fmt.Fprint(out, "\n3. Pool: how it stood when half of the rush was over, and in the end\n\n")
	printStats(out, s.rush, s.end)
}
