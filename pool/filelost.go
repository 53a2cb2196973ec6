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
	if p.path == "" {
		return nil
	}
	err := p.writer.connector.LookAfterFile()
	p.recordFileLost(err)
	return err
}

// isFileLost reports whether a connection has found that the file is lost.
func (p *Pool) isFileLost() bool { return p.path != "" && p.writer.connector.FileLost() != nil }

// recordFileLost reports that the file is lost: to health, log and events, once. It ends all
// waits and closes the idle readers. By then every call fails.
func (p *Pool) recordFileLost(err error) {
	var lost *driver.FileLostError
	if err == nil || p.lost.Load() || !errors.As(err, &lost) || p.lost.Swap(true) {
		return
	}
	now := time.Now()
	p.health.mu.Lock()
	p.health.last = HealthReport{Health: HealthDown, Reasons: []string{lost.Error()}, Err: lost, Checked: now}
	p.health.mu.Unlock()
	what := "database"
	for _, side := range []string{"-wal", "-shm"} {
		if strings.HasSuffix(lost.File, side) && filepath.Base(lost.File) != filepath.Base(p.path) {
			what = side
		}
	}
	p.recorder.Record(driver.Event{Time: now, Kind: driver.KindFileLost, Reason: driver.Reason(what + " " + lost.Change), Background: true})
	p.healthMayChange(true)
	p.logger.Error("pool: "+strings.TrimPrefix(lost.Error(), "sqlitemw: "), "health", HealthDown.String())
	for _, l := range p.allLanes() {
		l.queue.abortAll(l, lost)
		l.mu.Lock()
		l.generation++
		l.mu.Unlock()
	}
	if l := p.readers; l != nil { // before the writer, which may save the content of the WAL
		for c := l.pop(); c != nil; c = l.pop() {
			l.close(c, wrap.ReasonSick)
		}
	}
}
