package wrap

import (
	"errors"
	"time"
)

// Close implements [driver.Conn]. It may be called while database/sql holds
// its mutex: nothing here calls a *sql.DB or waits for anything but the engine.
//
// After a panic, its error is [ErrPanicked], with whatever closing the engine's
// connection has failed with. A panic while it closes passes once that is closed
// for good, but on database/sql's own goroutines it is an error.
func (c *Conn) Close() (err error) {
	if c.state == closed {
		if c.broken {
			return ErrPanicked
		}
		return c.adapter.Close()
	}
	var e Event
	through, told := false, false
	defer func() {
		if through {
			return
		}
		c.broken = true
		if c.state != closed { // a Recorder has panicked
			shield(func() { c.move(closed, nil) })
		}
		_ = c.closeEngine()
		if e.Err = "panic"; e.Kind != 0 && !told {
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
		// Nobody asked whether it was valid: it is not.
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
		if reason == ReasonSurplus && c.state == pending && !c.asked && c.uses == 0 && calledBy("(*DB).putConn") {
			reason = ReasonBad // spoilt in its first use, which was no call: Raw
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
	e.Err = c.opener.errorText(err)
	told = true
	c.opener.record(&e)
	through = true
	switch {
	case !c.broken:
		return err
	case err == nil:
		return ErrPanicked
	}
	return errors.Join(ErrPanicked, err)
}

// closeReason tells from database/sql's own functions among the callers why an
// idle connection is closed.
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
