package pool

import (
	"context"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A keeper is a connection that keeps an in-memory database alive as long as the pool is open.
// No caller uses it. A nil keeper does nothing.
type keeper struct {
	mu   sync.Mutex      // held while conn is used
	conn driver.PoolConn // nil once closed
}

func newKeeper(ctx context.Context, c *driver.Connector) (*keeper, error) {
	conn, err := c.Dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &keeper{conn: conn}, nil
}

func (k *keeper) use(f func(driver.PoolConn) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return ErrClosed
	}
	return f(k.conn)
}

func (k *keeper) close() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == nil {
		return nil
	}
	conn := k.conn
	k.conn = nil
	return conn.Lease().CloseFor(wrap.ReasonPoolClosed)
}
