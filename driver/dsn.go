package driver

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sqlitemw/sqlitemw/driver/redact"
)

// A DSN is a parsed and checked data source name; see [ParseDSN]. It is immutable and safe
// for concurrent use. Methods that change something return a changed copy.
type DSN struct {
	name string // the DSN as given

	uri    bool
	path   string   // before "?" and "#", as given, without "file:"
	params []string // between "&", as given, without _pragma
	tail   string   // starts at "#"

	// Values of parameters that are also in params.
	mode    string
	cache   string
	vfs     string
	standIn string // see OpenedWith
	modeof  bool   // SQLite takes the file's permissions from another file
	openErr error  // the error that opening a connection returns

	pragmas    []Pragma // from _pragma, in order
	translated []Pragma // from other drivers' parameters

	timefmt     string
	cacheSize   int   // see Config.StatementCache
	memoryLimit int64 // see Config.MemoryLimit

	compat   Compat
	notices  []notice
	dbConfig dbConfig
	times    foreignTimes
	shared   bool // cache=shared on an in-memory database
	deferred bool // Begin takes no lock, unless _txlock says otherwise
	deferFK  bool // defer_foreign_keys is on until the first transaction ends
}

// String returns the database's name, and "?..." if there are parameters. It is safe to
// show in errors.
func (d *DSN) String() string {
	shown := redact.Text(d.Database())
	if len(d.params) > 0 || len(d.pragmas) > 0 || len(d.translated) > 0 {
		shown += "?..."
	}
	return shown
}

// Text returns the whole DSN, including secrets, for [sql.Open]. It is a DSN for "sqlitemw"
// with the same meaning as the parsed one. Each pragma is in it once, with its last value.
// A file name without parameters is returned unchanged.
func (d *DSN) Text() string {
	c := *d
	c.params, c.standIn = slices.Clone(d.params), ""
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

// Compat returns the driver whose behavior connections imitate.
func (d *DSN) Compat() Compat { return d.compat }

// Database returns the database's name as errors, spans and metrics show it: the file name
// without parameters, or ":memory:".
func (d *DSN) Database() string {
	name := d.filename()
	if d.vfs == "memdb" && (name == "/:memory:" || strings.HasPrefix(name, memoryNames)) {
		return ":memory:" // the rest of the name is made up, to be unique
	}
	if d.Private() {
		return ":memory:"
	}
	return redact.Name(name)
}

// File returns the name of the database's file. It is empty for an in-memory database, and
// for a VFS other than the operating system's.
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

// Private reports whether the database is in memory and each connection has its own.
func (d *DSN) Private() bool {
	return d.Memory() && (d.vfs != "memdb" || !strings.HasPrefix(d.filename(), "/") || d.mode == "memory")
}

// Param returns the value of _txlock, or of a parameter that SQLite reads, such as mode or
// vfs. It returns the last value of a repeated parameter. ok reports whether the DSN has
// the parameter.
func (d *DSN) Param(key string) (value string, ok bool) {
	for _, param := range slices.Backward(d.params) {
		if k, v := splitParam(param); k == key {
			return v, true
		}
	}
	return "", false
}

// On reports whether a flag parameter, such as immutable, is on.
func (d *DSN) On(key string) bool {
	return slices.ContainsFunc(d.params, func(param string) bool {
		k, v := splitParam(param)
		return k == key && flags[strings.ToLower(v)] == "1"
	})
}

// Pragma returns the pragma of the main database with the given name, with the value that
// is in force. ok reports whether the DSN sets it.
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

// StatementCache returns the number of statements that each connection keeps. It is
// negative for none, and 0 if the DSN does not set it.
func (d *DSN) StatementCache() int { return d.cacheSize }

// MemoryLimit returns the number of bytes that SQLite may use for each connection. It is 0
// if the DSN does not set it.
func (d *DSN) MemoryLimit() int64 { return d.memoryLimit }

// With returns a copy of d with the parameter key set to value. key must be _txlock or a
// parameter that SQLite reads. With panics if the value is invalid.
func (d *DSN) With(key, value string) *DSN {
	c := d.Without(key)
	if err := (&dsnParser{DSN: c}).add(key + "=" + url.QueryEscape(value)); err != nil {
		panic(err)
	}
	return c
}

// Without returns a copy of d without the given parameters, which must be _txlock or ones
// that SQLite reads.
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

// WithPragma returns a copy of d with p added. p takes precedence over pragmas of the same
// name.
func (d *DSN) WithPragma(p Pragma) *DSN {
	c := d.clone()
	c.pragmas = append(c.pragmas, p)
	return c
}

// WithoutPragmas returns a copy of d without the pragmas for which remove returns true.
func (d *DSN) WithoutPragmas(remove func(Pragma) bool) *DSN {
	c := d.clone()
	c.pragmas = slices.DeleteFunc(c.pragmas, remove)
	c.translated = slices.DeleteFunc(c.translated, remove)
	return c
}

// WithMemory returns a copy of d that names an in-memory database. All connections of the
// process with this name share the database, until the last one is closed.
func (d *DSN) WithMemory(name string) *DSN {
	c := d.Without("cache", "vfs")
	if c.mode == "memory" {
		c = c.Without("mode")
	}
	c.path = escapePath(memoryNames + name)
	return c.With("vfs", "memdb")
}

// clone returns a copy of d as a URI. The copy's parameters and pragmas may be changed.
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

// splitParam returns the unescaped key and value of a parameter, which must have been
// checked.
func splitParam(param string) (key, value string) {
	key, value, _ = strings.Cut(param, "=")
	key, _ = url.QueryUnescape(key)
	value, _ = url.QueryUnescape(value)
	return key, value
}

// filename returns the unescaped name before the parameters, without an authority.
func (d *DSN) filename() string {
	if !d.uri {
		return d.path
	}
	path := d.path
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = strings.TrimPrefix(rest, "localhost") // the authority that means this machine
	}
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	return path
}

// render returns the DSN for the plain driver, with ps in place of its own pragmas.
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
	if d.standIn != "" {
		params = append(params, "vfs="+d.standIn) // SQLite uses the last one
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

// deferBegin makes Begin take no lock, as in other drivers, unless there is a _txlock.
func (d *DSN) deferBegin() {
	d.deferred = !slices.ContainsFunc(d.params, func(p string) bool { return strings.HasPrefix(p, "_txlock=") })
}

// behavior returns the parameters that are neither pragmas nor known to the plain driver.
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

// OpenedWith returns d, whose connections open their files with the named VFS. That must stand in for
// the operating system's, which the DSN names or means.
func (d *DSN) OpenedWith(vfs string) *DSN {
	c := d.clone()
	c.standIn = vfs
	return c
}

// FileURI returns the URI of the named file. The name may hold any characters.
func FileURI(name string) string { return "file:" + escapePath(name) }

// escapePath escapes a file name for the path of a URI.
// https://sqlite.org/uri.html#the_uri_path
func escapePath(name string) string {
	var b strings.Builder
	if strings.HasPrefix(name, "/") {
		b.WriteString("//") // an empty authority, so that "//x" does not name a host
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
