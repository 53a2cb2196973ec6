package pool

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/sqlitemw/sqlitemw/driver"
	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// sameFile returns [driver.ErrFileLost] if the names of database, -wal and -shm no longer lead
// to the pool's open files. It is called before every checkpoint and every step of a backup.
// Package driver does the same before every dial.
func (p *Pool) sameFile() error {
	if err := p.checkFile(); errors.Is(err, driver.ErrFileLost) {
		return err
	}
	return nil
}

// checkFile is sameFile for a health check. An error other than [driver.ErrFileLost] says why
// the files could not be checked. That does not mean that they are lost.
func (p *Pool) checkFile() error {
	if p.base.path == "" {
		return nil
	}
	err := p.lanes.writes.LookAfterFile()
	p.recordFileLost(err)
	return err
}

// isFileLost reports whether a connection has found that the file is lost.
func (p *Pool) isFileLost() bool { return p.base.path != "" && p.lanes.writes.FileLost() != nil }

// recordFileLost reports that the file is lost: to health, log and events, once. It ends all
// waits and closes the idle readers. By then every call fails.
func (p *Pool) recordFileLost(err error) {
	var lost *driver.FileLostError
	if err == nil || p.base.lost.Load() || !errors.As(err, &lost) || p.base.lost.Swap(true) {
		return
	}
	now := time.Now()
	p.core.SetHealth(HealthReport{Health: HealthDown, Reasons: []string{lost.Error()}, Err: lost, Checked: now})
	what := "database"
	for _, side := range []string{"-wal", "-shm"} {
		if strings.HasSuffix(lost.File, side) && filepath.Base(lost.File) != filepath.Base(p.base.path) {
			what = side
		}
	}
	p.recorder.Record(driver.Event{Time: now, Kind: driver.KindFileLost, Reason: driver.Reason(what + " " + lost.Change), Background: true})
	p.core.HealthMayChange(true)
	p.logger.Error("pool: "+strings.TrimPrefix(lost.Error(), "sqlitemw: "), "health", HealthDown.String())
	for _, l := range p.core.Lanes() {
		l.Abandon(lost)
	}
	if l := p.lanes.readers; l != nil { // before the writer, which may save the content of the WAL
		for c := l.Pop(); c != nil; c = l.Pop() {
			l.Close(c, wrap.ReasonSick)
		}
	}
}
