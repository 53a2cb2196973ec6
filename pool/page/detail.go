package page

import (
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// A detail is pool.json. Durations are in seconds.
type detail struct {
	ID   string `json:"id"`
	Name string `json:"name"`

	Checked *time.Time `json:"checked"` // when the health was checked; null if it was not

	Waits bars `json:"waits"` // of acquires
	Uses  bars `json:"uses"`  // how long connections were in use

	Facts []fact `json:"facts"`

	Settings []setting `json:"settings"` // null if the pool does not tell
}

// bars are a histogram.
type bars struct {
	Below  []float64 `json:"below"` // the bounds; the last count has none
	Counts []uint64  `json:"counts"`
}

// A fact is a counter with its name. Unit is s, bytes or empty.
type fact struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// A setting is one that differs from its default.
type setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Why     string `json:"why,omitempty"`
}

func detailOf(p *taken, n *names) detail {
	d := detail{ID: p.id, Name: p.name, Waits: barsOf(p.stats.WaitTimes), Uses: barsOf(p.stats.UseTimes), Facts: factsOf(&p.stats)}
	if at := p.health.Checked; !at.IsZero() {
		d.Checked = &at
	}
	if v, ok := p.view.(core.SettingsView); ok {
		d.Settings = []setting{}
		const most = 100
		for i, s := range v.Settings() {
			if i == most {
				break
			}
			d.Settings = append(d.Settings, setting{visible(s.Name, longestName), n.reason(s.Value), n.reason(s.Default), n.reason(s.Why)})
		}
	}
	return d
}

func barsOf(h core.Histogram) bars {
	var b bars
	for _, bucket := range h.Buckets() {
		if bucket.Below > 0 {
			b.Below = append(b.Below, bucket.Below.Seconds())
		}
		b.Counts = append(b.Counts, bucket.Count)
	}
	return b
}

// factsOf returns the counters of a pool that are not in its line. Those that say that something
// is wrong are left out while they are zero.
func factsOf(s *core.Stats) []fact {
	list := []fact{
		{"connections opened", float64(s.Connects), ""},
		{"connections closed", float64(s.Closes), ""},
		{"acquires", float64(s.Acquires), ""},
		{"acquires that waited", float64(s.Waits), ""},
		{"longest wait", s.LongestWait.Seconds(), "s"},
		{"most in use", float64(s.PeakInUse), ""},
		{"most waiting", float64(s.PeakWaiting), ""},
		{"longest use", s.LongestUse.Seconds(), "s"},
	}
	if s.Writers+s.Readers > 0 {
		list = append(list,
			fact{"writers open", float64(s.Writers), ""}, fact{"writers in use", float64(s.WritersInUse), ""},
			fact{"readers open", float64(s.Readers), ""}, fact{"readers in use", float64(s.ReadersInUse), ""})
	}
	if s.Syncs > 0 {
		list = append(list, fact{"syncs", float64(s.Syncs), ""}, fact{"commits for each sync", float64(s.SyncedCommits) / float64(s.Syncs), ""},
			fact{"mean sync", s.SyncTime.Seconds() / float64(s.Syncs), "s"}, fact{"longest sync", s.LongestSync.Seconds(), "s"})
	}
	if c := s.Cache; c.Hits+c.Misses > 0 {
		list = append(list, fact{"statement cache: hits", float64(c.Hits), ""}, fact{"statement cache: misses", float64(c.Misses), ""},
			fact{"statement cache: evicted", float64(c.Evictions), ""}, fact{"statement cache: invalidated", float64(c.Invalidations), ""})
	}
	if s.Pages.Bytes > 0 {
		list = append(list, fact{"WAL", float64(s.Pages.Bytes), "bytes"}, fact{"WAL limit", float64(s.Pages.Limit), "bytes"}, fact{"WAL pages", float64(s.Pages.Frames), ""})
	}
	for _, f := range []fact{
		{"changes of session state on the writer", float64(s.SessionChanges), ""},
		{"transactions left open", float64(s.Dirty), ""},
		{"calls that found the database locked", float64(s.Busy), ""},
		{"acquires that waited too long", float64(s.Timeouts), ""},
		{"acquires canceled", float64(s.Cancels), ""},
		{"acquires refused", float64(s.Refusals), ""},
		{"failed connects", float64(s.ConnectErrors), ""},
		{"failed closes", float64(s.CloseErrors), ""},
		{"discards", float64(s.Discards), ""},
		{"leaks reported", float64(s.Leaks), ""},
		{"leaks ended", float64(s.LeaksEnded), ""},
		{"time limits exceeded", float64(s.TimeLimits), ""},
		{"readers beyond the limit", float64(s.Overflows), ""},
		{"turns taken from checkouts that ran nothing", float64(s.TurnsTaken), ""},
		{"steps that waited for a processor", float64(s.StepWaits), ""},
		{"panics recovered", float64(s.Panics), ""},
		{"warnings", float64(s.Warnings), ""},
		{"events no longer kept", float64(s.EventsDropped), ""},
	} {
		if f.Value > 0 {
			list = append(list, f)
		}
	}
	return list
}
