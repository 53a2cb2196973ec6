package pool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
)

// PrimaryName is the name of a [Manager]'s primary pool.
const PrimaryName = "primary"

// A Manager keeps the pools of a program by name: a primary one and others. The zero Manager is
// empty and ready to use. It must not be copied. All methods are safe for concurrent use.
//
// A pool that its owner shuts down stays in the Manager. Its checks return [ErrClosed], and
// another pool may take its name. The same holds for a pool whose file is lost
// ([driver.ErrFileLost]): opening another pool under its name shuts it down.
type Manager struct {
	mu       sync.Mutex // guards the fields below, and each managed.pool
	pools    map[string]*managed
	closed   bool
	ended    chan struct{} // closed when Close has finished
	closeErr error         // result of Close; set before ended is closed
}

// managed is a name that is taken, by a pool or by one that is being opened.
type managed struct {
	pool   *Pool              // nil while it is being opened, or if that has failed
	cancel context.CancelFunc // cancels the opening
	opened chan struct{}      // closed when the opening has ended
	err    error              // why it has failed, for other callers; set before opened is closed
}

var defaultManager Manager

// Default returns the Manager of the process. Once it has been closed, it stays closed.
func Default() *Manager { return &defaultManager }

// OpenPrimary opens the primary pool, with the name [PrimaryName], as [Manager.Add] does
// others. A second one is refused with [ErrExists] before anything is opened. Of two concurrent
// calls, one succeeds.
func (m *Manager) OpenPrimary(ctx context.Context, cfg Config) (*Pool, error) {
	return m.add(ctx, PrimaryName, cfg)
}

// Open returns the pool of this name. If it is not open, Open opens it with [Open] and keeps it
// as [Manager.Add] does. If another call is opening it, Open waits for that call, as long as ctx
// allows. So of many concurrent calls, one opens the pool, and all return it.
//
// cfg is used only to open the pool. A pool that is open is returned as it is, even if its
// configuration is another one. A pool that its owner has closed, or whose file is lost, is
// replaced by a new one.
//
// If the opening fails, all calls that have waited for it return its error, and the next call
// tries again. If it fails because the context of the call that opens has ended, or because a
// hook panics there, one of the other calls opens the pool instead. Open fails with
// [ErrInvalidConfig] if the name is empty or [PrimaryName], with [ErrClosed] if the Manager is
// closed, and with the context's error.
func (m *Manager) Open(ctx context.Context, name string, cfg Config) (*Pool, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	for {
		p, taken, err := m.open(ctx, name, cfg)
		if taken == nil {
			return p, err
		}
		if p := m.poolOf(taken); p != nil {
			return p, nil
		}
		select {
		case <-taken.opened:
		case <-ctx.Done():
			return nil, fmt.Errorf("pool: open %q: another call has not opened it yet: %w", name, ctx.Err())
		}
		if taken.err != nil {
			return nil, taken.err
		}
	}
}

// Add opens a pool with [Open] and keeps it under this name. The name is also the default of
// its Config.Name. Close closes the pool, unless its owner has done so before.
//
// Add fails before it opens anything: with [ErrExists] if the name is taken, also by a pool
// that is being opened; with [ErrInvalidConfig] if the name is empty or [PrimaryName]; with
// [ErrClosed] if the Manager is closed. If the Manager is closed meanwhile, Add closes the pool
// again and returns ErrClosed. All other errors are those of Open; the name is then free again.
func (m *Manager) Add(ctx context.Context, name string, cfg Config) (*Pool, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return m.add(ctx, name, cfg)
}

// checkName returns an error if name is not one for Open and Add.
func checkName(name string) error {
	switch name {
	case "":
		return fmt.Errorf("%w: the pool's name is empty: give it a name", ErrInvalidConfig)
	case PrimaryName:
		return fmt.Errorf("%w: the name %q is the primary pool's: use OpenPrimary, or another name", ErrInvalidConfig, name)
	}
	return nil
}

func (m *Manager) add(ctx context.Context, name string, cfg Config) (*Pool, error) {
	p, taken, err := m.open(ctx, name, cfg)
	if taken != nil {
		return nil, fmt.Errorf("%w: %q: use that one, or Remove it first", ErrExists, name)
	}
	return p, err
}

// open opens a pool, unless the name is taken.
func (m *Manager) open(caller context.Context, name string, cfg Config) (_ *Pool, taken *managed, _ error) {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	e := &managed{cancel: cancel, opened: make(chan struct{})}
	old, taken, err := m.reserve(name, e)
	if err != nil || taken != nil {
		return nil, taken, err
	}
	defer close(e.opened)
	defer m.free(name, e) // also if a hook panics
	if old != nil {
		if err := old.Shutdown(ctx); err != nil {
			old.logger.Error("pool: a pool whose file is lost was shut down with an error; another is opened in its place", "error", old.logErr(err))
		}
	}
	p, err := openAs(ctx, name, cfg)
	switch {
	case err == nil && m.keep(e, p):
		return p, nil, nil
	case err == nil:
		err = p.Close()
	case !m.isClosed():
		if caller.Err() == nil { // otherwise the error is only this caller's
			e.err = err
		}
		return nil, nil, err
	}
	return nil, nil, errors.Join(managerClosed(name), err)
}

