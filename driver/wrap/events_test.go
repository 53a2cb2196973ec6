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

// story tells the events in short, a line each, connections being numbered as
// they come: "1 close surplus derived".
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

// A life is what is known of one connection while its events are checked.
type life struct {
	opened, since time.Time // since: when it came into use, or was given back
	use, closed   bool
	discarded     bool
	uses          uint64
	reason        wrap.Reason
}

// check checks that the events of each connection are
//
//	connect (acquire (release | discard))* close
//
// and that their times, counts and reasons agree. With leaks, connections that
// database/sql itself lost may be left open.
func (r *recorder) check(leaks bool) error {
	lives := make(map[wrap.ConnID]*life)
	for i, e := range r.all() {
		if err := checkEvent(lives, e); err != nil {
			return fmt.Errorf("event %d (%v of connection %v): %w", i+1, e.Kind, e.Conn, err)
		}
	}
	for id, l := range lives {
		if !l.closed && !leaks {
			return fmt.Errorf("connection %v must be closed in the end (in use: %t)", id, l.use)
		}
	}
	return nil
}

func checkEvent(lives map[wrap.ConnID]*life, e wrap.Event) error {
	switch {
	case e.Time.IsZero():
		return fmt.Errorf("every event has a time")
	case e.Duration < 0 || e.Idle < 0 || e.Age < 0:
		return fmt.Errorf("no duration is negative, but it took %v, was idle %v and %v old", e.Duration, e.Idle, e.Age)
	case (e.Reason != "") != (e.Kind == wrap.KindDiscard || e.Kind == wrap.KindClose):
		return fmt.Errorf("a discard and a close have a reason, and nothing else has; it is %q", e.Reason)
	case e.Background && e.Kind != wrap.KindConnect:
		return fmt.Errorf("only a connect is in the background")
	case e.Seq != 0:
		return fmt.Errorf("a wrapper gives no sequence numbers, but this is %d", e.Seq)
	}
	l := lives[e.Conn]
	if e.Kind == wrap.KindConnect {
		switch {
		case e.Err != "" && e.Conn != 0:
			return fmt.Errorf("a connection that was not opened has no ID")
		case e.Err == "" && e.Conn == 0:
			return fmt.Errorf("a connection that was opened has an ID")
		case e.Err == "" && l != nil:
			return fmt.Errorf("an ID is one connection's")
		case e.Err == "":
			lives[e.Conn] = &life{opened: e.Time, since: e.Time}
		}
		return nil
	}
	switch {
	case l == nil:
		return fmt.Errorf("connect comes first")
	case l.closed:
		return fmt.Errorf("close comes last")
	case e.Age > e.Time.Sub(l.opened):
		return fmt.Errorf("its age is %v, %v after it was opened", e.Age, e.Time.Sub(l.opened))
	}
	switch e.Kind {
	case wrap.KindAcquire:
		if l.use || l.discarded {
			return fmt.Errorf("a connection in use, or discarded, is not acquired")
		}
		l.uses++
		idle := e.Time.Sub(l.since)
		if idle > 0 { // not new
			idle -= e.Duration
		}
		if e.Idle != idle {
			return fmt.Errorf("it was idle for %v, but says %v", idle, e.Idle)
		}
	case wrap.KindRelease, wrap.KindDiscard:
		if !l.use {
			return fmt.Errorf("only a connection in use is released or discarded")
		}
		if used := e.Time.Sub(l.since); e.Duration != used {
			return fmt.Errorf("it was used for %v, but says %v", used, e.Duration)
		}
		l.discarded, l.reason = e.Kind == wrap.KindDiscard, e.Reason
	case wrap.KindClose:
		if l.use {
			return fmt.Errorf("a connection in use is discarded before it is closed")
		}
		if l.discarded && l.reason != e.Reason {
			return fmt.Errorf("it was discarded as %q, and closed as %q", l.reason, e.Reason)
		}
		l.closed = true
	default:
		return fmt.Errorf("there is no such event")
	}
	if e.Uses != l.uses {
		return fmt.Errorf("it was acquired %d times, but says %d", l.uses, e.Uses)
	}
	l.use, l.since = e.Kind == wrap.KindAcquire, e.Time
	return nil
}
