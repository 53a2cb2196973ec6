package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/core"
)

// searchInterval is how often every server is asked while there is no primary. A promotion takes
// PostgreSQL a tenth of a second.
const searchInterval = 50 * time.Millisecond

// A roster knows the servers and their roles. It asks each of them on a goroutine of its own, so
// that one that does not answer keeps no other waiting.
type roster struct {
	servers  []*server
	interval time.Duration
	timeout  time.Duration
	describe func(error) string
	changed  func(change) // called after each answer, by one goroutine at a time

	refusing context.Context // ends when no caller must wait for a primary any more
	refuse   context.CancelFunc
	ended    context.Context // ends in stop
	end      context.CancelFunc
	watchers sync.WaitGroup

	// effects is held while an answer takes effect, so that effects happen in the order of answers.
	// It is locked before mu.
	effects sync.Mutex

	mu       sync.Mutex // guards the fields below, and server.answer
	election election
	reign    context.Context // ends when the primary is lost; nil if there is none
	endReign context.CancelFunc
	news     chan struct{} // closed by the next answer
	next     int           // the standby for the next connection
}

func newRoster(servers []*server, cfg *Config, describe func(error) string, changed func(change)) *roster {
	r := &roster{servers: servers, interval: cfg.CheckInterval, timeout: cfg.CheckTimeout, describe: describe, changed: changed}
	r.election.servers = servers
	r.news = make(chan struct{})
	r.ended, r.end = context.WithCancel(context.Background())
	r.refusing, r.refuse = context.WithCancel(r.ended)
	return r
}

// start starts to ask the servers.
func (r *roster) start() {
	for _, s := range r.servers {
		r.watchers.Go(func() { r.watch(s) })
	}
}

// stop stops asking, and closes the connections for it. It reports whether that has ended before ctx
// has.
func (r *roster) stop(ctx context.Context) bool {
	r.end()
	r.watchers.Wait() // they do not wait for drivers
	ended := true
	for _, s := range r.servers {
		if s.job.Ended(ctx) {
			s.dropProbe()
		} else {
			ended = false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endReign != nil {
		r.endReign()
	}
	return ended
}

func (r *roster) watch(s *server) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.ended.Done():
			return
		case <-s.kick:
		case <-timer.C:
		}
		r.mu.Lock()
		asked := r.election.tick()
		r.mu.Unlock()
		a := s.ask(r.ended, r.timeout)
		a.asked = asked
		if r.ended.Err() != nil {
			return
		}
		interval := r.interval
		if !r.record(s, a) {
			interval = min(interval, searchInterval)
		}
		timer.Reset(interval)
	}
}

// record makes an answer take effect. It reports whether there is a primary.
func (r *roster) record(s *server, a answer) bool {
	r.effects.Lock()
	defer r.effects.Unlock()
	r.mu.Lock()
	c := r.election.record(s, a)
	if c.lost && r.endReign != nil {
		r.endReign()
		r.reign, r.endReign = nil, nil
	}
	if c.found {
		r.reign, r.endReign = context.WithCancel(r.ended)
	}
	for _, s := range c.retired {
		s.term.Add(1)
	}
	for _, s := range append(c.retired, c.moved...) {
		s.epoch.Add(1)
		s.replayed.Store(0)
	}
	has := r.election.primary != nil
	close(r.news)
	r.news = make(chan struct{})
	r.mu.Unlock()
	if c.search {
		for _, s := range r.servers {
			s.recheck()
		}
	}
	r.changed(c)
	return has
}

// await waits until there is a primary, and returns it, with a context that ends when it is lost. It
// does not wait while there are two.
func (r *roster) await(ctx context.Context) (*server, context.Context, error) {
	for {
		r.mu.Lock()
		primary, reign, refusal, news := r.election.primary, r.reign, r.election.refusal, r.news
		r.mu.Unlock()
		switch {
		case primary != nil:
			return primary, reign, nil
		case refusal != nil:
			return nil, nil, r.why(nil)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, nil, r.why(context.Cause(ctx))
		case <-r.refusing.Done():
			return nil, nil, core.ErrClosed
		}
	}
}

// confirm asks a server again, and reports whether it is the primary.
func (r *roster) confirm(ctx context.Context, s *server) bool {
	r.mu.Lock()
	since := r.election.tick()
	r.mu.Unlock()
	s.recheck()
	for {
		r.mu.Lock()
		answered, primary, news := s.answer.asked > since, r.election.primary, r.news
		r.mu.Unlock()
		if answered || primary != s {
			return primary == s
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// refresh asks all servers again, and waits for their answers.
func (r *roster) refresh(ctx context.Context) {
	r.mu.Lock()
	since := r.election.tick()
	r.mu.Unlock()
	for _, s := range r.servers {
		s.recheck()
	}
	for {
		r.mu.Lock()
		all, news := true, r.news
		for _, s := range r.servers {
			all = all && s.answer.asked > since
		}
		r.mu.Unlock()
		if all {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			return
		}
	}
}

// standby returns the standby for the next connection, or nil.
func (r *roster) standby() *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range r.servers {
		r.next = (r.next + 1) % len(r.servers)
		if s := r.servers[r.next]; r.election.isStandby(s) {
			return s
		}
	}
	return nil
}

// hasStandby reports whether a standby can be used.
func (r *roster) hasStandby() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		if r.election.isStandby(s) {
			return true
		}
	}
	return false
}

// isComplete reports whether every server has answered once, or failed to.
func (r *roster) isComplete() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.servers, func(s *server) bool { return s.answer.asked == 0 })
}

// primary returns the primary, or nil.
func (r *roster) primary() *server {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.election.primary
}

// accepts reports whether a new connection with this role may be used on a lane.
func (r *roster) accepts(role Role, standby bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if standby {
		return !role.Primary && (role.System == "" || r.election.system == "" || role.System == r.election.system)
	}
	return r.election.mayBePrimary(role)
}

// why returns why there is no primary. waited is the end of a wait for one.
func (r *roster) why(waited error) *primaryError {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.election.why(r.describe)
	err.waited = waited
	return err
}

// reasons returns what is wrong with the servers, for people.
func (r *roster) reasons() (list []string) {
	r.mu.Lock()
	e := &r.election
	bad := func(s *server) bool { return s != e.primary && !e.isStandby(s) }
	for _, s := range r.servers {
		if s.answer.asked > 0 && e.primary != nil && bad(s) {
			list = append(list, fmt.Sprintf("server %q %s", s.Name, e.state(s, r.describe)))
		}
	}
	none := e.primary == nil
	r.mu.Unlock()
	if none {
		list = append(list, r.why(nil).text())
	}
	return list
}

// roles returns the servers in each role, for people.
func (r *roster) roles() (primary, standbys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.servers {
		switch {
		case s == r.election.primary:
			primary = append(primary, s.Name)
		case r.election.isStandby(s):
			standbys = append(standbys, s.Name)
		}
	}
	return primary, standbys
}
