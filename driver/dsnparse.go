package driver

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A DSNReader parses data source names. The zero DSNReader parses those of "sqlitemw".
type DSNReader struct {
	// Compat is the driver whose DSNs are parsed. A _compat parameter takes precedence.
	Compat Compat

	// Param, if not nil, reads the parameters of another package. The DSN does not keep
	// them. known reports whether key is one of them.
	Param func(key, value string) (known bool, err error)
}

// ParseDSN parses a data source name for "sqlitemw", or for the driver that its parameter
// _compat names. It opens no file. It fails with an [ErrDSN] that lists all problems. See
// the package documentation for what a DSN may contain.
func ParseDSN(name string) (*DSN, error) { return DSNReader{}.Parse(name) }

// Parse parses a data source name; see [ParseDSN]. Parse first translates a DSN for another
// driver, unless a parameter _behavior marks it as translated.
func (r DSNReader) Parse(name string) (*DSN, error) {
	translated, err := translate(name, r.Compat)
	if err != nil {
		return nil, err
	}
	return r.parse(translated)
}

// parse parses a DSN for "sqlitemw". Its errors show the file name, and only what package
// redact allows of keys and values. They never include the text of another error.
func (r DSNReader) parse(name string) (*DSN, error) {
	d := &DSN{name: name, path: name}
	if strings.ContainsRune(name, 0) {
		return nil, dsnError("it holds a NUL byte, at which SQLite would cut it off: leave it out")
	}
	rest, ok := strings.CutPrefix(name, "file:")
	if !ok {
		if err := cmp.Or(d.checkName(), d.checkLength()); err != nil {
			return nil, err
		}
		return d, nil
	}
	if i := strings.IndexFunc(name, isControl); i >= 0 {
		return nil, dsnError("byte %d of %d is the control character %q: leave it out, or write it as %%%02x if it is part of the file's name", i+1, len(name), name[i], name[i])
	}
	d.uri = true
	rest, tail, ok := strings.Cut(rest, "#")
	if ok {
		d.tail = "#" + tail
	}
	path, query, _ := strings.Cut(rest, "?")
	d.path = path
	if err := d.checkPath(); err != nil {
		return nil, err
	}
	if query == "" {
		return d, nil
	}
	d.compat = compatIn(name)
	p := &dsnParser{DSN: d, other: r.Param}
	var ps problems
	for param := range strings.SplitSeq(query, "&") {
		if err := p.add(param); err != nil {
			ps = append(ps, err)
		}
	}
	if err := p.checkUnknown(); err != nil {
		ps = append(ps, err)
	}
	if err := d.applySharedCache(); err != nil {
		ps = append(ps, err)
	}
	if err := ps.err(); err != nil {
		return nil, err
	}
	return d, nil
}

// A dsnParser reads the parameters of a DSN one by one.
type dsnParser struct {
	*DSN
	other   func(key, value string) (known bool, err error) // see DSNReader.Param
	unknown string                                          // the first parameter that SQLite does not know, redacted
	keyed   bool                                            // a parameter so far holds a key or a password
	aliases map[string]bool                                 // the pragmas in translated that a short name has set
}

// isControl reports whether r is a control character, which no URI may contain.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// maxFileName is the maximum length in bytes of a file name in the VFSs of the engine.
const maxFileName = 1024

// checkLength refuses a file name that is too long. The engine would panic on it.
func (d *DSN) checkLength() error {
	name := d.path
	if d.uri {
		name = d.filename()
	}
	if len(name) > maxFileName {
		return dsnError("the file's name has %d bytes: use %d at most", len(name), maxFileName)
	}
	return nil
}

// checkPath refuses a path or fragment that SQLite and package net/url would read
// differently.
func (d *DSN) checkPath() error {
	if rest, ok := strings.CutPrefix(d.path, "//"); ok {
		if authority, _, _ := strings.Cut(rest, "/"); authority != "" && authority != "localhost" {
			return dsnError("the URI names the host %q: write file:relative/path or file:///absolute/path", redact.Name(authority))
		}
	}
	if _, err := url.Parse("file:" + d.path); err != nil {
		return dsnError("the path of the URI cannot be read: write a percent sign as %%25")
	}
	if plain, err := url.PathUnescape(d.path); err != nil || strings.ContainsRune(plain, 0) {
		return dsnError("the path of the URI holds an escaped NUL byte, %%00, at which SQLite would cut it off: leave it out")
	}
	if _, err := url.Parse(d.tail); err != nil {
		return dsnError("the part after # is badly escaped: write a percent sign as %%25")
	}
	return d.checkLength()
}

// fileParams are SQLite's own URI parameters.
// https://sqlite.org/c3ref/open.html#urifilenameexamples
var fileParams = map[string]bool{
	"vfs": true, "mode": true, "cache": true, "psow": true, "nolock": true, "immutable": true, "modeof": true,
}

