package pool

import (
	"cmp"
	"crypto/rand"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
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
	upkeep source // of the pool's own connections beside the writer; zero if there is one lane
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
	s.upkeep = c.upkeep()
	return s, nil
}

func (c Config) writer() source {
	l := c.location()
	if !l.has("_txlock") && !c.queryOnly() {
		// A transaction that reads first and then writes would fail with
		// BUSY_SNAPSHOT if another had written meanwhile. A connection with
		// query_only cannot take the lock: SQLite answers READONLY.
		l.add("_txlock", "immediate")
	}
	ps := c.pragmas()
	if c.wal() {
		ps = append(ps, driver.Pragma{Name: "journal_mode", Value: "wal"})
	}
	return source{l.render(), c.driverConfig(append(ps, c.Pragmas...))}
}

// reader returns what readers are made from. They have the file open for reading alone,
// so that no text and no function of SQLite's makes them write to it.
func (c Config) reader() source { return c.beside("ro") }

// upkeep returns what the connections of the checkpointer and of backups are made
// from. They change no data, but have the file open for writing: SQLite does not
// checkpoint through a connection of mode=ro, which fails with IOERR.
func (c Config) upkeep() source { return c.beside("rw") }

// beside returns what connections beside the writer are made from. If the file is gone,
// they do not make another.
func (c Config) beside(mode string) source {
	l := c.location()
	l.remove(func(p param) bool {
		name := p.pragma().Name
		return p.key == "_txlock" || p.key == "mode" || name != "" && notReaders[bare(name)]
	})
	l.add("mode", mode)
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
		Init:           c.init(),
		Term:           c.Term,
		StatementCache: c.StatementCache,
		MemoryLimit:    c.MemoryLimit,
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
		{Name: "journal_size_limit", Value: strconv.FormatInt(c.JournalSizeLimit, 10)},
	}
	if c.Compat == driver.CompatNone {
		ps = append(ps, driver.Pragma{Name: "foreign_keys", Value: "on"})
	}
	if !c.keyed() {
		ps = append(ps, driver.Pragma{Name: "synchronous", Value: c.Synchronous.String()})
	}
	return ps
}

// keyed reports whether the VFS may want a key that Config.Init gives. SQLite reads
// the file to set synchronous, so that must wait until Init has run; see init.
func (c Config) keyed() bool {
	l := locate(c.Path)
	return !l.memory() && !l.ofOS()
}

// init returns what is called for every new connection: Config.Init, and the
// pragma that must come after it.
func (c Config) init() func(*sqlite3.Conn) error {
	if _, said := c.said("synchronous"); said || !c.keyed() {
		return c.Init
	}
	return func(raw *sqlite3.Conn) error {
		if c.Init != nil {
			if err := c.Init(raw); err != nil {
				return err
			}
		}
		return raw.Exec("PRAGMA synchronous=" + c.Synchronous.String())
	}
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
	return l.get("mode") == "ro" || l.on("immutable") || c.queryOnly()
}

// queryOnly reports whether Path or Pragmas set query_only.
func (c Config) queryOnly() bool {
	value, ok := c.said("query_only")
	return ok && !isOff(value)
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
	if n, err := strconv.ParseInt(l.get("_memory_limit"), 10, 64); err == nil && n != 0 {
		c.MemoryLimit = n
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
	return Synchronous(i), i > int(SynchronousDefault) // which is no word of SQLite's
}

// defaultSynchronous returns the setting with which a power failure undoes no
// commit. A database in memory syncs nothing, and has SQLite's own.
func (c Config) defaultSynchronous() Synchronous {
	if c.wal() || c.memory() {
		return SynchronousFull
	}
	return SynchronousExtra
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
