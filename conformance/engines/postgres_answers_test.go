package engines_test

import (
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

func field(name string, oid uint32) pgproto3.FieldDescription {
	return pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1}
}

func fieldOf(name string, oid uint32, modifier int32) pgproto3.FieldDescription {
	f := field(name, oid)
	f.TypeModifier = modifier
	return f
}

func pgError(code, message string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: message}
}

var (
	pgNumber = []pgproto3.FieldDescription{field("n", pgtype.Int8OID)}

	// pgTypes are columns of all kinds that the driver treats specially.
	pgTypes = []pgproto3.FieldDescription{
		field("b", pgtype.BoolOID), field("i2", pgtype.Int2OID), field("i4", pgtype.Int4OID), field("i8", pgtype.Int8OID),
		field("f4", pgtype.Float4OID), field("f8", pgtype.Float8OID), fieldOf("num", pgtype.NumericOID, 4+10<<16+2),
		field("t", pgtype.TextOID), fieldOf("vc", pgtype.VarcharOID, 4+20), field("bin", pgtype.ByteaOID),
		field("d", pgtype.DateOID), field("ts", pgtype.TimestampOID), field("tstz", pgtype.TimestamptzOID),
		field("js", pgtype.JSONBOID), field("id", pgtype.UUIDOID), field("o", pgtype.OIDOID),
		field("list", pgtype.Int4ArrayOID), field("mystery", 99999),
	}
	pgNulls = make([]any, len(pgTypes))
)

func pgTypesRow() []any {
	at := time.Date(2026, 8, 1, 12, 30, 15, 250000000, time.UTC)
	return []any{
		true, int16(-2), int32(4), int64(1) << 60, float32(0.5), 2.25, "1234.50", "text", "short", []byte{0, 1, 255},
		at.Truncate(24 * time.Hour), at, at, []byte(`{"a": 1}`), "00112233-4455-6677-8899-aabbccddeeff", uint32(7),
		[]int32{1, 2, 3}, "unknown",
	}
}

// pgAnswers are the answers by the prefix of the query.
var pgAnswers = []struct {
	prefix string
	answer pgAnswer
}{
	{"-- ping", pgAnswer{}},
	{"begin", pgAnswer{tag: "BEGIN"}},
	{"commit", pgAnswer{tag: "COMMIT"}},
	{"rollback", pgAnswer{tag: "ROLLBACK"}},
	{"select types", pgAnswer{fields: pgTypes, rows: [][]any{pgTypesRow(), pgNulls}, tag: "SELECT 2"}},
	{"select none", pgAnswer{fields: pgNumber, tag: "SELECT 0"}},
	{"select two", pgAnswer{fields: pgNumber, rows: [][]any{{1}, {2}}, tag: "SELECT 2"}},
	{"select list", pgAnswer{fields: []pgproto3.FieldDescription{field("list", pgtype.Int4ArrayOID), field("span", pgtype.Int4rangeOID)},
		rows: [][]any{{[]int32{1, 2}, "[1,5)"}}, tag: "SELECT 1"}},
	{"select echo", pgAnswer{params: []uint32{pgtype.TextOID}, fields: pgNumber, rows: [][]any{{1}}, tag: "SELECT 1"}},
	{"select half", pgAnswer{fields: pgNumber, rows: [][]any{{1}, {2}}, err: pgError("22012", "division by zero")}},
	{"select blocks", pgAnswer{fields: pgNumber, rows: [][]any{{1}, {2}}, blocks: true, err: pgError("57014", "canceling statement due to user request")}},
	{"select waits", pgAnswer{fields: pgNumber, blocks: true, err: pgError("57014", "canceling statement due to user request")}},
	{"select drops", pgAnswer{fields: pgNumber, drops: true}},
	{"select wrong", pgAnswer{refused: true, err: pgError("42P01", `relation "wrong" does not exist`)}},
	{"insert args", pgAnswer{params: []uint32{pgtype.Int8OID, pgtype.TextOID, pgtype.BoolOID, pgtype.Float8OID, pgtype.ByteaOID, pgtype.TimestamptzOID}, tag: "INSERT 0 1"}},
	{"insert list", pgAnswer{params: []uint32{pgtype.Int4ArrayOID, pgtype.TextArrayOID, pgtype.JSONBOID, pgtype.NumericOID}, tag: "INSERT 0 1"}},
	{"insert one", pgAnswer{params: []uint32{pgtype.Int8OID}, tag: "INSERT 0 1"}},
	{"insert twice", pgAnswer{params: []uint32{pgtype.Int8OID}, err: &pgproto3.ErrorResponse{
		Severity: "ERROR", Code: "23505", Message: "duplicate key value", Detail: "Key (id)=(1) already exists.",
		SchemaName: "public", TableName: "orders", ConstraintName: "orders_pkey",
	}}},
	{"insert returning", pgAnswer{params: []uint32{pgtype.TextOID}, fields: pgNumber, rows: [][]any{{42}}, tag: "INSERT 0 1"}},
	{"update", pgAnswer{tag: "UPDATE 3", notice: &pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: "look"}}},
	{"create", pgAnswer{tag: "CREATE TABLE"}},
}

// pgAnswerTo returns the answer to a query.
func pgAnswerTo(text string) pgAnswer {
	for _, a := range pgAnswers {
		if strings.HasPrefix(text, a.prefix) {
			return a.answer
		}
	}
	if text == "" {
		return pgAnswer{}
	}
	return pgAnswer{refused: true, err: pgError("42601", "syntax error at "+text)}
}
