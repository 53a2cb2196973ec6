package pool

import (
	"cmp"
	"crypto/rand"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
	"github.com/sqlitemw/sqlitemw/pool/internal/walsync"
	"github.com/sqlitemw/sqlitemw/tracing"
)

// A plan contains everything that follows from a Config. It is computed once. After that,
// Config.Path is not read again.
type plan struct {
	config Config // with all defaults resolved
	dsn    *driver.DSN
	errors wrap.ErrorMap // of Config.Compat and Config.MapError

	watchers *driver.Watchers // of all connections; see driver.Watch
	named    bool             // the program has set Config.Name

	managed bool // the default of Config.Name is the name in a Manager

	syncs    bool // Config.Synchronous follows the journal mode
	readOnly bool // no connection writes to the database
	wal      bool // the pool sets WAL mode

	forbidsWAL bool // Config.DisableWAL forbids WAL mode
	refusesWAL bool // and no pragma converts a file in WAL mode

	exclusive bool // the first connection locks out all others
	readers   int  // largest number of readers; 0 if one connection is for everything

	whyOneLane string // why readers is 0

	writer source
	reader source // zero if there are no readers
	upkeep source // for checkpoints and backups; zero if there are no readers
}

// A source is the DSN and the configuration of a kind of connections.
type source struct {
	dsn    *driver.DSN
	config driver.Config
}

// newPlan returns the plan for c, whose Path has been parsed as dsn. ps are the problems found
// by that. newPlan fails with these and all other problems.
func newPlan(c Config, dsn *driver.DSN, ps problems) (*plan, error) {
	p := &plan{config: c, dsn: dsn, watchers: &driver.Watchers{}}
	ps.fields(c)
	if dsn != nil {
		p.config.Compat = dsn.Compat()
		if mode, _ := dsn.Param("mode"); c.MustExist && mode == "rwc" {
			ps.add("MustExist is true, and Path says mode=rwc, which creates a missing file: say mode=rw, or leave one of them out")
		}
	}
	p.errors = driver.Config{Compat: p.config.Compat, MapError: c.MapError}.ErrorMap()
	p.named = p.config.Name != ""
	p.readSettings()
	ps.durations(c, p.config)
	if err := ps.err(); err != nil {
		return nil, err
	}

	_, said := p.pragma("synchronous")
	p.syncs = c.Synchronous == SynchronousDefault && !said
	p.readOnly = p.isReadOnly()
	ps.journalMode(p)
	locking, _ := p.pragma("locking_mode")
	p.exclusive = strings.EqualFold(locking.Value, "exclusive")
	p.whyOneLane = p.oneLane()
	if p.whyOneLane == "" {
		p.readers = cmp.Or(p.config.MaxConns, defaultMaxConns) - 1
	}
	p.setDefaults()

	p.writer = p.forWriter()
	sources := []*source{&p.writer}
	if p.readers > 0 {
		p.reader, p.upkeep = p.besideWriter("ro"), p.besideWriter("rw")
		sources = append(sources, &p.reader, &p.upkeep)
	}
	for _, s := range sources {
		if _, err := s.dsn.NewConnector(driver.Config{Pragmas: s.config.Pragmas}); err != nil {
			ps.add("Path: %w", err)
			break
		}
	}
	return p, ps.err()
}

// withName returns p with this name of the pool.
func (p *plan) withName(name string) *plan {
	named := *p
	named.config.Name = name
	if t := cmp.Or(p.config.Tracing, tracing.Default()); p.named || p.managed || t.Config().PoolName == "" {
		for _, s := range []*source{&named.writer, &named.reader, &named.upkeep} {
			s.config.PoolName = name
		}
	}
	return &named
}

// pragma returns the pragma of the main database with this name that Path or Pragmas set.
func (p *plan) pragma(name string) (driver.Pragma, bool) {
	if p.dsn != nil {
		if found, ok := p.dsn.Pragma(name); ok {
			return found, true
		}
	}
	for _, found := range slices.Backward(p.config.Pragmas) {
		if found.Value != "" && found.IsMain(name) {
			return found, true
		}
	}
	return driver.Pragma{}, false
}

