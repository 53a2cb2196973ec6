package random

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sqlitemw/sqlitemw/driver"
)

// An arena plays programs, each time on a fresh file.
type arena struct {
	dir    string
	query  string // of all DSNs; empty for fast settings
	txlock string // of all DSNs: how transactions begin; empty for the default
	lanes  bool   // several connections are possible, whatever a program says
	model  bool   // the programs use one connection, so that a model can follow them
	strict bool   // known differences count as differences, too
	tally  tally
}

// A tally counts what happened in all programs.
type tally struct {
	programs, steps, failed, skipped int
	wholes                           int // whole tables whose contents the model knew
	allowed                          int // differences that are faults of the plain driver
	cache                            map[string]driver.CacheStats
}

// A record is the result of a program.
type record struct {
	seen  []outcome
	close error
	file  []byte
}

// play plays a program. If want is not nil, it stops at the first step whose outcome differs.
func (a *arena) play(to target, p program, want []outcome) (record, error) {
	path := filepath.Join(a.dir, "file.db")
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			os.Remove(path + suffix)
		}
	}()
	query := cmp.Or(a.query, "_pragma=busy_timeout(0)&_pragma=synchronous(off)&_pragma=journal_mode(memory)")
	db, err := to.open("file:" + path + "?" + query + "&_txlock=" + a.txlock)
	if err != nil {
		return record{}, err
	}
	var r record
	r.seen = play(db, p, want, a.strict, a.lanes || p.connections > 1)
	if c := driver.ConnectorOf(db); c != nil {
		a.tally.count(to.name, c.CacheStats())
	}
	r.close = db.Close()
	if r.file, err = os.ReadFile(path); err != nil {
		return record{}, err
	}
	return r, nil
}

func (t *tally) count(name string, s driver.CacheStats) {
	if t.cache == nil {
		t.cache = map[string]driver.CacheStats{}
	}
	sum := t.cache[name]
	sum.Hits += s.Hits
	sum.Misses += s.Misses
	sum.Evictions += s.Evictions
	sum.Invalidations += s.Invalidations
	t.cache[name] = sum
}

// difference plays a program on the plain driver and on others. It returns the first
// difference, or "". The target that differs is the first to be played next time, because the
// next program is probably the same one, shrunk.
func (a *arena) difference(p program, targets []target) (string, error) {
	want, err := a.play(plain, p, nil)
	if err != nil {
		return "", err
	}
	a.tally.programs++
	a.tally.steps += len(want.seen)
	for _, o := range want.seen {
		if o.err != nil {
			a.tally.failed++
		}
		if o.skipped {
			a.tally.skipped++
		}
	}
	for i, to := range targets {
		var diff string
		if diff, p, want, err = a.differs(to, p, want, 0); diff != "" || err != nil {
			targets[0], targets[i] = targets[i], targets[0]
			return diff, err
		}
	}
	if a.model {
		if wrong := a.followed(p, want.seen); wrong != "" {
			return "all drivers differ from the model\n" + wrong, nil
		}
	}
	return "", nil
}

// followed lets a model follow a program, and returns what contradicts the model.
func (a *arena) followed(p program, seen []outcome) string {
	m := newModel()
	for i, o := range seen {
		s := p.steps[i]
		if s.text != nil && s.text.whole != "" && s.verb == query && !m.lost {
			a.tally.wholes++
		}
		if wrong := m.check(s, o); wrong != "" {
			return fmt.Sprintf("%s\tsees\n\t\t%v\nbut %s\n", p.upTo(i), o, wrong)
		}
	}
	return ""
}

// most is how many differences of the plain driver's own are allowed in one program. It guards
// against an endless recursion.
const most = 20

// differs plays a program on one more driver. It returns the program with the steps that were
// inserted because of the plain driver, and what the plain driver saw in it.
func (a *arena) differs(to target, p program, want record, allowed int) (string, program, record, error) {
	got, err := a.play(to, p, want.seen)
	if err != nil {
		return "", p, want, err
	}
	i := firstDifference(want.seen, got.seen)
	if i < 0 {
		if showError(want.close) != showError(got.close) {
			return fmt.Sprintf("%s\tdb.Close()\nplain: %v\n%s: %v\n", p.upTo(len(p.steps)), want.close, to.name, got.close), p, want, nil
		}
		diff, err := a.contents(to, p, want, got)
		return diff, p, want, err
	}
	if allowed < most {
		cured, ok, err := a.staleThere(p, i, got)
		if err != nil {
			return "", p, want, err
		}
		if ok {
			a.tally.allowed++
			if want, err = a.play(plain, cured, nil); err != nil {
				return "", p, want, err
			}
			return a.differs(to, cured, want, allowed+1)
		}
	}
	show := func(seen []outcome) string {
		if i < len(seen) {
			return seen[i].String()
		}
		return "nothing: the previous step was the last"
	}
	return fmt.Sprintf("%splain sees\n\t\t%s\n%s sees\n\t\t%s\n", p.upTo(i), show(want.seen), to.name, show(got.seen)), p, want, nil
}

