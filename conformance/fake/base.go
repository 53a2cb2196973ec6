// Package fake is a scripted [database/sql/driver]: its connections, statements
// and rows have exactly the optional interfaces that one wants of them, it fails
// where one wants it to, and it writes down all that it is asked.
//
//	base := &fake.Base{Conn: fake.ConnOf("none"), Stmt: fake.StmtOf("none"), Rows: fake.RowsOf("all"), Sets: 2}
//	db := sql.OpenDB(mine.NewConnector(base))
//	base.On(fake.Once(fake.Fail(driver.ErrBadConn)), "Prepare")
//	...
//	base.Asked() // "base Connect() ctx=...", "c1 Prepare(q)", ...
//
// What is wrong with a wrapper shows when the same program is run on the bare
// base and on the wrapped one: package conformance does that with all kinds.
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

// A Base is a scripted driver, and a [driver.Connector] of it. Its fields are
// to be set before it is used; its methods may be used by several goroutines.
//
// A query has as many parameters as it has question marks, or any number if it
// has an asterisk. Every query answers the same rows: two in each result set.
type Base struct {
	Conn ConnKind
	Stmt StmtKind
	Rows RowsKind
	Sets int // result sets of a query, for rows that can have several; 0 means 1

	// AsksForSets has questions whether there is another result set written
	// down, too.
	AsksForSets bool

	// Derived has a context that is made from another called as that one is.
	Derived bool

	mu    sync.Mutex
	conns int
	log   []Entry
	hooks map[string]Hook
	hit   bool
	made  []*object
}

// An Entry is one line of what happened.
type Entry struct {
	By   By
	Text string
}

func (e Entry) String() string { return fmt.Sprintf("%-7v  %s", e.By, e.Text) }

// By is whose line an [Entry] is.
type By byte

const (
	Driver  By = iota // what the base was asked
	Program           // what the program saw
	Pool              // how the pool of connections stands
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

// Asked returns what the base was asked so far, as "c1 ExecContext(q) ctx=…":
// who, what, with which arguments, and in which context. Who is "base", a
// connection by its number, "c1", or what that has made: "c1.stmt", "c1.rows".
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

// A Hook is called in an operation of its name, with how often it was called
// before. Its error is the operation's; for IsValid, any error means false.
// ctx is the background's for operations that have none.
type Hook func(ctx context.Context, n int) error

// ErrFault is an error for hooks to fail with.
var ErrFault = errors.New("fake: fault")

// Fail returns a hook that always answers err.
func Fail(err error) Hook { return func(context.Context, int) error { return err } }

// Panic returns a hook that always panics.
func Panic(v any) Hook { return func(context.Context, int) error { panic(v) } }

// Take returns a hook that takes d, and goes well.
func Take(d time.Duration) Hook {
	return func(context.Context, int) error { time.Sleep(d); return nil }
}

// Once returns a hook that does what h does when it is called for the first
// time, and goes well after that.
func Once(h Hook) Hook {
	return func(ctx context.Context, n int) error {
		if n > 0 {
			return nil
		}
		return h(ctx, n)
	}
}

// On installs h for each of ops, with one count for all. An operation is named
// by its method; those of statements and rows as "stmt.Close" and "rows.Next".
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

// Call writes down that who was asked op, and runs the hook of op. ctx is nil for
// operations that have none. It is for what a test adds to the base.
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

// A named context is one that is told by its identity.
type named struct {
	context.Context
	name string
}

type nameKey struct{}

// NewContext returns a context that is called name in logs. What is made from it
// is told apart, unless [Base.Derived] is set.
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

// An object is something that is to be closed once.
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

// Left returns what was not closed, or more than once: "connection never
// closed", "statement closed 2 times". Each that was asked to close counts,
// whether it did so well or not.
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

// Driver returns a driver without connectors, whose Open opens a connection of
// the base.
func (b *Base) Driver() driver.Driver { return opener{b} }

type opener struct{ b *Base }

func (o opener) Open(name string) (driver.Conn, error) {
	if err := o.b.Call("base", "Open", nil, "%s", name); err != nil {
		return nil, err
	}
	return o.b.Connect(context.Background())
}

// A Closer is a Base that can be closed, as some connectors can.
type Closer struct{ *Base }

// Close implements [io.Closer].
func (c Closer) Close() error { return c.Call("base", "Close", nil, "") }
