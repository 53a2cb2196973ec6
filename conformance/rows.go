package conformance

import (
	"database/sql"
	"strings"
)

// rowsCases check rows: iterating over them, and scanning them.
func rowsCases() []Case {
	return append(append(rowsWays(), rowsBytes()...), rowsScans()...)
}

// three returns rows 1, 2 and 3.
const three = "SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3"

func rowsWays() []Case {
	return []Case{
		{
			Name: "read to the end",
			Rule: "Rows that are read to their end are closed, and their connection is released.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				s.seeStats(s.DB)
				for rows.Next() {
					s.SeeRow(rows)
				}
				s.seeStats(s.DB)
				s.See("next", rows.Next(), rows.Err())
				s.See("close", rows.Close(), rows.Err())
			},
		},
		{
			Name: "closed early",
			Rule: "Rows can be closed before the first row, and between rows, and then release their connection.",
			Play: func(s *Session) {
				for n := range 3 {
					rows := s.Query(s.DB, three)
					for range n {
						s.See("next", rows.Next())
					}
					s.See("close", rows.Close(), rows.Err())
					s.seeStats(s.DB)
				}
			},
		},
		{
			Name: "closed twice",
			Rule: "Rows can be closed again without an error, however they ended.",
			Play: func(s *Session) {
				for _, query := range []string{three, "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)", "SELECT abs(-9223372036854775808)"} {
					rows := s.Query(s.DB, query)
					s.See("next", rows.Next(), rows.Next())
					s.See("close", rows.Close(), rows.Close(), rows.Err())
				}
			},
		},
		{
			Name: "used after close",
			Rule: "Closed rows have no next row, columns or types, and cannot be scanned.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				s.See("next", rows.Next())
				s.See("close", rows.Close())
				s.See("next", rows.Next(), rows.Err(), rows.NextResultSet())
				names, err := rows.Columns()
				s.See("columns", names, err)
				_, err = rows.ColumnTypes()
				s.See("types", err)
				var a any
				s.See("scan", rows.Scan(&a), a)
			},
		},
		{
			Name: "used after the end",
			Rule: "Rows that have been read to their end have no columns, and cannot be scanned.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				for rows.Next() {
				}
				names, err := rows.Columns()
				s.See("columns", names, err)
				var a any
				s.See("scan", rows.Scan(&a), a, rows.Err(), rows.NextResultSet())
			},
		},
		{
			Name: "scanned before the first",
			Rule: "Rows cannot be scanned before Next, and trying it has no effect on them.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				var a any
				s.See("scan", rows.Scan(&a), a)
				s.SeeRows("rows", rows, nil)
			},
		},
		{
			Name: "scanned twice",
			Rule: "A row can be scanned again, into another destination.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1, 'text', x'0102', 1.5, NULL UNION ALL SELECT 2, 'more', x'03', 2.5, 1")
				defer rows.Close()
				for rows.Next() {
					s.SeeRow(rows)
					s.SeeRow(rows)
					var a, b, c, d sql.NullString
					s.See("strings", rows.Scan(&a, &b, &c, &d, new(any)), a, b, c, d)
				}
			},
		},
		{
			Name: "not scanned",
			Rule: "Rows can be skipped without scanning them.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				s.See("next", rows.Next(), rows.Next())
				s.SeeRow(rows)
				s.SeeRows("rest", rows, nil)
			},
		},
		{
			Name: "columns at any time",
			Rule: "The names of columns are the same before, between and after calls of Next.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1 AS a, ? AS b UNION ALL SELECT 3, 4", 2)
				defer rows.Close()
				names, err := rows.Columns()
				s.See("columns", names, err)
				for rows.Next() {
					names, err := rows.Columns()
					s.See("columns", names, err)
					s.SeeRow(rows)
				}
			},
		},
		{
			Name: "columns never asked for",
			Rule: "Rows can be read without asking for columns, or with asking after the first row.",
			Play: func(s *Session) {
				for range 2 {
					rows := s.Query(s.DB, "SELECT 1 AS a, ? AS b UNION ALL SELECT 3, 4", 2)
					var a, b int
					s.See("next", rows.Next(), rows.Scan(&a, &b), a, b)
					names, err := rows.Columns()
					s.See("columns", names, err)
					s.See("next", rows.Next(), rows.Scan(&a, &b), a, b, rows.Next(), rows.Err())
				}
			},
		},
		{
			Name: "no other results",
			Rule: "A query has one result set. Asking for another closes the rows.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, three)
				s.See("next", rows.Next())
				s.See("set", rows.NextResultSet(), rows.Err(), rows.Next())
				s.seeStats(s.DB)
				s.See("close", rows.Close())
			},
		},
		{
			Name: "an error between",
			Rule: "An error of a row ends the rows there. Err returns it, and Close does not.",
			Play: func(s *Session) {
				for range 2 {
					rows := s.Query(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT abs(?) UNION ALL SELECT 4", int64(-1<<63))
					for rows.Next() {
						s.SeeRow(rows)
					}
					s.See("end", rows.Err())
					s.See("again", rows.Next(), rows.Err())
					s.seeStats(s.DB)
					s.See("close", rows.Close(), rows.Err())
				}
				s.SeeQuery(s.DB, "SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT abs(?) UNION ALL SELECT 4", -3)
			},
		},
		{
			Name: "an error at first",
			Rule: "Err returns an error of the first row, whether or not the program has asked for columns and types before.",
			Play: func(s *Session) {
				for range 2 {
					rows := s.Query(s.DB, "SELECT abs(?) AS a", int64(-1<<63))
					names, err := rows.Columns()
					s.See("columns", names, err, rows.Err())
					s.SeeTypes(rows)
					s.See("next", rows.Next(), rows.Err(), rows.Close(), rows.Err())
				}
			},
		},
		{
			Name:    "an error at first, left behind",
			Rule:    "An error of a first row that is never read is not reported, even if the program asks for columns.",
			Unasked: true, // a wrapper may have computed the row to know the columns
			Play: func(s *Session) {
				for range 2 {
					rows := s.Query(s.DB, "SELECT abs(?) AS a", int64(-1<<63))
					names, err := rows.Columns()
					s.See("columns", names, err)
					s.See("close", rows.Close(), rows.Err())
				}
			},
		},
		{
			Name: "an error left behind",
			Rule: "An error of a row that is never read is not reported.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)")
				s.See("next", rows.Next())
				s.See("close", rows.Close(), rows.Err())
			},
		},
		{
			Name: "too few and too many",
			Rule: "A Scan into the wrong number of destinations returns an error, and the row can then be scanned correctly.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1, 2 UNION ALL SELECT 3, 4")
				defer rows.Close()
				var a, b, c int
				for rows.Next() {
					s.See("none", rows.Scan())
					s.See("one", rows.Scan(&a), a)
					s.See("three", rows.Scan(&a, &b, &c), a, b, c)
					s.See("two", rows.Scan(&a, &b), a, b)
				}
				s.See("end", rows.Err())
			},
		},
		{
			Name: "destinations that are none",
			Rule: "A Scan into something other than a pointer, or into an unsuitable type, returns an error.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT 1")
				defer rows.Close()
				s.See("next", rows.Next())
				for _, dest := range []any{nil, 1, "text", new(struct{}), new([]int), new(chan int), sql.NullInt64{}, new(error)} {
					s.say("into %T: %s", dest, s.show(rows.Scan(dest)))
				}
				s.SeeRow(rows)
			},
		},
		{
			Name: "a scan that fails",
			Rule: "A Scan that fails fills the destinations before the failing one, and the rows continue.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, b, c); INSERT INTO t VALUES (1, 'x', 2), (3, 4, 5)")
				rows := s.Query(s.DB, "SELECT a, b, c AS last FROM t")
				defer rows.Close()
				for rows.Next() {
					a, b, c := -1, -1, -1
					s.See("scan", rows.Scan(&a, &b, &c), a, b, c)
				}
				s.See("end", rows.Err())
			},
		},
		{
			Name: "rows that nobody closes in a transaction",
			Rule: "Open rows do not prevent a transaction from ending.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (1), (2), (3)")
				tx := s.Begin(s.DB)
				s.SeeExec(tx, "INSERT INTO t VALUES (?)", 4)
				rows := s.Query(tx, "SELECT a FROM t WHERE a > ?", 1)
				s.See("next", rows.Next())
				s.See("commit", tx.Commit())
				s.See("close", rows.Close())
				s.SeeQuery(s.DB, "SELECT a FROM t WHERE a > ?", 1)
			},
		},
	}
}

