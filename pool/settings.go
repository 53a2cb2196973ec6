package pool

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/redact"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/pool/internal/walkeeper"
)

// Settings returns the settings in force that differ from the defaults of a file database in WAL
// mode, in the order of [Config]'s fields. The first one is the number of lanes, with the reason
// if there is one lane. Values that may be secrets, such as those of unknown pragmas, are left
// out. Settings takes no connection.
func (p *Pool) Settings() []core.Setting {
	c := p.Config()
	s := settingList{{Name: "lanes", Value: strconv.Itoa(p.countLanes()), Default: "2", Why: p.whyLanes()}}
	s.count("MinConns", c.MinConns, defaultMinConns)
	s.count("MaxConns", c.MaxConns, defaultMaxConns)
	s.duration("AcquireTimeout", c.AcquireTimeout, defaultAcquireTimeout)
	s.duration("IdleTimeout", c.IdleTimeout, defaultIdleTimeout)
	s.duration("MaxLifetime", c.MaxLifetime, defaultMaxLifetime)
	s.text("LifetimeJitter", fmt.Sprint(c.LifetimeJitter), fmt.Sprint(defaultLifetimeJitter))
	s.count("MaxWaiters", c.MaxWaiters, 0)
	s.text("DisableWAL", strconv.FormatBool(c.DisableWAL), "false")
	s.text("MustExist", strconv.FormatBool(c.MustExist), "false")
	s.text("Synchronous", c.Synchronous.String(), SynchronousFull.String())
	s.text("CommitSync", c.CommitSync.String(), CommitSyncShared.String())
	s.duration("BusyTimeout", c.BusyTimeout, defaultBusyTimeout)
	s.duration("ValidateAfter", c.ValidateAfter, 0)
	s.duration("KeepAlive", c.KeepAlive, 0)
	s.duration("LeakAfter", c.LeakAfter, 0)
	s.duration("StatementTimeout", c.StatementTimeout, 0)
	s.duration("TxTimeout", c.TxTimeout, 0)
	s.duration("MaxReadAge", c.MaxReadAge, 0)
	s.text("TrackStacks", strconv.FormatBool(c.TrackStacks), "false")
	s.text("Dirty", c.Dirty.String(), DirtyRepair.String())
	s.duration("HealthInterval", c.HealthInterval, 0)
	s.text("JournalSizeLimit", size(c.JournalSizeLimit), size(walkeeper.DefaultLimit))
	s.text("Pragmas", pragmasOf(c.Pragmas), "none")
	s.text("Init", isSet(c.Init != nil), isSet(false))
	s.text("Term", isSet(c.Term != nil), isSet(false))
	s.text("Compat", c.Compat.String(), driver.CompatNone.String())
	s.text("MapError", isSet(c.MapError != nil), isSet(false))
	s.count("StatementCache", max(c.StatementCache, 0), driver.DefaultStatementCache)
	s.text("MemoryLimit", size(c.MemoryLimit), size(driver.DefaultMemoryLimit))
	s.count("Interceptors", len(c.Interceptors), 0)
	s.text("Recorder", isSet(c.Recorder != nil), isSet(false))
	s.count("Events", c.Events, DefaultEvents)
	s.text("LifecycleLevel", c.LifecycleLevel.String(), "INFO")
	return s.because(p)
}

// whyLanes returns why there is one lane or two.
func (p *Pool) whyLanes() string {
	switch {
	case p.plan.whyOneLane != "":
		return p.plan.whyOneLane
	case p.core.MaxConns() == 1:
		return "MaxConns is 1"
	case p.countLanes() == 1:
		return "the database is not in WAL mode"
	}
	return "readers beside a writer, because the database is a file in WAL mode"
}

// A settingList has the settings that differ from their defaults.
type settingList []core.Setting

func (s *settingList) text(name, value, otherwise string) {
	if value != otherwise {
		*s = append(*s, core.Setting{Name: name, Value: value, Default: otherwise})
	}
}

func (s *settingList) count(name string, value, otherwise int) {
	s.text(name, strconv.Itoa(value), strconv.Itoa(otherwise))
}

// duration is text for a duration. A negative one is never, and so is zero as a default.
func (s *settingList) duration(name string, value, otherwise time.Duration) {
	text := func(d time.Duration) string {
		if d < 0 || d == 0 && otherwise == 0 {
			return "never"
		}
		return d.String()
	}
	s.text(name, text(value), text(otherwise))
}

// because adds the reasons of what the pool has chosen itself.
func (s settingList) because(p *Pool) []core.Setting {
	for i := range s {
		switch s[i].Name {
		case "DisableWAL":
			s[i].Why = p.plan.whyOneLane
		case "Synchronous":
			if p.plan.syncs {
				s[i].Why = "a commit without a WAL is durable only with extra"
			}
		case "CommitSync":
			if !p.plan.canShareSyncs() {
				s[i].Why = "commits cannot share syncs here"
			}
		case "IdleTimeout", "MaxLifetime":
			if p.plan.dsn.Memory() {
				s[i].Why = "the database is in memory"
			}
		case "TrackStacks":
			if p.cfg.LeakAfter > 0 {
				s[i].Why = "LeakAfter implies it"
			}
		}
	}
	return s
}

// pragmasOf returns the pragmas of Config.Pragmas, without values that may be secrets.
func pragmasOf(ps []driver.Pragma) string {
	if len(ps) == 0 {
		return "none"
	}
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = redact.Text(p.String())
	}
	return strings.Join(texts, ", ")
}

func isSet(set bool) string {
	if set {
		return "set"
	}
	return "none"
}

// size returns a number of bytes for people. A negative one is any number.
func size(n int64) string {
	if n < 0 {
		return "any"
	}
	return bytesOf(n)
}
