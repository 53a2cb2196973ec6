package random

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// An idea is what rapid draws: a possible next step. When the program is built, the builder
// decides whether the step is possible, and on what. When rapid removes an idea, only the steps
// that depend on it change.
type idea struct {
	kind    kind
	on      int // which of the available handles
	table   int
	text    int
	args    [3]int
	oddity  int // of the arguments, or of the call
	variant int
}

type kind string

const (
	nothing     kind = "nothing"
	readAll     kind = "read all"
	readSome    kind = "read some"
	write       kind = "write"
	use         kind = "use a statement"
	leave       kind = "leave rows open"
	stepRows    kind = "step through rows"
	closeRows   kind = "close rows"
	alter       kind = "alter"
	makeStmt    kind = "prepare"
	closeStmt   kind = "close a statement"
	bindStmt    kind = "bind a statement"
	beginTx     kind = "begin"
	endTx       kind = "end"
	control     kind = "control"
	makePoint   kind = "savepoint"
	undoPoint   kind = "roll back to a savepoint"
	endPoint    kind = "release a savepoint"
	openConn    kind = "connect"
	closeConn   kind = "close a connection"
	throughRaw  kind = "raw"
	setting     kind = "set"
	several     kind = "several"
	fail        kind = "fail"
	asCancelled kind = "cancelled"
)

// kinds has each kind as often as it should be drawn. Others shrink to the first ones.
var kinds = func() []kind {
	var all []kind
	for _, k := range []struct {
		kind  kind
		often int
	}{
		{nothing, 1}, {readAll, 14}, {write, 9}, {use, 10}, {alter, 5}, {readSome, 8}, {makeStmt, 5}, {leave, 6},
		{stepRows, 7}, {closeRows, 3}, {openConn, 3}, {beginTx, 4}, {endTx, 4}, {control, 6}, {makePoint, 2}, {undoPoint, 2},
		{endPoint, 1}, {throughRaw, 4}, {setting, 4}, {several, 3}, {fail, 2}, {asCancelled, 2}, {closeStmt, 2},
		{bindStmt, 2}, {closeConn, 1},
	} {
		all = append(all, slices.Repeat([]kind{k.kind}, k.often)...)
	}
	return all
}()

// tables has each name as often as it should be drawn.
var tables = []string{"t", "t", "u", "t", "u", "t", "u", "t", "u", "temp.t", "t", "m.t", "u", "main.t", "t", "temp.u"}

// programs generates programs on at most this many connections.
func programs(connections int) *rapid.Generator[program] { return programsOf(connections, kinds) }

// programsOf generates programs from some kinds of ideas.
func programsOf(connections int, kinds []kind) *rapid.Generator[program] {
	ideas := rapid.Custom(func(t *rapid.T) idea {
		index := rapid.IntRange(0, 127)
		i := idea{
			kind:    rapid.SampledFrom(kinds).Draw(t, "kind"),
			on:      index.Draw(t, "on"),
			table:   index.Draw(t, "table"),
			text:    index.Draw(t, "text"),
			oddity:  index.Draw(t, "oddity"),
			variant: index.Draw(t, "variant"),
		}
		for j := range i.args {
			i.args[j] = index.Draw(t, "argument")
		}
		return i
	})
	// Ten slices of about five ideas each. One slice would either be short, or have a
	// minimum below which rapid could not shrink it.
	return rapid.Map(rapid.SliceOfN(rapid.SliceOfN(ideas, 0, 12), 10, 10), func(ideas [][]idea) program {
		b := newBuilder(connections)
		for _, i := range slices.Concat(ideas...) {
			b.build(i)
		}
		b.end()
		return b.program
	})
}

// A builder makes a program from ideas. It tracks which variables have a value if all calls
// succeed, so that no call waits forever for a connection.
type builder struct {
	program
	live  []*variable
	count map[byte]int
}

// A variable is live until it is closed.
type variable struct {
	name    string
	parent  string // the variable that it was made from
	holder  string // the variable whose connection it uses: "db" if database/sql acquires one for each call
	tx      string // the transaction that ends it; "" if none does
	text    *text  // of statements and rows
	touched bool   // of rows: its columns or rows have been read
}

