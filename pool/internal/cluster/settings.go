package cluster

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// Settings returns the servers in each role, and the settings that differ from their defaults. It
// takes no connection.
func (p *Pool) Settings() []core.Setting {
	c := &p.cfg
	primary, standbys := p.roster.roles()
	s := settingList{{Name: "primary", Value: listed(primary)}}
	if c.Readers == OnStandbys {
		s = append(s, core.Setting{Name: "standbys", Value: listed(standbys)})
	}
	s.count("MinConns", c.MinConns, DefaultMinConns)
	s.count("MaxConns", c.MaxConns, DefaultMaxConns)
	if p.readers != nil {
		s.count("MaxReaders", c.MaxReaders, c.MaxConns)
	}
	s.count("MaxWaiters", c.MaxWaiters, 0)
	s.duration("AcquireTimeout", c.AcquireTimeout, DefaultAcquireTimeout)
	s.duration("IdleTimeout", c.IdleTimeout, DefaultIdleTimeout)
	s.duration("MaxLifetime", c.MaxLifetime, DefaultMaxLifetime)
	s.duration("ValidateAfter", c.ValidateAfter, DefaultValidateAfter)
	s.duration("LeakAfter", c.LeakAfter, -1)
	s.text("TrackStacks", strconv.FormatBool(c.TrackStacks), "false")
	s.duration("CheckInterval", c.CheckInterval, DefaultCheckInterval)
	s.duration("CheckTimeout", c.CheckTimeout, DefaultCheckTimeout)
	s.duration("FailoverTimeout", c.FailoverTimeout, DefaultFailoverTimeout)
	s.text("ReadYourWrites", strconv.FormatBool(c.Position != nil), "false")
	s.duration("ReplayTimeout", c.ReplayTimeout, DefaultReplayTimeout)
	s.count("Interceptors", len(c.Interceptors), 0)
	s.count("Events", c.Events, core.DefaultEvents)
	return s
}

func listed(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }

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

// duration is text for a duration. A negative one is never.
func (s *settingList) duration(name string, value, otherwise time.Duration) {
	text := func(d time.Duration) string {
		if d < 0 {
			return "never"
		}
		return d.String()
	}
	s.text(name, text(value), text(otherwise))
}
