package page

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/tracing"
)

const (
	columns        = 100 // of state.txt
	mostLines      = 100 // of each section of state.txt, but for those below
	textDetails    = 3   // pools whose settings and events state.txt has
	textEvents     = 20  // of each
	textStatements = 20  // statements
)

// text returns state.txt.
func (s *snapshot) text(statements *takenStatements, n *names) []byte {
	t := textWriter{}
	st := &s.state
	t.line("sqlitemw %s  pools: %d  holders: %d  waiters: %d", st.Taken.UTC().Format(time.RFC3339),
		len(st.Pools)+st.MorePools, len(st.Holders)+st.MoreHolders, len(st.Waiters)+st.MoreWaiters)
	t.section("POOLS")
	t.line("%-8s %9s %7s %8s %8s %9s %6s %8s %6s  %s", "health", "used/max", "waiting", "longest", "reader", "wal", "busy", "timeouts", "leaks", "pool")
	lines := slices.Clone(st.Pools)
	slices.SortStableFunc(lines, func(a, b poolLine) int { return cmp.Compare(b.urgency(), a.urgency()) })
	for i := range lines[:min(len(lines), mostLines)] {
		t.pool(&lines[i])
	}
	t.more(len(lines) - mostLines + st.MorePools)
	t.section("CONNECTIONS IN USE")
	for i := range st.Holders[:min(len(st.Holders), mostLines)] {
		t.holder(&st.Holders[i])
	}
	t.end(len(st.Holders), st.MoreHolders)
	t.section("WAITING CALLS")
	for i := range st.Waiters[:min(len(st.Waiters), mostLines)] {
		t.waiter(&st.Waiters[i])
	}
	t.end(len(st.Waiters), st.MoreWaiters)
	if list := &statements.list; len(list.Statements) > 0 {
		t.section("STATEMENTS, those first that have taken the longest in total")
		t.line("%9s %8s %8s %8s %8s %8s %6s %9s  %s", "calls", "total", "mean", "p99", "max", "lock", "errors", "scanned", "statement")
		for i := range list.Statements[:min(len(list.Statements), textStatements)] {
			l := &list.Statements[i]
			t.statement(l, statements.plans[l.ID])
		}
		t.more(len(list.Statements) - textStatements + list.More)
	}
	for i := range lines[:min(len(lines), textDetails)] {
		for j := range s.pools {
			if p := &s.pools[j]; p.id == lines[i].ID {
				t.settings(detailOf(p, n))
				t.events(p, s.eventsOf(p))
			}
		}
	}
	return t.Bytes()
}

// urgency is larger for pools that need attention.
func (p *poolLine) urgency() int {
	n := map[string]int{"down": 8, "degraded": 4}[p.Health]
	if p.Cycle {
		n += 2
	}
	if p.Waiting != nil && *p.Waiting > 0 {
		n++
	}
	return n
}

// A textWriter writes lines of at most [columns].
type textWriter struct{ bytes.Buffer }

func (t *textWriter) line(format string, args ...any) {
	t.WriteString(fit(strings.TrimRight(fmt.Sprintf(format, args...), " "), columns))
	t.WriteByte('\n')
}

func (t *textWriter) section(title string) { t.line("\n%s", title) }

func (t *textWriter) more(n int) {
	if n > 0 {
		t.line("  %s", more(n))
	}
}

// end ends a section with n lines, of which at most mostLines were written, and others.
func (t *textWriter) end(n, others int) {
	if n+others == 0 {
		t.line("  none")
	}
	t.more(max(0, n-mostLines) + others)
}

func (t *textWriter) pool(p *poolLine) {
	limit, waiting, wal := "any", "-", "-"
	if p.Max > 0 {
		limit = fmt.Sprint(p.Max)
	}
	if p.Waiting != nil {
		waiting = fmt.Sprint(*p.Waiting)
	}
	if p.WAL > 0 {
		wal = shortSize(p.WAL)
	}
	t.line("%-8s %9s %7s %8s %8s %9s %6d %8d %6d  %s", p.Health, fmt.Sprintf("%d/%s", p.InUse, limit), waiting,
		shortTime(p.LongestWait), shortTime(p.OldestReader), wal, p.Busy, p.Timeouts, p.Leaks, p.Name)
	if p.Cycle {
		t.line("         callers wait for each other")
	}
	for _, reason := range p.Reasons {
		t.wrapped("         ", reason)
	}
}

