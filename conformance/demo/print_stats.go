package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// printStats prints the statistics of the pool during the rush and at the end.
func printStats(w io.Writer, rush, end pool.Stats) {
	t := table{columns: []column{
		{},
		{title: "in the rush", right: true},
		{title: "in the end", right: true},
		{},
	}}
	count := func(name string, a, b uint64, note string) {
		t.row(name, strconv.FormatUint(a, 10), strconv.FormatUint(b, 10), note)
	}
	took := func(name string, a, b time.Duration, note string) {
		t.row(name, human(a), human(b), note)
	}
	count("most connections", uint64(rush.Max), uint64(end.Max), "")
	count("open", uint64(rush.Open), uint64(end.Open), "")
	count("in use", uint64(rush.InUse), uint64(end.InUse), "")
	count("idle", uint64(rush.Idle), uint64(end.Idle), "")
	percent := func(s pool.Stats) string { return fmt.Sprintf("%.0f%%", 100*s.Utilization()) }
	t.row("utilization", percent(rush), percent(end), "in use, of the maximum")
	count("waits", uint64(rush.Waits), uint64(end.Waits), "calls that found no free connection")
	took("time waited", rush.WaitTime, end.WaitTime, "sum of all waits")
	count("connects", rush.Connects, end.Connects, "")
	count("connect errors", rush.ConnectErrors, end.ConnectErrors, "")
	took("time connecting", rush.ConnectTime, end.ConnectTime, "all together: open, set pragmas, read them back")
	took("longest connect", rush.LongestConnect, end.LongestConnect, "")
	count("acquires", rush.Acquires, end.Acquires, "")
	count("releases", rush.Releases, end.Releases, "")
	count("discards", rush.Discards, end.Discards, "thrown away while in use")
	took("time in use", rush.UseTime, end.UseTime, "all together, from acquire to release")
	took("longest use", rush.LongestUse, end.LongestUse, "")
	count("closes", rush.Closes, end.Closes, "")
	count("close errors", rush.CloseErrors, end.CloseErrors, "")
	for _, reason := range slices.Sorted(maps.Keys(end.ClosedFor)) {
		count("  "+string(reason), rush.ClosedFor[reason], end.ClosedFor[reason], "")
	}
	count("events", rush.Events, end.Events, "")
	count("events dropped", rush.EventsDropped, end.EventsDropped, "")
	t.print(w)
}
