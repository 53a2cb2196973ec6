package pool

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver"
)

// A source is what the connections of a lane are made from; see
// [driver.NewConnector].
type source struct {
	dsn    string
	config driver.Config
}

// sources are what the connections of a pool are made from. They are made once
// for a pool: each time, those of a private database in memory are another's.
type sources struct {
	writer source
	reader source // zero if there is one lane
	file   string // the database's, as Config.file says

	// memory is whether the database is gone with its last connection, so that
	// something must keep it.
	memory bool
}

// sources returns what connections are made from. c must be valid, and have its
// defaults. The error is package driver's.
//
// The pragmas of c.Path stay in the DSN and those of c.Pragmas in the Config,
// behind the pool's own, so that they win.
func (c Config) sources() (sources, error) {
	s := sources{file: c.file(), memory: c.memory(), writer: c.writer()}
	if _, err := driver.NewConnector(s.writer.dsn, driver.Config{Pragmas: s.writer.config.Pragmas}); err != nil {
		return sources{}, err
	}
	if c.lanes() == 0 {
		return s, nil
	}
	s.reader = c.reader()
	if _, err := driver.NewConnector(s.reader.dsn, driver.Config{Pragmas: s.reader.config.Pragmas}); err != nil {
		return sources{}, err
	}
	return s, nil
}

func (c Config) writer() source {
	l := c.location()
	if !l.has("_txlock") {
		// A transaction that reads first and then writes would fail with
		// BUSY_SNAPSHOT if another had written meanwhile.
		l.add("_txlock", "immediate")
	}
	ps := c.pragmas()
	if c.wal() {
		ps = append(ps, driver.Pragma{Name: "journal_mode", Value: "wal"})
	}
	return source{l.render(), c.driverConfig(append(ps, c.Pragmas...))}
}

func (c Config) reader() source {
	l := c.location()
	l.remove(func(p param) bool {
		name := p.pragma().Name
		return p.key == "_txlock" || name != "" && notReaders[bare(name)]
	})
	if !l.has("mode") {
		// If the file is gone, so are the pool's data: a reader that made a new
		// one would find nothing, and say nothing.
		l.add("mode", "rw")
	}
	l.add("_txlock", "deferred") // or Begin would ask for the right to write
	l.add("_pragma", "query_only(1)")
	ps := slices.DeleteFunc(append(c.pragmas(), c.Pragmas...), func(p driver.Pragma) bool { return notReaders[bare(p.Name)] })
	return source{l.render(), c.driverConfig(ps)}
}

// driverConfig is what connections of all lanes have. Its Recorder is the
// program's, to which the pool adds its own.
func (c Config) driverConfig(ps []driver.Pragma) driver.Config {
	return driver.Config{
		// What only asks for a setting of the pool's would go before it.
		Pragmas:        slices.DeleteFunc(ps, func(p driver.Pragma) bool { return p.Value == "" && ownPragmas[bare(p.Name)] }),
		Init:           c.Init,
		Term:           c.Term,
		StatementCache: c.StatementCache,
		Tracing:        c.Tracing,
		Recorder:       c.Recorder,
		Interceptors:   c.Interceptors,
	}
}

// pragmas are the pool's own for connections of all lanes. The busy timeout is
// always among them, because without it the driver's would depend on whether the
// DSN has any other pragma.
func (c Config) pragmas() []driver.Pragma {
	busy := (max(c.BusyTimeout, 0) + time.Millisecond - 1) / time.Millisecond
	ps := []driver.Pragma{
		{Name: "busy_timeout", Value: strconv.FormatInt(int64(busy), 10)},
		{Name: "foreign_keys", Value: "on"},
		{Name: "journal_size_limit", Value: strconv.FormatInt(c.JournalSizeLimit, 10)},
	}
	if l := locate(c.Path); c.Synchronous != SynchronousFull || l.ofOS() {
		// SQLite reads the file for it, and another VFS may have to wait for a key
		// from Config.Init. There it is full anyway: what is not is for WAL mode.
		ps = append(ps, driver.Pragma{Name: "synchronous", Value: c.Synchronous.String()})
	}
	return ps
}

// ownPragmas are those that the pool sets.
var ownPragmas = map[string]bool{
	"busy_timeout": true, "foreign_keys": true, "journal_mode": true, "journal_size_limit": true, "synchronous": true, "query_only": true,
}

