package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
)

const (
	barWidth  = 84 // columns of a connection's bar
	tailCount = 12 // events shown as text
)

// A life is what the events report about one connection.
type life struct {
	id     driver.ConnID
	opened interval // the time of opening it
	uses   []interval
	closed time.Time // zero if it is open
	reason driver.Reason

	held time.Time // when its current use began; zero if it is not in use
}

type interval struct{ from, to time.Time }

func (i interval) length() time.Duration { return i.to.Sub(i.from) }

// within returns the length of the part of i that is in o.
func (i interval) within(o interval) time.Duration {
	from, to := i.from, i.to
	if from.Before(o.from) {
		from = o.from
	}
	if to.After(o.to) {
		to = o.to
	}
	return max(0, to.Sub(from))
}

// livesOf reconstructs the lives of connections. If the log has dropped the first events, it
// infers what it can from later ones.
func livesOf(events []driver.Event) []*life {
	var lives []*life
	byID := make(map[driver.ConnID]*life)
	for _, e := range events {
		if e.Conn == 0 {
			continue // a connection that failed to open
		}
		l := byID[e.Conn]
		if l == nil {
			opened := e.Time.Add(-e.Age)
			l = &life{id: e.Conn, opened: interval{opened, opened}}
			byID[e.Conn] = l
			lives = append(lives, l)
		}
		switch e.Kind {
		case driver.KindConnect:
			l.opened.from = e.Time.Add(-e.Duration)
		case driver.KindAcquire:
			l.held = e.Time
		case driver.KindRelease, driver.KindDiscard:
			l.uses = append(l.uses, interval{e.Time.Add(-e.Duration), e.Time})
			l.held = time.Time{}
		case driver.KindClose:
			l.closed, l.reason = e.Time, e.Reason
		}
	}
	if len(events) > 0 {
		now := events[len(events)-1].Time
		for _, l := range lives {
			if !l.held.IsZero() {
				l.uses = append(l.uses, interval{l.held, now})
			}
		}
	}
	slices.SortFunc(lives, func(a, b *life) int { return cmp.Compare(a.id, b.id) })
	return lives
}

// printTimeline prints the lives of connections as bars over time and as numbers, and the last
// events as text.
func printTimeline(w io.Writer, events []driver.Event, dropped uint64) {
	fmt.Fprintf(w, "%d events, %d older ones dropped\n", len(events), dropped)
	lives := livesOf(events)
	if len(lives) == 0 {
		return
	}
	all := interval{lives[0].opened.from, events[len(events)-1].Time}
	for _, l := range lives {
		if l.opened.from.Before(all.from) {
			all.from = l.opened.from
		}
	}

	fmt.Fprintln(w)
	printBars(w, lives, all)
	fmt.Fprintln(w)
	printLives(w, lives, all)
	fmt.Fprintln(w)
	last := events[max(0, len(events)-tailCount):]
	fmt.Fprintf(w, "the last %d events\n", len(last))
	printEvents(w, last, all.from)
}

func printBars(w io.Writer, lives []*life, all interval) {
	at := func(i int) time.Time { return all.from.Add(time.Duration(i) * all.length() / barWidth) }
	half, end := human(all.length()/2), human(all.length())
	fmt.Fprintf(w, "conn  0%*s%*s\n", barWidth/2-1, half, barWidth/2, end)
	for _, l := range lives {
		var bar strings.Builder
		for i := range barWidth {
			bar.WriteRune(l.cell(interval{at(i), at(i + 1)}))
		}
		fmt.Fprintf(w, "%4s  %s\n", l.id, strings.TrimRight(bar.String(), " "))
	}
	fmt.Fprintf(w, "      + connecting   ░▒▓█ in use, more or less of the column's %s   · idle   x closed\n",
		human(all.length()/barWidth))
}

// cell returns the symbol of a connection for one column of time.
func (l *life) cell(column interval) rune {
	switch {
	case !l.closed.IsZero() && !l.closed.After(column.from), !l.opened.from.Before(column.to):
		return ' '
	case !l.closed.IsZero() && !l.closed.After(column.to):
		return 'x'
	case l.opened.from.Before(column.to) && l.opened.to.After(column.from):
		return '+'
	}
	var used time.Duration
	for _, use := range l.uses {
		used += use.within(column)
	}
	if used == 0 {
		return '·'
	}
	shades := []rune("░▒▓█")
	return shades[min(len(shades)-1, int(used*time.Duration(len(shades))/column.length()))]
}

func printLives(w io.Writer, lives []*life, all interval) {
	t := table{columns: []column{
		{title: "conn", right: true},
		{title: "opened", right: true},
		{title: "took", right: true},
		{title: "uses", right: true},
		{title: "in use", right: true},
		{title: "longest", right: true},
		{title: "idle", right: true},
		{title: "closed", right: true},
		{title: "because"},
	}}
	for _, l := range lives {
		var used, longest time.Duration
		for _, use := range l.uses {
			used += use.length()
			longest = max(longest, use.length())
		}
		end, closed := all.to, "open"
		if !l.closed.IsZero() {
			end, closed = l.closed, "+"+human(l.closed.Sub(all.from))
		}
		t.row(l.id.String(), "+"+human(l.opened.to.Sub(all.from)), human(l.opened.length()),
			strconv.Itoa(len(l.uses)), human(used), human(longest), human(end.Sub(l.opened.to)-used),
			closed, string(l.reason))
	}
	t.print(w)
}

func printEvents(w io.Writer, events []driver.Event, start time.Time) {
	t := table{columns: []column{
		{title: "event", right: true},
		{title: "at", right: true},
		{title: "conn", right: true},
		{title: "kind"},
		{title: "took", right: true},
		{title: "idle before", right: true},
		{title: "because"},
	}}
	for _, e := range events {
		because := cmp.Or(string(e.Reason), string(e.Blocker), e.Health)
		if e.Err != "" {
			because = strings.TrimSpace(because + " error " + e.Err)
		}
		conn, idle := e.Conn.String(), ""
		if e.Conn == 0 {
			conn = "" // it failed to open
		}
		if e.Idle > 0 {
			idle = human(e.Idle)
		}
		t.row(strconv.FormatUint(e.Seq, 10), "+"+human(e.Time.Sub(start)), conn, e.Kind.String(),
			human(e.Duration), idle, because)
	}
	t.print(w)
}