func newBuilder(connections int) *builder {
	b := &builder{program: program{connections: connections}, count: map[byte]int{}}
	t := start()
	b.add(step{verb: exec, on: "db", text: &t})
	if connections > 1 {
		// Open all of them before any transaction holds a lock.
		var names []string
		for range connections {
			names = append(names, b.make('c', "db", nil).name)
			b.add(step{verb: connect, on: "db", to: names[len(names)-1]})
		}
		for _, name := range names {
			b.close(b.variable(name))
		}
	}
	return b
}

func (b *builder) add(s step) {
	if s.text != nil && s.text.schema && s.verb != prepare {
		// The plain driver reports the columns from before the change, if the program
		// asks for the first time after it: the entry "Schema changes".
		for _, v := range b.all('r') {
			if !v.touched {
				b.touch(v, 1)
			}
		}
	}
	b.steps = append(b.steps, s)
}

func (b *builder) touch(rows *variable, n int) {
	rows.touched = true
	b.steps = append(b.steps, step{verb: read, on: rows.name, rows: n})
}

func (b *builder) make(letter byte, parent string, t *text) *variable {
	b.count[letter]++
	name := fmt.Sprintf("%c%d", letter, b.count[letter])
	v := &variable{name: name, parent: parent, holder: parent, text: t}
	if p := b.variable(parent); p != nil {
		v.holder, v.tx = p.holder, p.tx
		if parent[0] == 'x' {
			v.tx = parent
		}
	} else if letter == 'c' || letter == 'x' {
		v.holder = name
	}
	b.live = append(b.live, v)
	return v
}

func (b *builder) variable(name string) *variable {
	for _, v := range b.live {
		if v.name == name {
			return v
		}
	}
	return nil
}

// all returns the live variables of a kind.
func (b *builder) all(letter byte) []*variable {
	var vs []*variable
	for _, v := range b.live {
		if v.name[0] == letter {
			vs = append(vs, v)
		}
	}
	return vs
}

// free reports whether the database has a free connection.
func (b *builder) free() bool {
	n := 0
	for _, v := range b.live {
		if v.holder == v.name || v.holder == "db" && v.name[0] == 'r' {
			n++
		}
	}
	return n < b.connections
}

// usable reports whether a call on the variable gets a connection.
func (b *builder) usable(v *variable) bool { return v.holder != "db" || b.free() }

// handles returns the variables that execute queries.
func (b *builder) handles() []string {
	var hs []string
	for _, v := range append(b.all('x'), b.all('c')...) {
		hs = append(hs, v.name)
	}
	if b.free() {
		hs = append(hs, "db")
	}
	return hs
}

// beingRead reports whether rows of the statement are open. Another query of it would return
// the same rows. "sqlitemw" takes one of them when the program asks for columns, and the plain
// driver only when it asks for a row.
func (b *builder) beingRead(stmt *variable) bool {
	return slices.ContainsFunc(b.all('r'), func(r *variable) bool {
		s := b.variable(r.parent)
		return s != nil && s.text == stmt.text
	})
}

func (b *builder) drop(v *variable) {
	b.live = slices.DeleteFunc(b.live, func(w *variable) bool { return w == v })
}

// close closes a variable, after everything that would block its closing.
func (b *builder) close(v *variable) {
	for _, w := range slices.Clone(b.live) {
		if v.name[0] == 'c' && w.name[0] != 's' && w != v && w.holder == v.name && b.variable(w.name) != nil {
			b.close(w)
		}
	}
	b.drop(v)
	switch v.name[0] {
	case 'x':
		b.endTx(v, rollback)
	case 'p':
	default:
		b.add(step{verb: finish, on: v.name})
	}
}

// endTx ends a transaction, and the variables made from it.
func (b *builder) endTx(tx *variable, v verb) {
	b.drop(tx)
	for _, w := range slices.Clone(b.live) {
		if w.tx == tx.name && w.name[0] != 's' {
			b.drop(w)
		}
	}
	b.add(step{verb: v, on: tx.name, text: &text{schema: v == rollback || v == commit}})
}