// readSettings sets the fields for which Path or Pragmas have a value.
func (p *plan) readSettings() {
	c := &p.config
	if busy, ok := p.pragma("busy_timeout"); ok {
		if ms, ok := busy.Int(); ok {
			c.BusyTimeout = never
			if ms > 0 {
				c.BusyTimeout = time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
			}
		}
	}
	if sync, ok := p.pragma("synchronous"); ok {
		if s, ok := synchronousOf(sync.Value); ok {
			c.Synchronous = s
		}
	}
	if limit, ok := p.pragma("journal_size_limit"); ok {
		if n, ok := limit.Int(); ok {
			c.JournalSizeLimit = max(n, -1)
		}
	}
	if p.dsn == nil {
		return
	}
	c.StatementCache = cmp.Or(p.dsn.StatementCache(), c.StatementCache)
	c.MemoryLimit = cmp.Or(p.dsn.MemoryLimit(), c.MemoryLimit)
	if mode, _ := p.dsn.Param("mode"); mode == "ro" || mode == "rw" {
		c.MustExist = true
	}
}

func (p *plan) isReadOnly() bool {
	mode, _ := p.dsn.Param("mode")
	return mode == "ro" || p.dsn.On("immutable") || p.queryOnly()
}

func (p *plan) queryOnly() bool {
	query, ok := p.pragma("query_only")
	return ok && query.On()
}

// journalMode sets what Config.DisableWAL decides. It has no meaning where the pool sets no WAL
// mode anyway: such a pool leaves the file as it is.
func (ps *problems) journalMode(p *plan) {
	mode, said := p.pragma("journal_mode")
	wal := strings.EqualFold(mode.Value, "wal")
	able := vfs.SupportsSharedMemory && !p.dsn.Memory() && p.dsn.IsOS() && !p.dsn.On("nolock") && !p.readOnly
	p.wal = able && !p.config.DisableWAL && (wal || !said)
	p.forbidsWAL = able && p.config.DisableWAL
	p.refusesWAL = p.forbidsWAL && !said
	if able && p.config.DisableWAL && wal {
		ps.add("DisableWAL is true, and Path or Pragmas set the pragma journal_mode to wal: leave one of them out")
	}
}

// oneLane returns why one connection is for everything. It returns "" if there are readers.
func (p *plan) oneLane() string {
	mode, _ := p.pragma("journal_mode")
	switch {
	case p.dsn.Memory():
		return "the database is in memory"
	case !vfs.SupportsSharedMemory:
		return "this platform has no shared memory for a WAL"
	case !p.dsn.IsOS():
		return `the VFS is not "os"`
	case p.dsn.On("nolock"):
		return "nolock=1"
	case p.readOnly:
		return "read-only"
	case p.config.DisableWAL:
		return "DisableWAL"
	case !p.wal:
		return "journal_mode=" + strings.ToLower(mode.Value)
	case p.exclusive:
		return "locking_mode=exclusive"
	case p.config.MaxConns == 1:
		return "MaxConns is 1"
	}
	return ""
}

// longPath is how long a Path may be to be kept as written. A longer one is replaced by the text
// of the parsed DSN, if that is shorter.
const longPath = 4 << 10 // bytes

