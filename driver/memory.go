package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// DefaultMemoryLimit is how much memory SQLite may take for a connection unless it
// is told otherwise: 256 MiB, or 32 MiB where Go's int has 32 bits. It is ncruces'
// own default.
const DefaultMemoryLimit int64 = (256<<20)*(bits.UintSize/64) + (32<<20)*(1-bits.UintSize/64)

const (
	// leastMemory is what SQLite needs to open a database and work with it at all. As
	// measured with ncruces v0.37.0, opening a file and setting WAL mode takes 448
	// KiB, and below 320 KiB ncruces itself cannot begin; writing 3 MB at once takes
	// between 2 and 4 MiB, and sorting them between 4 and 8.
	minMemory int64 = 1 << 20

	// mostMemory is what WebAssembly's 32-bit addresses can tell apart.
	maxMemory int64 = 4 << 30
)

// checkMemory refuses a limit that no connection could have.
func checkMemory(limit int64) error {
	if limit != 0 && (limit < minMemory || limit > maxMemory) {
		return fmt.Errorf("the memory limit is %d bytes: use 0 for the engine's default, or a number from %d to %d", limit, minMemory, maxMemory)
	}
	return nil
}

// limited returns ctx with the memory limit of the connections, if there is one:
// else what ctx says itself holds, as on the plain driver.
func (c *Connector) limited(ctx context.Context) context.Context {
	limit := cmp.Or(c.dsn.memoryLimit, c.config.MemoryLimit)
	if limit == 0 {
		return ctx
	}
	return sqlite3.WithMaxMemory(ctx, limit)
}

// A memoryError says that there was no memory to open a connection with.
type memoryError struct{ err error }

func (e *memoryError) Error() string { return e.err.Error() }

// Unwrap returns [sqlite3.NOMEM], and what the engine has panicked with.
func (e *memoryError) Unwrap() []error { return []error{sqlite3.NOMEM, e.err} }

// isOutOfMemory reports whether the engine has panicked with v because it, or the
// operating system, has no memory left.
func isOutOfMemory(v any) bool {
	err, ok := v.(error)
	return ok && (err == outOfMemory || errors.Is(err, syscall.ENOMEM) || isOutOfMemoryOS(err))
}

// outOfMemory is what ncruces panics with. It has no name outside of ncruces, but
// asking for an impossible limit panics with it, too.
var outOfMemory = func() (err error) {
	defer func() { err, _ = recover().(error) }()
	sqlite3.WithMaxMemory(context.Background(), -1)
	return nil
}()