// openAs is [Open] with another default for Config.Name.
func openAs(ctx context.Context, name string, cfg Config) (*Pool, error) {
	plan, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	if !plan.named {
		plan.managed = true
		plan = plan.withName(name)
	}
	return plan.open(ctx)
}

// reserve reserves a name, so that a concurrent call opens nothing, unless it is taken. It returns
// the previous pool of that name if that must still be shut down.
func (m *Manager) reserve(name string, e *managed) (old *Pool, taken *managed, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil, managerClosed(name)
	}
	if taken := m.pools[name]; taken != nil {
		if old = taken.pool; old == nil || !old.Closed() && !old.isFileLost() {
			return nil, taken, nil
		}
	}
	if m.pools == nil {
		m.pools = make(map[string]*managed)
	}
	m.pools[name] = e
	return old, nil, nil
}

// poolOf returns the pool of a name that is taken, or nil if it is being opened.
func (m *Manager) poolOf(e *managed) *Pool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.pool
}

// keep sets the pool of a reserved name. It returns false if the Manager has been closed.
func (m *Manager) keep(e *managed, p *Pool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	e.pool = p
	return true
}

// free frees a reserved name that has no pool.
func (m *Manager) free(name string, e *managed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.pool == nil && m.pools[name] == e {
		delete(m.pools, name)
	}
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func managerClosed(name string) error {
	return fmt.Errorf("%w: the manager is closed, and has no pool %q", ErrClosed, name)
}

// Primary returns the primary pool, if there is one.
func (m *Manager) Primary() (*Pool, bool) { return m.Get(PrimaryName) }

// Get returns the pool of this name, if there is one. It does not return a pool that is being
// opened, but does return one that its owner has shut down.
func (m *Manager) Get(name string) (*Pool, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.pools[name]; e != nil && e.pool != nil {
		return e.pool, true
	}
	return nil, false
}

// Names returns the sorted names of all pools.
func (m *Manager) Names() []string { return slices.Sorted(maps.Keys(m.all())) }

// Views returns the pools for a status page, in the order of their names in the Manager.
func (m *Manager) Views() []core.View {
	pools := m.all()
	views := make([]core.View, 0, len(pools))
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		views = append(views, pools[name])
	}
	return views
}

// all returns all pools by name.
func (m *Manager) all() map[string]*Pool {
	m.mu.Lock()
	defer m.mu.Unlock()
	pools := make(map[string]*Pool, len(m.pools))
	for name, e := range m.pools {
		if e.pool != nil {
			pools[name] = e.pool
		}
	}
	return pools
}

// Remove frees the name and shuts down its pool; see [Pool.Shutdown], whose error it returns.
// It fails with [ErrNoPool] if there is no such pool, and with [ErrClosed] if the Manager is
// closed.
func (m *Manager) Remove(ctx context.Context, name string) error {
	m.mu.Lock()
	e, closed := m.pools[name], m.closed
	if e != nil && e.pool != nil {
		delete(m.pools, name)
	}
	m.mu.Unlock()
	switch {
	case closed:
		return managerClosed(name)
	case e == nil || e.pool == nil:
		return fmt.Errorf("%w: %q", ErrNoPool, name)
	}
	return closeError(name, e.pool.Shutdown(ctx))
}

// HealthCheck calls [Pool.HealthCheck] of all pools concurrently. It returns the error of each;
// nil means healthy. The map contains the pools that existed when the check began, and is never
// nil.
func (m *Manager) HealthCheck(ctx context.Context) map[string]error {
	pools := m.all()
	results := make(map[string]error, len(pools))
	var mu sync.Mutex // guards results
	var checks sync.WaitGroup
	for name, p := range pools {
		checks.Go(func() {
			err := p.HealthCheck(ctx)
			mu.Lock()
			defer mu.Unlock()
			results[name] = err
		})
	}
	checks.Wait()
	return results
}

// Close calls [Pool.Shutdown] of all pools concurrently, with ctx, and cancels openings. From
// then on, the Manager is empty and accepts no pools.
//
// The error joins those of the pools, sorted by name, and each contains its pool's name. If the
// Manager is closed already, Close waits for the first Close, as long as ctx allows, and
// returns its result.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		select {
		case <-m.ended:
			return m.closeErr
		default:
		}
		select {
		case <-m.ended:
			return m.closeErr
		case <-ctx.Done():
			return fmt.Errorf("pool: close the manager: %w", context.Cause(ctx))
		}
	}
	m.closed = true
	m.ended = make(chan struct{})
	pools := m.pools
	m.pools = nil
	m.mu.Unlock()

	names := slices.Sorted(maps.Keys(pools))
	errs := make([]error, len(names))
	var closes sync.WaitGroup
	for i, name := range names {
		closes.Go(func() {
			defer func() { // a hook has panicked; the pool has reported it
				if v := recover(); v != nil {
					errs[i] = closeError(name, wrap.NewPanicError(v))
				}
			}()
			errs[i] = closeError(name, pools[name].close(ctx))
		})
	}
	closes.Wait()
	m.closeErr = errors.Join(errs...)
	close(m.ended)
	return m.closeErr
}

// close shuts the pool down, or cancels its opening and waits for that.
func (e *managed) close(ctx context.Context) error {
	if e.pool != nil {
		return e.pool.Shutdown(ctx)
	}
	e.cancel()
	select {
	case <-e.opened:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("it is still being opened: %w", context.Cause(ctx))
	}
}

func closeError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pool: close %q: %w", name, err)
}
