//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sqlitemw/sqlitemw/pool"
)

// A referee plays matches and judges by these rules:
//
//	(a) once a call of the process has reported the loss of the file, every call reports
//	    it, and writes nothing
//	(b) acknowledged ids are in the database of that name; those from before the loss
//	    had to be known may be in the original file instead
//	(c) no other file is written, created or removed
//	(d) an obstacle to checking the file is not a loss
//	(e) no goroutine, descriptor or mapping is left after Close, and nothing hangs
//	(f) after Close, the database of that name can be opened immediately
type referee struct {
	*campaign
	shop *shop

	mu      sync.Mutex
	notices []time.Duration
}

func newReferee(t testing.TB, name string) *referee {
	return &referee{
		campaign: newCampaign(t, name, "games", "noticed", "acknowledged", "lost", "leaked", "hung", "crashed (allowed)"),
		shop:     newShop(t),
	}
}

// TestFileGames plays with the files of a database while a process uses it, in several modes.
// If the campaign has a length, it uses all modes.
func TestFileGames(t *testing.T) {
	r := newReferee(t, "file games")
	matches := matchesToPlay(t)
	end := time.Now().Add(length(t, 1))
	if os.Getenv(lengthVar) == "" {
		end = time.Time{} // one round, in some modes
	}
	for round := 0; ; round++ {
		for i := range matches {
			matches[i].killed = (i+round)%4 == 3 && !modes[matches[i].mode].held
		}
		if os.Getenv(lengthVar) != "" {
			rand.Shuffle(len(matches), func(i, j int) { matches[i], matches[j] = matches[j], matches[i] })
		}
		for i, s := range r.playAll(t, matches, end) {
			if s != nil {
				t.Run(matches[i].String(), s.tell)
			}
		}
		if time.Now().After(end) {
			break
		}
	}
	if len(r.notices) > 0 {
		slices.Sort(r.notices)
		t.Logf("a loss was noticed after %v (median), %v (maximum)", r.notices[len(r.notices)/2].Round(time.Millisecond), r.notices[len(r.notices)-1].Round(time.Millisecond))
	}
}

// TestFileGamesCatchPlainDriver shows that the campaign can fail. The plain driver keeps using
// a file that is gone, and creates another in its place.
func TestFileGamesCatchPlainDriver(t *testing.T) {
	r := newReferee(&judge{TB: t}, "file games of the plain driver (must lose)")
	matches := matchesOf(games(), nil)
	matches = slices.DeleteFunc(matches, func(m match) bool { return m.mode != "driver" })
	// The damage of an old WAL applied to a replacement shows in the file, or when it is
	// opened next.
	want := map[string][]string{"remove db": {"(b)"}, "remove db-wal": {"(a)"}, "replace db": {"(c)", "(f)"}, "rename the directory": {"(b)"}}
	matches = slices.DeleteFunc(matches, func(m match) bool { return want[m.name] == nil })
	for i := range matches {
		matches[i].mode = "plain"
	}
	// What the plain driver loses depends on what it was doing, so it gets several tries.
	for try := 1; len(matches) > 0; try++ {
		var missed []match
		for i, s := range r.playAll(t, matches, time.Time{}) {
			rules := want[matches[i].name]
			if slices.ContainsFunc(s.order, func(text string) bool { return slices.Contains(rules, text[:min(len("(a)"), len(text))]) }) {
				continue
			}
			missed = append(missed, matches[i])
			if try == 5 {
				t.Fatalf("%v: no violation of rules %v was found, only %q", matches[i], rules, s.order)
			}
		}
		matches = missed
	}
}

