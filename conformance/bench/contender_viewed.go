package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	livepage "github.com/sqlitemw/sqlitemw/pool/page"
)

// viewed is "sqlitemw-pool" with a viewer of its page.
const viewed = "sqlitemw-pool-viewed"

// viewEvery is how often the viewer reads the page: four times as often as a browser, because a
// trial may last less than a second.
const viewEvery = 250 * time.Millisecond

// openViewed opens the pool, and reads what a browser reads of its page until it is closed.
func openViewed(ctx context.Context, file string, o Options) (Database, error) {
	db, err := openPool(ctx, file, o)
	if err != nil {
		return nil, err
	}
	v := &viewedDatabase{poolDatabase: db.(*poolDatabase), stop: make(chan struct{}), ended: make(chan error, 1)}
	h, err := livepage.New(livepage.Config{Pools: livepage.List(v.pool), Allow: livepage.Guarded})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go func() { v.ended <- view(h, v.stop) }()
	return v, nil
}

type viewedDatabase struct {
	*poolDatabase
	stop  chan struct{}
	ended chan error
}

func (v *viewedDatabase) Close() error {
	close(v.stop)
	return errors.Join(<-v.ended, v.poolDatabase.Close())
}

// view reads the page until stop is closed.
func view(h http.Handler, stop <-chan struct{}) error {
	tick := time.NewTicker(viewEvery)
	defer tick.Stop()
	for {
		for _, file := range []string{"state.json", "pool.json", "events.json", "statements.json"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+file, nil))
			if w.Code != http.StatusOK {
				return fmt.Errorf("the page answers %d for %s", w.Code, file)
			}
		}
		select {
		case <-stop:
			return nil
		case <-tick.C:
		}
	}
}
