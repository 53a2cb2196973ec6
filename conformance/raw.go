package conformance

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// rawCases reach the driver's own connection.
func rawCases() []Case {
	return append(rawSurfaceCases(), append(rawErrorCases(), rawUseCases()...)...)
}

// raw calls f with a connection's own driver.Conn. It ends the case on an error.
func raw(s *Session, f func(conn any)) {
	conn := s.Conn(s.DB)
	defer conn.Close()
	s.Must(conn.Raw(func(dc any) error {
		f(dc)
		return nil
	}))
}

// beside calls f with a connection of the bare driver and the case's own connection, so that
// the case can compare both.
func beside(s *Session, f func(bare, conn any)) {
	db, err := s.engine.Open(s.DSN(s.File("bare.db"), Settings{}))
	s.Must(err)
	defer db.Close()
	bare := s.Conn(db)
	defer bare.Close()
	s.Must(bare.Raw(func(bare any) error {
		raw(s, func(conn any) { f(bare, conn) })
		return nil
	}))
}

// connInterfaces are the optional interfaces of package driver that a connection may have. A
// wrapper may add the last ones to a connection that lacks them; other cases check what they
// do.
var connInterfaces = []reflect.Type{
	reflect.TypeFor[driver.Conn](),
	reflect.TypeFor[driver.ConnBeginTx](),
	reflect.TypeFor[driver.ConnPrepareContext](),
	reflect.TypeFor[driver.ExecerContext](),
	reflect.TypeFor[driver.Execer](),
	reflect.TypeFor[driver.Queryer](),
	reflect.TypeFor[driver.NamedValueChecker](),
	reflect.TypeFor[driver.ColumnConverter](),
	reflect.TypeFor[driver.Tx](),
	reflect.TypeFor[driver.QueryerContext](),
	reflect.TypeFor[driver.Pinger](),
	reflect.TypeFor[driver.SessionResetter](),
	reflect.TypeFor[driver.Validator](),
}

const allowedConnInterfaces = 4

var stmtInterfaces = []reflect.Type{
	reflect.TypeFor[driver.Stmt](),
	reflect.TypeFor[driver.StmtExecContext](),
	reflect.TypeFor[driver.StmtQueryContext](),
	reflect.TypeFor[driver.NamedValueChecker](),
	reflect.TypeFor[driver.ColumnConverter](),
}

var rowsInterfaces = []reflect.Type{
	reflect.TypeFor[driver.Rows](),
	reflect.TypeFor[driver.RowsNextResultSet](),
	reflect.TypeFor[driver.RowsColumnTypeScanType](),
	reflect.TypeFor[driver.RowsColumnTypeDatabaseTypeName](),
	reflect.TypeFor[driver.RowsColumnTypeLength](),
	reflect.TypeFor[driver.RowsColumnTypeNullable](),
	reflect.TypeFor[driver.RowsColumnTypePrecisionScale](),
}

// rawSurfaceCases examine the driver's objects without using them.
func rawSurfaceCases() []Case {
	return []Case{
		{
			Name: "methods",
			Rule: "A wrapped connection has every method that the bare one has, with the same parameters and results.",
			Play: func(s *Session) {
				beside(s, func(bare, conn any) {
					want, got := reflect.TypeOf(bare), reflect.TypeOf(conn)
					for i := range want.NumMethod() {
						m := want.Method(i)
						if m.Name == "Commit" || m.Name == "Rollback" {
							continue // a bare connection may be its own transaction
						}
						has, ok := got.MethodByName(m.Name)
						s.See(m.Name, ok, ok && signature(m) == signature(has))
					}
				})
			},
		},
		{
			Name: "interfaces",
			Rule: "A connection has the interfaces of package driver that the bare one has. A wrapper may add those of its lifecycle, and those of queries.",
			Play: func(s *Session) {
				beside(s, func(bare, conn any) {
					for i, typ := range connInterfaces {
						want, got := reflect.TypeOf(bare).Implements(typ), reflect.TypeOf(conn).Implements(typ)
						switch {
						case typ.Name() == "Tx":
						case i >= len(connInterfaces)-allowedConnInterfaces && !want:
						default:
							s.See(typ.Name(), got)
						}
					}
				})
			},
		},
		{
			Name: "statement's interfaces",
			Rule: "A statement has exactly the interfaces of package driver that the bare one has.",
			Play: func(s *Session) {
				raw(s, func(conn any) {
					stmt, err := conn.(driver.Conn).Prepare("SELECT ?")
					s.Must(err)
					for _, typ := range stmtInterfaces {
						s.See(typ.Name(), reflect.TypeOf(stmt).Implements(typ))
					}
					s.See("close", stmt.Close())
				})
			},
		},
		{
			Name: "rows' interfaces",
			Rule: "Rows have exactly the interfaces of package driver that the bare ones have.",
			Play: func(s *Session) {
				raw(s, func(conn any) {
					stmt, err := conn.(driver.Conn).Prepare("SELECT 1")
					s.Must(err)
					rows, err := stmt.(driver.StmtQueryContext).QueryContext(background, nil)
					s.Must(err)
					for _, typ := range rowsInterfaces {
						s.See(typ.Name(), reflect.TypeOf(rows).Implements(typ))
					}
					// The driver package has this interface since Go 1.27.
					_, ok := reflect.TypeOf(rows).MethodByName("ScanColumn")
					s.See("RowsColumnScanner", ok)
					s.See("close", rows.Close(), stmt.Close())
				})
			},
		},
		{
			Name: "the same",
			Rule: "A connection passes the same driver.Conn to each Raw.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				var first, second any
				s.Must(conn.Raw(func(dc any) error { first = dc; return nil }))
				s.Exec(conn, "CREATE TABLE t(a)")
				s.Must(conn.Raw(func(dc any) error { second = dc; return nil }))
				s.See("same", first == second)
			},
		},
	}
}

