package driver

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A DSN is a data source name that has been parsed and checked; see [ParseDSN].
// It does not change, and is safe for concurrent use. Its methods that change
// something return a changed copy.
type DSN struct {
	name string // as given

	uri    bool
	path   string   // before "?" and "#", as given, without "file:"
	params []string // between "&", as given, without _pragma
	tail   string   // from "#" on

	// Of the parameters that stay in params.
	mode    string
	cache   string
	vfs     string
	modeof  bool  // SQLite looks at another file
	openErr error // what SQLite would refuse when a connection is opened, and show all of

	pragmas    []Pragma // of _pragma, in their order
	translated []Pragma // of other drivers' parameters for pragmas

	timefmt     string
	cacheSize   int   // as Config.StatementCache
	memoryLimit int64 // as Config.MemoryLimit

	compat   Compat
	notices  []notice
	dbConfig dbConfig
	times    foreignTimes
	shared   bool // cache=shared, of a database in memory
	deferred bool // Begin takes no lock where no _txlock says otherwise
	deferFK  bool // defer_foreign_keys, until the first transaction has ended
}

// String returns what an error may show of the DSN: the database's name, and
// whether there are parameters.
func (d *DSN) String() string {
	shown := redact.Text(d.Database())
	if len(d.params) > 0 || len(d.pragmas) > 0 || len(d.translated) > 0 {
		shown += "?..."
	}
	return shown
}

// Text returns the DSN itself, secrets included, for [sql.Open]: a name of
// "sqlitemw" that means the same as the one that was parsed. Each pragma stands in
// it once, with its last value. A file's name without parameters is returned as
// it is.
func (d *DSN) Text() string {
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

// Compat returns the driver whose behavior connections have.
func (d *DSN) Compat() Compat { return d.compat }

// Database returns the database's name as errors, spans and metrics show it: the
// file without parameters, or ":memory:".
func (d *DSN) Database() string {
	name := d.filename()
	if d.vfs == "memdb" && (name == "/:memory:" || strings.HasPrefix(name, memoryNames)) {
		return ":memory:" // what follows tells it from others, and is made up
	}
	if d.Private() {
		return ":memory:"
	}
	return redact.Name(name)
}

// File returns the name of the database's file. It is empty for a database in
// memory, and for a VFS other than the operating system's.
func (d *DSN) File() string {
	if !d.IsOS() || d.Memory() {
		return ""
	}
	return d.filename()
}

// IsOS reports whether the VFS is the operating system's.
func (d *DSN) IsOS() bool { return d.vfs == "" || d.vfs == "os" }

// Memory reports whether the database is in memory.
func (d *DSN) Memory() bool {
	name := d.filename()
	return name == "" || name == ":memory:" || d.mode == "memory" || d.vfs == "memdb"
}

// Private reports whether the database is in memory, and each connection has one
// of its own.
func (d *DSN) Private() bool {
	return d.Memory() && (d.vfs != "memdb" || !strings.HasPrefix(d.filename(), "/") || d.mode == "memory")
}

// Param returns the value of a parameter that SQLite reads, such as mode or vfs,
// or of _txlock: the last, if it is repeated. It reports whether there is one.
func (d *DSN) Param(key string) (value string, ok bool) {
	for _, param := range slices.Backward(d.params) {
		if k, v := splitParam(param); k == key {
			return v, true
		}
	}
	return "", false
}

// On reports whether a parameter is a flag that is set, such as immutable.
func (d *DSN) On(key string) bool {
	return slices.ContainsFunc(d.params, func(param string) bool {
		k, v := splitParam(param)
		return k == key && flags[strings.ToLower(v)] == "1"
	})
}

// Pragma returns the pragma of the main database with this name that is in force,
// and whether the DSN sets it.
func (d *DSN) Pragma(name string) (p Pragma, ok bool) {
	for _, ps := range [][]Pragma{d.pragmas, d.translated} {
		for _, p := range slices.Backward(ps) {
			if p.IsMain(name) && p.Value != "" {
				return p, true
			}
		}
	}
	return Pragma{}, false
}

// StatementCache returns the number of statements that each connection keeps:
// negative for none, and 0 if the DSN does not say.
func (d *DSN) StatementCache() int { return d.cacheSize }

// MemoryLimit returns the number of bytes that SQLite may use for each connection;
// 0 if the DSN does not say.
func (d *DSN) MemoryLimit() int64 { return d.memoryLimit }

// With returns d with a parameter that SQLite reads, or _txlock, in the place of
// any that it has. It is for values that are known to be good, and panics for
// others.
func (d *DSN) With(key, value string) *DSN {
	c := d.Without(key)
	if err := (&dsnParser{DSN: c}).add(key + "=" + url.QueryEscape(value)); err != nil {
		panic(err)
	}
	return c
}

// Without returns d without these parameters, which SQLite reads, or _txlock.
func (d *DSN) Without(keys ...string) *DSN {
	c := d.clone()
	c.params = slices.DeleteFunc(c.params, func(param string) bool {
		key, _ := splitParam(param)
		return slices.Contains(keys, key)
	})
	for _, key := range keys {
		switch key {
		case "mode":
			c.mode = ""
		case "cache":
			c.cache = ""
		case "vfs":
			c.vfs, c.shared = "", false
		}
	}
	return c
}

// WithPragma returns d with a pragma, which wins over others of the same name.
func (d *DSN) WithPragma(p Pragma) *DSN {
	c := d.clone()
	c.pragmas = append(c.pragmas, p)
	return c
}

// WithoutPragmas returns d without the pragmas for which remove returns true.
func (d *DSN) WithoutPragmas(remove func(Pragma) bool) *DSN {
	c := d.clone()
	c.pragmas = slices.DeleteFunc(c.pragmas, remove)
	c.translated = slices.DeleteFunc(c.translated, remove)
	return c
}

// WithMemory returns d as the DSN of a database in memory that all connections of
// the process share which use this name, until the last is closed.
func (d *DSN) WithMemory(name string) *DSN {
	c := d.Without("cache", "vfs")
	if c.mode == "memory" {
		c = c.Without("mode")
	}
	c.path = escapePath(memoryNames + name)
	return c.With("vfs", "memdb")
}

// clone returns a copy of d as a URI, of which parameters and pragmas may be changed.
func (d *DSN) clone() *DSN {
	c := *d
	if !c.uri {
		c.uri, c.path = true, escapePath(c.path)
	}
	c.params = slices.Clone(d.params)
	c.pragmas = slices.Clone(d.pragmas)
	c.translated = slices.Clone(d.translated)
	return &c
}

// splitParam returns a parameter's key and value without escapes. It must have been
// checked.
func splitParam(param string) (key, value string) {
	key, value, _ = strings.Cut(param, "=")
	key, _ = url.QueryUnescape(key)
	value, _ = url.QueryUnescape(value)
	return key, value
}

// filename returns what stands before the parameters, without escapes and authority.
func (d *DSN) filename() string {
	if !d.uri {
		return d.path
	}
	path := d.path
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = strings.TrimPrefix(rest, "localhost") // an authority, which names this machine
	}
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	return path
}

