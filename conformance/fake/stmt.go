package fake

import (
	"context"
	"database/sql/driver"
)

type stmt struct {
	c      *conn
	query  string
	inputs int
	opened *object
}

func (s *stmt) call(op string, ctx context.Context, format string, args ...any) error {
	return s.c.b.Call(s.c.name+".stmt", op, ctx, format, args...)
}

// The parts of statements, one for each interface.
type (
	stmtCore     struct{ s *stmt }
	stmtExecCtx  struct{ s *stmt }
	stmtQueryCtx struct{ s *stmt }
	stmtCheck    struct{ s *stmt }
	stmtConvert  struct{ s *stmt }
)

func (p stmtCore) Close() error {
	p.s.opened.close()
	return p.s.call("Close", nil, "%s", p.s.query)
}

func (p stmtCore) NumInput() int {
	p.s.call("NumInput", nil, "")
	return p.s.inputs
}

func (p stmtCore) Exec(args []driver.Value) (driver.Result, error) {
	return p.s.c.result(p.s.call("Exec", nil, "%s%s", p.s.query, showValues(args)))
}

func (p stmtCore) Query(args []driver.Value) (driver.Rows, error) {
	return p.s.c.answer(p.s.call("Query", nil, "%s%s", p.s.query, showValues(args)))
}

func (p stmtExecCtx) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.s.c.result(p.s.call("ExecContext", ctx, "%s%s", p.s.query, showArgs(args)))
}

func (p stmtQueryCtx) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.s.c.answer(p.s.call("QueryContext", ctx, "%s%s", p.s.query, showArgs(args)))
}

func (p stmtCheck) CheckNamedValue(arg *driver.NamedValue) error {
	if err := p.s.call("CheckNamedValue", nil, "%s", showArg(*arg)); err != nil {
		return err
	}
	return checkSpecial(arg, "statement")
}

func (p stmtConvert) ColumnConverter(i int) driver.ValueConverter {
	p.s.call("ColumnConverter", nil, "%d", i)
	return columnConverter(p)
}

// A StmtKind is a set of optional interfaces of a statement.
type StmtKind struct {
	Name string
	make func(*stmt) driver.Stmt
}

// StmtKinds are all kinds of statements. The three that differ most are first: "none",
// "contexts" and "all".
var StmtKinds = []StmtKind{
	{"none", func(s *stmt) driver.Stmt { return stmtCore{s} }},
	{"contexts", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}}
	}},
	{"all", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
			stmtCheck
			stmtConvert
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}, stmtCheck{s}, stmtConvert{s}}
	}},
	{"ExecContext", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
		}{stmtCore{s}, stmtExecCtx{s}}
	}},
	{"QueryContext", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtQueryCtx
		}{stmtCore{s}, stmtQueryCtx{s}}
	}},
	{"Checker", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtCheck
		}{stmtCore{s}, stmtCheck{s}}
	}},
	{"Converter", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtConvert
		}{stmtCore{s}, stmtConvert{s}}
	}},
	{"contexts+Checker", func(s *stmt) driver.Stmt {
		return struct {
			stmtCore
			stmtExecCtx
			stmtQueryCtx
			stmtCheck
		}{stmtCore{s}, stmtExecCtx{s}, stmtQueryCtx{s}, stmtCheck{s}}
	}},
}

// StmtOf returns the kind of statement with the name. It panics if there is none.
func StmtOf(name string) StmtKind {
	for _, k := range StmtKinds {
		if k.Name == name {
			return k
		}
	}
	panic("there is no kind of statement " + name)
}
