package conformance

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math"
	"time"
)

// A valuerFunc is an argument that computes its value when database/sql asks for it.
type valuerFunc func() (driver.Value, error)

func (f valuerFunc) Value() (driver.Value, error) { return f() }

// A pointedValuer is a Valuer only as a pointer, and panics on a nil one.
type pointedValuer struct{ n int64 }

func (v *pointedValuer) Value() (driver.Value, error) { return v.n, nil }

// A plainValuer is a Valuer as a value. A nil pointer to it would panic, but database/sql makes
// it NULL.
type plainValuer struct{ n int64 }

func (v plainValuer) Value() (driver.Value, error) { return v.n, nil }

type (
	namedString string
	namedInt    int32
	namedUint   uint16
	namedFloat  float32
	namedBool   bool
	namedBytes  []byte
)

// doors are the ways in which arguments reach SQLite.
var doors = []struct {
	name string
	pass func(s *Session, args ...any)
}{
	{"exec", func(s *Session, args ...any) { s.SeeExec(s.DB, "INSERT INTO args VALUES (?)", args...) }},
	{"query", func(s *Session, args ...any) {
		s.SeeQuery(s.DB, "SELECT typeof(?1), ?1, quote(?1)", args...)
	}},
	{"statement", func(s *Session, args ...any) {
		stmt := s.Prepare(s.DB, "INSERT INTO args VALUES (?) RETURNING typeof(a), a")
		defer stmt.Close()
		s.SeeStmtExec("exec", stmt, args...)
		s.SeeStmtQuery("query", stmt, args...)
	}},
	{"transaction", func(s *Session, args ...any) {
		tx := s.Begin(s.DB)
		defer tx.Rollback()
		s.SeeExec(tx, "INSERT INTO args VALUES (?)", args...)
		var v any
		s.See("row", tx.QueryRowContext(background, "SELECT a FROM args WHERE a IS ? LIMIT 1", args...).Scan(&v), v)
	}},
	{"name", func(s *Session, args ...any) {
		var named []any
		for _, arg := range args {
			named = append(named, sql.Named("a", arg))
		}
		s.SeeExec(s.DB, "INSERT INTO args VALUES (:a)", named...)
		s.SeeQuery(s.DB, "SELECT typeof(:a), :a, quote($a)", named...)
	}},
}

// argument returns a case in which each argument passes through every door.
func argument(name, rule string, args ...any) Case {
	return Case{
		Name: "argument " + name,
		Rule: rule,
		Play: func(s *Session) {
			s.DB.SetMaxOpenConns(1)
			s.Exec(s.DB, "PRAGMA synchronous = 0") // for speed
			s.Exec(s.DB, "CREATE TABLE args(a)")
			for _, arg := range args {
				for _, door := range doors {
					s.say("%T by %s", arg, door.name)
					door.pass(s, arg)
				}
			}
			s.SeeQuery(s.DB, "SELECT typeof(a), a FROM args")
		},
	}
}

