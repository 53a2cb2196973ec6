package driver

import (
	"log/slog"
	"sync"
	"time"
)

// A notice is a warning about a DSN: it has no effect, or one that the program may not
// expect.
type notice struct {
	reason Reason
	text   string
}

const (
	noBusyTimeout = "the data source name has pragmas, so the plain driver sets no busy timeout: a call that finds the database locked fails immediately; " +
		"add _pragma=busy_timeout(5000)"
	noBusyTimeoutModernc = "there is no busy timeout: a call that finds the database locked fails immediately; add _pragma=busy_timeout(5000)"
	privateMemory        = "each connection has its own in-memory database, and this is not the first connection: use SetMaxOpenConns(1) and " +
		"SetConnMaxIdleTime(0), or open file::memory:?cache=shared, or open it through package pool"
)

// busyNotice returns the warning about a database without a busy timeout. There is none if
// the DSN sets nothing.
func (c *Connector) busyNotice() (notice, bool) {
	if c.settings.busy != 0 || len(c.dsn.pragmas)+len(c.dsn.translated) == 0 || c.dsn.Database() == ":memory:" {
		return notice{}, false
	}
	for _, p := range c.settings.pragmas {
		if p.key() == "busy_timeout" {
			return notice{}, false
		}
	}
	if c.config.Compat == CompatModernc {
		return notice{ReasonNoBusyTimeout, noBusyTimeoutModernc}, true
	}
	return notice{ReasonNoBusyTimeout, noBusyTimeout}, true
}

// A noticeSet remembers the notices that have been logged.
type noticeSet struct {
	mu   sync.Mutex
	seen map[notice]bool
}

// first reports whether n is new, and adds it.
func (s *noticeSet) first(n notice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[n] || len(s.seen) >= maxNotices {
		return false
	}
	if s.seen == nil {
		s.seen = make(map[notice]bool)
	}
	s.seen[n] = true
	return true
}

// maxNotices limits the notices of one database, because a long DSN may cause any number.
const maxNotices = 20

// connected logs the notices of a connection that has just been opened. For the first
// connection it also logs those of the DSN.
func (c *Connector) connected(conn *conn) {
	id := conn.ID()
	for _, n := range conn.session.notices {
		c.warn(id, n)
	}
	n := c.opened.Add(1)
	if n == 1 {
		for _, n := range c.dsn.notices {
			c.warn(id, n)
		}
		if n, ok := c.busyNotice(); ok {
			c.warn(id, n)
		}
	}
	if n > 1 && c.dsn.Private() {
		c.warn(id, notice{ReasonPrivateMemory, privateMemory})
	}
}

// warn records an event and logs a line, once for each notice and file.
func (c *Connector) warn(id ConnID, n notice) {
	if !c.location.notices.first(n) {
		return
	}
	c.opener.Note(Event{Time: time.Now(), Kind: KindWarning, Conn: id, Reason: n.reason})
	logger := c.config.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.Warn("sqlitemw: "+n.text, "file", c.dsn.Database(), "reason", string(n.reason))
}
