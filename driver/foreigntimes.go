package driver

import (
	"strings"
	"time"
)

// foreignTimes are how another driver writes and reads times, as its data source names say.
type foreignTimes struct {
	format    string         // _time_format: of texts; "" for the driver's default
	unit      string         // _time_integer_format: of numbers; "" for texts
	zone      *time.Location // _loc, _timezone
	zoneParam string         // which of them, with its value
	fromInts  bool           // _inttotime
	fromTexts bool           // _texttotime
}

func locationOf(name string) (*time.Location, error) {
	if name == "auto" {
		return time.Local, nil
	}
	return time.LoadLocation(name)
}

// The layouts of times in texts: those that mattn/go-sqlite3 and modernc.org/sqlite try, in
// their order, and others that SQLite, this driver and those two have ever written.
var (
	timeLayouts = []string{
		"2006-01-02 15:04:05.999999999-07:00",
		"2006-01-02T15:04:05.999999999-07:00",
		"2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04",
		"2006-01-02T15:04",
		"2006-01-02",
	}
	otherLayouts = []string{
		goLayout,
		"2006-01-02 15:04Z07:00",
		"2006-01-02T15:04Z07:00",
	}
)

// goLayout is that of (time.Time).String, as which modernc.org/sqlite writes times.
const goLayout = "2006-01-02 15:04:05.999999999 -0700 MST"

// A timeReader reads texts as times.
type timeReader struct {
	zone  *time.Location // that times without one are in
	local bool           // an offset that is the local zone's at that time is that zone
}

// read reads a text in any of the layouts.
func (r timeReader) read(s string) (time.Time, bool) {
	// A layout needs a digit first, and most texts that are no times have none.
	if len(s) < len("2006-01-02") || s[0] < '0' || s[0] > '9' || s[4] != '-' {
		return time.Time{}, false
	}
	plain, utc := strings.CutSuffix(s, "Z")
	for _, layout := range timeLayouts {
		if t, err := r.parse(layout, plain, utc); err == nil {
			return t, true
		}
	}
	if i := strings.Index(s, " m="); i > 0 {
		s = s[:i] // what the monotonic clock said
	}
	for _, layout := range otherLayouts {
		if t, err := r.parse(layout, s, true); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func (r timeReader) parse(layout, s string, utc bool) (time.Time, error) {
	switch {
	case r.zone != nil && !utc:
		return time.ParseInLocation(layout, s, r.zone)
	case r.local:
		return time.Parse(layout, s)
	}
	return time.ParseInLocation(layout, s, time.UTC)
}

// timeOfReal reads a number as SQLite's functions read one with the modifier auto: as a Julian
// day, or else as seconds since 1970. https://sqlite.org/lang_datefunc.html#dtmods
func timeOfReal(v float64) (time.Time, bool) {
	const firstDay, lastDay, day1970 = 0.0, 5373484.499999, 2440587.5
	seconds := v
	if v >= firstDay && v <= lastDay {
		seconds = (v - day1970) * 24 * 60 * 60
	}
	if seconds < -210866760000 || seconds > 253402300799 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), true
}

// timeOfInt reads a number of seconds, or of milliseconds where it is too large for those.
func timeOfInt(v int64) time.Time {
	if v > 1e12 || v < -1e12 {
		return time.UnixMilli(v).UTC()
	}
	return time.Unix(v, 0).UTC()
}
