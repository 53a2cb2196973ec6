package random

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// An arg is an argument of a call.
type arg struct {
	name  string // if it is a named argument
	code  string // as Go source
	value any
	cell  string // the value read back from a column without a type; "" if unknown
}

func (a arg) String() string {
	if a.name != "" {
		return fmt.Sprintf("sql.Named(%q, %s)", a.name, a.code)
	}
	return a.code
}

func values(args []arg) []any {
	var vs []any
	for _, a := range args {
		if a.name != "" {
			vs = append(vs, sql.Named(a.name, a.value))
		} else {
			vs = append(vs, a.value)
		}
	}
	return vs
}

type word string

// A valuer is a Valuer that fails if it has no value.
type valuer struct{ v driver.Value }

func (v valuer) Value() (driver.Value, error) {
	if v.v == nil {
		return nil, errors.New("no value")
	}
	return v.v, nil
}

var when = time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))

// allArgs are sorted by how often they are drawn.
var allArgs = []arg{
	{code: `1`, value: 1, cell: show(int64(1))},
	{code: `"text"`, value: "text", cell: show("text")},
	{code: `nil`, value: nil, cell: show(nil)},
	{code: `int64(-1 << 63)`, value: int64(-1 << 63), cell: show(int64(-1 << 63))},
	{code: `2.5`, value: 2.5, cell: show(2.5)},
	{code: `[]byte("blob")`, value: []byte("blob"), cell: show([]byte("blob"))},
	{code: `true`, value: true, cell: show(int64(1))},
	{code: `when`, value: when},
	{code: `""`, value: "", cell: show("")},
	{code: `int8(-8)`, value: int8(-8), cell: show(int64(-8))},
	{code: `word("word")`, value: word("word"), cell: show("word")},
	{code: `sqlite3.JSON([]int{1})`, value: sqlite3.JSON([]int{1}), cell: show("[1]")},
	{code: `[]byte{}`, value: []byte{}, cell: show([]byte{})},
	{code: `[]byte(nil)`, value: []byte(nil)},
	{code: `sqlite3.ZeroBlob(3)`, value: sqlite3.ZeroBlob(3), cell: show([]byte{0, 0, 0})},
	{code: `sql.NullInt64{}`, value: sql.NullInt64{}, cell: show(nil)},
	{code: `valuer{"valued"}`, value: valuer{"valued"}, cell: show("valued")},
	{code: `float32(1.5)`, value: float32(1.5), cell: show(1.5)},
	{code: `"2026-01-02T03:04:05Z"`, value: "2026-01-02T03:04:05Z"},
	{code: `(*int)(nil)`, value: (*int)(nil), cell: show(nil)},
	{code: `sqlite3.JSON(func() {})`, value: sqlite3.JSON(func() {})}, // cannot be bound
	{code: `uint64(1 << 63)`, value: uint64(1 << 63)},                 // cannot be converted, like the following
	{code: `valuer{}`, value: valuer{}},
	{code: `[]int{1}`, value: []int{1}},
	{code: `struct{}{}`, value: struct{}{}},
}

// unbindable fails when it is bound, after the arguments before it have been bound.
var unbindable = arg{code: `sqlite3.JSON(func() {})`, value: sqlite3.JSON(func() {})}

// idArgs are arguments for row IDs.
var idArgs = []arg{
	{code: `1`, value: 1, cell: show(int64(1))},
	{code: `2`, value: 2, cell: show(int64(2))},
	{code: `int64(3)`, value: int64(3), cell: show(int64(3))},
	{code: `7`, value: 7, cell: show(int64(7))},
}

// id returns the row ID of an idArg.
func (a arg) id() int64 {
	switch n := a.value.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	}
	return 0
}