// setDefaults sets all unset fields. A negative duration becomes never, or zero where zero
// means never. So opening a pool with the Config in force gives the same configuration.
func (p *plan) setDefaults() {
	c, memory := &p.config, p.dsn.Memory()
	if text := p.dsn.Text(); c.Compat != driver.CompatNone || len(c.Path) > longPath && len(text) < len(c.Path) {
		c.Path = text
	}
	c.DisableWAL = !p.wal
	if c.Synchronous == SynchronousDefault {
		c.Synchronous = SynchronousExtra
		if p.wal || memory { // an in-memory database syncs nothing, and keeps SQLite's default
			c.Synchronous = SynchronousFull
		}
	}
	if c.CommitSync = cmp.Or(c.CommitSync, CommitSyncShared); !p.canShareSyncs() {
		c.CommitSync = CommitSyncSolo
	}
	c.Name = cmp.Or(c.Name, p.dsn.Database())
	c.MaxConns = cmp.Or(c.MaxConns, defaultMaxConns)
	c.MinConns = cmp.Or(c.MinConns, defaultMinConns)

	c.AcquireTimeout = cmp.Or(max(c.AcquireTimeout, never), max(defaultAcquireTimeout, 2*c.BusyTimeout))
	if c.MaxLifetime = cmp.Or(max(c.MaxLifetime, never), max(defaultMaxLifetime, c.IdleTimeout)); memory {
		c.MaxLifetime = never
	}
	idle := defaultIdleTimeout
	if c.MaxLifetime > 0 {
		idle = min(idle, c.MaxLifetime)
	}
	if c.IdleTimeout = cmp.Or(max(c.IdleTimeout, never), idle); memory {
		c.IdleTimeout = never
	}
	if c.LifetimeJitter = cmp.Or(c.LifetimeJitter, defaultLifetimeJitter); c.LifetimeJitter < 0 {
		c.LifetimeJitter = -1
	}
	busy := defaultBusyTimeout
	if c.AcquireTimeout > 0 {
		// Truncated, because rounding up to whole milliseconds would exceed half of
		// AcquireTimeout.
		busy = cmp.Or(min(busy, (c.AcquireTimeout/2).Truncate(time.Millisecond)), never)
	}
	c.BusyTimeout = cmp.Or(max(c.BusyTimeout, never), busy)

	c.ValidateAfter = max(c.ValidateAfter, 0)
	c.KeepAlive = max(c.KeepAlive, 0)
	c.LeakAfter = max(c.LeakAfter, 0)
	c.StatementTimeout, c.TxTimeout, c.MaxReadAge = max(c.StatementTimeout, 0), max(c.TxTimeout, 0), max(c.MaxReadAge, 0)
	c.HealthInterval = max(c.HealthInterval, 0)
	c.TrackStacks = c.TrackStacks || c.LeakAfter > 0

	if _, ok := p.pragma("journal_size_limit"); !ok {
		c.JournalSizeLimit = cmp.Or(max(c.JournalSizeLimit, -1), walkeeper.DefaultLimit)
	}
	c.StatementCache = cmp.Or(max(c.StatementCache, -1), driver.DefaultStatementCache)
	c.MemoryLimit = cmp.Or(c.MemoryLimit, driver.DefaultMemoryLimit)
	c.Events = cmp.Or(c.Events, DefaultEvents)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Pragmas = slices.Clone(c.Pragmas)
	c.Interceptors = slices.Clone(c.Interceptors)
}

// canShareSyncs reports whether commits can share syncs, as far as the Config says.
func (p *plan) canShareSyncs() bool {
	return walsync.Supported && p.wal && !p.exclusive && p.config.Synchronous == SynchronousFull && len(p.config.Interceptors) == 0
}

// sharesSyncs reports whether commits share syncs.
func (p *plan) sharesSyncs() bool { return p.config.CommitSync != CommitSyncSolo }

// forWriter returns the source of the writer.
func (p *plan) forWriter() source {
	d := p.shared()
	if _, ok := d.Param("_txlock"); !ok && !p.queryOnly() {
		// Without this, a transaction that reads first and then writes fails with BUSY_SNAPSHOT
		// if another connection has written meanwhile. A connection with query_only cannot take
		// the lock: SQLite returns READONLY.
		d = d.With("_txlock", "immediate")
	}
	ps := p.pragmas()
	if p.wal {
		ps = append(ps, driver.Pragma{Name: "journal_mode", Value: "wal"})
	}
	return source{p.withWALs(d), p.driverConfig(append(ps, p.config.Pragmas...))}
}

// besideWriter returns the source of connections beside the writer. They do not create the
// file.
//
// Readers have mode ro, so that no query and no SQL function can write. Connections for
// checkpoints and backups change no data, but have mode rw. With mode ro, SQLite's checkpoint
// fails with IOERR.
func (p *plan) besideWriter(mode string) source {
	d := p.withWALs(p.shared()).Without("_txlock", "mode").
		WithoutPragmas(isWriterOnly).
		With("mode", mode).
		With("_txlock", "deferred"). // otherwise Begin would take the write lock
		WithPragma(driver.Pragma{Name: "query_only", Value: "1"})
	return source{d, p.driverConfig(slices.DeleteFunc(append(p.pragmas(), p.config.Pragmas...), isWriterOnly))}
}

// withWALs returns d, whose connections have a [walsync.File] if commits share syncs.
func (p *plan) withWALs(d *driver.DSN) *driver.DSN {
	if p.sharesSyncs() {
		d = d.OpenedWith(walsync.VFS)
	}
	return d
}

// shared returns the DSN that the connections of all lanes have in common.
func (p *plan) shared() *driver.DSN {
	d := p.dsn.WithoutPragmas(readsOwnPragma)
	_, hasMode := d.Param("mode")
	switch {
	case d.Private():
		d = d.WithMemory(rand.Text())
	case p.config.MustExist && !d.Memory() && !hasMode && d.On("immutable"):
		d = d.With("mode", "ro")
	case p.config.MustExist && !d.Memory() && !hasMode:
		d = d.With("mode", "rw")
	}
	return d
}

