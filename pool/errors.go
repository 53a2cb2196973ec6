package pool

import "errors"

var (
	// ErrInvalidConfig is what every error about a configuration is.
	ErrInvalidConfig = errors.New("pool: invalid configuration")

	// ErrNotObservable is returned by [Observe] for a database that is not
	// driver's.
	ErrNotObservable = errors.New("pool: cannot observe this database")
)