// notReaders are pragmas that a reader is not given: those that write to the
// database, which the writer has done, and its own.
var notReaders = map[string]bool{
	"application_id": true, "auto_vacuum": true, "encoding": true, "incremental_vacuum": true, "journal_mode": true, "optimize": true,
	"page_size": true, "query_only": true, "schema_version": true, "user_version": true, "wal_checkpoint": true,
}

// location returns where the database is, as connections of all lanes are to be
// told.
func (c Config) location() location {
	l := locate(c.Path)
	l.uri = true
	l.remove(func(p param) bool {
		asked := p.pragma()
		return asked.Name != "" && asked.Value == "" && ownPragmas[bare(asked.Name)]
	})
	switch {
	case l.private():
		// The driver has the plain name for it, because of how it begins.
		l.raw = "/:memory:/" + rand.Text()
		l.remove(func(p param) bool {
			return p.key == "cache" || p.key == "vfs" || p.key == "mode" && p.value == "memory"
		})
		l.add("vfs", "memdb")
	case c.MustExist && !c.memory() && !l.has("mode"):
		mode := "rw"
		if l.on("immutable") {
			mode = "ro"
		}
		l.add("mode", mode)
	}
	return l
}

// memory reports whether the database is in memory.
func (c Config) memory() bool { return locate(c.Path).memory() }

// file is the database's file as the operating system knows it: relative, if Path
// is. It is empty if the database has none, or only a VFS that Path names knows
// where.
func (c Config) file() string {
	if l := locate(c.Path); !l.memory() && l.ofOS() {
		return l.path
	}
	return ""
}

// wal reports whether the pool sets WAL mode.
func (c Config) wal() bool {
	l := locate(c.Path)
	if c.DisableWAL || !vfs.SupportsSharedMemory || l.memory() || !l.ofOS() || l.on("nolock") || c.readsOnly() {
		return false
	}
	mode, ok := c.said("journal_mode")
	return !ok || strings.EqualFold(mode, "wal")
}

// readsOnly reports whether the database is only to be read.
func (c Config) readsOnly() bool {
	l := locate(c.Path)
	if l.get("mode") == "ro" || l.on("immutable") {
		return true
	}
	readOnly, ok := c.said("query_only")
	return ok && !isOff(readOnly)
}

// said returns the value that Path or Pragmas say for a pragma of the main
// database.
func (c Config) said(name string) (value string, ok bool) {
	if value, ok = locate(c.Path).said(name); ok {
		return value, true
	}
	for _, p := range slices.Backward(c.Pragmas) {
		if p.Value != "" && bare(p.Name) == name {
			return p.Value, true
		}
	}
	return "", false
}

// asSaid returns c with what Path and Pragmas say of its fields.
func (c Config) asSaid() Config {
	if value, ok := c.said("busy_timeout"); ok {
		if ms, ok := pragmaInt(value); ok {
			c.BusyTimeout = never
			if ms > 0 {
				c.BusyTimeout = time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
			}
		}
	}
	if value, ok := c.said("synchronous"); ok {
		if s, ok := synchronousOf(value); ok {
			c.Synchronous = s
		}
	}
	if value, ok := c.said("journal_size_limit"); ok {
		if n, ok := pragmaInt(value); ok {
			c.JournalSizeLimit = max(n, -1)
		}
	}
	l := locate(c.Path)
	if n, err := strconv.Atoi(l.get("_stmt_cache_size")); err == nil {
		c.StatementCache = cmp.Or(n, -1)
	}
	if mode := l.get("mode"); mode == "ro" || mode == "rw" {
		c.MustExist = true
	}
	return c
}

// synchronousOf reads one of SQLite's words for it, or its numbers.
func synchronousOf(value string) (Synchronous, bool) {
	value = strings.ToLower(value)
	if i := slices.Index([]string{"0", "1", "2", "3"}, value); i >= 0 {
		value = []string{"off", "normal", "full", "extra"}[i]
	}
	i := slices.Index(synchronousNames, value)
	return Synchronous(i), i >= 0
}

// integer reads a number as a pragma has it.
func pragmaInt(value string) (int64, bool) {
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil {
		n, err = strconv.ParseInt(value, 10, 64) // 010 is ten
	}
	return n, err == nil
}

// isOff reports whether a flag's value is SQLite's word for off.
func isOff(value string) bool {
	on, ok := toBool(value)
	return ok && !on
}

