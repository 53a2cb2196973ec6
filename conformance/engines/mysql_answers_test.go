package engines_test

import (
	"math"
	"strings"
	"time"
)

const binaryCharset, textCharset = 63, 45

var (
	myNumber = []myColumn{{name: "n", kind: typeLongLong, flags: flagNotNull}}
	myTwo    = myResult{columns: myNumber, rows: [][]any{{int64(1)}, {int64(2)}}}
	myAt     = time.Date(2026, 8, 1, 12, 30, 15, 250000000, time.UTC)

	// myTypes are columns of all kinds that the driver treats specially.
	myTypes = myResult{
		columns: []myColumn{
			{name: "tiny", kind: typeTiny, flags: flagNotNull},
			{name: "int", kind: typeLong},
			{name: "big", kind: typeLongLong},
			{name: "unsigned", kind: typeLongLong, flags: flagUnsigned},
			{name: "unsigned small", kind: typeLongLong, flags: flagUnsigned | flagNotNull},
			{name: "float", kind: typeFloat, decimals: 31},
			{name: "double", kind: typeDouble, decimals: 2},
			{name: "decimal", kind: typeDecimal, length: 12, decimals: 2},
			{name: "char", kind: typeVarString, charset: textCharset, length: 80},
			{name: "bytes", kind: typeVarString, charset: binaryCharset},
			{name: "blob", kind: typeBlob, charset: binaryCharset},
			{name: "text", kind: typeBlob, charset: textCharset},
			{name: "json", kind: typeJSON, charset: binaryCharset},
			{name: "date", kind: typeDate},
			{name: "datetime", kind: typeDateTime, decimals: 6},
		},
		rows: [][]any{
			{int8(-1), int32(2), int64(3), uint64(math.MaxUint64), uint64(5), float32(0.5), 2.25, "12.50", "char", "\x00\xff", "blob", "text", `{"a": 1}`, myAt, myAt},
			{int8(0), nil, nil, nil, uint64(0), nil, nil, nil, nil, nil, nil, nil, nil, nil, nil},
		},
	}
)

// myAnswers are the answers by the prefix of the query.
var myAnswers = []struct {
	prefix string
	answer myAnswer
}{
	{"START TRANSACTION", myAnswer{results: []myResult{{}}}},
	{"SET", myAnswer{results: []myResult{{}}}},
	{"COMMIT", myAnswer{results: []myResult{{}}}},
	{"ROLLBACK", myAnswer{results: []myResult{{}}}},
	{"select types", myAnswer{results: []myResult{myTypes}}},
	{"select none", myAnswer{results: []myResult{{columns: myNumber}}}},
	{"select two;", myAnswer{results: []myResult{myTwo, {affected: 3}, myTypes, {columns: myNumber}}}},
	{"select two, then fail", myAnswer{results: []myResult{myTwo, {err: &myError{1146, "42S02", "no such table"}}}}},
	{"select two", myAnswer{results: []myResult{myTwo}}},
	{"select half", myAnswer{results: []myResult{{columns: myNumber, rows: [][]any{{int64(1)}}, err: &myError{1317, "70100", "interrupted"}}}}},
	{"select blocks", myAnswer{blocks: true}},
	{"select drops", myAnswer{drops: true}},
	{"select echo", myAnswer{results: []myResult{{columns: myNumber, rows: [][]any{{int64(1)}}}}}},
	{"insert one", myAnswer{results: []myResult{{affected: 1, insertID: 42}}}},
	{"insert args", myAnswer{results: []myResult{{affected: 1, insertID: 43}}}},
	{"insert twice", myAnswer{results: []myResult{{err: &myError{1062, "23000", "Duplicate entry '1'"}}}}},
	{"update;", myAnswer{results: []myResult{{affected: 1, insertID: 1}, {affected: 2, insertID: 2}}}},
	{"update", myAnswer{results: []myResult{{affected: 3}}}},
}

// myAnswerTo returns the answer to a query.
func myAnswerTo(text string) myAnswer {
	for _, a := range myAnswers {
		if strings.HasPrefix(text, a.prefix) {
			return a.answer
		}
	}
	return myAnswer{refused: &myError{1064, "42000", "You have an error in your SQL syntax near " + text}}
}
