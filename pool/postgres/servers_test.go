package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sqlitemw/sqlitemw/pool/postgres"
)

// servers is a cluster of scripted servers, of which one is the primary at first. They speak the few
// queries that the tests and the pool use. A log of inserted values is the database. A commit is
// acknowledged when the synchronous standbys have it; a standby shows it after its lag.
type servers struct {
	mu   sync.Mutex // guards everything below, of all servers
	list []*server
}

// A server is one of the servers. A test changes its fields with set.
type server struct {
	all    *servers
	name   string
	system string

	down     bool
	paused   chan struct{} // closed when it goes on; nil if it is not paused
	primary  bool
	timeline uint64
	behind   time.Duration // how much later it shows what it has
	latency  time.Duration // of each call

	log      []string // what it has
	replayed int      // how many of these it shows
	conns    []*conn  // that are open
	opened   int      // how many have ever been opened
	inserts  int      // how many inserts have arrived
	asked    map[string]int

	// How the next inserts fail, after they have been executed.
	lost []error
}

func newServers(names ...string) *servers {
	all := &servers{}
	for i, name := range names {
		all.list = append(all.list, &server{all: all, name: name, system: "7", primary: i == 0, timeline: 1, asked: map[string]int{}})
	}
	return all
}

// config returns a Config of the servers.
func (all *servers) config() (cfg postgres.Config) {
	for _, s := range all.list {
		cfg.Servers = append(cfg.Servers, postgres.Server{Name: s.name, Connector: connector{s}})
	}
	return cfg
}

// get returns the server with that name.
func (all *servers) get(name string) *server {
	return all.list[slices.IndexFunc(all.list, func(s *server) bool { return s.name == name })]
}

// set calls f with the lock held.
func (s *server) set(f func(*server)) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	f(s)
}

// values returns what the server has.
func (s *server) values() (list []string) {
	s.set(func(s *server) { list = slices.Clone(s.log) })
	return list
}

// open returns how many connections are open.
func (s *server) open() (n int) {
	s.set(func(s *server) { n = len(s.conns) })
	return n
}

// kill makes the server end: all its connections break.
func (s *server) kill() {
	s.set(func(s *server) {
		s.down = true
		for _, c := range s.conns {
			close(c.dead)
		}
		s.conns = nil
	})
}

// promote makes the server a primary, of a newer timeline than that of any other.
func (s *server) promote() {
	s.set(func(s *server) {
		newest := uint64(0)
		for _, other := range s.all.list {
			newest = max(newest, other.timeline)
		}
		s.timeline = newest + 1
		s.primary, s.replayed = true, len(s.log)
	})
}

// pause stops the server, which then answers nothing and closes nothing, until resume.
func (s *server) pause()  { s.set(func(s *server) { s.paused = make(chan struct{}) }) }
func (s *server) resume() { s.set(func(s *server) { close(s.paused); s.paused = nil }) }

// A connector opens connections to a server.
type connector struct{ *server }

func (c connector) Driver() driver.Driver { return nil }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn := &conn{server: c.server, dead: make(chan struct{})}
	if err := conn.enter(ctx); err != nil {
		return nil, &net.OpError{Op: "dial", Err: err}
	}
	c.set(func(s *server) {
		s.conns = append(s.conns, conn)
		s.opened++
	})
	return conn, nil
}

// A conn is a connection to a server.
type conn struct {
	*server
	dead   chan struct{} // closed when it has broken
	closed bool          // the driver knows that
	tx     []string      // values inserted in the open transaction
	inTx   bool
	toRead bool // the transaction is read-only
	resets int  // calls of ResetSession
}

var (
	_ driver.QueryerContext  = &conn{}
	_ driver.ExecerContext   = &conn{}
	_ driver.ConnBeginTx     = &conn{}
	_ driver.Pinger          = &conn{}
	_ driver.SessionResetter = &conn{}
)

// A stateError is an error of the server.
type stateError string

func (e stateError) Error() string    { return "the server says " + string(e) }
func (e stateError) SQLState() string { return string(e) }

const readOnly = stateError("25006")

// enter waits until the server answers.
func (c *conn) enter(ctx context.Context) error {
	if c.closed {
		return driver.ErrBadConn
	}
	var down bool
	var paused chan struct{}
	var latency time.Duration
	c.set(func(s *server) { down, paused, latency = s.down, s.paused, s.latency })
	if down {
		c.closed = true
		return &net.OpError{Op: "read", Err: syscall.ECONNREFUSED}
	}
	if paused != nil {
		select {
		case <-paused:
		case <-c.dead:
		case <-ctx.Done():
		}
	}
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-c.dead:
		case <-ctx.Done():
		}
	}
	select {
	case <-c.dead:
		c.closed = true
		return &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	default:
	}
	if err := ctx.Err(); err != nil { // the driver cannot go on in the middle of an answer
		c.closed = true
		c.forget()
		return err
	}
	return nil
}

func (c *conn) forget() {
	c.set(func(s *server) {
		s.conns = slices.DeleteFunc(s.conns, func(other *conn) bool { return other == c })
	})
}

func (c *conn) Close() error {
	c.closed = true
	c.forget()
	return nil
}

func (c *conn) Ping(ctx context.Context) error { return c.enter(ctx) }