// checkUnknown refuses a parameter that SQLite would ignore, unless the DSN names a VFS,
// which may have parameters of its own.
func (d *dsnParser) checkUnknown() error {
	if d.unknown == "" || d.vfs != "" && d.vfs != "os" {
		return nil
	}
	hint := "SQLite has vfs, mode, cache, psow, nolock, immutable and modeof; write an & that is part of a value as %26"
	lower := strings.ToLower(d.unknown)
	if _, ok := pragmas[lower]; ok {
		hint = "write _pragma=" + lower + "(...)"
	} else if fileParams[lower] {
		hint = "write " + lower + ", in lower case"
	} else if _, ok := pragmaParams["_"+lower]; ok {
		hint = "write _" + lower
	}
	return dsnError("the parameter %q is not known, and would be ignored: %s", d.unknown, hint)
}

// applySharedCache handles cache=shared. This build of SQLite has no shared cache and would
// ignore it. For an in-memory database, it does what programs expect. All connections of
// the process with that name share one database, until the last is closed.
// https://sqlite.org/sharedcache.html#shared_cache_and_in_memory_databases
func (d *DSN) applySharedCache() error {
	if d.cache != "shared" {
		return nil
	}
	name := d.filename()
	if d.vfs != "" && d.vfs != "memdb" || d.vfs == "" && d.mode != "memory" && name != ":memory:" {
		if d.compat != CompatNone {
			d.params = slices.DeleteFunc(d.params, func(param string) bool { return strings.HasPrefix(param, "cache=") })
			d.cache = ""
			d.notices = append(d.notices, notice{ReasonSharedCache, "cache=shared on a file is left out: connections share a file without it"})
			return nil
		}
		return dsnError("cache=shared on a file is not supported, because this build of SQLite has no shared cache: leave it out, since connections share a file without it; for readers beside a writer use _pragma=journal_mode(wal); or open %q or %q, which leave it out", NameMattn, NameModernc)
	}
	d.params = slices.DeleteFunc(d.params, func(param string) bool {
		key, _, _ := strings.Cut(param, "=")
		key, _ = url.QueryUnescape(key)
		return key == "cache" || d.vfs == "" && key == "mode"
	})
	if d.cache = ""; d.vfs == "" {
		d.mode, d.vfs = "", "memdb"
		d.params = append(d.params, "vfs=memdb")
		d.path = escapePath("/" + strings.TrimLeft(name, "/"))
		d.shared = true
	}
	return nil
}

// checkName refuses a name that looks like a URI or has parameters, but that SQLite would
// take for a file name.
func (d *DSN) checkName() error {
	scheme, rest, ok := strings.Cut(d.name, ":")
	if lower := strings.ToLower(scheme); ok && (lower == "file" || lower == "sqlite" || lower == "sqlite3") {
		path, query, params := strings.Cut(rest, "?")
		if host, ok := strings.CutPrefix(path, "//"); ok {
			path = strings.TrimPrefix(redact.Name("x://"+host), "x://")
		} else {
			path = redact.Name(path)
		}
		if path = redact.Text(path); params {
			path += "?" + shownQuery(query)
		}
		return dsnError("%s: does not start a URI, and becomes part of the file name: write file:%s", scheme, path)
	}
	path, query, ok := strings.Cut(d.name, "?")
	if !ok || query != "" && !strings.Contains(query, "=") && !fileParams[strings.ToLower(query)] {
		return nil
	}
	path = redact.Text(redact.Name(path))
	return dsnError("parameters need a URI, or they become part of the file's name: write file:%s?... for %s?...; or open %q or %q, which take it as those drivers do", path, path, NameMattn, NameModernc)
}

// shownQuery returns the parameters that are safe to show in an error: known keys with a
// word or number as value. It stops at the first other parameter.
func shownQuery(query string) string {
	var shown []string
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		if _, pragma := pragmaParams[key]; !pragma && !fileParams[key] || redact.Value(value) != value {
			shown = append(shown, "...")
			break
		}
		shown = append(shown, param)
	}
	return strings.Join(shown, "&")
}

// shownKey returns the part of an unknown parameter's key that is safe to show in an error.
// Such a key may be part of a secret that contains an &.
func (d *dsnParser) shownKey(param, key string) string {
	if d.keyed || !strings.Contains(param, "=") && key != "" {
		return "..."
	}
	return redact.Key(key)
}

// holdsKey reports whether the name of a parameter or pragma suggests a secret value.
func holdsKey(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "key") || strings.Contains(name, "pass") || strings.Contains(name, "auth") || strings.Contains(name, "secret") || strings.Contains(name, "token")
}