func (t *textWriter) holder(h *holderLine) {
	t.line("  %8s  %-8s connection %s of %s", shortTime(h.Held), h.Lane, h.Conn, h.PoolName)
	var about []string
	add := func(on bool, text string) {
		if on {
			about = append(about, text)
		}
	}
	add(h.Cycle, "IN A CYCLE")
	add(h.WaitsFor != "", "waits for "+h.WaitsFor)
	add(h.Owner != "", "by "+h.Owner)
	add(h.Last != "", "last "+h.Last)
	add(h.Tx, "in a transaction")
	add(h.Rows > 0, fmt.Sprintf("open rows: %d", h.Rows))
	add(h.Trace != "", "trace "+h.Trace)
	add(len(h.Stack) > 0, "at "+strings.Join(h.Stack[:min(1, len(h.Stack))], ""))
	if len(about) > 0 {
		t.wrapped("            ", strings.Join(about, ", "))
	}
}

func (t *textWriter) waiter(w *waiterLine) {
	t.line("  %8s  %-8s place %d of %s", shortTime(w.Waited), w.Lane, w.Place, w.PoolName)
	var about []string
	if w.Query != "" {
		about = append(about, w.Query)
	}
	if w.Cycle {
		about = append(about, "IN A CYCLE")
	}
	if w.Owner != "" {
		about = append(about, "by "+w.Owner)
	}
	if w.Trace != "" {
		about = append(about, "trace "+w.Trace)
	}
	if len(about) > 0 {
		t.wrapped("            ", strings.Join(about, ", "))
	}
}

func (t *textWriter) statement(s *statementLine, plan *tracing.Plan) {
	t.line("%9d %8s %8s %8s %8s %8s %6d %9d  %s", s.Calls, shortTime(s.Total), shortTime(s.Mean), shortTime(s.P99), shortTime(s.Max),
		shortTime(s.LockWait), s.Errors, s.FullScanSteps, cmp.Or(s.Summary, s.Text))
	if plan == nil {
		return
	}
	for _, finding := range planOf(plan).Findings {
		t.wrapped("          ", finding)
	}
}

// settings writes those that differ from their defaults.
func (t *textWriter) settings(d detail) {
	if d.Settings == nil {
		return
	}
	t.section("SETTINGS of " + d.Name + " that differ from their defaults")
	for _, s := range d.Settings {
		text := s.Name + " = " + s.Value
		if s.Default != "" {
			text += " (default " + s.Default + ")"
		}
		if s.Why != "" {
			text += ": " + s.Why
		}
		t.wrapped("  ", text)
	}
	t.end(len(d.Settings), 0)
}

// events writes the latest ones.
func (t *textWriter) events(p *taken, events []wrap.Event) {
	t.section("EVENTS of " + p.name + ", the latest last")
	events = events[max(0, len(events)-textEvents):]
	for i := range events {
		e := eventOf(&events[i])
		text := e.Time.UTC().Format("15:04:05.000") + "  " + e.Kind
		for _, field := range []struct{ name, value string }{
			{"connection", e.Conn}, {"", e.Lane}, {"took", shortTime(e.Duration)}, {"waited", shortTime(e.Wait)}, {"reason", e.Reason}, {"blocker", e.Blocker},
			{"holder", e.Holder}, {"health", e.Health}, {"error", e.Err}, {"trace", e.Trace},
		} {
			if field.value != "" && field.value != "-" {
				text += " " + strings.TrimSpace(field.name+" "+field.value)
			}
		}
		t.wrapped("  ", text)
	}
	t.end(len(events), 0)
}

// wrapped writes a text in lines that begin with indent.
func (t *textWriter) wrapped(indent, text string) {
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && width(line)+1+width(word) > columns {
			t.line("%s", line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	t.line("%s", line)
}

// fit cuts a line to so many columns.
func fit(line string, most int) string {
	if width(line) <= most {
		return line
	}
	n := 0
	for i, r := range line {
		if n += runeWidth(r); n > most-1 {
			return line[:i] + "…"
		}
	}
	return line
}

func width(text string) (n int) {
	if len(text) == utf8.RuneCountInString(text) {
		return len(text)
	}
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// runeWidth returns 2 for characters that may fill two columns, such as Chinese ones and emoji.
func runeWidth(r rune) int {
	if r >= 0x1100 && (r < 0x2000 || r > 0x2bff) || r >= 0x2300 && r <= 0x23ff || r >= 0x2600 && r <= 0x27bf {
		return 2
	}
	return 1
}

// shortTime returns seconds with three digits, or - for none.
func shortTime(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case seconds == 0:
		return "-"
	case d >= time.Hour:
		return fmt.Sprintf("%.1fh", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.1fm", d.Minutes())
	case d >= time.Second:
		return fmt.Sprintf("%.1fs", seconds)
	case d >= time.Millisecond:
		return fmt.Sprintf("%.0fms", seconds*1e3)
	default:
		return fmt.Sprintf("%.0fµs", seconds*1e6)
	}
}

func shortSize(n int64) string {
	size, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 1024 && len(units) > 1 {
		size, units = size/1024, units[1:]
	}
	return fmt.Sprintf("%.4g%s", size, units[0])
}
