package driver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
)

// This file executes calls as other drivers do: with queries of several statements, and
// with more or fewer arguments than parameters.

// arrange returns one argument for each parameter of a statement, in order. It starts at
// args[start]. taken is the number of arguments that the statement uses up. With modernc
// that is 0, because every statement gets all arguments.
func (d *dialect) arrange(st sqliteStmt, args []driver.NamedValue, start int) (arranged []driver.NamedValue, taken int, err error) {
	n := st.BindCount()
	if d.compat == CompatMattn {
		if len(args)-start < n {
			return nil, 0, fmt.Errorf("not enough args to execute query: want %d got %d", n, len(args)-start)
		}
		taken = n
	}
	if n == 0 {
		return nil, taken, nil
	}
	arranged = make([]driver.NamedValue, n)
	for i := range arranged {
		arranged[i].Ordinal = i + 1
	}
	if d.compat == CompatModernc {
		return arranged, 0, d.matchModernc(st, args, arranged)
	}
	place := 0
	set := func(arg driver.NamedValue) {
		if arg.Name == "" {
			if place < n {
				arranged[place].Value = arg.Value
			}
		} else {
			for _, prefix := range [...]string{":", "@", "$"} {
				if i := st.BindIndex(prefix + arg.Name); i > 0 {
					arranged[i-1].Value = arg.Value
				}
			}
		}
		place++
	}
	for _, arg := range args[start : start+n] {
		set(arg)
	}
	for i, arg := range args {
		if arg.Name != "" && (i < start || i >= start+n) { // a named argument applies to every statement
			set(arg)
		}
	}
	return arranged, taken, nil
}

// matchModernc sets each parameter to the first argument that has its name or its number.
func (d *dialect) matchModernc(st sqliteStmt, args, arranged []driver.NamedValue) error {
	for i := range arranged {
		name := st.BindName(i + 1)
		j := 0
		for ; j < len(args); j++ {
			if name == "" && j == i || name != "" && (args[j].Name == name[1:] || (name[0] == '?' || name[0] == '$') && name[1:] == strconv.Itoa(j+1)) {
				break
			}
		}
		switch {
		case j < len(args):
			arranged[i].Value = args[j].Value
		case name != "":
			return fmt.Errorf("missing named argument %q", name[1:])
		default:
			return fmt.Errorf("missing argument with index %d", i+1)
		}
	}
	return nil
}

// anyNumber is a statement that accepts any number of arguments and checks each of them.
type anyNumber struct{ baseStmt }

func (anyNumber) NumInput() int { return -1 }

// plainValues is a statement that accepts any number of arguments of database/sql's own
// types.
type plainValues struct{ driver.Stmt }

func (plainValues) NumInput() int { return -1 }

// convertForeign converts the arguments of a statement, or of several statements if st is
// nil.
func (s *session) convertForeign(st *cachedStmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	s.converting = true
	defer func() {
		if s.converting && st != nil {
			s.cache.put(st)
		}
	}()
	var check driver.Stmt = plainValues{}
	if st != nil {
		check = anyNumber{st.base}
	}
	args, err := wrap.ConvertArgs(nil, check, args)
	s.converting = false
	s.dialect.arguments(args)
	return args, err
}

// execForeign executes all statements of a query.
func (s *session) execForeign(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind := queryKindOf(query)
		s.before(kind, query)
		if kind == queryEmpty || severalStatements(query) {
			return s.execEach(ctx, query, args)
		}
		st, err = s.prepare(ctx, kind, query)
	}
	if err != nil {
		return nil, err
	}
	if args, err = s.convertForeign(st, args); err == nil {
		args, _, err = s.dialect.arrange(st.base, args, 0)
	}
	if err != nil {
		s.cache.put(st)
		return nil, err
	}
	res, err := s.execStmt(ctx, st, args)
	s.cache.put(st)
	return res, err
}