func firstDifference(a, b []outcome) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || !slices.Equal(a[i].lines, b[i].lines) {
			return i
		}
	}
	return -1
}

// staleThere handles a known difference of the plain driver after a schema change: the entry
// "Schema changes" of package driver's differences. If the schema has changed since a
// connection has read it, or since a statement was prepared, the next query fails once or
// reports old columns. Another connection may have changed it, or a rollback on the same
// connection after a change that failed. To find out whether that explains the difference in
// the i-th step, staleThere makes the connection read the schema, or uses the statement. It
// does if the plain driver then sees the same as the other driver.
func (a *arena) staleThere(p program, i int, got record) (program, bool, error) {
	at, ok := asked(p, i)
	if !ok || i >= len(got.seen) {
		return p, false, nil
	}
	s := p.steps[at]
	since := 0
	first := step{verb: query, on: s.on, text: &text{sql: "SELECT 1 FROM sqlite_schema LIMIT 1"}, unseen: true}
	if s.on[0] == 's' {
		if !s.text.onlyReads() {
			return p, false, nil // using it twice would write twice
		}
		if p.connections == 1 {
			since = p.prepared(s.on)
		}
		first.text, first.args = s.text, s.args
	}
	if !slices.ContainsFunc(p.steps[since:at], func(t step) bool { return t.text != nil && t.text.schema && t.verb != prepare }) {
		return p, false, nil
	}
	cured := p.with(at, first)
	want, err := a.play(plain, cured, nil)
	return cured, err == nil && sameOutcome(want.seen, i+1, got.seen, i), err
}

// prepared returns the step that prepared a statement, or that bound it to a transaction.
func (p program) prepared(stmt string) int {
	i := slices.IndexFunc(p.steps, func(s step) bool { return s.to == stmt })
	if p.steps[i].verb == bind {
		return p.prepared(p.steps[i].stmt)
	}
	return i
}

// asked returns the step that queried the rows which the i-th step reads. ok is false if the
// step reads none.
func asked(p program, i int) (at int, ok bool) {
	at = i
	if p.steps[i].verb == read {
		at = slices.IndexFunc(p.steps, func(s step) bool { return s.to == p.steps[i].on })
	}
	return at, p.steps[at].reads() || p.steps[at].verb == open
}

// with returns the program with one more step.
func (p program) with(at int, s step) program {
	p.steps = slices.Insert(slices.Clone(p.steps), at, s)
	return p
}

func sameOutcome(a []outcome, i int, b []outcome, j int) bool {
	return i < len(a) && j < len(b) && slices.Equal(a[i].lines, b[j].lines)
}

// contents compares the contents of the files, if their bytes differ.
func (a *arena) contents(to target, p program, want, got record) (string, error) {
	if bytes.Equal(want.file, got.file) {
		return "", nil
	}
	var dumps [2]string
	for i, file := range [][]byte{want.file, got.file} {
		dump, err := a.dump(file)
		if err != nil {
			return "", err
		}
		dumps[i] = dump
	}
	if dumps[0] == dumps[1] {
		return "", nil
	}
	return fmt.Sprintf("%splain leaves\n\t\t%s\n%s leaves\n\t\t%s\n", p.upTo(len(p.steps)), dumps[0], to.name, dumps[1]), nil
}

// dump reads all tables of a file, except those that a pool writes for SQLite's planner when it
// closes.
func (a *arena) dump(file []byte) (string, error) {
	path := filepath.Join(a.dir, "left.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return "", err
	}
	defer os.Remove(path)
	db, err := plain.open("file:" + path)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var o outcome
	var names []string
	for _, q := range []string{"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'", "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'", "PRAGMA user_version"} {
		rows, err := db.Query(q)
		if err != nil {
			return "", err
		}
		for o.next(rows) {
			if q[7] == 'n' {
				var name string
				if err := rows.Scan(&name); err != nil {
					return "", err
				}
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		rows, err := db.Query("SELECT * FROM " + name)
		if err != nil {
			return "", err
		}
		o.head(rows)
		for o.next(rows) {
		}
	}
	return o.String(), nil
}
