package page

import (
	"slices"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// An eventList is events.json.
type eventList struct {
	Pool   string      `json:"pool"`   // ID
	Last   uint64      `json:"last"`   // Seq of the latest event, for the next request
	Missed uint64      `json:"missed"` // events after the requested one that are not in this list
	Events []eventLine `json:"events"` // the oldest first
}

// An eventLine is an event. Durations are in seconds.
type eventLine struct {
	Seq        uint64    `json:"seq"`
	Time       time.Time `json:"time"`
	Kind       string    `json:"kind"`
	Conn       string    `json:"conn,omitempty"`
	Lane       string    `json:"lane,omitempty"`
	Duration   float64   `json:"duration"`
	Wait       float64   `json:"wait,omitempty"`
	Place      int       `json:"place,omitempty"` // in the queue, where the wait began
	Reason     string    `json:"reason,omitempty"`
	Blocker    string    `json:"blocker,omitempty"`
	Holder     string    `json:"holder,omitempty"` // connection that blocked it
	Health     string    `json:"health,omitempty"`
	Err        string    `json:"err,omitempty"` // code of the error, or its Go type
	Commits    uint64    `json:"commits,omitempty"`
	Trace      string    `json:"trace,omitempty"`
	Background bool      `json:"background,omitempty"`
}

// eventsAfter returns the events with a Seq of more than after, at most the latest [mostEvents].
// If after is more than the latest Seq, it is from before a restart of the program, and all events
// are new.
func eventsAfter(p *taken, events []wrap.Event, after uint64) eventList {
	l := eventList{Pool: p.id, Events: []eventLine{}}
	if len(events) == 0 {
		return l
	}
	if l.Last = events[len(events)-1].Seq; after > l.Last {
		after = 0
	}
	i, _ := slices.BinarySearchFunc(events, after+1, func(e wrap.Event, seq uint64) int {
		if e.Seq < seq {
			return -1
		}
		return 1
	})
	events = events[max(i, len(events)-mostEvents):]
	for i := range events {
		l.Events = append(l.Events, eventOf(&events[i]))
	}
	l.Missed = l.Last - after - uint64(len(events))
	return l
}

func eventOf(e *wrap.Event) eventLine {
	name := func(s string) string { return visible(s, longestName) }
	line := eventLine{
		Seq: e.Seq, Time: e.Time, Kind: e.Kind.String(), Lane: name(string(e.Lane)), Duration: e.Duration.Seconds(),
		Wait: e.Wait.Seconds(), Place: e.QueuePosition, Reason: name(string(e.Reason)), Blocker: name(string(e.Blocker)),
		Health: name(e.Health), Err: name(e.Err), Commits: e.Commits, Background: e.Background,
	}
	if e.Conn != 0 {
		line.Conn = e.Conn.String()
	}
	if e.Holder != 0 {
		line.Holder = e.Holder.String()
	}
	if e.Trace.IsValid() {
		line.Trace = e.Trace.String()
	}
	return line
}
