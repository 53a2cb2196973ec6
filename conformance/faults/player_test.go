//go:build unix

package faults

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/pool"
)

// A mode is a way in which a player has the database open.
type mode struct {
	doors   []string // all are open concurrently
	cfg     pool.Config
	idle    bool // no calls until the file has been changed
	backup  bool // backups are being made
	reset   bool // connections are reopened all the time
	manager bool
	held    bool // transactions that write and read are open, and nothing else writes
}

// gameHealth is the health check interval of a game's pool. It equals the interval at which the
// driver checks its file.
const gameHealth = time.Second

// gameBusy is the busy timeout of a game. It is short, so that no call waits long for a lock
// that another process holds.
const gameBusy = 300 * time.Millisecond

var modes = map[string]mode{
	"driver":        {doors: []string{doorDriver}, cfg: pool.Config{MaxConns: 6}},
	"driver-idle":   {doors: []string{doorDriver}, cfg: pool.Config{MaxConns: 6}, idle: true},
	"driver-delete": {doors: []string{doorDriver}, cfg: pool.Config{MaxConns: 6, DisableWAL: true}},
	"pool-dsn":      {doors: []string{doorDSN}, cfg: pool.Config{HealthInterval: gameHealth}},
	"pool":          {doors: []string{doorPool}},
	"pool-backup":   {doors: []string{doorPool}, cfg: pool.Config{HealthInterval: gameHealth}, backup: true},
	"pool-idle":     {doors: []string{doorPool}, idle: true},
	"pool-reset":    {doors: []string{doorPool}, cfg: pool.Config{MinConns: 3}, reset: true},
	"pool-delete":   {doors: []string{doorPool}, cfg: pool.Config{DisableWAL: true, Pragmas: []driver.Pragma{{Name: "journal_mode", Value: "delete"}}, HealthInterval: gameHealth}},
	"pool-held":     {doors: []string{doorPool}, cfg: pool.Config{HealthInterval: gameHealth}, held: true},
	"manager":       {doors: []string{doorPool}, cfg: pool.Config{HealthInterval: gameHealth}, manager: true},
	"shared":        {doors: []string{doorPool, doorDSN, doorDriver}, cfg: pool.Config{MaxConns: 4}},
	"plain":         {doors: []string{doorPlain}, cfg: pool.Config{MaxConns: 6}}, // it loses
}

// examines reports whether a health check examines the database within a game.
func (m mode) examines() bool { return m.cfg.HealthInterval == gameHealth }

// playerArgument is the argument of a player.
type playerArgument struct {
	Path, Mode string
	Scratch    string // a directory for other files
}

func init() { roles["player"] = playerRole }

// forbidden is added to the id of a write that begins after the process has noticed the loss of
// the file.
const forbidden = 1 << 40

// Calls of a player have the timeout callLimit. A call that takes longer than hangLimit hangs.
const (
	callLimit = 5 * time.Second
	hangLimit = 20 * time.Second
)

// A player uses a database while a game is played with its files, and checks the results of its
// calls.
type player struct {
	playerArgument
	mode
	r       *report
	handles []*handle
	manager *pool.Manager
	beside  *pool.Pool // a pool of the manager for another file

	known   atomic.Bool  // a call has reported that the file is lost
	ids     atomic.Int64 // the last id assigned
	closing atomic.Bool
	backups atomic.Int64

	conn      *sql.Conn // held throughout, like the following
	read      *sql.Stmt
	insert    *sql.Stmt
	writes    *sql.Tx
	reads     *sql.Tx
	writesID  int64
	stop      context.CancelFunc
	ctx       context.Context // of the workers
	workers   sync.WaitGroup
	stallNano atomic.Int64
}

// playerRole is a process that has the database open. It reads commands from its input: "probe
// kept", "probe lost", "probe hindered", "close" and "reopen".
func playerRole() {
	p := &player{r: openReport()}
	childArgument(&p.playerArgument)
	p.mode = modes[p.Mode]
	commands := make(chan string)
	go func() {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			commands <- in.Text()
		}
		os.Exit(0) // the parent has ended
	}()
	go p.watchStalls()
	leaks := watchLeaks(filepath.Dir(p.Path))
	if err := p.open(); err != nil {
		fatalf("open: %v", err)
	}
	if err := p.prepare(); err != nil {
		fatalf("prepare: %v", err)
	}
	p.start()
	p.r.say("ready")
	for command := range commands {
		switch command {
		case "probe kept":
			p.probe(true)
		case "probe lost":
			p.probe(false)
		case "probe hindered":
			p.probeHindered()
		case "close":
			p.close()
			p.leaked(leaks)
		case "reopen":
			p.reopen()
			p.leaked(leaks)
		}
		p.r.say("done " + command)
	}
}

// bad reports a broken rule, and the operation that broke it.
func (p *player) bad(op, format string, args ...any) {
	p.r.line("bad", op+"\t"+fmt.Sprintf(format, args...))
}

