package driver

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
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
	unknown string // a parameter that is none of SQLite's
	timefmt string

	foreignTime bool // timefmt is the meaning of another driver's word
	vfs         string
	pragmas     []Pragma // in their order

	// Of other drivers' parameters.
	translated []Pragma        // what sets a pragma
	aliases    map[string]bool // of those, what was set by a short name
	intTime    bool            // a _time_integer_format is given
	cacheSize  int             // as Config.StatementCache
}

// parseDSN takes name apart. Errors are [ErrDSN], and hold no parameter's value
// but that of one known to be no secret.
func parseDSN(name string) (*dsn, error) {
	d := &dsn{name: name, path: name}
	if strings.ContainsRune(name, 0) {
		return nil, dsnError("it holds a NUL byte, at which SQLite would cut it off")
	}
	rest, ok := strings.CutPrefix(name, "file:")
	if !ok {
		return d, d.checkName()
	}
	d.uri = true
	rest, tail, ok := strings.Cut(rest, "#")
	if ok {
		d.tail = "#" + tail
	}
	path, query, _ := strings.Cut(rest, "?")
	d.path = path
	if u, err := url.Parse("file:" + path); err != nil {
		return nil, dsnError("the path of the URI cannot be read: write a percent sign as %%25, and a control character as its %%xx")
	} else if u.Host != "" && u.Host != "localhost" {
		return nil, dsnError("the URI names the host %q: write file:relative/path or file:///absolute/path", u.Host)
	}
	if query == "" {
		return d, nil
	}
	for param := range strings.SplitSeq(query, "&") {
		if err := d.addParam(param); err != nil {
			return nil, err
		}
	}
	if err := d.checkUnknown(); err != nil {
		return nil, err
	}
	return d, d.share()
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
	hint := "SQLite has vfs, mode, cache, psow, nolock, immutable and modeof"
	lower := strings.ToLower(d.unknown)
	if _, ok := pragmas[lower]; ok {
		hint = "write _pragma=" + lower + "(...)"
	} else if fileParams[lower] {
		hint = "write " + lower + ", in lower case"
	} else if _, ok := pragmaParams["_"+lower]; ok {
		hint = "write _" + lower
	}
	return dsnError("the parameter %q is not known, and would be ignored: %s", printable(d.unknown), hint)
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
		return dsnError("cache=shared on a file, and this build of SQLite has no shared cache: leave it out, since connections share a file without; for readers beside a writer say _pragma=journal_mode(wal)")
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
	if scheme = strings.ToLower(scheme); ok && (scheme == "file" || scheme == "sqlite" || scheme == "sqlite3") {
		rest = withoutUser(rest)
		return dsnError("%s: begins no URI, and becomes part of the file's name: write file:%s", d.name[:len(scheme)], strings.TrimPrefix(rest, "//"))
	}
	path, query, ok := strings.Cut(d.name, "?")
	if !ok || query != "" && !strings.Contains(query, "=") && !fileParams[strings.ToLower(query)] {
		return nil
	}
	path = withoutUser(path)
	return dsnError("parameters need a URI, or they become part of the file's name: write file:%s?... for %s?...", path, path)
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
		return dsnError("the value of %q is badly escaped: write a percent sign as %%25", printable(key))
	}
	if strings.Contains(param, ";") {
		return dsnError("the parameter %q holds a semicolon: parameters are separated by &; write a semicolon as %%3B", printable(key))
	}

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
			return dsnError("_txlock is %q: use deferred, immediate, exclusive or concurrent", value)
		}
	case "_timefmt":
		if !knownTimeFormat(value) {
			return dsnError("_timefmt is %q, which would store that text for every time: use auto, sqlite, rfc3339 or a layout of package time", value)
		}
		d.setTimeFormat(value, false)
		return nil
	case "mode":
		d.mode = value
	case "vfs":
		d.vfs = value
	case "cache":
		d.cache = value
	case "psow", "nolock", "immutable":
		if _, ok := flags[strings.ToLower(value)]; !ok {
			return dsnError("%s is %q, which SQLite would take for off: use 1 or 0", key, value)
		}
	default:
		if strings.HasPrefix(key, "_") {
			if known, err := d.foreign(key, value); known {
				return err
			}
			return dsnError("the parameter %q is not known: use _pragma, _txlock or _timefmt", printable(key))
		}
		if !fileParams[key] && d.unknown == "" {
			d.unknown = key
		}
	}
	d.params = append(d.params, param)
	return nil
}

// setTimeFormat keeps the first format that is given, as the plain driver does.
// A word of another driver's gives way to a _timefmt.
func (d *dsn) setTimeFormat(format string, foreign bool) {
	if d.timefmt == "" || d.foreignTime && !foreign {
		d.timefmt, d.foreignTime = format, foreign
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
	return withoutUser(path)
}

// withoutUser leaves the user and password out of what looks like another
// database's URL: a file of that name is hardly meant.
func withoutUser(name string) string {
	scheme, rest, ok := strings.Cut(name, "://")
	if !ok {
		return name
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return name
	}
	return scheme + "://..." + rest[at:]
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

// canonical returns a name that means the same, with nothing of another driver's
// but the size of the cache.
func (d *dsn) canonical() string {
	c := *d
	c.params = slices.Clone(d.params)
	if d.cacheSize != 0 {
		c.params = append(c.params, "_stmt_cache_size="+strconv.Itoa(max(d.cacheSize, 0)))
	}
	return c.render(mergePragmas(d.translated, d.pragmas))
}

// escapePath makes a file's name the path of a URI.
// https://sqlite.org/uri.html#the_uri_path
func escapePath(name string) string {
	name = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(name)
	if strings.HasPrefix(name, "/") {
		return "//" + name // an empty authority, so that "//x" names no host
	}
	return name
}