// playAll plays many matches concurrently, because each mostly waits. After end, unless it is
// zero, it starts no more; the scenes of those are nil.
func (r *referee) playAll(t testing.TB, matches []match, end time.Time) []*scene {
	base := t.TempDir()
	for _, dir := range []string{base, filepath.Dir(base)} { // other users use these directories, too
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	scenes := make([]*scene, len(matches))
	var wg sync.WaitGroup
	turns := make(chan struct{}, 8*runtime.GOMAXPROCS(0))
	for i, m := range matches {
		turns <- struct{}{}
		if !end.IsZero() && time.Now().After(end) {
			break
		}
		wg.Go(func() {
			defer func() { <-turns }()
			scenes[i] = r.playAgain(t, base, m)
		})
	}
	wg.Wait()
	return scenes
}

// playAgain plays a match. It plays the match again if the only violations are those of a change
// in the instant in which a connection opens, which no check before it can see. SQLite opens
// files by name, so a file that is replaced in that instant is opened, and touched. And a
// connection that opens makes a -shm that was halved in that instant as long as before, with an
// index that lacks pages. That happens rarely, and not each time.
func (r *referee) playAgain(t testing.TB, base string, m match) (s *scene) {
	const tries = 3
	unlucky := func(text string) bool {
		return strings.HasPrefix(text, "(c)") || m.halvesIndex && (strings.HasPrefix(text, "(b)") || strings.HasPrefix(text, "(f)"))
	}
	for range tries {
		s = play(t, base, func(s *scene) { r.play(s, m) })
		if len(s.order) == 0 || slices.ContainsFunc(s.order, func(text string) bool { return !unlucky(text) }) {
			break
		}
		r.add("played again", 1)
	}
	r.add("lost", s.lost)
	return s
}

// A seat is the process of a player, which uses the table's database.
type seat struct {
	*child
	in io.Writer
}

// seat starts a player.
func (r *referee) seat(tb *table, m match) *seat {
	in, childIn, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	tb.Cleanup(func() { childIn.Close() })
	c := startChild(tb, "player", playerArgument{Path: tb.path, Mode: m.mode, Scratch: tb.dirOf("scratch")}, func(cmd *exec.Cmd) {
		cmd.Stdin = in
		if !m.asNobody || os.Geteuid() != 0 {
			return
		}
		const nobody = 65534
		exe, err := r.shop.exe()
		if err != nil {
			tb.Fatal(err)
		}
		cmd.Path, cmd.Args, cmd.Dir = exe, []string{exe}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		err = filepath.WalkDir(tb.base, func(name string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(name, nobody, nobody))
		})
		if err != nil {
			tb.Fatal(err)
		}
	})
	return &seat{c, childIn}
}

// do sends the player a command, and reports whether the player completed it.
func (s *seat) do(command string) bool {
	if _, err := io.WriteString(s.in, command+"\n"); err != nil {
		return false
	}
	return s.await("done " + command)
}

// play plays a match.
func (r *referee) play(s *scene, m match) {
	tb := newTable(s, r.shop, m.linked)
	p := r.seat(tb, m)
	defer func() {
		p.kill()
		p.collect(r.campaign)
		for _, text := range p.reported("bad") {
			op, text, _ := strings.Cut(text, "\t")
			s.found(normalise(text), op)
		}
		for _, text := range p.reported("hung") {
			r.add("hung", 1)
			s.Errorf("(e) hung: %s", text)
		}
		for _, text := range p.reported("leak") {
			r.add("leaked", 1)
			s.Errorf("(e) left: %s", normalise(text))
		}
	}()
	if !p.await("ready") {
		s.Fatalf("the player is not ready: %v\n%s", p.err, p.output())
	}
	if m.library != "" {
		tb.other = startOther(s, m.library, tb.path)
	}
	r.add("games", 1)
	tb.hold()
	busy := !modes[m.mode].idle && !modes[m.mode].held
	if busy {
		p.awaitAcks(len(p.acked()) + 3)
	}
	undo, err := m.act(tb)
	if err != nil {
		if errors.Is(err, errOther) {
			s.Skipf("the other process could not do its part: %v", err)
		}
		s.Fatalf("the game: %v", err)
	}
	began := time.Now()
	tb.watch()
	before, bound := r.observe(tb, p, m, began, undo, busy)
	alive := r.ask(tb, p, m)
	tb.unwatch()
	r.judge(tb, p, m, before, bound)
	if alive {
		r.reopen(tb, p, m)
	}
}