// add reads one parameter, still escaped.
func (d *dsnParser) add(param string) error {
	if param == "" {
		return nil
	}
	rawKey, rawValue, _ := strings.Cut(param, "=")
	key, err := url.QueryUnescape(rawKey)
	if err != nil {
		return dsnError("the name of a parameter is badly escaped: write a percent sign as %%25")
	}
	value, err := url.QueryUnescape(rawValue)
	if err != nil {
		return dsnError("the value of %q is badly escaped: write a percent sign as %%25", redact.Key(key))
	}
	if strings.ContainsRune(key, 0) || strings.ContainsRune(value, 0) {
		return dsnError("the parameter %q holds an escaped NUL byte, %%00, at which SQLite would cut it off: leave it out", redact.Key(key))
	}
	if strings.Contains(param, ";") {
		return dsnError("the parameter %q holds a semicolon: parameters are separated by &; write a semicolon as %%3B", redact.Key(key))
	}
	defer func() { d.keyed = d.keyed || holdsKey(rawKey) || key == "_pragma" && holdsKey(value) }()

	switch key {
	case "_pragma":
		p, err := parsePragma(value)
		if err != nil {
			return err
		}
		d.pragmas = append(d.pragmas, p)
		return nil
	case "_txlock":
		switch lower := strings.ToLower(value); lower {
		case "", "deferred", "immediate", "exclusive", "concurrent":
			param = "_txlock=" + lower
		default:
			return dsnError("_txlock is %q: use deferred, immediate, exclusive or concurrent", redact.Value(value))
		}
	case "_timefmt":
		if !knownTimeFormat(value) {
			return dsnError("_timefmt is %q, which would store that text for every time: use auto, sqlite, rfc3339 or a layout of package time", redact.Value(value, "rfc3339"))
		}
		if d.timefmt == "" { // the first one counts, as in the plain driver
			d.timefmt = value
		}
		return nil
	case "_memory_limit":
		n, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			err = checkMemory(n)
		}
		if err != nil {
			return dsnError("_memory_limit is %q: use a number of bytes from %d to %d, or 0 for the engine's default", redact.Value(value), minMemory, maxMemory)
		}
		d.memoryLimit = n
		return nil
	case unknownParam:
		if d.compat == CompatNone {
			return dsnError("the parameter %q is not known: leave it out", unknownParam)
		}
		d.notices = append(d.notices, notice{ReasonUnknownParameter, "the parameter " + strconv.Quote(redact.Key(value)) + " has no effect, as in " + d.compat.String() + "'s driver"})
	case behaviorParam:
		if _, ok := compatOf(value); !ok {
			return dsnError("%s is %q: use _compat=mattn or _compat=modernc", behaviorParam, redact.Value(value))
		}
		return nil
	case "mode":
		switch d.mode = value; value {
		case "ro", "rw", "rwc", "memory":
		default:
			d.refuse("no such access mode: %q: use ro, rw, rwc or memory", value)
		}
	case "vfs":
		d.vfs = value // checked when a connection is opened; see checkOpen
	case "cache":
		switch d.cache = value; value {
		case "shared", "private":
		default:
			d.refuse("no such cache mode: %q: use private, or shared for a database in memory", value)
		}
	case "modeof":
		d.modeof = true
	case "psow", "nolock", "immutable":
		if _, ok := flags[strings.ToLower(value)]; !ok {
			return dsnError("%s is %q, which SQLite would treat as off: use 1 or 0", key, redact.Value(value))
		}
	default:
		if d.other != nil {
			if known, err := d.other(key, value); err != nil {
				return dsnError("%w", err)
			} else if known {
				return nil
			}
		}
		if strings.HasPrefix(key, "_") {
			if known, err := d.foreign(key, value); known {
				return err
			}
			return dsnError("the parameter %q is not known: use _pragma, _txlock, _timefmt or _memory_limit", d.shownKey(param, key))
		}
		if d.unknown == "" {
			d.unknown = d.shownKey(param, key)
		}
	}
	d.params = append(d.params, param)
	return nil
}

// refuse records that SQLite does not know the value of a parameter. Opening a connection
// then fails, as in the plain driver.
func (d *DSN) refuse(format, value string) {
	if d.openErr == nil {
		d.openErr = &parameterError{fmt.Sprintf(format, redact.Value(value))}
	}
}

// knownTimeFormat reports whether ncruces' driver understands a _timefmt. It understands
// its own names, the formats of sqlite3.TimeFormat, and layouts that can be parsed back.
// The driver would store any other text as it is, with digits replaced.
func knownTimeFormat(f string) bool {
	switch f {
	case "", "auto", "sqlite", "rfc3339",
		"julianday", "unixepoch", "unixepoch_frac", "unixepoch_milli", "unixepoch_micro", "unixepoch_nano",
		"15:04", "15:04:05", "15:04:05.000", "15:04Z07:00", "15:04:05Z07:00", "15:04:05.000Z07:00":
		return true
	}
	t := time.Date(2001, 12, 13, 14, 0, 0, 0, time.UTC)
	back, err := time.Parse(f, t.Format(f))
	return err == nil && back.Year() == t.Year() && back.YearDay() == t.YearDay()
}