// driverConfig returns the configuration that the connections of all lanes have in common. Its
// Recorder is the program's; the pool replaces it by its own.
func (p *plan) driverConfig(ps []driver.Pragma) driver.Config {
	c := p.config
	return driver.Config{
		Pragmas:        slices.DeleteFunc(ps, readsOwnPragma),
		Init:           p.init(),
		Term:           c.Term,
		StatementCache: c.StatementCache,
		MemoryLimit:    c.MemoryLimit,
		Tracing:        c.Tracing,
		Recorder:       c.Recorder,
		Interceptors:   c.Interceptors,
	}
}

// pragmas returns the pool's pragmas for the connections of all lanes. busy_timeout is always
// set. Otherwise the driver's default would depend on whether the DSN has any other pragma.
func (p *plan) pragmas() []driver.Pragma {
	c := p.config
	ps := []driver.Pragma{
		{Name: "busy_timeout", Value: strconv.FormatInt(p.busyMilliseconds(), 10)},
		{Name: "journal_size_limit", Value: strconv.FormatInt(c.JournalSizeLimit, 10)},
	}
	if c.Compat == driver.CompatNone {
		ps = append(ps, driver.Pragma{Name: "foreign_keys", Value: "on"})
	}
	if !p.mayWantKey() {
		ps = append(ps, driver.Pragma{Name: "synchronous", Value: c.Synchronous.String()})
	}
	return ps
}

// busyMilliseconds returns the value of the pragma busy_timeout.
func (p *plan) busyMilliseconds() int64 {
	return int64((max(p.config.BusyTimeout, 0) + time.Millisecond - 1) / time.Millisecond)
}

// mayWantKey reports whether the VFS may need a key that Config.Init gives. SQLite reads the
// file when synchronous is set, so synchronous must then be set after Init; see init.
func (p *plan) mayWantKey() bool { return !p.dsn.Memory() && !p.dsn.IsOS() }

// init returns the function that is called for every new connection: Config.Init, followed by
// the pragma that must come after it.
func (p *plan) init() func(*sqlite3.Conn) error {
	init, sync := p.config.Init, p.config.Synchronous
	if _, said := p.pragma("synchronous"); said || !p.mayWantKey() {
		return init
	}
	return func(raw *sqlite3.Conn) error {
		if init != nil {
			if err := init(raw); err != nil {
				return err
			}
		}
		return raw.Exec("PRAGMA synchronous=" + sync.String())
	}
}

// readsOwnPragma reports whether p only reads one of the pool's settings. It would be executed
// before the pool's own pragma, and so return another value.
func readsOwnPragma(p driver.Pragma) bool {
	return p.Value == "" && slices.ContainsFunc(ownPragmas, p.IsMain)
}

// isWriterOnly reports whether a pragma is only for the writer.
func isWriterOnly(p driver.Pragma) bool { return slices.ContainsFunc(writersPragmas, p.IsMain) }

// ownPragmas are the pragmas that the pool sets.
var ownPragmas = []string{"busy_timeout", "foreign_keys", "journal_mode", "journal_size_limit", "synchronous", "query_only"}

// writersPragmas write to the database, or are set on readers by the pool. The writer has
// executed the former before a reader is opened.
var writersPragmas = []string{
	"application_id", "auto_vacuum", "encoding", "incremental_vacuum", "journal_mode", "optimize",
	"page_size", "query_only", "schema_version", "user_version", "wal_checkpoint",
}

// synchronousOf parses SQLite's keyword or number of a setting.
func synchronousOf(value string) (Synchronous, bool) {
	value = strings.ToLower(value)
	if i := slices.Index([]string{"0", "1", "2", "3"}, value); i >= 0 {
		value = []string{"off", "normal", "full", "extra"}[i]
	}
	i := slices.Index(synchronousNames, value)
	return Synchronous(i), i > int(SynchronousDefault) // SQLite has no keyword for the default
}

// walKind returns how the WAL is kept short. It returns BySQLite if there is no WAL to keep.
func (p *plan) walKind() walkeeper.Kind {
	auto, said := p.pragma("wal_autocheckpoint")
	switch pages, _ := auto.Int(); {
	case p.readOnly || p.dsn.Memory() || said && pages > 0:
		return walkeeper.BySQLite
	case said:
		return walkeeper.Outside
	case p.readers > 0:
		return walkeeper.ByCheckpointer
	}
	return walkeeper.ByCommits
}