// watchStalls measures for how long this process was not scheduled.
func (p *player) watchStalls() {
	const beat = 100 * time.Millisecond
	for last := time.Now(); ; {
		time.Sleep(beat)
		now := time.Now()
		if d := int64(now.Sub(last) - beat); d > p.stallNano.Load() {
			p.stallNano.Store(d)
			if d > int64(beat) {
				p.r.line("stall", fmt.Sprint(time.Duration(d).Milliseconds()))
			}
		}
		last = now
	}
}

func (p *player) open() error {
	ctx := context.Background()
	cfg := p.cfg
	cfg.BusyTimeout = gameBusy
	if p.mode.manager {
		p.manager = &pool.Manager{}
		cfg.Path = p.Path
		primary, err := p.manager.OpenPrimary(ctx, cfg)
		if err != nil {
			return err
		}
		p.handles = []*handle{{door: doorPool, path: p.Path, db: primary.DB(), pool: primary}}
		cfg.Path = filepath.Join(p.Scratch, "beside.db")
		if p.beside, err = p.manager.Add(ctx, "beside", cfg); err != nil {
			return err
		}
		_, err = p.beside.DB().Exec(schema)
		return err
	}
	p.handles = nil
	for _, door := range p.doors {
		h, err := openHandle(ctx, door, p.Path, cfg)
		if err != nil {
			return fmt.Errorf("%s: %w", door, err)
		}
		p.handles = append(p.handles, h)
	}
	return nil
}

// prepare writes rows to the database and to the WAL, and acquires what the mode holds.
func (p *player) prepare() (err error) {
	ctx := context.Background()
	h := p.handles[0]
	if _, err := h.db.Exec(schema); err != nil {
		return err
	}
	write := func(n int) {
		for range n {
			p.write("prepare", func(ctx context.Context, id int64) error { return writeID(ctx, h.db, id, int(id%3)+1, 1500) })
		}
	}
	write(40)
	if !p.cfg.DisableWAL {
		if err := h.checkpoint(ctx, sqlite3.CHECKPOINT_TRUNCATE); err != nil {
			return err
		}
		write(10)
	}
	if p.read, err = h.db.Prepare("SELECT count(*) FROM t WHERE id = ?"); err != nil {
		return err
	}
	if p.insert, err = h.db.Prepare("INSERT INTO t(id, part, parts, body) VALUES (?, 0, 1, randomblob(700))"); err != nil {
		return err
	}
	if h.pool != nil && p.cfg.DisableWAL {
		return nil // the holder of the only connection would block the others
	}
	if p.conn, err = h.db.Conn(ctx); err != nil {
		return err
	}
	if err := p.conn.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int)); err != nil {
		return err
	}
	if !p.held {
		return nil
	}
	if p.reads, err = h.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); err != nil {
		return err
	}
	if err := p.reads.QueryRow("SELECT count(*) FROM t").Scan(new(int)); err != nil {
		return err
	}
	if p.writes, err = h.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	p.writesID = p.ids.Add(1)
	return insertPart(ctx, p.writes, p.writesID, 0, 2, 700)
}

// call calls f, and checks whether its result is possible. A call that begins after the process
// has noticed the loss must report the loss.
func (p *player) call(op string, f func(context.Context) error) error {
	known := p.known.Load()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	began := time.Now()
	hangs := time.AfterFunc(hangLimit, func() {
		buf := make([]byte, 1<<20)
		os.Stderr.Write(buf[:runtime.Stack(buf, true)])
		p.r.line("hung", op)
	})
	err := f(ctx)
	hangs.Stop()
	switch {
	case lost(err):
		if p.known.CompareAndSwap(false, true) {
			p.r.say("known")
		}
	case known && !p.closing.Load():
		p.bad(op, "(a) begun after the loss was known: %s", outcome(err))
	}
	if err != nil && !p.closing.Load() {
		p.r.failed(err)
	}
	if d := time.Since(began); d > callLimit+gameHealth+time.Duration(p.stallNano.Load()) {
		p.bad(op, "(e) it took %v, but its context ended after %v", d.Round(time.Millisecond), callLimit)
	}
	return err
}

