package driver

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// settings are the pragmas of all connections of a connector, in the order in which they
// are applied.
type settings struct {
	pragmas []Pragma
	names   []string // names of the pragmas

	// busy is the plain driver's busy timeout for the DSN. It applies unless pragmas has a
	// busy_timeout.
	busy time.Duration

	// lenient turns errors into warnings for pragmas that SQLite does not know, or keeps at
	// another value. Programs of other drivers expect no error.
	lenient bool

	// memory is set for an in-memory database that several connections share. Its journal
	// is always in memory, and no connection can lock it exclusively.
	memory bool
}

func newSettings(cfg Config, d *DSN) (settings, error) {
	for _, p := range cfg.Pragmas {
		if err := p.check(); err != nil {
			return settings{}, err
		}
	}
	s := settings{
		pragmas: mergePragmas(slices.Concat(cfg.Compat.pragmas(), cfg.Pragmas), slices.Concat(d.translated, d.pragmas)),
		busy:    time.Minute,
		lenient: cfg.Compat != CompatNone,
		memory:  d.sharedMemory(),
	}
	switch {
	case cfg.Compat == CompatMattn:
		s.busy = 5 * time.Second
	case cfg.Compat == CompatModernc, len(d.pragmas) > 0:
		s.busy = 0
	}
	for _, p := range s.pragmas {
		s.names = append(s.names, p.key())
	}
	return s, nil
}

// forBase returns the pragmas that the plain driver must see in its DSN. These are keys,
// because they must come before automatic extensions, and query_only. The plain driver
// reads query_only once, and restores that value after a read-only transaction.
func (s settings) forBase() []Pragma {
	var ps []Pragma
	for _, p := range s.pragmas {
		info := pragmas[p.key()]
		if info.kind == secret {
			ps = append(ps, p)
		}
		if want, _ := info.want(p.Value); p.key() == "query_only" && want == "1" {
			ps = append(ps, p)
		}
	}
	return ps
}

// keyed reports whether the pragmas include a key.
func (s settings) keyed() bool {
	return slices.ContainsFunc(s.pragmas, func(p Pragma) bool { return pragmas[p.key()].kind == secret })
}

// queryOnly reports whether the plain driver sets query_only.
func (s settings) queryOnly() bool {
	return slices.ContainsFunc(s.forBase(), func(p Pragma) bool { return p.key() == "query_only" })
}

// apply applies the pragmas to a new connection, and calls warn for those without effect.
// The plain driver has already applied keys.
func (s settings) apply(c *sqlite3.Conn, warn func(notice)) error {
	if err := c.BusyTimeout(s.busy); err != nil {
		return err
	}
	if s.queryOnly() {
		// It would block other pragmas. It is set again in its turn.
		if err := c.Exec("PRAGMA query_only=off"); err != nil {
			return err
		}
	}
	for _, p := range s.pragmas {
		info, known := pragmas[p.key()]
		if info.kind == secret {
			if err := keyTaken(c, p); err != nil {
				return err
			}
			continue
		}
		if s.unsupported(p) {
			warn(notice{ReasonPragma, "pragma " + p.String() + ": a shared in-memory database does not support it: leave the pragma out"})
			continue
		}
		rows, err := s.set(c, p)
		if err != nil {
			return pragmaFailed(p, err)
		}
		if !known && len(rows) == 0 && !listed(c, p.key()) {
			err := &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Hint: "SQLite does not know it" + didYouMean(p.key())}
			if !s.lenient {
				return err
			}
			warn(notice{ReasonPragma, err.Error()})
		}
	}
	return nil
}

// unsupported reports whether a pragma is skipped. With it, a shared in-memory database
// could not be written to.
func (s settings) unsupported(p Pragma) bool {
	if !s.memory {
		return false
	}
	switch want, _ := pragmas[p.key()].want(p.Value); p.key() {
	case "journal_mode":
		return p.Value != "" && want != "memory" && want != "off"
	case "locking_mode":
		return want == "exclusive"
	}
	return false
}

// set executes a pragma. Changing the journal mode needs an exclusive lock. If waiting for
// it might deadlock, SQLite returns BUSY immediately, whatever the busy timeout is. When
// many connections open a new file together, a few would fail. So set retries until the
// busy timeout is over.
func (s settings) set(c *sqlite3.Conn, p Pragma) ([]string, error) {
	rows, err := pragmaRows(c, p)
	if p.key() != "journal_mode" || !errors.Is(err, sqlite3.BUSY) {
		return rows, err
	}
	timeout, readErr := busyTimeout(c)
	if readErr != nil {
		return nil, readErr
	}
	ctx := c.GetInterrupt()
	for start := time.Now(); errors.Is(err, sqlite3.BUSY) && time.Since(start) < timeout && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
		rows, err = pragmaRows(c, p)
	}
	return rows, err
}

