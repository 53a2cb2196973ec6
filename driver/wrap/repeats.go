package wrap

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// repeats knows the calls that database/sql is about to repeat, so that the spans of the further
// attempts can have their number.
//
// database/sql does not tell a driver that a call is a repetition. But it repeats a call on the
// same goroutine, with the same context and query, as soon as it has a connection. So repeats
// notes a call whose driver.ErrBadConn goes to (*sql.DB).retry, by its goroutine. The next call of
// that goroutine is the repetition if it is the same call and retry makes it, too. Otherwise it is
// forgotten, and so it is after a connect that fails and after the last try.
//
// A call of the program's own is taken for a repetition in one case: retry has ended without the
// driver's knowledge, and the program then makes the same call itself, with the same context, on
// the same goroutine. Retry ends so if it waits for a connection at its limit, and the connect that
// another goroutine makes for it fails; or if one of its tries found a connection whose lifetime
// had ended. The number is then the program's own count of attempts, for up to repeatWithin.
//
// A goroutine's number is only in its stack trace, which takes some microseconds to write. So
// nothing is noted unless spans are received, and a call looks for its goroutine only while any
// call is noted.
type repeats struct {
	count atomic.Int32 // length of noted
	mu    sync.Mutex   // guards noted
	noted map[uint64]attempt
}

// An attempt is a call that has failed with driver.ErrBadConn.
type attempt struct {
	call   call // of no kind if only connections were bad
	number int  // of the attempt, from 1
	tries  int  // of retry, which also counts connections that were bad when they were acquired
	at     time.Time
}

// A call is what database/sql repeats without a change.
type call struct {
	kind  callKind
	ctx   context.Context
	query string
}

type callKind uint8

const (
	prepareCall callKind = iota + 1
	execCall
	queryCall
	beginCall
)

const (
	// maxTries is how often database/sql makes a call: maxBadConnRetries times, and once more on a
	// new connection. https://go.dev/src/database/sql/sql.go
	maxTries = 3

	// maxNoted bounds the calls that are noted, and so the contexts that are kept. Further calls
	// have no number.
	maxNoted = 256

	// repeatWithin is how long a call is noted. To get a connection may take long.
	repeatWithin = time.Minute
)

// begins sets the number of a call that begins, among the attempts of the same call.
func (c *Conn) begins(kind callKind, ctx context.Context, query string) {
	c.spans.Attempt = 0
	if r := &c.opener.repeats; r.count.Load() != 0 {
		c.spans.Attempt = r.number(call{kind, callerOf(ctx), query})
	}
}

// ended notes a call that has failed, or forgets one. It returns err.
func (c *Conn) ended(kind callKind, ctx context.Context, query string, err error) error {
	if n := c.spans.Attempt; n != 0 || err != nil && c.spans.Enabled() {
		c.spans.Attempt = 0
		c.opener.repeats.end(call{kind, callerOf(ctx), query}, n, err)
	}
	return err
}

// number returns the number of a call that begins. It is 0 if the call is not known.
func (r *repeats) number(c call) int {
	g := goroutineID()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropOldLocked(time.Now())
	last, ok := r.noted[g]
	switch {
	case !ok:
		return 0
	case !calledBy("(*DB).retry") || last.call.kind != 0 && !last.call.is(c):
		r.forgetLocked(g)
		return 0
	}
	return last.number + 1
}

// end notes a call that has ended with err, if it will be repeated. number is its number.
func (r *repeats) end(c call, number int, err error) {
	again := errors.Is(err, driver.ErrBadConn) && calledBy("(*DB).retry")
	if !again && number == 0 {
		return
	}
	g := goroutineID()
	r.mu.Lock()
	defer r.mu.Unlock()
	tries := r.noted[g].tries + 1
	r.forgetLocked(g)
	if again && tries < maxTries {
		r.noteLocked(g, attempt{call: c, number: max(number, 1), tries: tries, at: time.Now()})
	}
}

// bad counts a try that ended before its call: its connection was bad, or could not be opened, or
// could not prepare the statement again. It reports whether database/sql tries again. After another
// error than driver.ErrBadConn it does not.
func (r *repeats) bad(err error) (again bool) {
	again = errors.Is(err, driver.ErrBadConn)
	if !again && r.count.Load() == 0 {
		return false
	}
	if again && !calledBy("(*DB).retry") {
		return true // the error goes to the retry of a goroutine that waits for the connection
	}
	g := goroutineID()
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.noted[g]
	r.forgetLocked(g)
	if last.tries++; !again || last.tries >= maxTries {
		return false
	}
	last.at = time.Now()
	r.noteLocked(g, last)
	return true
}

func (r *repeats) noteLocked(g uint64, a attempt) {
	r.dropOldLocked(a.at)
	if g == 0 || len(r.noted) >= maxNoted {
		return
	}
	if r.noted == nil {
		r.noted = make(map[uint64]attempt)
	}
	r.noted[g] = a
	r.count.Store(int32(len(r.noted)))
}

func (r *repeats) forgetLocked(g uint64) {
	delete(r.noted, g)
	r.count.Store(int32(len(r.noted)))
}

func (r *repeats) dropOldLocked(now time.Time) {
	for g, a := range r.noted {
		if now.Sub(a.at) > repeatWithin {
			delete(r.noted, g)
		}
	}
	r.count.Store(int32(len(r.noted)))
}

// callerOf returns the caller's own context. A pool passes another one for each attempt.
func callerOf(ctx context.Context) context.Context {
	if p, ok := ctx.(instrument.LeaseContext); ok {
		return p.Caller()
	}
	return ctx
}

// is reports whether database/sql would make d to repeat c.
func (c call) is(d call) bool {
	return c.kind == d.kind && c.query == d.query &&
		reflect.ValueOf(c.ctx).Comparable() && reflect.ValueOf(d.ctx).Comparable() && c.ctx == d.ctx
}

// goroutineID returns the number of this goroutine, or 0 if it is not known.
func goroutineID() uint64 {
	var buf [64]byte
	rest, ok := bytes.CutPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	id, err := strconv.ParseUint(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
