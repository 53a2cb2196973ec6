package ncruces

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/conformance"
)

// valueCases check arguments that only this driver accepts.
func valueCases() []conformance.Case {
	type pointed struct{ n int }
	encoded := sqlite3.JSON(1)
	var cases []conformance.Case
	for _, c := range []struct {
		name string
		rule string
		arg  any
	}{
		{"JSON", "A sqlite3.JSON argument is bound as the text that it encodes to.", sqlite3.JSON(map[string]any{"a": []string{"b"}})},
		{"JSON of nil", "A sqlite3.JSON argument of nil is the text null.", sqlite3.JSON(nil)},
		{"JSON that fails", "A sqlite3.JSON argument that cannot be encoded is an error of the call.", sqlite3.JSON(func() {})},
		{"ZeroBlob", "A sqlite3.ZeroBlob argument is a blob of that many zeros, not a number.", sqlite3.ZeroBlob(7)},
		{"Pointer", "A sqlite3.Pointer argument is NULL for SQL.", sqlite3.Pointer(&pointed{1})},
		{"pointer to JSON", "A pointer to a sqlite3.JSON argument is converted by database/sql.", &encoded},
	} {
		cases = append(cases, conformance.Case{
			Chapter: "types",
			Name:    "argument " + c.name,
			Rule:    c.rule,
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", c.arg)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (:a)", sql.Named("a", c.arg))
				s.SeeQuery(s.DB, "SELECT typeof(?1), length(?1), ?1", c.arg)
				s.SeeQuery(s.DB, "SELECT typeof(:a), length(:a), :a, :b", sql.Named("b", 1), sql.Named("a", c.arg))
				stmt, err := s.DB.Prepare("SELECT typeof(?1), ?1")
				s.Must(err)
				defer stmt.Close()
				for range 2 {
					rows, err := stmt.Query(c.arg)
					s.SeeRows("prepared", rows, err)
				}
				res, err := stmt.Exec(c.arg)
				s.SeeResult("prepared", res, err)
				s.SeeQuery(s.DB, "SELECT typeof(a), a FROM t")
			},
		})
	}
	return append(cases, []conformance.Case{
		{
			Chapter: "types",
			Name:    "JSON read",
			Rule:    "sqlite3.JSON decodes a column that is scanned into it.",
			Play: func(s *conformance.Session) {
				for _, arg := range []any{`{"n": 5}`, []byte(`{"n": 6}`), 7, nil, `{`} {
					var v any
					err := s.DB.QueryRow("SELECT ?", arg).Scan(sqlite3.JSON(&v))
					s.See(fmt.Sprint(arg), v, err)
				}
			},
		},
		{
			Chapter: "types",
			Name:    "pointer to a function",
			Rule:    "A sqlite3.Pointer argument reaches a function as the same value, in every way of calling.",
			Play: func(s *conformance.Session) {
				conn := s.Conn(s.DB)
				defer conn.Close()
				mine := &pointed{7}
				raw(s, conn, func(c *sqlite3.Conn) error {
					return c.CreateFunction("is_mine", 1, 0, func(ctx sqlite3.Context, arg ...sqlite3.Value) {
						ctx.ResultBool(arg[0].Pointer() == any(mine))
					})
				})
				s.SeeQuery(conn, "SELECT is_mine(?)", sqlite3.Pointer(mine))
				s.SeeQuery(conn, "SELECT is_mine(?)", sqlite3.Pointer(&pointed{7}))
				s.SeeQuery(conn, "SELECT is_mine(?)", 7)
				stmt, err := conn.PrepareContext(context.Background(), "SELECT is_mine(?)")
				s.Must(err)
				defer stmt.Close()
				for _, arg := range []any{sqlite3.Pointer(mine), nil, sqlite3.Pointer(mine)} {
					rows, err := stmt.Query(arg)
					s.SeeRows("prepared", rows, err)
				}
			},
		},
		{
			Chapter: "types",
			Name:    "binding that fails",
			Rule:    "When an argument cannot be bound, the next call of the query sees none of those bound before it.",
			Play: func(s *conformance.Session) {
				s.DB.SetMaxOpenConns(1)
				for range 2 {
					s.SeeQuery(s.DB, "SELECT :a, :b", sql.Named("a", "kept"), sql.Named("b", sqlite3.JSON(func() {})))
					s.SeeQuery(s.DB, "SELECT :a, :b", sql.Named("b", 1))
				}
			},
		},
	}...)
}

// timeCases check the parameter _timefmt.
func timeCases() []conformance.Case {
	var cases []conformance.Case
	for _, format := range []string{"", "auto", "sqlite", "rfc3339", "unixepoch", "unixepoch_milli", "julianday", "2006-01-02"} {
		params := []string{"_timefmt=" + format}
		if format == "" {
			params = nil
		}
		cases = append(cases, conformance.Case{
			Chapter:  "types",
			Name:     "times as " + format,
			Rule:     "The parameter _timefmt sets how times are written and read.",
			Settings: conformance.Settings{Params: params},
			Play: func(s *conformance.Session) {
				s.Exec(s.DB, "CREATE TABLE t(d DATETIME, x)")
				when := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1)", when)
				s.SeeExec(s.DB, "INSERT INTO t VALUES (?1, ?1)", when.In(time.FixedZone("", 3600)))
				s.SeeQuery(s.DB, "SELECT typeof(d), CAST(d AS TEXT) FROM t")
				s.SeeQuery(s.DB, "SELECT d, x FROM t")
				s.SeeQuery(s.DB, "SELECT ?", when)
				stmt, err := s.DB.Prepare("SELECT d FROM t WHERE d = ?")
				s.Must(err)
				defer stmt.Close()
				rows, err := stmt.Query(when)
				s.SeeRows("prepared", rows, err)
			},
		})
	}
	return cases
}