func toBool(value string) (on, ok bool) {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}

// bare returns a pragma's name in lower case; without a schema, if that is main.
func bare(name string) string {
	return strings.TrimPrefix(strings.ToLower(name), "main.")
}

// A location is a Path taken apart, as package driver and SQLite read it.
// https://sqlite.org/uri.html
type location struct {
	uri    bool
	raw    string  // before the parameters, escaped, without "file:"
	path   string  // raw without escapes and authority, or what is no URI
	params []param // of a URI
	tail   string  // of a URI, from "#" on
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

func locate(path string) location {
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
	l.params = append(l.params, newParam(key+"="+url.QueryEscape(value)))
}

func (l *location) remove(which func(param) bool) { l.params = slices.DeleteFunc(l.params, which) }

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

// said returns the value of a pragma of the main database: of _pragma the last,
// else of another driver's parameter, its short name before the long one, and the
// first before others.
func (l location) said(name string) (value string, ok bool) {
	for _, p := range slices.Backward(l.params) {
		if set := p.pragma(); p.key == "_pragma" && set.Value != "" && bare(set.Name) == name {
			return set.Value, true
		}
	}
	short := false
	for _, p := range l.params {
		if set := p.pragma(); p.key != "_pragma" && set.Name == name && (!ok || !short && p.key != "_"+name) {
			value, ok, short = set.Value, true, p.key != "_"+name
		}
	}
	return value, ok
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
		return "/" + strings.TrimLeft(l.path, "/")
	}
	scheme, rest, ok := strings.Cut(l.path, "://")
	if at := strings.LastIndexByte(rest, '@'); ok && at >= 0 {
		return scheme + "://..." + rest[at:] // a user and password of what looks like another database's URL
	}
	return l.path
}

// parseDSN reads a DSN of sql.Open: one of package driver's, with keys of the
// pool's among its parameters. They change the fields of base, and everything
// else is the Path, as it was written. Errors are [ErrInvalidConfig] and
// [driver.ErrDSN]; what else may be wrong is for [Config.Validate] to say.
func parseDSN(dsn string, base Config) (Config, error) {
	var ps problems
	base.Path = dsn
	l := locate(dsn)
	if !l.uri {
		path, query, _ := strings.Cut(dsn, "?")
		if strings.Contains(strings.ToLower(query), poolKey) {
			if _, err := driver.NewConnector(dsn, driver.Config{}); err != nil {
				ps.add("%w", err)
			} else {
				ps = append(ps, errDSN{fmt.Errorf("parameters need a URI, or they become part of the file's name: write file:%s?... instead", locate(path).database())})
			}
		}
		return base, ps.err()
	}
	before := len(l.params)
	seen := make(map[string]bool)
	l.remove(func(p param) bool {
		if !isPoolKey(p.key) {
			return false
		}
		set, known := dsnKeys[p.key]
		remedy := ""
		switch {
		case !known:
			ps = append(ps, errDSN{fmt.Errorf("the parameter %q is not known: use one of %s", plainly(p.key), knownKeys())})
		case seen[p.key]:
			ps = append(ps, errDSN{fmt.Errorf("%s is given more than once: leave out all but one", p.key)})
		default:
			remedy = set(&base, p.value)
		}
		if remedy != "" {
			ps = append(ps, errDSN{fmt.Errorf("%s is %q: %s", p.key, plainly(p.value), remedy)})
		}
		seen[p.key] = true
		return true
	})
	if len(l.params) < before {
		base.Path = l.render()
	}
	return base, ps.err()
}

// poolKey is how the pool's keys begin.
const poolKey = "_pool_"

func isPoolKey(key string) bool { return strings.HasPrefix(strings.ToLower(key), poolKey) }

