package driver

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A dsn is a data source name taken apart.
type dsn struct {
	name string // as given

	uri    bool
	path   string   // before "?" and "#", as given, without "file:"
	params []string // between "&", as given, without _pragma
	tail   string   // from "#" on

	mode    string
	cache   string
	unknown string // a parameter that is none of SQLite's, as an error may show it
	keyed   bool   // what stands in the DSN so far has a key or a password
	timefmt string

	vfs     string
	modeof  bool     // SQLite looks at another file
	refused error    // what SQLite would refuse when a connection is opened, and show all of
	pragmas []Pragma // in their order

	// Of other drivers' parameters.
	translated []Pragma        // what sets a pragma
	aliases    map[string]bool // of those, what was set by a short name
	cacheSize  int             // as Config.StatementCache

	memoryLimit int64 // as Config.MemoryLimit

	compat   Compat
	notices  []notice
	switches switches
	times    foreignTimes
	shared   bool // cache=shared, of a database in memory
	deferred bool // Begin takes no lock where no _txlock says otherwise
	deferFK  bool // defer_foreign_keys, until the first transaction has ended
}

// parseDSN takes name apart. Errors are [ErrDSN]. Of name, they show the file's name and
// what package redact allows of keys and values, and nothing of any other error's text.
func parseDSN(name string) (*dsn, error) {
	d := &dsn{name: name, path: name}
	if strings.ContainsRune(name, 0) {
		return nil, dsnError("it holds a NUL byte, at which SQLite would cut it off: leave it out")
	}
	rest, ok := strings.CutPrefix(name, "file:")
	if !ok {
		if err := d.checkName(); err != nil {
			return nil, err
		}
		return d, d.checkLength()
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
	d.compat = CompatOf(name)
	var ps problems
	for param := range strings.SplitSeq(query, "&") {
		if err := d.addParam(param); err != nil {
			ps = append(ps, err)
		}
	}
	if err := d.checkUnknown(); err != nil {
		ps = append(ps, err)
	}
	if err := d.share(); err != nil {
		ps = append(ps, err)
	}
	return d, ps.err()
}

// isControl reports whether r is a control character that no URI may hold.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// longestFileName is how many bytes the name of a file may have, in a VFS of the engine's.
const longestFileName = 1024

// checkLength refuses a file's name that the engine would panic for.
func (d *dsn) checkLength() error {
	name := d.path
	if d.uri {
		name = d.pathOfURI()
	}
	if len(name) > longestFileName {
		return dsnError("the file's name has %d bytes: use %d at most", len(name), longestFileName)
	}
	return nil
}

// checkPath refuses a path and a fragment that SQLite and package url would not read alike.
func (d *dsn) checkPath() error {
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
		return dsnError("what stands behind # is badly escaped: write a percent sign as %%25")
	}
	return d.checkLength()
}

// fileParams are the parameters of a URI that SQLite itself has.
// https://sqlite.org/c3ref/open.html#urifilenameexamples
var fileParams = map[string]bool{
	"vfs": true, "mode": true, "cache": true, "psow": true, "nolock": true, "immutable": true, "modeof": true,
}