// execStmt executes a prepared statement with arguments from arrange.
func (s *session) execStmt(ctx context.Context, st *cachedStmt, args []driver.NamedValue) (driver.Result, error) {
	simple, err := bindSimple(st.base, args)
	if !simple {
		_, err = st.base.QueryContext(ctx, args) // only binds the arguments
	}
	if err != nil {
		st.unclean = true
		return nil, err
	}
	res, err := s.finish(ctx, st.base)
	s.addFacts(st.base)
	s.afterStep(st, err)
	if err == nil && (!st.readOnly || queryKindOf(st.query) != queryData) { // COMMIT is read-only, but ends writes
		err = s.afterWrite()
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// finish steps a bound statement to its end and resets it. The result is the connection's:
// its last inserted row ID, even if this statement inserted no row.
func (s *session) finish(ctx context.Context, st sqliteStmt) (driver.Result, error) {
	raw := s.baseConn.Raw()
	if old := raw.SetInterrupt(ctx); old != ctx {
		defer raw.SetInterrupt(old)
	}
	if ctx.Err() != nil {
		st.ClearBindings()
		return nil, sqlite3.INTERRUPT
	}
	for st.Step() {
	}
	err := st.Err()
	res := result{raw.LastInsertRowID(), raw.Changes()}
	if resetErr := st.Reset(); err == nil {
		err = resetErr
	}
	st.ClearBindings()
	if err != nil {
		return nil, err
	}
	return res, nil
}

// execEach executes the statements of a query one by one.
func (s *session) execEach(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	args, err := s.convertForeign(nil, args)
	if err != nil {
		return nil, err
	}
	var res driver.Result = result{}
	_, err = s.each(ctx, query, args, func(st *sqlite3.Stmt, _ string) (err error) {
		res, err = s.finish(ctx, st)
		s.addFacts(st)
		return err
	})
	if err == nil {
		err = s.afterWrite()
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// each prepares and binds each statement of a query, and calls f with it. rest is the SQL
// after the statement; it is empty after the last. each returns the number of arguments
// used up.
func (s *session) each(ctx context.Context, query string, args []driver.NamedValue, f func(st *sqlite3.Stmt, rest string) error) (taken int, err error) {
	raw := s.baseConn.Raw()
	s.prepared = true
	for rest := query; queryKindOf(rest) != queryEmpty; {
		if err := s.guardAuthorizer(rest); err != nil {
			return taken, err
		}
		if ctx.Err() != nil {
			return taken, sqlite3.INTERRUPT
		}
		st, tail, err := raw.Prepare(rest)
		if err != nil {
			s.checkAfterError(err)
			return taken, err
		}
		if st == nil {
			break
		}
		if queryKindOf(tail) == queryEmpty {
			tail = ""
		}
		arranged, n, err := s.dialect.arrange(st, args, taken)
		if err == nil {
			_, err = bindSimple(st, arranged)
		}
		if err == nil {
			err = f(st, tail)
		}
		if closeErr := st.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			s.checkAfterError(err)
			return taken, err
		}
		taken += n
		rest = strings.TrimLeft(tail, " \t\n\v\f\r")
	}
	return taken, nil
}

// queryForeign executes a query. If it has several statements, the last one returns the
// rows.
func (s *session) queryForeign(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	st, err := s.kept(ctx, query)
	if st == nil && err == nil {
		kind := queryKindOf(query)
		if kind == queryEmpty {
			return noRows{}, nil
		}
		s.before(kind, query)
		if severalStatements(query) {
			return s.queryEach(ctx, query, args)
		}
		st, err = s.prepare(ctx, kind, query)
	}
	if err != nil {
		return nil, err
	}
	if args, err = s.convertForeign(st, args); err != nil {
		s.cache.put(st)
		return nil, err
	}
	return s.queryStmt(ctx, st, args, 0)
}

// queryStmt executes a prepared statement with the arguments from args[start] on, and
// returns its rows.
func (s *session) queryStmt(ctx context.Context, st *cachedStmt, args []driver.NamedValue, start int) (driver.Rows, error) {
	args, _, err := s.dialect.arrange(st.base, args, start)
	var r *rows
	if err == nil {
		r, err = s.bind(ctx, st, args, nil)
	}
	if err != nil {
		s.cache.put(st)
		return nil, err
	}
	return s.foreign(r)
}

func (s *session) queryEach(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	args, err := s.convertForeign(nil, args)
	if err != nil {
		return nil, err
	}
	last := query
	taken, err := s.each(ctx, query, args, func(st *sqlite3.Stmt, rest string) error {
		if rest == "" {
			return errLast
		}
		last = rest
		if old := s.baseConn.Raw().SetInterrupt(ctx); old != ctx {
			defer s.baseConn.Raw().SetInterrupt(old)
		}
		st.Step()
		s.addFacts(st)
		return st.Err()
	})
	if err != errLast {
		if err == nil {
			return noRows{}, nil
		}
		return nil, err
	}
	if err := s.afterWrite(); err != nil { // for the statements before the last
		return nil, err
	}
	st, err := s.prepare(ctx, queryKindOf(last), last)
	if err != nil {
		return nil, err
	}
	return s.queryStmt(ctx, st, args, taken)
}

// errLast stops each before the last statement.
var errLast = errors.New("sqlitemw: the last statement")

// firstOnly returns the first statement of a query. mattn/go-sqlite3 prepares only that
// one.
func (s *session) firstOnly(query string) string {
	st, tail, err := s.baseConn.Raw().Prepare(query)
	if err != nil || st == nil {
		return query // preparing it returns the error
	}
	st.Close()
	return query[:len(query)-len(tail)]
}

// A script is a prepared query of several statements.
type script struct {
	session *session
	query   string
}

var (
	_ driver.StmtExecContext  = script{}
	_ driver.StmtQueryContext = script{}
)

func (c script) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return c.session.ExecDirect(ctx, c.query, args)
}

func (c script) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return c.session.QueryDirect(ctx, c.query, args)
}

func (c script) NumInput() int { return -1 }
func (c script) Close() error  { return nil }

// Deprecated: use ExecContext.
func (c script) Exec(args []driver.Value) (driver.Result, error) {
	return c.ExecContext(context.Background(), named(args))
}

// Deprecated: use QueryContext.
func (c script) Query(args []driver.Value) (driver.Rows, error) {
	return c.QueryContext(context.Background(), named(args))
}
