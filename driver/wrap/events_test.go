package wrap_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// A recorder keeps events. The zero recorder is ready to use.
type recorder struct {
	mu     sync.Mutex
	events []wrap.Event
}

func (r *recorder) Record(e wrap.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []wrap.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]wrap.Event(nil), r.events...)
}

// story returns the events as short lines such as "1 close surplus derived". Connections are
// numbered in the order in which they appear.
func (r *recorder) story() []string {
	numbers := make(map[wrap.ConnID]int)
	var lines []string
	for _, e := range r.all() {
		number := 0
		if e.Conn != 0 {
			if numbers[e.Conn] == 0 {
				numbers[e.Conn] = len(numbers) + 1
			}
			number = numbers[e.Conn]
		}
		line := fmt.Sprintf("%d %v", number, e.Kind)
		if e.Reason != "" {
			line += " " + string(e.Reason)
		}
		if e.Err != "" {
			line += " error " + e.Err
		}
		if e.Background {
			line += " background"
		}
		if e.Derived {
			line += " derived"
		}
		lines = append(lines, line)
	}
	return lines
}

func (r *recorder) String() string { return strings.Join(r.story(), "\n") }

// A life is the state of one connection while check reads its events.
type life struct {
	opened, since time.Time // since: when it was acquired or released
	use, closed   bool
	discarded     bool
	uses          uint64
	reason        wrap.Reason
}

// check checks that the events of each connection are
//
//	connect (acquire (release | discard))* close
//
// and that their times, counts and reasons are consistent. With leaks, connections that
// database/sql itself has lost may remain open.
func (r *recorder) check(leaks bool) error {
	lives := make(map[wrap.ConnID]*life)
	for i, e := range r.all() {
		if err := checkEvent(lives, e); err != nil {
			return fmt.Errorf("event %d (%v of connection %v): %w", i+1, e.Kind, e.Conn, err)
		}
	}
	for id, l := range lives {
		if !l.closed && !leaks {
			return fmt.Errorf("connection %v was never closed (in use: %t)", id, l.use)
		}
	}
	return nil
}

func checkEvent(lives map[wrap.ConnID]*life, e wrap.Event) error {
	switch {
	case e.Time.IsZero():
		return fmt.Errorf("the event has no time")
	case e.Duration < 0 || e.Idle < 0 || e.Age < 0:
		return fmt.Errorf("negative duration: took %v, idle %v, age %v", e.Duration, e.Idle, e.Age)
	case (e.Reason != "") != (e.Kind == wrap.KindDiscard || e.Kind == wrap.KindClose):
		return fmt.Errorf("only a discard and a close have a reason; got %q", e.Reason)
	case e.Background && e.Kind != wrap.KindConnect:
		return fmt.Errorf("only a connect may be in the background")
	case e.Seq != 0:
		return fmt.Errorf("the wrapper must not set sequence numbers, got %d", e.Seq)
	}
	l := lives[e.Conn]
	if e.Kind == wrap.KindConnect {
		switch {
		case e.Err != "" && e.Conn != 0:
			return fmt.Errorf("a connection that was not opened must have no ID")
		case e.Err == "" && e.Conn == 0:
			return fmt.Errorf("a connection that was opened must have an ID")
		case e.Err == "" && l != nil:
			return fmt.Errorf("two connections have the same ID")
		case e.Err == "":
			lives[e.Conn] = &life{opened: e.Time, since: e.Time}
		}
		return nil
	}
	switch {
	case l == nil:
		return fmt.Errorf("the first event must be a connect")
	case l.closed:
		return fmt.Errorf("a close must be the last event")
	case e.Age > e.Time.Sub(l.opened):
		return fmt.Errorf("age %v, but it was opened %v ago", e.Age, e.Time.Sub(l.opened))
	}
	switch e.Kind {
	case wrap.KindAcquire:
		if l.use || l.discarded {
			return fmt.Errorf("a connection in use, or discarded, must not be acquired")
		}
		l.uses++
		idle := e.Time.Sub(l.since)
		if idle > 0 { // not new
			idle -= e.Duration
		}
		if e.Idle != idle {
			return fmt.Errorf("it was idle for %v, but the event has %v", idle, e.Idle)
		}
	case wrap.KindRelease, wrap.KindDiscard:
		if !l.use {
			return fmt.Errorf("only a connection in use may be released or discarded")
		}
		if used := e.Time.Sub(l.since); e.Duration != used {
			return fmt.Errorf("it was in use for %v, but the event has %v", used, e.Duration)
		}
		l.discarded, l.reason = e.Kind == wrap.KindDiscard, e.Reason
	case wrap.KindClose:
		if l.use {
			return fmt.Errorf("a connection in use must be discarded before it is closed")
		}
		if l.discarded && l.reason != e.Reason {
			return fmt.Errorf("it was discarded as %q, but closed as %q", l.reason, e.Reason)
		}
		l.closed = true
	default:
		return fmt.Errorf("unknown kind of event")
	}
	if e.Uses != l.uses {
		return fmt.Errorf("it was acquired %d times, but the event has %d", l.uses, e.Uses)
	}
	l.use, l.since = e.Kind == wrap.KindAcquire, e.Time
	return nil
}