// checkUnknown refuses a parameter that SQLite would ignore. A VFS that the DSN
// names may have parameters of its own.
func (d *dsn) checkUnknown() error {
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

// share makes of a memory database with a shared cache, which this build of
// SQLite does not have and would ignore, what programs want of it: one database
// for all connections of the process that name it, until the last is closed.
// https://sqlite.org/sharedcache.html#shared_cache_and_in_memory_databases
func (d *dsn) share() error {
	if d.cache != "shared" {
		return nil
	}
	name := d.pathOfURI()
	if d.vfs != "" && d.vfs != "memdb" || d.vfs == "" && d.mode != "memory" && name != ":memory:" {
		if d.compat != CompatNone {
			d.params = slices.DeleteFunc(d.params, func(param string) bool { return strings.HasPrefix(param, "cache=") })
			d.cache = ""
			d.notices = append(d.notices, notice{ReasonSharedCache, "cache=shared on a file is left out: connections share a file without it"})
			return nil
		}
		return dsnError("cache=shared on a file, and this build of SQLite has no shared cache: leave it out, since connections share a file without; for readers beside a writer say _pragma=journal_mode(wal); or open %q or %q, which leave it out", NameMattn, NameModernc)
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

// pathOfURI is the path of a URI, unescaped and without an authority.
func (d *dsn) pathOfURI() string {
	path := d.path
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = strings.TrimPrefix(rest, "localhost") // an authority, which names this machine
	}
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	return path
}

// checkName refuses a name that means more than a file's name, but would be
// taken for one.
func (d *dsn) checkName() error {
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
		return dsnError("%s: begins no URI, and becomes part of the file's name: write file:%s", scheme, path)
	}
	path, query, ok := strings.Cut(d.name, "?")
	if !ok || query != "" && !strings.Contains(query, "=") && !fileParams[strings.ToLower(query)] {
		return nil
	}
	path = redact.Text(redact.Name(path))
	return dsnError("parameters need a URI, or they become part of the file's name: write file:%s?... for %s?...; or open %q or %q, which take it as those drivers do", path, path, NameMattn, NameModernc)
}

// shownQuery returns the parameters that an error may show, up to the first that it may not:
// they have keys that are known and values that are words or numbers.
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

// shownKey returns what an error may show of the key of a parameter that is not known. It may
// be the rest of a secret that holds an &.
func (d *dsn) shownKey(param, key string) string {
	if d.keyed || !strings.Contains(param, "=") && key != "" {
		return "..."
	}
	return redact.Key(key)
}

// holdsKey reports whether the name of a parameter or pragma says that its value is a secret.
func holdsKey(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "key") || strings.Contains(name, "pass") || strings.Contains(name, "auth") || strings.Contains(name, "secret") || strings.Contains(name, "token")
}

func (d *dsn) addParam(param string) error {
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
		if d.timefmt == "" { // the first counts, as in the plain driver
			d.timefmt = value
		}
		return nil
	case "_memory_limit":
		n, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			err = checkMemory(n)
		}
		if err != nil {
			return dsnError("_memory_limit is %q: use a number of bytes from %d to %d, or 0 for the engine's default", redact.Value(value), leastMemory, mostMemory)
		}
		d.memoryLimit = n
		return nil
	case unknownParam:
		if d.compat == CompatNone {
			return dsnError("the parameter %q is not known: leave it out", unknownParam)
		}
		d.notices = append(d.notices, notice{ReasonUnknownParameter, "the parameter " + strconv.Quote(redact.Key(value)) + " has no effect, as in " + d.compat.String() + "'s driver"})
	case behaves:
		if _, ok := compatOf(value); !ok {
			return dsnError("%s is %q: use _compat=mattn or _compat=modernc", behaves, redact.Value(value))
		}
		return nil
	case "mode":
		switch d.mode = value; value {
		case "ro", "rw", "rwc", "memory":
		default:
			d.refuse("no such access mode: %q: use ro, rw, rwc or memory", value)
		}
	case "vfs":
		d.vfs = value // what there is of them is known when a connection is opened
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
			return dsnError("%s is %q, which SQLite would take for off: use 1 or 0", key, redact.Value(value))
		}
	default:
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

// refuse has connections fail to open, as they do in the plain driver, for a parameter's value
// that SQLite does not know.
func (d *dsn) refuse(format, value string) {
	if d.refused == nil {
		d.refused = &parameterError{fmt.Sprintf(format, redact.Value(value))}
	}
}

// knownTimeFormat reports whether ncruces' driver has a meaning for a _timefmt:
// a name of its own, a format of sqlite3.TimeFormat, or a layout that a time can
// be read back from. Anything else it would store as it is, digits replaced.
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

