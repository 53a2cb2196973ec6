package conformance

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sqlitemw/sqlitemw/conformance/fake"
)

// argumentsCases pass all kinds of arguments in all ways to drivers that check and convert them
// in all ways.
var argumentsCases = sync.OnceValue(func() []Case {
	at := time.Date(2026, 8, 1, 12, 30, 0, 0, time.UTC)
	number := 5
	sets := []struct {
		name  string
		rule  string
		query string
		args  func(*fake.Base) []any
	}{
		{"none", "A query without parameters needs no arguments.", "q",
			func(*fake.Base) []any { return nil }},
		{"plain", "Values that every driver supports arrive unchanged, and integers as int64.", "q ?????????",
			func(*fake.Base) []any {
				return []any{1, int64(2), "three", true, 4.5, []byte("six"), at, nil, &number}
			}},
		{"small and unsigned integers", "A checker may keep a small integer as it is. Otherwise all integers become int64.", "q ????",
			func(*fake.Base) []any { return []any{int8(-1), uint8(2), uint64(3), int32(4)} }},
		{"unsigned with the high bit set", "An integer that does not fit is refused unless a checker accepts it.", "q ?",
			func(*fake.Base) []any { return []any{uint64(1 << 63)} }},
		{"of named types", "Values of named types become values of their underlying types.", "q ??",
			func(*fake.Base) []any { return []any{time.Second, sql.RawBytes("raw")} }},
		{"named", "Named arguments keep their names. Drivers without support for names refuse them.", "q ??",
			func(*fake.Base) []any { return []any{sql.Named("a", 1), sql.Named("b", "x")} }},
		{"named and not", "Named and unnamed arguments can be combined.", "q ??",
			func(*fake.Base) []any { return []any{sql.Named("a", 1), "x"} }},
		{"named, converting themselves", "A named argument may be a Valuer. It is called as often as on the bare driver.", "q ??",
			func(b *fake.Base) []any {
				return []any{sql.Named("a", fake.Valuer{Base: b}), fake.Valuer{Base: b}}
			}},
		{"a bad name", "An argument whose name does not begin with a letter is refused.", "q ??",
			func(*fake.Base) []any { return []any{1, sql.Named("1a", 1)} }},
		{"special to a checker", "A checker accepts types that nothing else supports. The statement's checker is called before the connection's.", "q ??",
			func(*fake.Base) []any { return []any{fake.Special{}, sql.Named("s", fake.Special{})} }},
		{"special to a column", "A statement's column accepts types that nothing else supports, and converts those that everything supports.", "q ??",
			func(*fake.Base) []any { return []any{"text", fake.Column{}} }},
		{"turned into nonsense by a column", "The value that a column converts an argument to must be a driver.Value.", "q ?",
			func(*fake.Base) []any { return []any{fake.Odd{}} }},
		{"removed, the first", "An argument that a checker removes is not counted, and those after it move up.", "q ??",
			func(*fake.Base) []any { return []any{fake.Removed{}, 1, 2} }},
		{"removed, the last", "The last argument may be removed by a checker.", "q ??",
			func(*fake.Base) []any { return []any{1, 2, fake.Removed{}} }},
		{"removed, all", "A checker may remove all arguments.", "q",
			func(*fake.Base) []any { return []any{fake.Removed{}, fake.Removed{}} }},
		{"removed, named before named", "When a named argument is removed, the next one keeps its own name.", "q ?",
			func(*fake.Base) []any { return []any{sql.Named("a", fake.Removed{}), sql.Named("b", 1)} }},
		{"refused", "The error of a checker or a column reaches the program, with the argument's number.", "q ??",
			func(*fake.Base) []any { return []any{1, fake.Refused{}} }},
		{"refused, named", "The error of a checker or a column reaches the program, with the argument's name.", "q ??",
			func(*fake.Base) []any { return []any{1, sql.Named("r", fake.Refused{})} }},
		{"nobody's", "A type that nothing supports is refused.", "q ?",
			func(*fake.Base) []any { return []any{fake.Letters{Text: "x"}} }},
		{"out", "An output parameter is refused unless a checker accepts it.", "q ?",
			func(*fake.Base) []any { return []any{sql.Out{Dest: new(string)}} }},
		{"converting themselves", "A Valuer is called as often as on the bare driver, and no more.", "q ???",
			func(b *fake.Base) []any {
				return []any{fake.Valuer{Base: b}, &fake.Valuer{Base: b}, sql.NullInt64{}}
			}},
		{"nil pointers that convert themselves", "A nil pointer to a Valuer is NULL, and its method is not called.", "q ?",
			func(*fake.Base) []any { return []any{(*fake.NilValuer)(nil)} }},
		{"failing to convert themselves", "The error of a Valuer reaches the program.", "q ?",
			func(b *fake.Base) []any { return []any{fake.BadValuer{Base: b}} }},
		{"converting themselves to nonsense", "A Valuer must return a driver.Value.", "q ?",
			func(b *fake.Base) []any { return []any{fake.OddValuer{Base: b}} }},
		{"too many", "Arguments without a parameter are an error.", "q ?",
			func(b *fake.Base) []any { return []any{1, fake.Valuer{Base: b}} }},
		{"too few", "Parameters without an argument are an error.", "q ??",
			func(b *fake.Base) []any { return []any{fake.Valuer{Base: b}} }},
		{"any number", "A statement that does not know how many parameters it has takes any number of arguments.", "q *",
			func(b *fake.Base) []any { return []any{fake.Valuer{Base: b}, 2, "three"} }},
	}
	all := func() []kinds { return combine(fake.ConnKinds, fake.StmtKinds, fake.RowsOf("SQLite's")) }
	var cases []Case
	for _, set := range sets {
		cases = append(cases, Case{Name: set.name, Rule: set.rule, script: &script{kinds: all, play: func(p *player) {
			for _, v := range verbs {
				p.step(v.name, func() { v.do(p, set.query, set.args(p.Base)...) })
			}
		}}})
	}
	cases = append(cases, Case{
		Name: "panicking",
		Rule: "The panic of a Valuer reaches the program unchanged. Its connection is usable afterwards, or closed.",
		script: &script{kinds: all, panics: true, play: func(p *player) {
			for _, v := range verbs {
				if v.query || strings.Contains(v.name, "stmt.") {
					continue // a panic leaves database/sql's connection locked
				}
				p.step(v.name, func() { v.do(p, "q ?", fake.PanicValuer{Base: p.Base}) })
			}
		}},
	})
	// The effect of a checker's own answer does not depend on the type of the argument.
	for _, answer := range []struct {
		name string
		rule string
		err  error
	}{
		{"that the checker skips", "If a checker returns ErrSkip, the next checker decides about the argument.", driver.ErrSkip},
		{"that the checker removes", "A checker may remove every argument.", driver.ErrRemoveArgument},
		{"that the checker refuses", "A checker may refuse every argument.", fake.ErrRefused},
		{"that the checker skips wrapped", "An error that only wraps ErrSkip does not count as ErrSkip of a checker.", fmt.Errorf("wrapped: %w", driver.ErrSkip)},
		{"that have a bad connection", "A checker may report that the connection is bad.", driver.ErrBadConn},
	} {
		cases = append(cases, Case{Name: answer.name, Rule: answer.rule, script: &script{kinds: all, play: func(p *player) {
			p.On(fake.Fail(answer.err), "CheckNamedValue", "stmt.CheckNamedValue")
			for _, v := range verbs {
				p.step(v.name, func() { v.do(p, "q ?", fake.Special{}, sql.Named("a", 1)) })
			}
		}}})
	}
	return cases
})