// render returns the name for the plain driver: the one given, but with these
// pragmas instead of its own.
func (d *DSN) render(ps []Pragma) string {
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

// begins has Begin take no lock, if no parameter says otherwise, as in other drivers.
func (d *DSN) deferBegin() {
	d.deferred = !slices.ContainsFunc(d.params, func(p string) bool { return strings.HasPrefix(p, "_txlock=") })
}

// behavior returns the parameters that are neither the plain driver's nor pragmas.
func (d *DSN) behavior() (params []string) {
	add := func(ok bool, param string) {
		if ok {
			params = append(params, param)
		}
	}
	add(d.compat != CompatNone, behaviorParam+"="+d.compat.String())
	add(d.times.format != "", "_time_format="+d.times.format)
	add(d.times.unit != "", "_time_integer_format="+d.times.unit)
	add(d.times.zone != nil, d.times.zoneParam)
	add(d.times.fromInts, "_inttotime=1")
	add(d.times.fromTexts, "_texttotime=1")
	add(d.dbConfig.defensive, "_defensive=1")
	if q := d.dbConfig.quotes; q != nil {
		add(*q, "_dqs=1")
		add(!*q, "_dqs=0")
	}
	add(d.deferFK, "_defer_foreign_keys=1")
	return params
}

// FileURI returns the URI of the file with this name, whatever is in it.
func FileURI(name string) string { return "file:" + escapePath(name) }

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
