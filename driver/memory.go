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

// DefaultMemoryLimit is the default limit, in bytes, of SQLite's memory for each
// connection. It is 256 MiB, or 32 MiB if Go's int has 32 bits. It is ncruces' own default.
const DefaultMemoryLimit int64 = (256<<20)*(bits.UintSize/64) + (32<<20)*(1-bits.UintSize/64)

const (
	// minMemory is what SQLite needs to open a database and work with it. As measured with
	// ncruces v0.37.0, opening a file and setting WAL mode takes 448 KiB. Below 320 KiB,
	// ncruces itself cannot start. Writing 3 MB in one transaction takes 2 to 4 MiB, and
	// sorting them takes 4 to 8 MiB.
	minMemory int64 = 1 << 20

	// maxMemory is the limit of WebAssembly's 32-bit addresses.
	maxMemory int64 = 4 << 30
)

// checkMemory refuses a limit outside the possible range.
func checkMemory(limit int64) error {
	if limit != 0 && (limit < minMemory || limit > maxMemory) {
		return fmt.Errorf("the memory limit is %d bytes: use 0 for the engine's default, or a number from %d to %d", limit, minMemory, maxMemory)
	}
	return nil
}

// limited returns ctx with the memory limit of the DSN or the Config. If neither has one,
// ctx's own limit applies, as on the plain driver.
func (c *Connector) limited(ctx context.Context) context.Context {
	limit := cmp.Or(c.dsn.memoryLimit, c.config.MemoryLimit)
	if limit == 0 {
		return ctx
	}
	return sqlite3.WithMaxMemory(ctx, limit)
}

// A memoryError says that there was not enough memory to open a connection.
type memoryError struct{ err error }

func (e *memoryError) Error() string { return e.err.Error() }

// Unwrap returns [sqlite3.NOMEM] and the engine's panic value.
func (e *memoryError) Unwrap() []error { return []error{sqlite3.NOMEM, e.err} }

// isOutOfMemory reports whether the engine panicked with v because it, or the operating
// system, has no memory left.
func isOutOfMemory(v any) bool {
	err, ok := v.(error)
	return ok && (err == outOfMemory || errors.Is(err, syscall.ENOMEM) || isOutOfMemoryOS(err))
}

// outOfMemory is that panic value of ncruces, which does not export it. Asking for an
// impossible limit panics with it too.
var outOfMemory = func() (err error) {
	defer func() { err, _ = recover().(error) }()
	sqlite3.WithMaxMemory(context.Background(), -1)
	return nil
}()
