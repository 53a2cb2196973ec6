package pool

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
)

// parseDSN parses a DSN of sql.Open. The pool's keys in it set fields of base. The rest of the
// DSN, which is one of package driver, becomes its Path. If that fails, the DSN is nil and the
// problems are the reasons.
func parseDSN(name string, base Config) (Config, *driver.DSN, problems) {
	var ps problems
	base.Path = name
	if name == "" && base.Compat == driver.CompatNone {
		_, ps = base.parsePath()
		return base, nil, ps
	}
	keys := poolKeys{config: &base, seen: make(map[string]int)}
	dsn, err := driver.DSNReader{Compat: base.Compat, Param: keys.read}.Parse(name)
	ps = keys.problems
	if err != nil {
		ps.add("%w", err)
		return base, nil, ps
	}
	base.Compat = dsn.Compat()
	path, query, _ := strings.Cut(name, "?")
	switch {
	case len(keys.seen) > 0:
		base.Path = dsn.Text()
	case !strings.HasPrefix(name, "file:") && base.Compat == driver.CompatNone && strings.Contains(strings.ToLower(query), poolKey):
		ps = append(ps, errDSN{fmt.Errorf("parameters need a URI, or they become part of the file's name: write file:%s?... instead", redact.Text(redact.Name(path)))})
	}
	return base, dsn, ps
}

// poolKeys reads the pool's keys into a Config.
type poolKeys struct {
	config   *Config
	seen     map[string]int
	problems problems
}

// read implements [driver.DSNReader].Param.
func (k *poolKeys) read(key, value string) (known bool, _ error) {
	if !isPoolKey(key) {
		return false, nil
	}
	set, known := dsnKeys[key]
	switch {
	case !known:
		k.refuse("the parameter %q is not known: use one of %s", redact.Key(key), knownKeys())
	case k.seen[key] == 1:
		k.refuse("%s is given more than once: leave out all but one", key)
	case k.seen[key] == 0:
		if remedy := set(k.config, value); remedy != "" {
			k.refuse("%s is %q: %s", key, redact.Value(value), remedy)
		}
	}
	k.seen[key]++
	return true, nil
}

func (k *poolKeys) refuse(format string, args ...any) {
	k.problems = append(k.problems, errDSN{fmt.Errorf(format, args...)})
}

// dsnKeys are the pool's keys. Each function sets its field to the value, or returns which
// values are allowed.
var dsnKeys = map[string]func(c *Config, value string) (remedy string){
	"_pool_name": func(c *Config, value string) string {
		// A longer value may contain parameters after a ? that should be an &.
		if value == "" || strings.ContainsAny(value, "?&=;#") || !redact.IsPlain(value) || redact.Name(value) != value {
			return "write a name that does not look like parameters and has no control characters, or leave it out"
		}
		c.Name = value
		return ""
	},
	"_pool_min":               countKey(func(c *Config) *int { return &c.MinConns }),
	"_pool_max":               countKey(func(c *Config) *int { return &c.MaxConns }),
	"_pool_max_waiters":       countKey(func(c *Config) *int { return &c.MaxWaiters }),
	"_pool_events":            countKey(func(c *Config) *int { return &c.Events }),
	"_pool_acquire_timeout":   durationKey(func(c *Config) *time.Duration { return &c.AcquireTimeout }),
	"_pool_idle_timeout":      durationKey(func(c *Config) *time.Duration { return &c.IdleTimeout }),
	"_pool_max_lifetime":      durationKey(func(c *Config) *time.Duration { return &c.MaxLifetime }),
	"_pool_busy_timeout":      durationKey(func(c *Config) *time.Duration { return &c.BusyTimeout }),
	"_pool_validate_after":    durationKey(func(c *Config) *time.Duration { return &c.ValidateAfter }),
	"_pool_keepalive":         durationKey(func(c *Config) *time.Duration { return &c.KeepAlive }),
	"_pool_statement_timeout": durationKey(func(c *Config) *time.Duration { return &c.StatementTimeout }),
	"_pool_tx_timeout":        durationKey(func(c *Config) *time.Duration { return &c.TxTimeout }),
	"_pool_max_read_age":      durationKey(func(c *Config) *time.Duration { return &c.MaxReadAge }),
	"_pool_leak_after":        durationKey(func(c *Config) *time.Duration { return &c.LeakAfter }),
	"_pool_health_interval":   durationKey(func(c *Config) *time.Duration { return &c.HealthInterval }),
	"_pool_must_exist":        boolKey(func(c *Config, on bool) { c.MustExist = on }),
	"_pool_wal":               boolKey(func(c *Config, on bool) { c.DisableWAL = !on }),
	"_pool_log": boolKey(func(c *Config, on bool) {
		if c.LifecycleLevel = slog.LevelInfo; !on {
			c.LifecycleLevel = slog.LevelDebug
		}
	}),
	"_pool_lifetime_jitter":    jitterKey,
	"_pool_journal_size_limit": bytesKey,
	"_pool_memory_limit":       memoryKey,
	"_pool_dirty": func(c *Config, value string) string {
		i := slices.Index(dirtyNames, strings.ToLower(value))
		if i < 0 {
			return "use repair, discard or fail"
		}
		c.Dirty = DirtyPolicy(i)
		return ""
	},
	"_pool_commit_sync": func(c *Config, value string) string {
		i := slices.Index(commitSyncNames, strings.ToLower(value))
		if i <= int(CommitSyncDefault) {
			return "use shared, shared-early or solo"
		}
		c.CommitSync = CommitSync(i)
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

// durationKey reads a duration as Go writes it, or never. Other libraries read a number without
// a unit as seconds, milliseconds or nanoseconds, so it is refused. Zero and negative numbers
// need no unit: they mean the default and never.
func durationKey(field func(*Config) *time.Duration) func(*Config, string) string {
	return func(c *Config, value string) string {
		d, err := time.ParseDuration(value)
		if strings.EqualFold(value, "never") {
			d, err = never, nil
		}
		if err != nil {
			d, err = time.ParseDuration(value + "s")
			switch {
			case err != nil || d > 0 && redact.Value(value) != value:
				return "use a duration with a unit, such as 30s or 5m, 0 for the default, or never"
			case d > 0:
				return fmt.Sprintf("it has no unit: write %ss for seconds, or %[1]sms for milliseconds", value)
			}
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
		return fmt.Sprintf("use a number of bytes, 0 for %d, or -1 for any number", walkeeper.DefaultLimit)
	}
	c.JournalSizeLimit = max(n, -1)
	return ""
}

func memoryKey(c *Config, value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return fmt.Sprintf("use a number of bytes from 1 MiB to 4 GiB, or 0 for %d", driver.DefaultMemoryLimit)
	}
	c.MemoryLimit = n
	return ""
}

// errDSN marks a problem of a data source name.
type errDSN struct{ error }

// Is reports whether target is [driver.ErrDSN].
func (e errDSN) Is(target error) bool { return target == driver.ErrDSN }

func toBool(value string) (on, ok bool) {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}