// namespace is the database's name for people: the file, without parameters.
func (d *dsn) namespace() string {
	path := d.path
	if d.uri {
		path = d.pathOfURI()
	}
	if d.vfs == "memdb" && (path == "/:memory:" || strings.HasPrefix(path, "/:memory:/")) {
		return ":memory:" // what follows tells it from others, and is made up
	}
	if path == "" || path == ":memory:" || d.mode == "memory" {
		return ":memory:"
	}
	return redact.Name(path)
}

// render returns the name for the plain driver: the one given, but with these
// pragmas instead of its own.
func (d *dsn) render(ps []Pragma) string {
	if len(ps) == 0 && !d.uri {
		return d.name
	}
	path := d.path
	if !d.uri {
		path = escapePath(path)
	}
	params := slices.Clone(d.params)
	if d.deferred {
		params = append(params, "_txlock=deferred")
	}
	if d.timefmt != "" {
		params = append(params, "_timefmt="+url.QueryEscape(d.timefmt))
	}
	for _, p := range ps {
		params = append(params, "_pragma="+url.QueryEscape(p.text()))
	}
	name := "file:" + path
	if len(params) > 0 {
		name += "?" + strings.Join(params, "&")
	}
	return name + d.tail
}

// Canonical returns a data source name that means the same as name, in which each pragma stands
// once, with its last value, and nothing is another driver's. It fails with [ErrDSN] as
// [NewConnector] does.
func Canonical(name string) (string, error) {
	d, err := parseDSN(name)
	if err != nil {
		return "", err
	}
	return d.canonical(), nil
}

// canonical returns a name that means the same, with nothing of another driver's
// but the size of the cache, and the memory limit.
func (d *dsn) canonical() string {
	c := *d
	c.params = slices.Clone(d.params)
	if d.cacheSize != 0 {
		c.params = append(c.params, "_stmt_cache_size="+strconv.Itoa(max(d.cacheSize, 0)))
	}
	if d.memoryLimit != 0 {
		c.params = append(c.params, "_memory_limit="+strconv.FormatInt(d.memoryLimit, 10))
	}
	c.params = append(c.params, d.behavior()...)
	if d.shared {
		c.params = slices.DeleteFunc(c.params, func(p string) bool { return p == "vfs=memdb" })
		c.params = append(c.params, "mode=memory", "cache=shared")
	}
	return c.render(mergePragmas(d.translated, d.pragmas))
}

// begins has Begin take no lock, if no parameter says otherwise, as in other drivers.
func (d *dsn) begins() {
	d.deferred = !slices.ContainsFunc(d.params, func(p string) bool { return strings.HasPrefix(p, "_txlock=") })
}

// behavior returns the parameters that are neither the plain driver's nor pragmas.
func (d *dsn) behavior() (params []string) {
	add := func(ok bool, param string) {
		if ok {
			params = append(params, param)
		}
	}
	add(d.compat != CompatNone, behaves+"="+d.compat.String())
	add(d.times.format != "", "_time_format="+d.times.format)
	add(d.times.unit != "", "_time_integer_format="+d.times.unit)
	add(d.times.zone != nil, d.times.zoneParam)
	add(d.times.fromInts, "_inttotime=1")
	add(d.times.fromTexts, "_texttotime=1")
	add(d.switches.defensive, "_defensive=1")
	if q := d.switches.quotes; q != nil {
		add(*q, "_dqs=1")
		add(!*q, "_dqs=0")
	}
	add(d.deferFK, "_defer_foreign_keys=1")
	return params
}

// escapePath makes a file's name the path of a URI.
// https://sqlite.org/uri.html#the_uri_path
func escapePath(name string) string {
	var b strings.Builder
	if strings.HasPrefix(name, "/") {
		b.WriteString("//") // an empty authority, so that "//x" names no host
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '%', c == '?', c == '#', isControl(rune(c)):
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