// end closes everything that is open, and reads the tables.
func (b *builder) end() {
	for _, letter := range "rxcs" {
		for _, v := range b.all(byte(letter)) {
			if b.variable(v.name) != nil {
				b.close(v)
			}
		}
	}
	undo := controls()[3]
	b.add(step{verb: exec, on: "db", text: &undo})
	for _, table := range []string{"main.t", "main.u"} {
		t := all(table)
		b.add(step{verb: query, on: "db", text: &t})
	}
}

func pick[E any](from []E, i int) E { return from[i%len(from)] }

// build adds the steps of an idea. It adds nothing if the idea is not possible.
func (b *builder) build(i idea) {
	table := pick(tables, i.table)
	onHandle := func(v verb, t text) {
		if hs := b.handles(); len(hs) > 0 {
			b.call(i, v, pick(hs, i.on), t)
		}
	}
	asked := []verb{query, query, query, query, queryRow}
	switch i.kind {
	case readAll:
		onHandle(query, all(table))
	case readSome:
		onHandle(pick(asked, i.variant), pick(reads(orView(i, table)), i.text))
	case write:
		onHandle(pick([]verb{exec, exec, exec, query}, i.variant), pick(writes(table), i.text))
	case alter:
		onHandle(exec, pick(changes(table), i.text))
	case control:
		onHandle(exec, pick(controls(), i.text))
	case setting:
		onHandle(exec, pick(settings(), i.text))
	case several:
		onHandle(exec, both(pick(writes(table), i.text), pick(changes(table), i.variant)))
	case fail:
		onHandle(pick([]verb{query, exec}, i.variant), pick(broken(table), i.text))
	case leave:
		if len(b.all('r')) < 3 {
			texts := reads(orView(i, table))
			if i.variant%16 == 15 {
				texts = writes(table)[5:6]
			}
			onHandle(open, pick(texts, i.text))
		}
	case asCancelled:
		b.cancelled(i, table)
	case makeStmt:
		if hs := b.handles(); len(hs) > 0 && len(b.all('s')) < 4 {
			t := pick(slices.Concat(reads(table)[:11], writes(table), writes(table)[5:6], changes(table)[:2], broken(table)[:2]), i.text)
			on := pick(hs, i.on)
			b.add(step{verb: prepare, on: on, to: b.make('s', on, &t).name, text: &t})
		}
	case use:
		if ss := b.all('s'); len(ss) > 0 {
			s := pick(ss, i.on)
			v := pick([]verb{query, query, exec, open, queryRow}, i.variant)
			if b.usable(s) && (v != open || len(b.all('r')) < 3) && (v == exec || !b.beingRead(s)) {
				b.call(i, v, s.name, *s.text)
			}
		}
	case closeStmt:
		if ss := b.all('s'); len(ss) > 0 {
			b.close(pick(ss, i.on))
		}
	case bindStmt:
		xs, ss := b.all('x'), b.all('s')
		if len(xs) > 0 && len(ss) > 0 && len(ss) < 5 {
			x, s := pick(xs, i.variant), pick(ss, i.on)
			b.add(step{verb: bind, on: x.name, to: b.make('s', x.name, s.text).name, stmt: s.name, text: s.text})
		}
	case stepRows:
		if rs := b.all('r'); len(rs) > 0 {
			b.touch(pick(rs, i.on), 1+i.variant%3)
		}
	case closeRows:
		if rs := b.all('r'); len(rs) > 0 {
			b.close(pick(rs, i.on))
		}
	case beginTx, endTx, makePoint, undoPoint, endPoint:
		b.transaction(i)
	case openConn:
		if len(b.all('c')) < 3 && b.free() {
			b.add(step{verb: connect, on: "db", to: b.make('c', "db", nil).name})
		}
	case closeConn:
		if cs := b.all('c'); len(cs) > 0 {
			b.close(pick(cs, i.on))
		}
	case throughRaw:
		if cs := b.all('c'); len(cs) > 0 {
			t := pick(slices.Concat(changes(table), controls(), writes(table)), i.text)
			t.schema = true
			b.add(step{verb: pick([]verb{raw, promoted}, i.variant), on: pick(cs, i.on).name, text: &t})
		}
	}
}

