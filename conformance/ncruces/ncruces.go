// Package ncruces is the engine of package conformance for wrappers of
// github.com/ncruces/go-sqlite3/driver.
package ncruces

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// Engine returns the plain driver as an engine. All calls return the same one.
var Engine = sync.OnceValue(func() *conformance.Engine {
	// SQLite calls this for every connection of the process, however it is opened.
	sqlite3.AutoExtension(hooked.install)
	return &conformance.Engine{
		Name:     "plain",
		Open:     func(dsn string) (*sql.DB, error) { return sql.Open("sqlite3", dsn) },
		DSN:      dsn,
		Hook:     hooked.hook,
		Classify: classify,
		Cases:    cases(),
	}
})

func dsn(path string, s conformance.Settings) string {
	params := append([]string(nil), s.Params...)
	for _, p := range s.Pragmas {
		params = append(params, "_pragma="+url.QueryEscape(p))
	}
	if s.TxLock != "" {
		params = append(params, "_txlock="+s.TxLock)
	}
	dsn := "file:" + filepath.ToSlash(path)
	if len(params) > 0 {
		dsn += "?" + strings.Join(params, "&")
	}
	return dsn
}

// classify returns the codes of an error, and the types for which errors.As finds it.
func classify(err error) string {
	var code sqlite3.ErrorCode
	var extended sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) && !errors.As(err, &extended) {
		return ""
	}
	errors.As(err, &extended)
	text := fmt.Sprintf("code %d, extended %d, is code %t, is extended %t", code, extended, errors.Is(err, code), errors.Is(err, extended))
	var full *sqlite3.Error
	if errors.As(err, &full) {
		text += fmt.Sprintf(", SQL %q, timeout %t, temporary %t", full.SQL(), full.Timeout(), full.Temporary())
	}
	return text
}

// hooks are the suite's hooks, by the absolute path of the database.
type hooks struct {
	mu     sync.Mutex
	byPath map[string]conformance.Hooks
}

var hooked = hooks{byPath: make(map[string]conformance.Hooks)}

func (h *hooks) hook(path string, hooks conformance.Hooks) (unhook func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byPath[path] = hooks
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.byPath, path)
	}
}

// install sets the suite's hooks for its database on a new connection.
func (h *hooks) install(c *sqlite3.Conn) error {
	h.mu.Lock()
	hooks, ok := h.byPath[c.Filename("main").String()]
	h.mu.Unlock()
	if !ok {
		return nil
	}
	for name, f := range hooks.Functions {
		err := c.CreateFunction(name, 0, 0, func(ctx sqlite3.Context, _ ...sqlite3.Value) {
			result(ctx, f(ctx.Conn().GetInterrupt()))
		})
		if err != nil {
			return err
		}
	}
	c.UpdateHook(func(op sqlite3.AuthorizerActionCode, schema, table string, rowid int64) {
		did := map[sqlite3.AuthorizerActionCode]string{
			sqlite3.AUTH_INSERT: "inserted", sqlite3.AUTH_UPDATE: "updated", sqlite3.AUTH_DELETE: "deleted",
		}[op]
		hooks.Did(c, fmt.Sprintf("%s row %d of %s.%s", did, rowid, schema, table))
	})
	c.CommitHook(func() bool { hooks.Did(c, "committed"); return true })
	c.RollbackHook(func() { hooks.Did(c, "rolled back") })
	hooks.Opened(c)
	return c.Trace(sqlite3.TRACE_STMT|sqlite3.TRACE_CLOSE, func(evt sqlite3.TraceEvent, arg1, arg2 any) error {
		switch evt {
		case sqlite3.TRACE_STMT:
			// The Go side does not know the statements of sqlite3_exec.
			if stmt, ok := arg1.(*sqlite3.Stmt); ok {
				hooks.Asked(c, stmt.ExpandedSQL())
			}
		case sqlite3.TRACE_CLOSE:
			hooks.Closed(c)
		}
		return nil
	})
}

func result(ctx sqlite3.Context, v any) {
	switch v := v.(type) {
	case nil:
		ctx.ResultNull()
	case int:
		ctx.ResultInt(v)
	case string:
		ctx.ResultText(v)
	case error:
		ctx.ResultError(v)
	default:
		panic(fmt.Sprintf("conformance: a function returns a %T", v))
	}
}