func outcome(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// write is like call for an operation that writes an id. It acknowledges the id.
func (p *player) write(op string, f func(context.Context, int64) error) error {
	id := p.ids.Add(1)
	if p.known.Load() {
		id += forbidden
	}
	err := p.call(op, func(ctx context.Context) error { return f(ctx, id) })
	if err == nil {
		p.r.ack(id)
	}
	return err
}

// start starts the workers.
func (p *player) start() {
	p.ctx, p.stop = context.WithCancel(context.Background())
	each := 1
	if len(p.handles) == 1 {
		each = 2
	}
	for _, h := range p.handles {
		if p.idle {
			break
		}
		for i := range each {
			if !p.held {
				p.work(func(n int) {
					p.write(h.door+": Exec", func(ctx context.Context, id int64) error { return writeID(ctx, h.db, id, (n+i)%3+1, 700) })
				})
			}
			p.work(func(int) {
				p.call(h.door+": QueryRow", func(ctx context.Context) error {
					return h.db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE id > ?", p.ids.Load()-20).Scan(new(int))
				})
			})
		}
		if h.pool != nil && h.pool.Config().HealthInterval > 0 {
			p.work(func(int) {
				if lost(h.pool.Health().Err) {
					p.call(h.door+": Health", func(context.Context) error { return h.pool.Health().Err })
				}
			})
		}
	}
	if p.backup {
		p.work(func(int) { p.makeBackup(p.handles[0]) })
	}
	if p.reset {
		p.work(func(int) { p.handles[0].pool.Reset() })
	}
	if p.mode.manager {
		p.work(func(n int) {
			if _, err := p.beside.DB().Exec("INSERT INTO t VALUES (?, 0, 1, NULL)", n); err != nil && !p.closing.Load() {
				p.bad("Exec", "(a) a pool of the manager with another file: %v", err)
			}
			if n%10 == 0 {
				p.checkManager()
			}
		})
	}
}

func (p *player) checkManager() {
	p.call("Manager.HealthCheck", func(ctx context.Context) error {
		checks := p.manager.HealthCheck(ctx)
		if err := checks["beside"]; err != nil && !p.closing.Load() {
			p.bad("Manager.HealthCheck", "(a) a pool of the manager with another file: %v", err)
		}
		return checks[pool.PrimaryName]
	})
}

func (p *player) makeBackup(h *handle) error {
	name := filepath.Join(p.Scratch, fmt.Sprintf("backup-%d.db", p.backups.Add(1)))
	err := p.call(h.door+": Backup", func(ctx context.Context) error { return h.backup(ctx, name) })
	if _, statErr := os.Stat(name); err != nil && statErr == nil && h.pool != nil {
		p.bad("Backup", "(c) it failed, but left a file: %v", err)
	}
	os.Remove(name)
	return err
}

// work runs f on a worker again and again, a dozen times a second. More would only slow down
// the other games.
func (p *player) work(f func(n int)) {
	p.workers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(60 * time.Millisecond):
			}
			f(n)
		}
	})
}

// close closes everything, like a program in the middle of its work.
func (p *player) close() {
	p.closing.Store(true)
	began := time.Now()
	err := within(patience, "to close", func() {
		if p.conn != nil {
			p.conn.Close()
			p.conn = nil
		}
		p.read.Close()
		p.insert.Close()
		if p.held {
			p.writes.Rollback()
			p.reads.Rollback()
		}
		ctx, cancel := context.WithTimeout(context.Background(), callLimit)
		defer cancel()
		if p.manager != nil {
			p.r.failed(p.manager.Close(ctx))
			return
		}
		for _, h := range p.handles {
			p.r.failed(h.close(ctx))
		}
	})
	if err != nil {
		p.r.line("hung", err.Error())
	}
	if d := time.Since(began); d > callLimit*time.Duration(len(p.handles))+2*gameHealth+time.Duration(p.stallNano.Load()) {
		p.bad("Close", "(e) it took %v", d.Round(time.Millisecond))
	}
	p.stop()
	if err := within(hangLimit, "the workers", p.workers.Wait); err != nil {
		p.r.line("hung", err.Error())
	}
}

func (p *player) leaked(l *leaks) {
	for _, left := range l.left() {
		p.r.line("leak", left)
	}
}

// reopen opens the database at the same path, which must succeed immediately.
func (p *player) reopen() {
	p.closing.Store(false)
	p.known.Store(false)
	p.held = false
	began := time.Now()
	if err := p.open(); err != nil {
		p.bad("Open", "(f) opened again: %v", err)
		p.handles = nil
		if p.manager != nil {
			p.manager.Close(context.Background())
		}
		return
	}
	if d := time.Since(began); d > callLimit+time.Duration(p.stallNano.Load()) {
		p.bad("Open", "(f) opened again after %v", d.Round(time.Millisecond))
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for _, h := range p.handles {
		if _, err := h.db.Exec(schema); err != nil {
			p.bad(h.door+": Exec", "(f) opened again: %v", err)
			continue
		}
		id := p.ids.Add(1) + reopened
		if err := p.call("reopened", func(ctx context.Context) error { return writeID(ctx, h.db, id, 2, 700) }); err != nil {
			p.bad(h.door+": Exec", "(f) opened again: %v", err)
			continue
		}
		p.r.line("again", fmt.Sprint(id))
		if err := p.call("reopened", func(ctx context.Context) error {
			return h.db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(new(int))
		}); err != nil {
			p.bad(h.door+": Query", "(f) opened again: %v", err)
		}
	}
	p.close()
}

// reopened is added to the ids that are written after the database was reopened.
const reopened = 1 << 41