// observe waits until a loss is known, or for as long as it may remain unnoticed. It returns
// the number of ids acknowledged when the game began, and when the loss had to be known.
func (r *referee) observe(tb *table, p *seat, m match, began time.Time, undo func(), busy bool) (before, bound int) {
	before = len(p.acked())
	if m.expect == expectKept {
		if m.asNobody {
			p.do("probe hindered")
		}
		// Long enough for every connection and health check to check the file.
		waitFor(gameHealth+gameHealth/2, p, func() bool { return p.hasSaid("known") })
		if undo != nil {
			undo()
		}
		if n := len(p.acked()) + 3; busy && !waitFor(goesOnLimit, p, func() bool { return len(p.acked()) >= n }) {
			r.add("hung", 1)
			tb.Errorf("(e) it does not continue: %v\n%s", p.err, p.output())
		}
		if p.hasSaid("known") {
			tb.Errorf("(d) it was reported as lost")
		}
		return before, before
	}
	if modes[m.mode].idle {
		// The next call notices the loss.
		time.Sleep(gameHealth + gameHealth/2)
		return before, len(p.acked())
	}
	stalls := func() (d time.Duration) {
		for _, text := range p.reported("stall") {
			if ms, err := time.ParseDuration(text + "ms"); err == nil {
				d = max(d, ms)
			}
		}
		return d
	}
	known := waitFor(noticeLimit, p, func() bool { return p.hasSaid("known") })
	if stall := stalls(); !known && stall > 0 {
		known = waitFor(stall, p, func() bool { return p.hasSaid("known") })
	}
	took := time.Since(began)
	bound = len(p.acked())
	if m.expect == expectSick && !modes[m.mode].examines() {
		bound = math.MaxInt // a truncated file is noticed by what examines the database
	}
	if known {
		bound = math.MaxInt // except for ids of calls that began later, which are marked as forbidden
		r.add("noticed", 1)
		r.mu.Lock()
		r.notices = append(r.notices, took)
		r.mu.Unlock()
	} else if m.expect == expectLost {
		tb.Errorf("(a) the loss was not noticed within %v", noticeLimit)
	}
	// Calls that still succeed now have no excuse.
	waitFor(300*time.Millisecond, p, func() bool { return false })
	return before, bound
}

// waitFor waits for a condition, at most for d, and only while the player runs.
func waitFor(d time.Duration, p *seat, cond func() bool) bool {
	timeout := time.After(d)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if cond() {
			return true
		}
		select {
		case <-changed:
		case <-p.done:
			return cond()
		case <-timeout:
			return cond()
		}
	}
}

// ask makes the player try everything, and close. It reports whether the player still runs.
func (r *referee) ask(tb *table, p *seat, m match) bool {
	known := p.hasSaid("known")
	alive := true
	if m.killed {
		p.kill()
		return false
	}
	switch {
	case m.expect == expectKept:
		alive = p.do("probe kept")
	case known, modes[m.mode].idle && m.expect == expectLost:
		alive = p.do("probe lost")
	}
	alive = alive && p.do("close")
	if alive {
		return true
	}
	select {
	case <-p.done:
	default:
		r.add("hung", 1)
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		waitFor(patience, p, func() bool { return false })
		tb.Errorf("(e) hung:\n%s", p.output())
		return false
	}
	if out := p.output(); m.crashes && (strings.Contains(out, "SIGBUS") || strings.Contains(out, "fault")) {
		r.add("crashed (allowed)", 1) // SQLite maps its wal-index
		return false
	}
	tb.Errorf("(e) the process has ended: %v\n%s", p.err, p.output())
	return false
}