// dsnKeys are the pool's keys. Each sets its field to a value, or says what
// values there are.
var dsnKeys = map[string]func(c *Config, value string) (remedy string){
	"_pool_name": func(c *Config, value string) string {
		if c.Name = value; value == "" {
			return "write a name, or leave it out"
		}
		return ""
	},
	"_pool_min":                countKey(func(c *Config) *int { return &c.MinConns }),
	"_pool_max":                countKey(func(c *Config) *int { return &c.MaxConns }),
	"_pool_max_waiters":        countKey(func(c *Config) *int { return &c.MaxWaiters }),
	"_pool_events":             countKey(func(c *Config) *int { return &c.Events }),
	"_pool_acquire_timeout":    durationKey(func(c *Config) *time.Duration { return &c.AcquireTimeout }),
	"_pool_idle_timeout":       durationKey(func(c *Config) *time.Duration { return &c.IdleTimeout }),
	"_pool_max_lifetime":       durationKey(func(c *Config) *time.Duration { return &c.MaxLifetime }),
	"_pool_busy_timeout":       durationKey(func(c *Config) *time.Duration { return &c.BusyTimeout }),
	"_pool_validate_after":     durationKey(func(c *Config) *time.Duration { return &c.ValidateAfter }),
	"_pool_keepalive":          durationKey(func(c *Config) *time.Duration { return &c.KeepAlive }),
	"_pool_leak_after":         durationKey(func(c *Config) *time.Duration { return &c.LeakAfter }),
	"_pool_health_interval":    durationKey(func(c *Config) *time.Duration { return &c.HealthInterval }),
	"_pool_must_exist":         boolKey(func(c *Config, on bool) { c.MustExist = on }),
	"_pool_wal":                boolKey(func(c *Config, on bool) { c.DisableWAL = !on }),
	"_pool_lifetime_jitter":    jitterKey,
	"_pool_journal_size_limit": bytesKey,
	"_pool_dirty": func(c *Config, value string) string {
		i := slices.Index(dirtyNames, strings.ToLower(value))
		if i < 0 {
			return "use repair, discard or fail"
		}
		c.Dirty = Dirty(i)
		return ""
	},
	"_pool_synchronous": func(c *Config, value string) string {
		s, ok := synchronousOf(value)
		if !ok {
			return "use off, normal, full or extra"
		}
		c.Synchronous = s
		return ""
	},
}

func knownKeys() string {
	return strings.Join(slices.Sorted(maps.Keys(dsnKeys)), ", ")
}

func countKey(field func(*Config) *int) func(*Config, string) string {
	return func(c *Config, value string) string {
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return "use a whole number, 0 for the default"
		}
		*field(c) = n
		return ""
	}
}

// duration reads Go's way to write one, or whole seconds.
func durationKey(field func(*Config) *time.Duration) func(*Config, string) string {
	return func(c *Config, value string) string {
		d, err := time.ParseDuration(value)
		if err != nil {
			var seconds int64
			seconds, err = strconv.ParseInt(value, 10, 64)
			if d = time.Duration(seconds) * time.Second; seconds < 0 {
				d = never
			} else if seconds > math.MaxInt64/int64(time.Second) {
				return fmt.Sprintf("use %d seconds at most, or never", math.MaxInt64/int64(time.Second))
			}
		}
		if strings.EqualFold(value, "never") {
			d, err = never, nil
		}
		if err != nil {
			return `use a duration such as 30s or 5m, whole seconds, 0 for the default, or never`
		}
		*field(c) = max(d, never)
		return ""
	}
}

func boolKey(set func(*Config, bool)) func(*Config, string) string {
	return func(c *Config, value string) string {
		on, ok := toBool(value)
		if !ok {
			return "use on or off"
		}
		set(c, on)
		return ""
	}
}

func jitterKey(c *Config, value string) string {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(f) || f > 1 {
		return fmt.Sprintf("use a fraction up to 1, 0 for %v, or -1 for none", defaultLifetimeJitter)
	}
	if c.LifetimeJitter = f; f < 0 {
		c.LifetimeJitter = -1
	}
	return ""
}

func bytesKey(c *Config, value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Sprintf("use a number of bytes, 0 for %d, or -1 for any number", defaultJournalSizeLimit)
	}
	c.JournalSizeLimit = max(n, -1)
	return ""
}

// errDSN marks a problem as one of a data source name.
type errDSN struct{ error }

// Is reports whether target is [driver.ErrDSN].
func (e errDSN) Is(target error) bool { return target == driver.ErrDSN }

// plainly is how much of a text from a DSN an error may show: a secret may stand
// behind it, if a separator was mistyped.
func plainly(text string) string {
	n := 0
	for n < len(text) && n < 64 && (isName(text[n]) || strings.IndexByte(".+-: ", text[n]) >= 0) {
		n++
	}
	if n < len(text) {
		return text[:n] + "..."
	}
	return text
}
