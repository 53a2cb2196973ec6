package random

import (
	"database/sql"
	"fmt"
	"strings"
)

// A program is a session: calls in order. The receiver and the result of a step's call are
// variables of the program. Their first letter is their type: db, c1 (a connection), x1 (a
// transaction), s1 (a statement), r1 (rows), p1 (a savepoint).
type program struct {
	connections int // maximum number of open connections
	steps       []step
}

// A verb is the kind of a step.
type verb string

const (
	exec       verb = "Exec"
	query      verb = "Query" // and reads all rows
	queryRow   verb = "QueryRow"
	open       verb = "Query, left open"
	read       verb = "Next"
	prepare    verb = "Prepare"
	bind       verb = "Stmt"
	begin      verb = "BeginTx"
	commit     verb = "Commit"
	rollback   verb = "Rollback"
	mark       verb = "driver.Savepoint"
	rollbackTo verb = "Savepoint.Rollback"
	release    verb = "Savepoint.Release"
	connect    verb = "Conn"
	raw        verb = "Raw"
	promoted   verb = "Raw, promoted"
	finish     verb = "Close"
)

type step struct {
	verb      verb
	on        string // the receiver
	to        string // the variable for the result
	stmt      string // for bind: the bound statement
	text      *text  // the query, also if a statement executes it
	args      []arg
	cancelled bool // the call's context is canceled
	opts      sql.TxOptions
	rows      int  // for read: the maximum number of rows
	unseen    bool // its result is not compared
}

// reads reports whether the step itself reads rows.
func (s step) reads() bool { return s.verb == query || s.verb == queryRow }

func (s step) String() string {
	ctx := "ctx"
	if s.cancelled {
		ctx = "cancelled"
	}
	call := func(method string) string {
		in := []string{ctx}
		if s.on[0] != 's' {
			in = append(in, fmt.Sprintf("%q", s.text.sql))
		}
		for _, a := range s.args {
			in = append(in, a.String())
		}
		return fmt.Sprintf("%s.%s(%s)", s.on, method, strings.Join(in, ", "))
	}
	switch s.verb {
	case exec:
		return call("ExecContext")
	case query:
		return call("QueryContext") + " // all rows"
	case queryRow:
		return call("QueryRowContext") + ".Scan(&v)"
	case open:
		return s.to + " := " + call("QueryContext")
	case read:
		return fmt.Sprintf("%s.Next() // at most %d times, with Scan", s.on, s.rows)
	case prepare:
		return s.to + " := " + call("PrepareContext")
	case bind:
		return fmt.Sprintf("%s := %s.StmtContext(ctx, %s)", s.to, s.on, s.stmt)
	case begin:
		return fmt.Sprintf("%s := %s.BeginTx(%s, &sql.TxOptions{Isolation: %q, ReadOnly: %t})", s.to, s.on, ctx, s.opts.Isolation, s.opts.ReadOnly)
	case mark:
		return fmt.Sprintf("%s := driver.Savepoint(%s)", s.to, s.on)
	case release:
		return s.on + ".Release(&err)"
	case connect:
		return fmt.Sprintf("%s := db.Conn(ctx)", s.to)
	case raw:
		return fmt.Sprintf("%s.Raw(func(dc any) error { return dc.(driver.Conn).Raw().Exec(%q) })", s.on, s.text.sql)
	case promoted:
		return fmt.Sprintf("%s.Raw(func(dc any) error { return dc.(interface{ Exec(string) error }).Exec(%q) })", s.on, s.text.sql)
	case commit, rollback, rollbackTo, finish:
		return fmt.Sprintf("%s.%s()", s.on, s.verb[strings.LastIndexByte(string(s.verb), '.')+1:])
	}
	panic("unknown verb " + s.verb)
}

// upTo returns the program's steps up to the i-th, inclusive.
func (p program) upTo(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tdb.SetMaxOpenConns(%d)\n", p.connections)
	for _, s := range p.steps[:min(i+1, len(p.steps))] {
		fmt.Fprintf(&b, "\t%v\n", s)
	}
	return b.String()
}

// GoString is what rapid prints for a program that it has drawn.
func (p program) GoString() string { return fmt.Sprintf("%d steps", len(p.steps)) }
