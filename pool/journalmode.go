package pool

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/internal/inspect"
)

// checkJournalMode returns an error if the journal modes of the file and of the plan exclude each
// other: the file is in WAL mode, which Config.DisableWAL forbids; or this pool would set WAL
// mode, and another pool of the process forbids it. It changes nothing: neither pragmas that
// are stored in the file nor Config.Init have been executed.
func (p *Pool) checkJournalMode(ctx context.Context) error {
	info, err := os.Stat(p.plan.dsn.File())
	if err != nil {
		return nil // SQLite creates the file, or says why it cannot
	}
	if p.plan.wal {
		if other := withoutWAL(info); other != nil {
			return fmt.Errorf("%w: %q: the pool %q of this process has it open with DisableWAL, and this pool would set WAL mode: use the same DisableWAL for both",
				ErrInvalidConfig, p.plan.dsn.Database(), other.cfg.Name)
		}
	}
	if !p.plan.refusesWAL {
		return nil
	}
	s := p.plan.forJournalMode()
	s.config.Recorder, s.config.Logger = p.recorder, p.logger
	connector, err := s.dsn.NewConnector(s.config)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	c, err := connector.Dial(ctx, nil)
	if err != nil {
		return nil // the writer's connection fails too, or is checked
	}
	defer c.Lease().CloseFor(wrap.ReasonOther)
	return p.refuseWAL(c)
}

// refuseWAL returns an error if the database of c is in WAL mode and Config.DisableWAL forbids
// that.
func (p *Pool) refuseWAL(c driver.PoolConn) (err error) {
	if !p.plan.refusesWAL {
		return nil
	}
	c.Lease().Use(func() {
		if mode, ok := inspect.JournalMode(c.SQLite()); ok && mode == "wal" {
			err = fmt.Errorf("%w: DisableWAL is true, and the file %q is in WAL mode, which it keeps: set the pragma journal_mode to delete, which changes the file, or leave DisableWAL out",
				ErrInvalidConfig, p.plan.dsn.Database())
		}
	})
	return err
}

// forJournalMode returns the source of a connection that only reads the journal mode.
func (p *plan) forJournalMode() source {
	d := p.shared().Without("_txlock", "mode").
		WithoutPragmas(func(driver.Pragma) bool { return true }).
		With("mode", "rw") // closing the last connection removes the WAL, which mode ro cannot
	return source{d, driver.Config{
		Pragmas:     []driver.Pragma{{Name: "busy_timeout", Value: strconv.FormatInt(p.busyMilliseconds(), 10)}},
		MemoryLimit: p.config.MemoryLimit,
		Tracing:     p.config.Tracing,
		PoolName:    p.writer.config.PoolName,
	}}
}

// withoutWAL returns a pool of this process that has the file open and forbids WAL mode, or nil.
func withoutWAL(info fs.FileInfo) *Pool {
	files.Lock()
	defer files.Unlock()
	for _, f := range files.open {
		if !os.SameFile(f.info, info) {
			continue
		}
		for _, p := range f.pools {
			if p.plan.forbidsWAL {
				return p
			}
		}
	}
	return nil
}