func busyTimeout(c *sqlite3.Conn) (time.Duration, error) {
	text, err := scalar(c, "PRAGMA busy_timeout")
	if err != nil {
		return 0, err
	}
	ms, err := parseInt(text)
	return time.Duration(ms) * time.Millisecond, err
}

// verify reads the pragmas back and fails if one has another value than requested. If
// SQLite documents that value, verify only calls warn.
func (s settings) verify(c *sqlite3.Conn, warn func(notice)) error {
	for _, p := range s.pragmas {
		if p.Value == "" || s.unsupported(p) {
			continue
		}
		info := pragmas[p.key()]
		want, _ := info.want(p.Value)
		var got string
		var err error
		switch info.kind {
		case flag, integer, word:
			got, err = readPragma(c, p)
		case spill:
			if got, err = readPragma(c, p); got != "0" {
				got = "1"
			}
		case probe:
			got, err = scalar(c, "SELECT 'a' NOT LIKE 'A'")
		default:
			continue
		}
		if err != nil {
			return pragmaFailed(p, err)
		}
		if !strings.EqualFold(got, want) {
			err := &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Got: got, Hint: explainRefusal(p, got)}
			if !s.lenient && !mayDiffer(p, got) {
				return err
			}
			warn(notice{ReasonPragma, err.Error()})
		}
	}
	return nil
}

// mayDiffer reports whether SQLite documents that a pragma may keep the value got instead
// of the requested one.
func mayDiffer(p Pragma, got string) bool {
	switch p.key() {
	case "journal_mode":
		return got == "memory" // in-memory databases allow only memory and off
	case "mmap_size", "threads":
		return true
	}
	return false
}

// explainRefusal explains why a known pragma does not have the requested value.
func explainRefusal(p Pragma, got string) string {
	switch p.key() {
	case "journal_mode":
		if got == "memory" {
			return "an in-memory database has no other journal: leave the pragma out"
		}
		return "the file, its VFS or another connection does not allow it"
	case "mmap_size", "threads":
		return "this build of SQLite does not support it: leave the pragma out"
	case "page_size", "auto_vacuum", "encoding":
		return "the database exists and has another value: leave the pragma out, or convert the database"
	case "busy_timeout":
		return "Config.Init installed a busy handler, or set another timeout"
	}
	if pragmas[p.key()].kind == integer {
		return "SQLite limits the number, or Config.Init changed it: ask for a number within the limits"
	}
	return "SQLite refused it, or Config.Init changed it"
}

// pragmaFailed returns an error with SQLite's code only. The text and SQL of SQLite's error
// may hold the value.
func pragmaFailed(p Pragma, err error) error {
	e := &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Err: err}
	if code := sqlite3.ExtendedErrorCode(0); errors.As(err, &code) {
		e.Err = code
	}
	return e
}

// keyTaken fails if no VFS took the key. SQLite itself returns no error then, and writes
// the file unencrypted.
func keyTaken(c *sqlite3.Conn, p Pragma) error {
	rows, err := pragmaRows(c, p)
	if err != nil {
		return pragmaFailed(p, err)
	}
	if len(rows) == 0 {
		return &PragmaError{Name: shownPragma(p.Name), Want: p.shown(), Hint: "nothing encrypts this database: name a VFS that encrypts in the DSN, as in vfs=adiantum"}
	}
	return nil
}

// listed reports whether SQLite lists the pragma. It may be newer than this package.
func listed(c *sqlite3.Conn, name string) bool {
	n, err := scalar(c, "SELECT count(*) FROM pragma_pragma_list WHERE name = '"+name+"'")
	return err == nil && n != "0"
}

func pragmaRows(c *sqlite3.Conn, p Pragma) ([]string, error) {
	return column(c, "PRAGMA "+p.text())
}

func readPragma(c *sqlite3.Conn, p Pragma) (string, error) {
	return scalar(c, "PRAGMA "+p.Name)
}

func scalar(c *sqlite3.Conn, sql string) (string, error) {
	rows, err := column(c, sql)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0], nil
}

// column returns the first column of every row.
func column(c *sqlite3.Conn, sql string) ([]string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return nil, err
	}
	var rows []string
	for s.Step() {
		rows = append(rows, s.ColumnText(0))
	}
	if err := s.Err(); err != nil {
		s.Close()
		return nil, err
	}
	return rows, s.Close()
}

// didYouMean suggests the known pragma nearest to name, if one is near.
func didYouMean(name string) string {
	best, nearest := 3, "" // at most two edits
	for known := range pragmas {
		if len(name) > len(known)+best {
			continue // name may be very long: skip the expensive comparison
		}
		if d := distance(name, known); d < best || d == best && known < nearest {
			best, nearest = d, known
		}
	}
	if nearest == "" {
		return ""
	}
	return ": did you mean " + nearest + "?"
}

// distance returns the Levenshtein distance of a and b: the number of letters to insert,
// delete or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