func (c *conn) ResetSession(context.Context) error {
	c.resets++
	if c.closed || c.inTx {
		return driver.ErrBadConn
	}
	return nil
}

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	if !strings.Contains(query, "t") {
		return nil, stateError("42601")
	}
	return stmt{c, query}, nil
}

// A stmt is a prepared statement, which the pool only counts the arguments of.
type stmt struct {
	conn  *conn
	query string
}

func (s stmt) Close() error                               { return nil }
func (s stmt) NumInput() int                              { return strings.Count(s.query, "$") }
func (s stmt) Exec([]driver.Value) (driver.Result, error) { panic("not used") }
func (s stmt) Query([]driver.Value) (driver.Rows, error)  { panic("not used") }

func (c *conn) Begin() (driver.Tx, error) { return nil, fmt.Errorf("not used") }

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	primary := false
	c.set(func(s *server) { primary = s.primary })
	if sql.IsolationLevel(opts.Isolation) == sql.LevelSerializable && !primary {
		return nil, stateError("0A000")
	}
	c.inTx, c.toRead, c.tx = true, opts.ReadOnly, nil
	return tx{c, ctx}, nil
}

type tx struct {
	conn *conn
	ctx  context.Context
}

func (t tx) Commit() error {
	t.conn.inTx = false
	return t.conn.commit(t.ctx, t.conn.tx)
}

func (t tx) Rollback() error {
	t.conn.inTx = false
	return t.conn.enter(t.ctx)
}

// commit adds values to the log, and replicates them.
func (c *conn) commit(ctx context.Context, values []string) (err error) {
	if err := c.enter(ctx); err != nil {
		return err
	}
	c.set(func(s *server) {
		if len(values) == 0 {
			return
		}
		s.inserts++
		if !s.primary {
			err = readOnly
			return
		}
		s.log = append(s.log, values...)
		s.replayed = len(s.log)
		for _, other := range s.all.list {
			if other == s || other.primary || other.down || other.system != s.system {
				continue
			}
			other.log = append(other.log, values...)
			if n := len(other.log); other.behind == 0 {
				other.replayed = n
			} else {
				time.AfterFunc(other.behind, func() { other.set(func(s *server) { s.replayed = max(s.replayed, n) }) })
			}
		}
		if len(s.lost) > 0 {
			err, s.lost = s.lost[0], s.lost[1:]
			c.closed = true
		}
	})
	if c.closed {
		c.forget()
	}
	return err
}

// ExecContext knows INSERT INTO t, with one argument, and BEGIN and ROLLBACK.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	switch {
	case query == "PANIC":
		panic("panic")
	case query == "BEGIN", query == "START TRANSACTION":
		c.inTx = true
		return driver.ResultNoRows, nil
	case query == "ROLLBACK":
		c.inTx = false
		return driver.ResultNoRows, nil
	case !strings.HasPrefix(query, "INSERT INTO t"):
		return nil, stateError("42601")
	}
	value := fmt.Sprint(args[0].Value)
	if c.inTx {
		primary := false
		c.set(func(s *server) { primary = s.primary })
		if c.toRead || !primary {
			return nil, readOnly
		}
		c.tx = append(c.tx, value)
		return driver.RowsAffected(1), nil
	}
	return driver.RowsAffected(1), c.commit(ctx, []string{value})
}

// QueryContext knows what the pool asks, SELECT server FROM t, which returns the server's name and
// what it shows, and INSERT INTO t, which inserts its argument when its rows are closed.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	if strings.HasPrefix(query, "INSERT INTO t") {
		value := fmt.Sprint(args[0].Value)
		return &rows{rows: [][]driver.Value{{value}}, end: func() error { return c.commit(ctx, []string{value}) }}, nil
	}
	if query == "PANIC" {
		panic("panic")
	}
	r := &rows{}
	var err error
	c.set(func(s *server) {
		lsn := func(n int) string { return fmt.Sprintf("1/%X", 16*n) }
		switch {
		case strings.Contains(query, "pg_control_system"):
			s.asked["role"]++
			timeline := ""
			if s.primary {
				timeline = fmt.Sprintf("%08X", s.timeline)
			}
			r.rows = [][]driver.Value{{fmt.Sprint(!s.primary), []byte(s.system), timeline}}
		case strings.Contains(query, "pg_current_wal_lsn"):
			s.asked["written"]++
			r.rows = [][]driver.Value{{lsn(len(s.log))}}
		case strings.Contains(query, "pg_last_wal_replay_lsn"):
			s.asked["replayed"]++
			r.rows = [][]driver.Value{{lsn(s.replayed)}}
		case strings.HasPrefix(query, "SELECT server"):
			r.rows = [][]driver.Value{{s.name, strings.Join(s.log[:s.replayed], ",")}}
		default:
			err = stateError("42601")
		}
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

type rows struct {
	rows [][]driver.Value
	end  func() error // called by Close; may be nil
}

func (r *rows) Columns() []string {
	if len(r.rows) == 0 {
		return nil
	}
	return make([]string, len(r.rows[0]))
}

func (r *rows) Close() error {
	if r.end == nil {
		return nil
	}
	return r.end()
}

func (r *rows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
