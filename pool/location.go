package pool

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A location is a Path taken apart, as package driver and SQLite read it.
// https://sqlite.org/uri.html
type location struct {
	uri    bool
	raw    string  // before the parameters, escaped, without "file:"
	path   string  // raw without escapes and authority, or what is no URI
	params []param // of a URI
	tail   string  // of a URI, from "#" on

	pragmas map[string]string // settings, where they are known
}

// A param is a parameter of a URI.
type param struct {
	text       string // as given
	key, value string // without escapes; empty if they are wrong, which package driver refuses
}

func newParam(text string) param {
	p := param{text: text}
	rawKey, rawValue, _ := strings.Cut(text, "=")
	key, keyErr := url.QueryUnescape(rawKey)
	value, err := url.QueryUnescape(rawValue)
	if keyErr == nil && err == nil {
		p.key, p.value = key, value
	}
	return p
}

// longPath is how long a Path may be to be read again whenever something of it is asked.
const longPath = 4 << 10 // bytes

// compact returns a shorter Path that means the same, if it is long and says things more than
// once.
func compact(path string) string {
	if len(path) > longPath {
		if shorter, err := driver.Canonical(path); err == nil && len(shorter) < len(path) {
			return shorter
		}
	}
	return path
}

// A longLocation is the location of a long Path.
type longLocation struct {
	path string
	location
}

// located is the long Path that was read last: a Config asks for its parts dozens of times.
var located atomic.Pointer[longLocation]

func locate(path string) location {
	if len(path) <= longPath {
		return newLocation(path)
	}
	known := located.Load()
	if known == nil || known.path != path {
		known = &longLocation{path, newLocation(path)}
		known.pragmas = known.settings()
		located.Store(known)
	}
	return known.location
}

func newLocation(path string) location {
	rest, ok := strings.CutPrefix(path, "file:")
	if !ok {
		return location{raw: escape(path), path: path}
	}
	l := location{uri: true}
	rest, tail, ok := strings.Cut(rest, "#")
	if ok {
		l.tail = "#" + tail
	}
	raw, query, ok := strings.Cut(rest, "?")
	if l.raw = raw; ok {
		for text := range strings.SplitSeq(query, "&") {
			l.params = append(l.params, newParam(text))
		}
	}
	l.path = raw
	if rest, ok := strings.CutPrefix(raw, "//"); ok {
		l.path = strings.TrimPrefix(rest, "localhost")
	}
	if plain, err := url.PathUnescape(l.path); err == nil {
		l.path = plain
	}
	return l
}

// escape makes a file's name the path of a URI. A backslash or a colon means
// nothing there, so that names of Windows' stay as they are.
func escape(name string) string {
	var b strings.Builder
	if strings.HasPrefix(name, "/") {
		b.WriteString("//") // an empty authority, so that "//x" names no host
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c <= ' ', c == '%', c == '?', c == '#', c == 0x7f:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// render returns the location as a URI.
func (l location) render() string {
	name := "file:" + l.raw
	if len(l.params) > 0 {
		texts := make([]string, len(l.params))
		for i, p := range l.params {
			texts[i] = p.text
		}
		name += "?" + strings.Join(texts, "&")
	}
	return name + l.tail
}

func (l *location) add(key, value string) {
	l.params = append(l.params[:len(l.params):len(l.params)], newParam(key+"="+url.QueryEscape(value)))
	l.pragmas = nil
}

func (l *location) remove(which func(param) bool) {
	l.params = slices.DeleteFunc(slices.Clone(l.params), which)
	l.pragmas = nil
}

// get returns the value of a parameter, the last if it is repeated.
func (l location) get(key string) string {
	for _, p := range slices.Backward(l.params) {
		if p.key == key {
			return p.value
		}
	}
	return ""
}

func (l location) has(key string) bool {
	return slices.ContainsFunc(l.params, func(p param) bool { return p.key == key })
}

// on reports whether a flag is on anywhere.
func (l location) on(key string) bool {
	return slices.ContainsFunc(l.params, func(p param) bool {
		on, _ := toBool(p.value)
		return p.key == key && on
	})
}

// said returns the value of a pragma of the main database; see settings.
func (l location) said(name string) (value string, ok bool) {
	if l.pragmas == nil {
		l.pragmas = l.settings()
	}
	value, ok = l.pragmas[name]
	return value, ok
}

// settings returns the values of the pragmas of the main database: of _pragma the last, else of
// another driver's parameter, its short name before the long one, and the first before others.
func (l location) settings() map[string]string {
	ours, others, short := make(map[string]string), make(map[string]string), make(map[string]bool)
	for _, p := range l.params {
		set := p.pragma()
		switch _, ok := others[set.Name]; {
		case set.Name == "":
		case p.key == "_pragma":
			if set.Value != "" {
				ours[bare(set.Name)] = set.Value
			}
		case !ok || !short[set.Name] && p.key != "_"+set.Name:
			others[set.Name], short[set.Name] = set.Value, p.key != "_"+set.Name
		}
	}
	maps.Copy(others, ours)
	return others
}

// otherPragmas are the parameters of other drivers for pragmas that a pool must
// know of; see package driver.
var otherPragmas = map[string]string{
	"_auto_vacuum": "auto_vacuum", "_vacuum": "auto_vacuum",
	"_busy_timeout": "busy_timeout", "_timeout": "busy_timeout",
	"_journal_mode": "journal_mode", "_journal": "journal_mode",
	"_locking_mode": "locking_mode", "_locking": "locking_mode",
	"_query_only":  "query_only",
	"_synchronous": "synchronous", "_sync": "synchronous",
}

// pragma returns what a parameter sets; the zero Pragma for one that is for
// something else.
func (p param) pragma() driver.Pragma {
	if name, ok := otherPragmas[p.key]; ok {
		return driver.Pragma{Name: name, Value: p.value}
	}
	if p.key != "_pragma" {
		return driver.Pragma{}
	}
	name, value := p.value, ""
	if i := strings.IndexAny(name, "=("); i >= 0 {
		name, value = name[:i], strings.TrimSpace(name[i+1:])
		if p.value[i] == '(' {
			value = strings.TrimSuffix(value, ")")
		}
		// Of quotes, none that the pool looks at has any in its value.
		value = strings.Trim(strings.TrimSpace(value), `'"`)
	}
	return driver.Pragma{Name: strings.TrimSpace(name), Value: value}
}

// ofOS reports whether the VFS is the operating system's.
func (l location) ofOS() bool { name := l.get("vfs"); return name == "" || name == "os" }

// memory reports whether the database is in memory. One without a name is
// SQLite's for what is temporary, and as good as there.
func (l location) memory() bool {
	return l.path == "" || l.path == ":memory:" || l.get("mode") == "memory" || l.get("vfs") == "memdb"
}

// private reports whether the database is in memory, and each connection would
// have its own.
func (l location) private() bool {
	if !l.memory() {
		return false
	}
	switch l.get("vfs") {
	case "memdb":
		return !strings.HasPrefix(l.path, "/") || l.get("mode") == "memory"
	case "":
		return l.get("cache") != "shared"
	}
	return true
}

// database is the database's name for people, as package driver has it.
func (l location) database() string {
	switch {
	case l.private(), l.memory() && strings.TrimLeft(l.path, "/") == ":memory:":
		return ":memory:"
	case l.memory():
		return redact.Name("/" + strings.TrimLeft(l.path, "/"))
	}
	return redact.Name(l.path)
}