// signature returns a method's parameters and results, without its receiver.
func signature(m reflect.Method) string {
	text := m.Type.String()
	_, text, _ = strings.Cut(text, m.Type.In(0).String())
	return fmt.Sprint(m.Type.IsVariadic(), strings.TrimPrefix(text, ", "))
}

// rawErrorCases check how Raw ends.
func rawErrorCases() []Case {
	mine := errors.New("mine")
	// temporary records whether the connection is still the one that has a temporary table.
	temporary := func(s *Session, conn querier) {
		s.See("temporary tables", s.Count(conn, "SELECT count(*) FROM sqlite_temp_schema"))
	}
	return []Case{
		{
			Name: "error",
			Rule: "Raw returns the error that the program's function returns, and the connection stays.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TEMP TABLE t(a)")
				err := conn.Raw(func(any) error { return mine })
				s.See("raw", err == mine, err)
				temporary(s, conn)
			},
		},
		{
			Name: "bad connection",
			Rule: "A connection is discarded when the program returns driver.ErrBadConn from Raw.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TEMP TABLE t(a)")
				s.See("raw", conn.Raw(func(any) error { return driver.ErrBadConn }))
				s.SeeExec(conn, "SELECT 1")
				s.See("close", conn.Close())
				temporary(s, s.DB)
			},
		},
		{
			Name: "bad connection, wrapped",
			Rule: "A connection is discarded when the program returns an error that wraps driver.ErrBadConn from Raw.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TEMP TABLE t(a)")
				s.See("raw", conn.Raw(func(any) error { return fmt.Errorf("no good: %w", driver.ErrBadConn) }))
				s.See("close", conn.Close())
				temporary(s, s.DB)
			},
		},
		{
			Name: "panic",
			Rule: "A panic in Raw reaches the program, and the connection is discarded.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				conn := s.Conn(s.DB)
				s.Exec(conn, "CREATE TEMP TABLE t(a)")
				func() {
					defer func() { s.See("recovered", recover() == mine) }()
					conn.Raw(func(any) error { panic(mine) })
				}()
				s.See("close", conn.Close())
				temporary(s, s.DB)
			},
		},
		{
			Name: "after close",
			Rule: "Raw of a closed connection does not call the program's function.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				s.Must(conn.Close())
				s.See("raw", conn.Raw(func(any) error { s.See("called"); return nil }))
			},
		},
	}
}

