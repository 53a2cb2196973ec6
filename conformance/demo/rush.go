package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

const (
	clerks   = 8  // twice the number of connections, so that some clerks wait
	rounds   = 8  // customers of each clerk
	products = 40 // in the catalogue of the migrations
)

// A day counts what the shop has done.
type day struct {
	orders, customers, pieces atomic.Int64

	halfway chan struct{} // closed when half of the rush is over
}

func newDay() *day { return &day{halfway: make(chan struct{})} }

// serve registers a customer, who browses, looks at products and orders them.
func (d *day) serve(ctx context.Context, s *shop, name string, lines []line) error {
	c := customer{Name: name, Email: name + "@example.com"}
	taken, err := s.register(ctx, &c)
	if err != nil {
		return err
	}
	if taken {
		return fmt.Errorf("%s is taken", c.Email)
	}
	d.customers.Add(1)

	shown, err := s.browse(ctx, "garden")
	if err != nil {
		return err
	}
	if len(shown) != products/5 {
		return fmt.Errorf("there are %d products for the garden, want %d", len(shown), products/5)
	}
	for _, l := range lines[:min(len(lines), 2)] {
		p, err := s.lookUp(ctx, fmt.Sprintf("SKU-%03d", l.Product))
		if err != nil {
			return err
		}
		if p.ID != l.Product {
			return fmt.Errorf("the look-up of product %d found product %d", l.Product, p.ID)
		}
	}

	if err := s.placeOrder(ctx, c.ID, lines); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	for _, l := range lines {
		d.pieces.Add(l.Quantity)
	}
	// Count orders of the rush. The first order of the day was placed before it.
	if d.orders.Add(1) == 1+clerks*rounds/2 {
		close(d.halfway)
	}

	orders, err := s.history(ctx, c.ID)
	if err != nil {
		return err
	}
	if len(orders) != 1 || orders[0].PlacedAt.Before(c.RegisteredAt) {
		return fmt.Errorf("the history of %s is %+v", name, orders)
	}
	return nil
}

// rush makes all clerks serve their customers concurrently. It calls meanwhile after half of
// them are served. When one clerk fails, all stop.
func (d *day) rush(ctx context.Context, s *shop, meanwhile func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for clerk := range clerks {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(clerk))) // the same orders in every run
			for round := range rounds {
				name := fmt.Sprintf("customer-%d-%d", clerk+1, round+1)
				if err := d.serve(ctx, s, name, basket(random)); err != nil {
					cancel(fmt.Errorf("serve %s: %w", name, err))
					return
				}
			}
		})
	}
	select {
	case <-d.halfway:
		meanwhile()
	case <-ctx.Done():
	}
	wg.Wait()
	return context.Cause(ctx)
}

// basket returns one to four lines of different products.
func basket(random *rand.Rand) []line {
	lines := make([]line, 1+random.IntN(4))
	for i, product := range random.Perm(products)[:len(lines)] {
		lines[i] = line{Product: int64(product + 1), Quantity: int64(1 + random.IntN(5))}
	}
	return lines
}