func execArguments() []Case {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	n, text := 7, "pointed"
	pn := &n
	one := driver.Value(int64(1))
	return []Case{
		argument("nil", "nil is NULL.", nil),
		argument("bool", "A bool is an integer.", true, false),
		argument("int", "Signed integers of every size are integers, including the smallest and largest.",
			0, -1, int8(math.MinInt8), int16(math.MaxInt16), int32(math.MinInt32), int64(math.MinInt64), int64(math.MaxInt64), 'r'),
		argument("uint", "Unsigned integers of every size are integers.",
			uint(1), uint8(math.MaxUint8), uint16(math.MaxUint16), uint32(math.MaxUint32), uint64(math.MaxInt64), uintptr(1)),
		argument("uint with the high bit", "An unsigned integer that is too large for SQLite is refused.", uint64(math.MaxInt64)+1, uint64(math.MaxUint64)),
		argument("float", "Floats are reals, and do not change.",
			0.0, math.Copysign(0, -1), float32(0.1), 0.1, 1.0, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1)),
		argument("NaN", "NaN is NULL.", math.NaN(), float32(math.NaN())),
		argument("string", "A string is text, whatever it looks like.",
			"", "text", "1", "1.5", "it's", "NULL", "2026-01-02T03:04:05Z", "\u00e4\u4e16\U0001F600"),
		argument("string that is no text", "A string may contain NULs, and bytes that are not UTF-8.", "a\x00b", "\x00", "\xff\xfe", "\xc3"),
		argument("bytes", "Bytes are a blob, also when empty. nil bytes are NULL, or what the driver makes of them.",
			[]byte("text"), []byte{0, 255}, []byte{}, []byte(nil)),
		argument("time", "A time is written with its zone and all its digits.",
			when, when.In(time.FixedZone("", 3600)), when.In(time.FixedZone("X", -5*3600-1800)),
			when.Add(1), when.Truncate(time.Second), time.Time{}, time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)),
		argument("named type", "A value of a named type is treated like one of its underlying type.",
			namedString("text"), namedInt(-1), namedUint(1), namedFloat(1.5), namedBool(true), namedBytes("bytes"), time.Second, json.RawMessage(`{}`), sql.RawBytes("raw")),
		argument("pointer", "A pointer stands for its target, and so does a pointer to a pointer.", &n, &text, &when, &pn, &[]string{"no"}),
		argument("nil pointer", "A nil pointer is NULL.", (*int)(nil), (*string)(nil), (*time.Time)(nil), (**int)(nil), (*struct{})(nil)),
		argument("Null", "sql.NullString and the like are NULL, or their value.",
			sql.NullString{}, sql.NullString{String: "s", Valid: true}, sql.NullInt64{Int64: 1, Valid: true}, sql.NullInt32{}, sql.NullInt16{Int16: 2, Valid: true},
			sql.NullByte{Byte: 3, Valid: true}, sql.NullBool{Bool: true, Valid: true}, sql.NullFloat64{Float64: 1.5, Valid: true}, sql.NullTime{Time: when, Valid: true}, sql.NullTime{}),
		argument("Null[T]", "sql.Null of any type is NULL, or its value.",
			sql.Null[string]{}, sql.Null[string]{V: "s", Valid: true}, sql.Null[int]{V: 1, Valid: true}, sql.Null[uint64]{V: 1 << 63, Valid: true}, sql.Null[*int]{V: &n, Valid: true}, sql.Null[struct{}]{Valid: true}),
		argument("Valuer", "A Valuer's value is used if it is a driver.Value.",
			valuerFunc(func() (driver.Value, error) { return "made", nil }),
			valuerFunc(func() (driver.Value, error) { return nil, nil }),
			valuerFunc(func() (driver.Value, error) { return when, nil }),
			valuerFunc(func() (driver.Value, error) { return []byte("made"), nil }),
			valuerFunc(func() (driver.Value, error) { return 1, nil }),
			valuerFunc(func() (driver.Value, error) { return uint8(1), nil }),
			valuerFunc(func() (driver.Value, error) { return namedString("s"), nil }),
			valuerFunc(func() (driver.Value, error) { return struct{}{}, nil }),
			valuerFunc(func() (driver.Value, error) { return plainValuer{1}, nil }),
			valuerFunc(func() (driver.Value, error) { return &one, nil })),
		argument("Valuer behind a pointer", "A nil pointer to a Valuer is NULL. If the pointer itself is the Valuer, it is called.",
			plainValuer{1}, &plainValuer{2}, (*plainValuer)(nil), &pointedValuer{3}, pointedValuer{4}),
		argument("Valuer that fails", "A Valuer's error names the argument's position or name, and the program's error wraps it.",
			valuerFunc(func() (driver.Value, error) { return nil, errors.New("no value") }),
			valuerFunc(func() (driver.Value, error) { return nil, driver.ErrBadConn }),
			valuerFunc(func() (driver.Value, error) { return nil, sql.ErrNoRows })),
		argument("Valuer that says driver.ErrSkip", "If a Valuer returns an error that is meant for drivers, database/sql decides what it means.",
			valuerFunc(func() (driver.Value, error) { return nil, driver.ErrSkip })),
		argument("Valuer that says driver.ErrRemoveArgument", "A Valuer that removes itself leaves one argument less.",
			valuerFunc(func() (driver.Value, error) { return nil, driver.ErrRemoveArgument })),
		argument("of no kind", "A value of an unsupported type is refused. The error names the argument's position or name, and its type.",
			struct{ A int }{1}, []int{1}, [2]byte{}, map[string]int{}, make(chan int), func() {}, complex(1, 2), errors.New("x"), &struct{}{}, []string(nil)),
		argument("that is no input", "An argument for output is refused.", sql.Out{}, sql.Out{Dest: &n}, sql.Out{Dest: &n, In: true}),
		{
			Name: "Valuer, once",
			Rule: "Each call with a Valuer calls it exactly once.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE args(a)")
				calls := 0
				v := valuerFunc(func() (driver.Value, error) { calls++; return int64(calls), nil })
				for _, door := range doors {
					door.pass(s, v)
					s.See(door.name, calls)
				}
				s.SeeExec(s.DB, "SELECT ?, ?", v, v)
				s.See("two", calls)
			},
		},
		{
			Name: "Valuer, when it matters",
			Rule: "A Valuer is called only when the query can be prepared, and not after another argument has failed.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				calls := 0
				v := valuerFunc(func() (driver.Value, error) { calls++; return int64(calls), nil })
				fails := valuerFunc(func() (driver.Value, error) { return nil, errors.New("no value") })
				for _, query := range []string{"SELEC ?", "INSERT INTO nowhere VALUES (?)", "SELECT ?; SELECT 1", "SELECT 1"} {
					s.SeeExec(s.DB, query, v)
					s.See("asked", calls)
					s.SeeQuery(s.DB, query, v)
					s.See("asked", calls)
				}
				for _, args := range [][]any{{fails, v}, {v, fails}, {v, v, v}, {v}, {struct{}{}, v}, {v, struct{}{}}} {
					s.SeeExec(s.DB, "SELECT ?, ?", args...)
					s.See("asked", calls)
					s.SeeQuery(s.DB, "SELECT ?, ?", args...)
					s.See("asked", calls)
				}
			},
		},
		{
			Name: "Valuer that panics",
			Rule: "A Valuer's panic reaches the program unchanged, and nothing has been executed.",
			Play: func(s *Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				s.Exec(conn, "CREATE TABLE t(a)")
				v := valuerFunc(func() (driver.Value, error) { panic("no value at all") })
				for range 2 {
					func() {
						defer func() { s.See("panic", recover()) }()
						s.SeeExec(conn, "INSERT INTO t VALUES (?)", v)
					}()
				}
				s.SeeQuery(conn, "SELECT count(*) FROM t")
			},
		},
		{
			Name: "Valuer that queries",
			Rule: "A Valuer may use the database, through another connection.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (5)")
				v := valuerFunc(func() (driver.Value, error) { return s.Count(s.DB, "SELECT max(a) + 1 FROM t"), nil })
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", v)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", v)
				s.SeeQuery(s.DB, "SELECT a FROM t WHERE a < ?", v)
			},
		},
		{
			Name: "arguments changed after",
			Rule: "Changing a slice after the call that it was passed to has no effect.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				b := []byte("before")
				args := []any{b}
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", args...)
				stmt := s.Prepare(s.DB, "INSERT INTO t VALUES (?)")
				s.SeeStmtExec("statement", stmt, args...)
				rows := s.Query(s.DB, "SELECT ? UNION ALL SELECT a FROM t", args...)
				copy(b, "after.")
				args[0] = "another"
				s.SeeRows("rows", rows, nil)
				s.SeeQuery(s.DB, "SELECT a FROM t")
				s.See("close", stmt.Close())
			},
		},
		{
			Name: "arguments left as they are",
			Rule: "A call changes neither its arguments nor the slice that holds them.",
			Play: func(s *Session) {
				args := []any{int8(1), namedString("s"), []byte("b"), plainValuer{2}, sql.Named("n", uint8(3))}
				s.SeeExec(s.DB, "SELECT ?, ?, ?, ?, :n", args...)
				s.See("then", args...)
				s.SeeQuery(s.DB, "SELECT ?, ?, ?, ?, :n", args...)
				s.See("then", args...)
			},
		},
		parameters("counted", "Too few or too many arguments for plain parameters are refused.",
			"SELECT ?, ?", []any{1}, []any{1, 2}, []any{1, 2, 3}),
		parameters("numbered", "A numbered parameter implies all lower numbers.",
			"SELECT ?3, ?1", []any{1}, []any{1, 2}, []any{1, 2, 3}, []any{1, 2, 3, 4}),
		parameters("plain behind a numbered one", "A plain parameter gets the number after the largest so far.",
			"SELECT ?2, ?, ?1", []any{1, 2}, []any{1, 2, 3}),
		parameters("repeated", "A parameter that is repeated counts once.",
			"SELECT ?1, ?1, ?1", []any{1}, []any{1, 2, 3}),
		parameters("none", "A query without parameters takes no arguments.",
			"SELECT 1", []any{1}, []any{nil}, []any{sql.Named("a", 1)}),
		parameters("named", "A named argument sets all parameters of that name, whatever their prefix.",
			"SELECT :a, @a, $a, :b", []any{sql.Named("a", 1), sql.Named("b", 2)}, []any{sql.Named("b", 2), sql.Named("a", 1)}),
		parameters("named, missing", "A named parameter without an argument is NULL.",
			"SELECT :a, :b", []any{sql.Named("a", 1)}, []any{sql.Named("b", 1)}, []any{1}),
		parameters("named, unknown", "A named argument without a parameter is ignored, as the driver does.",
			"SELECT :a", []any{sql.Named("b", 1)}, []any{sql.Named("a", 1), sql.Named("b", 2)}, []any{sql.Named("A", 1)}, []any{sql.Named("b", struct{}{})}),
		parameters("named, twice", "Of two arguments with one name, the driver chooses one.",
			"SELECT :a", []any{sql.Named("a", 1), sql.Named("a", 2)}),
		parameters("named with bad names", "An invalid name is refused before anything is prepared.",
			"SELECT :a", []any{sql.Named("1a", 1)}, []any{sql.Named(":a", 1)}, []any{sql.Named("", 1)}, []any{sql.Named("_a", 1)}, []any{sql.NamedArg{}}),
		parameters("named by place", "Arguments without a name are assigned to named parameters in order.",
			"SELECT :a, @b, $c", []any{1, 2, 3}, []any{1, 2}, []any{1, 2, 3, 4}),
		parameters("mixed", "Arguments with and without names can be combined.",
			"SELECT ?, :a, ?", []any{1, 2, 3}, []any{1, sql.Named("a", 2), 3}, []any{sql.Named("a", 2), 1, 3}, []any{1, 3, sql.Named("a", 2)}, []any{sql.Named("a", 2)}),
		parameters("a name of letters", "A parameter's name may have any letters, and may contain ::.",
			"SELECT :\u00e4, @_1, $a::b", []any{sql.Named("\u00e4", 1), sql.Named("_1", 2), sql.Named("a::b", 3)}, []any{1, 2, 3}),
		{
			Name: "binding that fails",
			Rule: "When an argument cannot be bound, the next use of the query does not see those bound before it.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				stmt := s.Prepare(s.DB, "SELECT :a, :b")
				defer stmt.Close()
				for range 2 {
					// The last one has no parameter.
					s.SeeQuery(s.DB, "SELECT :a, :b", "kept", "kept", "too much")
					s.SeeQuery(s.DB, "SELECT :a, :b", sql.Named("b", 1))
					s.SeeExec(s.DB, "SELECT :a, :b", "kept", "kept", "too much")
					s.SeeQuery(s.DB, "SELECT :a, :b", sql.Named("b", 2))
					s.SeeStmtQuery("statement", stmt, "kept", "kept", "too much")
					s.SeeExec(s.DB, "SELECT :a, :b", sql.Named("b", 3))
				}
			},
		},
		{
			Name: "argument that fails, and the text's next use",
			Rule: "After an argument has been refused, the next use of the query is like its first.",
			Play: func(s *Session) {
				s.DB.SetMaxOpenConns(1)
				s.Exec(s.DB, "CREATE TABLE t(a, b)")
				for range 2 {
					for _, args := range [][]any{{"kept", struct{}{}}, {1, nil}, {1}, {2, "two"}} {
						s.SeeExec(s.DB, "INSERT INTO t VALUES (?, ?)", args...)
						s.SeeQuery(s.DB, "SELECT ?, ?", args...)
					}
				}
				s.SeeQuery(s.DB, "SELECT * FROM t")
				s.seeStats(s.DB)
			},
		},
	}
}

// parameters returns a case that runs a query with several lists of arguments.
func parameters(name, rule, query string, lists ...[]any) Case {
	return Case{
		Name: "parameters " + name,
		Rule: rule,
		Play: func(s *Session) {
			s.DB.SetMaxOpenConns(1)
			for range 2 {
				for _, args := range lists {
					s.SeeExec(s.DB, query, args...)
					s.SeeQuery(s.DB, query, args...)
					stmt := s.Prepare(s.DB, query)
					s.SeeStmtExec("statement", stmt, args...)
					s.SeeStmtQuery("statement", stmt, args...)
					s.See("close", stmt.Close())
				}
			}
		},
	}
}
