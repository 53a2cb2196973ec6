package wrap

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// This file tells a pool whether a call ends the use of its connection. Drivers are not told, so it
// reads the stack. It answers yes only if it finds database/sql's function for that directly above the
// pool's own. A driver that wraps the pool's may make more calls, and so may a function of
// (*sql.Conn).Raw. Reading the stack takes about a microsecond.

// QueriedByDB reports whether the running query was issued by a *sql.DB itself: not by a Conn, a Tx
// or a Stmt. Then nothing else uses the connection until the rows are closed, and nothing after
// that. Call it from the package of the connection that database/sql has called.
func QueriedByDB() bool { return queries.of() }

// ExecutedByDB is QueriedByDB for an Exec, after which nothing else uses the connection.
func ExecutedByDB() bool { return execs.of() }

// BegunByDB is QueriedByDB for the begin of a transaction. Nothing else uses the connection after
// its end.
func BegunByDB() bool { return begins.of() }

// PreparedByDB is QueriedByDB for a statement that is being prepared. Nothing else uses the connection
// after its Exec, or after its rows have been closed, unless it is executed in a transaction.
func PreparedByDB() bool { return prepares.of() }

var (
	queries  = issuers{by: []string{"(*DB).query"}}
	execs    = issuers{by: []string{"(*DB).exec"}}
	begins   = issuers{by: []string{"(*DB).begin"}}
	prepares = issuers{by: []string{"(*DB).prepare", "(*Stmt).connStmt"}}
)

// issuers are the functions of database/sql by which a *sql.DB, or its *sql.Stmt, issues calls of one
// kind.
type issuers struct {
	by []string

	known sync.Map // bool by stack; naming frames takes several times as long as reading them
	count atomic.Int64
}

// A stack is the innermost frames: those of the pool and of database/sql.
type stack [16]uintptr

// maxStacks bounds the number of stacks that issuers know. Programs have few.
const maxStacks = 1000

// of reports whether one of the functions has issued the running call.
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
	const sql = "database/sql."
	frames := runtime.CallersFrames(s[:])
	own := ""
	for {
		frame, more := frames.Next()
		switch name, ok := strings.CutPrefix(frame.Function, sql); {
		case own == "":
			own = packageOf(frame.Function)
		case ok:
			own = sql // from here on, database/sql only
			if slices.Contains(i.by, name) {
				return true
			}
		case packageOf(frame.Function) != own:
			return false
		}
		if !more {
			return false
		}
	}
}

// packageOf returns the part of a function's name that is its package.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	if dot := strings.IndexByte(function[slash:], '.'); dot >= 0 {
		return function[:slash+dot+1]
	}
	return function
}
