// Package fake is a scripted [database/sql/driver]. Its connections, statements and rows have
// exactly the optional interfaces that the test chooses. It fails where the test wants it to
// fail, and it records all calls.
//
//	base := &fake.Base{
//		Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("all"), Sets: 2,
//	}
//	db := sql.OpenDB(mine.NewConnector(base))
//	base.On(fake.Once(fake.Fail(driver.ErrBadConn)), "Prepare")
//	...
//	base.Asked() // "base Connect() ctx=...", "c1 Prepare(q)", ...
//
// The faults of a wrapper show when the same program runs on the bare base and on the wrapped
// one. Package conformance does that with all kinds.
package fake

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Base is a scripted driver, and its [driver.Connector]. Set its fields before its first use.
// Its methods are safe for concurrent use.
//
// A query has as many parameters as it has question marks, or any number if it contains an
// asterisk. Every query returns the same rows: two in each result set.
type Base struct {
	Conn ConnKind
	Stmt StmtKind
	Rows RowsKind
	Sets int // number of result sets of a query, for rows that support several; 0 means 1

	// AsksForSets says that calls of HasNextResultSet are recorded, too.
	AsksForSets bool

	// Derived says that a context is recorded under the name of the context that it is
	// derived from.
	Derived bool

	mu    sync.Mutex
	conns int
	log   []Entry
	hooks map[string]Hook
	hit   bool
	made  []*object
}

// An Entry is one line of the log.
type Entry struct {
	By   By
	Text string
}

func (e Entry) String() string { return fmt.Sprintf("%-7v  %s", e.By, e.Text) }

// By is the source of an [Entry].
type By byte

const (
	Driver  By = iota // a call of the base
	Program           // an observation of the program
	Pool              // the state of the pool of connections
)

func (b By) String() string { return [...]string{"driver", "program", "pool"}[b] }

// Write adds a line to the log.
func (b *Base) Write(by By, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, Entry{by, fmt.Sprintf(format, args...)})
}

// Log returns all lines so far.
func (b *Base) Log() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// Asked returns the calls of the base so far, as "c1 ExecContext(q) ctx=…": the receiver, the
// method, the arguments and the context. The receiver is "base", a connection by its number,
// "c1", or an object of it: "c1.stmt", "c1.rows".
func (b *Base) Asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	for _, e := range b.log {
		if e.By == Driver {
			texts = append(texts, e.Text)
		}
	}
	return texts
}

// A Hook is called in an operation of its name, with the number n of earlier calls. Its error
// becomes the operation's error; for IsValid, any error means false. For operations without a
// context, ctx is the background context.
type Hook func(ctx context.Context, n int) error

// ErrFault is an error for hooks to fail with.
var ErrFault = errors.New("fake: fault")

// Fail returns a hook that always returns err.
func Fail(err error) Hook { return func(context.Context, int) error { return err } }

// Panic returns a hook that always panics.
func Panic(v any) Hook { return func(context.Context, int) error { panic(v) } }

// Take returns a hook that takes the time d, and succeeds.
func Take(d time.Duration) Hook {
	return func(context.Context, int) error { time.Sleep(d); return nil }
}

// Once returns a hook that calls h the first time, and succeeds after that.
func Once(h Hook) Hook {
	return func(ctx context.Context, n int) error {
		if n > 0 {
			return nil
		}
		return h(ctx, n)
	}
}

// On installs h for each of ops, with one count for all of them. An operation has the name of
// its method. Those of statements and rows have a prefix: "stmt.Close", "rows.Next".
func (b *Base) On(h Hook, ops ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n atomic.Int64
	counted := func(ctx context.Context, _ int) error { return h(ctx, int(n.Add(1))-1) }
	if b.hooks == nil {
		b.hooks = make(map[string]Hook)
	}
	for _, op := range ops {
		b.hooks[op] = counted
	}
}

// Off removes all hooks.
func (b *Base) Off() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = nil
}

// Hit reports whether any hook was ever called.
func (b *Base) Hit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hit
}

// Call records a call of op on who, and runs the hook of op. ctx is nil for operations without
// a context. Tests use Call for objects that they add to the base.
func (b *Base) Call(who, op string, ctx context.Context, format string, args ...any) error {
	name := op
	if kind := who[strings.IndexByte(who, '.')+1:]; kind != who {
		name = kind + "." + op
	}
	b.mu.Lock()
	text := who + " " + op + "(" + fmt.Sprintf(format, args...) + ")"
	if ctx != nil {
		text += " ctx=" + b.nameOf(ctx)
	}
	b.log = append(b.log, Entry{Driver, text})
	h := b.hooks[name]
	b.hit = b.hit || h != nil
	b.mu.Unlock()
	if h == nil {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return h(ctx, 0)
}

// A named context is identified in logs by its name.
type named struct {
	context.Context
	name string
}

type nameKey struct{}

// NewContext returns a context that logs show as name. Contexts derived from it are shown as
// different, unless [Base.Derived] is set.
func NewContext(parent context.Context, name string) context.Context {
	return &named{parent, name}
}

func (c *named) Value(key any) any {
	if key == (nameKey{}) {
		return c.name
	}
	return c.Context.Value(key)
}

func (b *Base) nameOf(ctx context.Context) string {
	if c, ok := ctx.(*named); ok {
		return c.name
	}
	if ctx == context.Background() {
		return "background"
	}
	if !b.Derived {
		return fmt.Sprintf("another: %v", ctx)
	}
	if name, ok := ctx.Value(nameKey{}).(string); ok {
		return name
	}
	return "background"
}

// An object is something that must be closed once.
type object struct {
	base   *Base
	what   string
	closed int
}

func (b *Base) newObject(what string) *object {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &object{base: b, what: what}
	b.made = append(b.made, o)
	return o
}

func (o *object) close() {
	o.base.mu.Lock()
	defer o.base.mu.Unlock()
	o.closed++
}

// Left returns which objects were never closed, or more than once: "connection never closed",
// "statement closed 2 times". Each call of Close counts, also if it failed.
func (b *Base) Left() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []string
	for _, o := range b.made {
		switch {
		case o.closed == 0:
			left = append(left, o.what+" never closed")
		case o.closed > 1:
			left = append(left, fmt.Sprintf("%s closed %d times", o.what, o.closed))
		}
	}
	slices.Sort(left)
	return left
}

// Connect opens a connection.
func (b *Base) Connect(ctx context.Context) (driver.Conn, error) {
	if err := b.Call("base", "Connect", ctx, ""); err != nil {
		return nil, err
	}
	opened := b.newObject("connection")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns++
	return b.Conn.make(&conn{b, fmt.Sprintf("c%d", b.conns), opened}), nil
}

// Driver returns a driver without connectors. Its Open opens a connection of the base.
func (b *Base) Driver() driver.Driver { return opener{b} }

type opener struct{ b *Base }

func (o opener) Open(name string) (driver.Conn, error) {
	if err := o.b.Call("base", "Open", nil, "%s", name); err != nil {
		return nil, err
	}
	return o.b.Connect(context.Background())
}

// A Closer is a Base with a Close method, as some connectors have.
type Closer struct{ *Base }

// Close implements [io.Closer].
func (c Closer) Close() error { return c.Call("base", "Close", nil, "") }
