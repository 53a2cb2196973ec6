package wrap

import (
	"context"
	"errors"
	"time"
)

// Close implements [driver.Conn]. database/sql may hold its mutex when it calls Close. So
// Close calls no method of a *sql.DB, and waits for nothing but the engine.
//
// After a panic, Close returns [ErrPanicked], joined with the engine's error if its
// connection failed to close. If a panic happens during Close, the engine's connection is
// closed before the panic goes on. On database/sql's own goroutines, the panic becomes an
// error.
func (c *Conn) Close() (err error) {
	if c.state == closed {
		if c.broken {
			return ErrPanicked
		}
		return c.adapter.Close()
	}
	var e Event
	finished, recorded := false, false
	defer func() {
		if finished {
			return
		}
		c.broken = true
		if c.state != closed { // a Recorder has panicked
			shield(func() { c.move(closed, nil) })
		}
		_ = c.closeEngine()
		if e.Err = "panic"; e.Kind != 0 && !recorded {
			shield(func() { c.opener.record(&e) })
		}
		if OnOwnGoroutine() {
			if v := recover(); v != nil {
				err = NewPanicError(v)
			}
		}
	}()
	start := time.Now()
	reason, derived := c.unfit, false
	if c.state == inUse {
		// database/sql did not call IsValid: the connection is bad.
		if c.unfit == "" {
			if c.unfit = closeReason(); c.unfit != ReasonOther {
				c.unfit = ReasonBad
			}
			c.broken = InPanicOfRaw()
		}
		reason = c.unfit
		c.leaveUse(KindDiscard, start)
	} else if reason == "" {
		reason, derived = closeReason(), true
		if reason == ReasonSurplus && c.state == pending && !c.validated && c.uses == 0 && calledBy("(*DB).putConn") {
			reason = ReasonBad // its first use was Raw, which is not a call, and failed
			c.broken = InPanicOfRaw()
		}
	}

	e = Event{
		Time:    start,
		Kind:    KindClose,
		Conn:    c.id,
		Lane:    c.lane,
		Idle:    c.sinceState(start),
		Age:     start.Sub(c.opened),
		Uses:    c.uses,
		Reason:  reason,
		Derived: derived,

		Background: c.background,
	}
	c.move(closed, nil)
	span := c.spans.Close(string(reason))
	defer span.Panicked()
	if c.broken {
		err = c.closeEngine()
	} else {
		err = c.adapter.Close()
	}
	span.End(err)
	e.Time = time.Now()
	e.Duration = e.Time.Sub(start)
	e.Err = c.opener.errorText(context.Background(), err)
	recorded = true
	c.opener.record(&e)
	finished = true
	switch {
	case !c.broken:
		return err
	case err == nil:
		return ErrPanicked
	}
	return errors.Join(ErrPanicked, err)
}

// closeReason returns why an idle connection is closed. It finds that out from database/sql's
// functions on the stack.
func closeReason() Reason {
	switch caller(
		"(*DB).connectionCleaner",
		"(*DB).conn",
		"(*DB).SetMaxIdleConns",
		"(*DB).SetMaxOpenConns",
		"(*DB).Close",
		"(*DB).putConn",
		"(*DB).openNewConnection",
	) {
	case "(*DB).connectionCleaner", "(*DB).conn":
		return ReasonExpired
	case "(*DB).SetMaxIdleConns", "(*DB).SetMaxOpenConns":
		return ReasonShrunk
	case "(*DB).Close":
		return ReasonDatabaseClosed
	case "(*DB).putConn", "(*DB).openNewConnection":
		return ReasonSurplus
	default:
		return ReasonOther
	}
}
