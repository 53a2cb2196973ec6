package core

import "errors"

var (
	// ErrInvalidConfig is wrapped by every error about a configuration.
	ErrInvalidConfig = errors.New("pool: invalid configuration")

	// ErrHealthCheck is wrapped by every error about a pool's health.
	ErrHealthCheck = errors.New("pool: health check failed")

	// ErrClosed is returned by a closed pool, and by connections that Shutdown has taken away.
	ErrClosed = errors.New("pool: closed")

	// ErrQueueFull is the reason of an [AcquireError] if Config.MaxWaiters calls were waiting.
	ErrQueueFull = errors.New("pool: the queue is full")

	// ErrAcquireTimeout is the reason of an [AcquireError] after a wait of Config.AcquireTimeout.
	ErrAcquireTimeout = errors.New("pool: acquire timed out")

	// ErrDeadlock is the reason of an [AcquireError] if the caller waits for itself, or callers
	// wait for each other, and only the failure of a wait can end that; see [WithOwner].
	ErrDeadlock = errors.New("pool: deadlock")

	// ErrNotObservable is returned by [Observe] for a database of another driver.
	ErrNotObservable = errors.New("pool: cannot observe this database")
)
