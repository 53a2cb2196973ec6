package driver

import (
	"strings"
	"time"
)

// foreignTimes says how another driver writes and reads times, according to the DSN.
type foreignTimes struct {
	format    string         // _time_format, for times stored as text; "" is the driver's default
	unit      string         // _time_integer_format, for times stored as numbers; "" stores text
	zone      *time.Location // _loc or _timezone
	zoneParam string         // the parameter that set zone, with its value
	fromInts  bool           // _inttotime
	fromTexts bool           // _texttotime
}

func locationOf(name string) (*time.Location, error) {
	if name == "auto" {
		return time.Local, nil
	}
	return time.LoadLocation(name)
}

// The layouts in which times may be stored as text. timeLayouts are those that
// mattn/go-sqlite3 and modernc.org/sqlite try, in their order. otherLayouts are those that
// SQLite, this driver or one of those two has written in any version.
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

// goLayout is the layout of (time.Time).String, in which modernc.org/sqlite writes times.
const goLayout = "2006-01-02 15:04:05.999999999 -0700 MST"

// A timeReader parses text as a time.
type timeReader struct {
	zone  *time.Location // the zone of times without one; may be nil
	local bool           // use time.Local for a time whose offset matches it
}

// read parses s in any of the layouts.
func (r timeReader) read(s string) (time.Time, bool) {
	// Every layout starts with a digit, and most other text does not.
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
		s = s[:i] // cut off the monotonic clock reading
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

// timeOfReal converts a number to a time as SQLite's date functions do with the modifier
// auto. The number is a Julian day number, or else seconds since 1970.
// https://sqlite.org/lang_datefunc.html#dtmods
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

// timeOfInt converts seconds since 1970 to a time, or milliseconds if the number is too
// large for seconds.
func timeOfInt(v int64) time.Time {
	if v > 1e12 || v < -1e12 {
		return time.UnixMilli(v).UTC()
	}
	return time.Unix(v, 0).UTC()
}
