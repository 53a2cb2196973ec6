package wrap

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// This file tells a pool whether a call ends the use of its connection. Drivers are not told.

// QueriedByDB reports whether the running query was issued by a *sql.DB itself: not by a Conn, a Tx
// or a Stmt. Then nothing else uses the connection until the rows are closed. The function reads
// the stack, which takes about a microsecond.
func QueriedByDB() bool { return queries.of() }

// ExecutedByDB is QueriedByDB for an Exec, after which nothing else uses the connection.
func ExecutedByDB() bool { return execs.of() }

// BegunByDB is QueriedByDB for the begin of a transaction. Nothing else uses the connection after
// its end.
func BegunByDB() bool { return begins.of() }

var (
	queries = issuers{db: "(*DB).query", others: []string{"(*Conn).QueryContext", "(*Tx).QueryContext", "(*Stmt).QueryContext"}}
	execs   = issuers{db: "(*DB).exec", others: []string{"(*Conn).ExecContext", "(*Tx).ExecContext", "(*Stmt).ExecContext"}}
	begins  = issuers{db: "(*DB).begin", others: []string{"(*Conn).BeginTx"}}
)

// issuers are the functions of database/sql that issue calls of one kind: that of a *sql.DB, and
// the others.
type issuers struct {
	db     string
	others []string

	known sync.Map // bool by stack; naming frames takes several times as long as reading them
	count atomic.Int64
}

// A stack is the innermost frames below database/sql's call of the driver.
type stack [16]uintptr

// maxStacks bounds the number of stacks that issuers know. Programs have few.
const maxStacks = 1000

// of reports whether the innermost of the functions on the stack is that of a *sql.DB.
func (i *issuers) of() bool {
	var s stack
	runtime.Callers(3, s[:])
	if by, ok := i.known.Load(s); ok {
		return by.(bool)
	}
	by := i.find(s)
	if i.count.Add(1) > maxStacks {
		i.known.Clear()
		i.count.Store(1)
	}
	i.known.Store(s, by)
	return by
}

func (i *issuers) find(s stack) bool {
	frames := runtime.CallersFrames(s[:])
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, "database/sql."); ok {
			if name == i.db {
				return true
			}
			if slices.Contains(i.others, name) {
				return false
			}
		}
		if !more {
			return false
		}
	}
}