// orView returns the view's name in one of four cases.
func orView(i idea, table string) string {
	if i.variant%4 == 3 {
		return "w"
	}
	return table
}

// cancelled adds a call with a context that was canceled before it. It adds no call whose rows
// database/sql would close at an unpredictable time.
func (b *builder) cancelled(i idea, table string) {
	hs := b.handles()
	if len(hs) == 0 {
		return
	}
	s := step{verb: pick([]verb{exec, query, prepare, begin}, i.variant), on: pick(hs, i.on), cancelled: true}
	t := pick(slices.Concat(reads(table), writes(table)), i.text)
	s.text = &t
	switch s.verb {
	case prepare:
		s.to = b.make('s', s.on, &t).name
	case begin:
		if s.on[0] == 'x' {
			return
		}
		s.text, s.to = nil, b.make('x', s.on, nil).name
	default:
		s.args = b.args(i, t)
	}
	b.add(s)
	if s.to != "" {
		b.drop(b.variable(s.to)) // there is no such variable
	}
}

func (b *builder) transaction(i idea) {
	xs := b.all('x')
	if i.kind == beginTx {
		var from []string
		for _, c := range b.all('c') {
			from = append(from, c.name)
		}
		if b.free() {
			from = append(from, "db")
		}
		if len(from) > 0 && len(xs) < 2 {
			on := pick(from, i.on)
			opts := pick([]sql.TxOptions{
				{}, {}, {}, {ReadOnly: true}, {Isolation: sql.LevelSerializable}, {Isolation: sql.LevelLinearizable},
				{Isolation: sql.LevelSerializable, ReadOnly: true}, {Isolation: sql.LevelReadCommitted},
			}, i.variant)
			if opts.Isolation == sql.LevelReadCommitted {
				b.add(step{verb: begin, on: on, to: "x0", opts: opts}) // there is no such level
				return
			}
			b.add(step{verb: begin, on: on, to: b.make('x', on, nil).name, opts: opts})
		}
		return
	}
	if len(xs) == 0 {
		return
	}
	x := pick(xs, i.on)
	points := slices.DeleteFunc(b.all('p'), func(p *variable) bool { return p.parent != x.name })
	switch i.kind {
	case endTx:
		b.endTx(x, pick([]verb{commit, commit, rollback}, i.variant))
	case makePoint:
		b.add(step{verb: mark, on: x.name, to: b.make('p', x.name, nil).name})
	case undoPoint:
		if len(points) > 0 {
			b.add(step{verb: rollbackTo, on: pick(points, i.variant).name, text: &text{schema: true}})
		}
	case endPoint:
		if len(points) > 0 {
			p := pick(points, i.variant)
			b.drop(p)
			b.add(step{verb: release, on: p.name})
		}
	}
}

// call adds a call of a query, or of a statement of it.
func (b *builder) call(i idea, v verb, on string, t text) {
	s := step{verb: v, on: on, text: &t, args: b.args(i, t)}
	if strings.HasPrefix(t.sql, "SELECT 1;") && v == exec {
		s.args = nil
	}
	b.add(s)
	if v == open {
		rows := b.make('r', on, &t)
		b.steps[len(b.steps)-1].to = rows.name
		if !t.onlyReads() {
			b.touch(rows, 1) // the plain driver writes when the program asks for a row, and not in Query
		}
	}
}

// args returns arguments, which mostly fit the query.
func (b *builder) args(i idea, t text) []arg {
	var args []arg
	for n := range t.inputs + len(t.names) {
		from := allArgs
		if t.ids {
			from = idArgs
		}
		a := pick(from, i.args[n%len(i.args)])
		if n >= t.inputs {
			a.name = t.names[n-t.inputs]
		}
		args = append(args, a)
	}
	switch n := len(args); {
	case i.oddity%32 == 31:
		return append(args, allArgs[0])
	case n == 0:
		return nil
	case i.oddity%16 == 14:
		return nil
	case i.oddity%16 == 13:
		return args[:n-1]
	case i.oddity%16 == 12 && len(t.names) > 0:
		return args[1:]
	case i.oddity%16 == 11:
		name := args[n-1].name
		args[n-1] = unbindable
		args[n-1].name = name
	}
	return args
}