// rawUseCases use the driver's objects in the way database/sql does.
func rawUseCases() []Case {
	value := func(ordinal int, v any) driver.NamedValue { return driver.NamedValue{Ordinal: ordinal, Value: v} }
	return []Case{
		{
			Name: "prepared",
			Rule: "Statements and rows of a driver.Conn behave like those of database/sql.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, b)")
				raw(s, func(dc any) {
					stmt, err := dc.(driver.Conn).Prepare("INSERT INTO t VALUES (?, ?)")
					s.Must(err)
					s.See("inputs", stmt.NumInput())
					for i := range int64(2) {
						res, err := stmt.(driver.StmtExecContext).ExecContext(background, []driver.NamedValue{value(1, i), value(2, "text")})
						s.SeeResult("insert", res, err)
					}
					s.See("close", stmt.Close())
					seeRawRows(s, dc, "SELECT a, b FROM t")
				})
				s.SeeQuery(s.DB, "SELECT a, b FROM t")
			},
		},
		{
			Name: "prepared error",
			Rule: "A driver.Conn returns the errors that database/sql passes on.",
			Play: func(s *Session) {
				raw(s, func(dc any) {
					_, err := dc.(driver.Conn).Prepare("SELECT nowhere")
					s.See("prepare", err)
					_, err = dc.(driver.ConnPrepareContext).PrepareContext(cancelled(), "SELECT 1")
					s.See("cancelled", err)
					stmt, err := dc.(driver.Conn).Prepare("SELECT abs(?)")
					s.Must(err)
					_, err = stmt.(driver.StmtExecContext).ExecContext(background, []driver.NamedValue{value(1, int64(-1<<63))})
					s.See("exec", err, stmt.Close())
				})
			},
		},
		{
			Name: "exec",
			Rule: "A driver.Conn executes queries without arguments as database/sql does.",
			Play: func(s *Session) {
				raw(s, func(dc any) {
					res, err := rawExec(background, s, dc, "CREATE TABLE t(a); INSERT INTO t VALUES (7)")
					s.SeeResult("plain", res, err)
					_, err = rawExec(background, s, dc, "INSERT INTO nowhere VALUES (7)")
					s.See("error", err)
					_, err = rawExec(cancelled(), s, dc, "INSERT INTO t VALUES (7)")
					s.See("cancelled", err)
				})
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "begun",
			Rule: "A transaction that the program begins on a driver.Conn is committed and rolled back like one of database/sql.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.DB.SetMaxOpenConns(1)
				for _, end := range []func(driver.Tx) error{driver.Tx.Commit, driver.Tx.Rollback} {
					raw(s, func(dc any) {
						tx, err := dc.(driver.ConnBeginTx).BeginTx(background, driver.TxOptions{Isolation: 6})
						s.Must(err)
						_, err = rawExec(background, s, dc, "INSERT INTO t SELECT 1")
						s.See("insert", err, end(tx), end(tx))
					})
				}
				s.See("count", s.Count(s.DB, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "left begun",
			Rule: "A transaction that the program leaves open in Raw is still open for the connection's next user.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				s.Must(conn.Raw(func(dc any) error {
					_, err := dc.(driver.ConnBeginTx).BeginTx(background, driver.TxOptions{})
					return err
				}))
				s.SeeExec(conn, "INSERT INTO t VALUES (?)", 1)
				_, err := conn.BeginTx(background, nil)
				s.See("begin", err)
				s.SeeExec(conn, "ROLLBACK")
				s.See("count", s.Count(conn, "SELECT count(*) FROM t"))
			},
		},
		{
			Name: "levels",
			Rule: "A driver.Conn refuses the isolation levels that it refuses through database/sql.",
			Play: func(s *Session) {
				raw(s, func(dc any) {
					for level := range driver.IsolationLevel(9) {
						tx, err := dc.(driver.ConnBeginTx).BeginTx(background, driver.TxOptions{Isolation: level})
						s.See(fmt.Sprint("level ", level), err)
						if err == nil {
							s.See("rollback", tx.Rollback())
						}
					}
				})
			},
		},
		{
			Name: "while rows are open",
			Rule: "What the program does in Raw does not disturb rows that are open on the connection.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3)")
				rows := s.Query(conn, "SELECT a FROM t WHERE a < ? ORDER BY a", 10)
				for rows.Next() {
					s.SeeRow(rows)
					s.Must(conn.Raw(func(dc any) error {
						seeRawRows(s, dc, "SELECT a FROM t WHERE a < 10 ORDER BY a")
						return nil
					}))
				}
				s.See("end", rows.Err(), rows.Close())
			},
		},
		{
			Name: "context",
			Rule: "A driver.Conn passes to functions exactly the context that the program passes to it.",
			Play: func(s *Session) {
				type key struct{}
				ctx := context.WithValue(background, key{}, "mine")
				s.Function("hook", func(got context.Context) any {
					s.See("hook", got == ctx)
					return 1
				})
				raw(s, func(dc any) {
					_, err := rawExec(ctx, s, dc, "SELECT hook()")
					s.See("exec", err)
					stmt, err := dc.(driver.ConnPrepareContext).PrepareContext(background, "SELECT hook()")
					s.Must(err)
					defer stmt.Close()
					_, err = stmt.(driver.StmtExecContext).ExecContext(ctx, nil)
					s.See("prepared", err)
				})
			},
		},
		{
			Name: "schema",
			Rule: "A schema change that the program makes in Raw applies to queries that the connection has used before.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
				for _, change := range []string{"ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t ADD COLUMN c", "DROP TABLE t"} {
					s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
					s.Must(conn.Raw(func(dc any) error {
						_, err := rawExec(background, s, dc, change)
						return err
					}))
				}
				s.SeeQuery(conn, "SELECT * FROM t WHERE ?", 1)
			},
		},
	}
}

// rawExec executes a query without arguments on a driver.Conn.
func rawExec(ctx context.Context, s *Session, dc any, query string) (driver.Result, error) {
	s.plainText(query)
	return dc.(driver.ExecerContext).ExecContext(ctx, query, nil)
}

// seeRawRows records a query made directly on a driver.Conn.
func seeRawRows(s *Session, dc any, query string) {
	stmt, err := dc.(driver.Conn).Prepare(query)
	s.Must(err)
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(background, nil)
	s.Must(err)
	columns := rows.Columns()
	s.See(query, columns)
	dest := make([]driver.Value, len(columns))
	for {
		if err = rows.Next(dest); err != nil {
			break
		}
		s.See("  row", dest)
	}
	s.See("  end", err == io.EOF, rows.Close(), stmt.Close())
}