func rowsBytes() []Case {
	return []Case{
		{
			Name: "bytes kept",
			Rule: "Bytes and strings that were scanned belong to the program, whatever is read later.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT x'010203', 'one', zeroblob(4) UNION ALL SELECT x'040506', 'two', randomblob(4) UNION ALL SELECT x'07', 'three', randomblob(3)")
				var kept []any
				for rows.Next() {
					var blob, text []byte
					var a any
					s.Must(rows.Scan(&blob, &text, &a))
					kept = append(kept, blob, text)
					if len(kept) == 2 {
						kept = append(kept, a)
					}
				}
				s.See("end", rows.Err(), rows.Close())
				s.SeeQuery(s.DB, "SELECT x'ffffff', 'fff', x'ffffffff'")
				s.See("kept", kept...)
			},
		},
		{
			Name: "bytes changed by the program",
			Rule: "If the program changes bytes that it has scanned, neither the database nor a second Scan changes.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				s.Exec(s.DB, "INSERT INTO t VALUES (x'010203'), ('text')")
				for range 2 {
					rows := s.Query(s.DB, "SELECT a FROM t WHERE a IS NOT ?", 5)
					for rows.Next() {
						var first, second []byte
						s.Must(rows.Scan(&first))
						first[0] = 'X'
						s.See("again", rows.Scan(&second), first, second)
					}
					s.See("end", rows.Err(), rows.Close())
				}
			},
		},
		{
			Name: "raw bytes",
			Rule: "Raw bytes are those of the current row, for every kind of value.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, d DATETIME, b BOOLEAN)")
				for _, v := range []any{nil, 1, -1.5, "text", "", []byte{}, []byte("blob"), "2026-01-02T03:04:05Z", true} {
					s.Exec(s.DB, "INSERT INTO t VALUES (?1, ?1, ?1)", v)
				}
				rows := s.Query(s.DB, "SELECT a, d, b FROM t")
				defer rows.Close()
				var a, d, b sql.RawBytes
				for rows.Next() {
					s.See("raw", rows.Scan(&a, &d, &b), string(a), string(d), string(b), a == nil, d == nil, b == nil)
				}
				s.See("end", rows.Err())
			},
		},
		{
			Name: "raw bytes and others",
			Rule: "Raw bytes and copies of the same row have the same contents.",
			Play: func(s *Session) {
				rows := s.Query(s.DB, "SELECT x'616263', 'abc', x'616263', 'abc' UNION ALL SELECT x'64', 'd', x'65', 'e'")
				defer rows.Close()
				for rows.Next() {
					var raw, rawText sql.RawBytes
					var copied []byte
					var text string
					s.See("scan", rows.Scan(&raw, &rawText, &copied, &text))
					s.See("values", string(raw), string(rawText), copied, text)
				}
			},
		},
		{
			Name: "raw bytes of one row",
			Rule: "QueryRow refuses raw bytes, because its rows are closed by then.",
			Play: func(s *Session) {
				var raw sql.RawBytes
				s.See("row", s.DB.QueryRowContext(background, "SELECT x'01', ?", 1).Scan(&raw, new(int)), raw == nil)
				s.seeStats(s.DB)
			},
		},
		{
			Name: "nothing and empty",
			Rule: "NULL is nil. An empty text and an empty blob are not nil.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a, b BLOB, c TEXT)")
				s.Exec(s.DB, "INSERT INTO t VALUES (NULL, NULL, NULL), ('', '', ''), (x'', x'', x''), (zeroblob(0), zeroblob(0), zeroblob(0))")
				rows := s.Query(s.DB, "SELECT * FROM t")
				defer rows.Close()
				for rows.Next() {
					s.SeeRow(rows)
					var a, b, c []byte
					s.See("bytes", rows.Scan(&a, &b, &c), a, b, c)
					var x, y, z sql.NullString
					s.See("strings", rows.Scan(&x, &y, &z), x, y, z)
				}
			},
		},
		{
			Name: "a long blob",
			Rule: "A long blob or text is read completely, row after row.",
			Play: func(s *Session) {
				s.Exec(s.DB, "CREATE TABLE t(a)")
				for i, n := range []int{1 << 20, 10, 1 << 18} {
					s.SeeExec(s.DB, "INSERT INTO t VALUES (?)", strings.Repeat(string(rune('a'+i)), n))
					_, err := s.ExecContext(background, s.DB, "INSERT INTO t VALUES (zeroblob(?))", n)
					s.See("blob", err)
				}
				rows := s.Query(s.DB, "SELECT a FROM t")
				defer rows.Close()
				for rows.Next() {
					var b []byte
					s.Must(rows.Scan(&b))
					s.See("bytes", len(b), b[0], b[len(b)-1])
				}
			},
		},
	}
}