// judge compares what was acknowledged with what the files contain.
func (r *referee) judge(tb *table, p *seat, m match, before, bound int) {
	acked := p.acked()
	r.add("acknowledged", len(acked))
	now, err := tb.now(acked)
	if err != nil && !m.destroys {
		tb.Errorf("(b) the database of that name: %v", err)
	}
	first := now
	if m.expect != expectKept {
		if first, err = tb.first(acked); err != nil && !m.destroys {
			tb.Errorf("(b) the first database: %v", err)
		}
	}
	var lost, late []int64
	for i, id := range acked {
		switch {
		case now[id]:
		case i >= bound || id > forbidden:
			late = append(late, id)
		case m.destroys || first[id]:
		default:
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		tb.lost += len(lost)
		tb.Errorf("(b) lost: of %d acknowledged, %d of them before the game, %d are in no file: %v", len(acked), before, len(lost), firsts(lost))
	}
	if len(late) > 0 {
		tb.lost += len(late)
		tb.Errorf("(b) lost: acknowledged after the loss had to be known, but not in the database of that name: %d", len(late))
	}
	written := map[int64]bool{}
	for _, there := range []map[int64]bool{now, first} {
		for id := range there {
			written[id] = written[id] || id > forbidden && id < reopened
		}
	}
	maps.DeleteFunc(written, func(_ int64, late bool) bool { return !late })
	if len(written) > 0 {
		tb.Errorf("(a) written after the loss was known: %d", len(written))
	}
	for _, id := range tb.others {
		if !now[id] {
			tb.lost++
			tb.Errorf("(b) lost: committed by the other process: %d", id)
		}
	}
}

// reopen makes the player open the database. If there is none, reopen first restores one, like
// a program's restore.
func (r *referee) reopen(tb *table, p *seat, m match) {
	restored := m.expect != expectKept
	if restored {
		if err := tb.restore(); err != nil {
			tb.Errorf("(f) restore: %v", err)
			return
		}
	}
	if !p.do("reopen") {
		tb.Errorf("(f) opened again: %v\n%s", p.err, p.output())
		return
	}
	var want []int64
	for _, text := range p.reported("again") {
		var id int64
		if _, err := fmt.Sscan(text, &id); err == nil {
			want = append(want, id)
		}
	}
	got, err := readBack(tb.path)
	switch {
	case err != nil:
		tb.Errorf("(f) opened again and closed: %v", err)
		return
	case len(got.broken) > 0 || len(got.partial) > 0:
		tb.Errorf("(f) opened again and closed: %v, %v", got.broken, firsts(got.partial))
	}
	if missing := got.missing(want); len(missing) > 0 {
		tb.lost += len(missing)
		tb.Errorf("(f) lost: %d written after it was opened again", len(missing))
	}
	if !restored || tb.isFirst("", tb.path) {
		return
	}
	if n := tb.precious(); n != preciousRows {
		tb.Errorf("(f) the restored database has %d of its own %d rows", n, preciousRows)
	}
	strange := 0
	for id := range got.ids {
		if id < reopened {
			strange++
		}
	}
	if strange > 0 {
		tb.Errorf("(f) the restored database has rows of the first one")
	}
}

// restore puts a database in the place of one that is gone or damaged, with a rename.
func (tb *table) restore() error {
	if now, err := os.ReadFile(tb.path); err == nil && strings.Contains(string(now), "precious") {
		return nil // there is a replacement
	}
	if _, err := os.Stat(filepath.Dir(tb.path)); err != nil {
		if err := os.MkdirAll(filepath.Dir(tb.path), 0o755); err != nil {
			return err
		}
	}
	if tb.isFirst("", tb.path) { // damaged, so its WAL is useless
		for _, ending := range []string{"-wal", "-shm", "-journal"} {
			_ = os.Remove(tb.path + ending)
		}
	}
	spare := tb.spare("restore.db")
	if info, err := os.Stat(filepath.Dir(tb.path)); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			_ = os.Chown(spare, int(st.Uid), int(st.Gid))
		}
	}
	return os.Rename(spare, tb.path)
}

// precious returns the number of rows in a spare database's own table.
func (tb *table) precious() (n int) {
	h, err := openHandle(context.Background(), doorPlain, tb.path, pool.Config{MaxConns: 1})
	if err != nil {
		return 0
	}
	defer h.close(context.Background())
	_ = h.db.QueryRow("SELECT count(*) FROM precious").Scan(&n)
	return n
}
