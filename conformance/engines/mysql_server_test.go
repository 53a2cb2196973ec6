package engines_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The commands, column types and flags of MySQL's protocol that are used here.
const (
	comQuit        = 1
	comQuery       = 3
	comPing        = 14
	comStmtPrepare = 22
	comStmtExecute = 23
	comLongData    = 24
	comStmtClose   = 25

	typeTiny      = 1
	typeLong      = 3
	typeFloat     = 4
	typeDouble    = 5
	typeLongLong  = 8
	typeDate      = 10
	typeDateTime  = 12
	typeJSON      = 245
	typeDecimal   = 246
	typeBlob      = 252
	typeVarString = 253

	flagNotNull  = 1
	flagUnsigned = 32

	statusAutocommit  = 2
	statusMoreResults = 8
)

// A myColumn is a column of a result.
type myColumn struct {
	name     string
	kind     byte
	flags    uint16
	charset  byte
	length   uint32
	decimals byte
}

// A myResult is one of the results of a query: rows, or a count of them.
type myResult struct {
	columns  []myColumn
	rows     [][]any
	affected byte
	insertID byte
	err      *myError // after the rows
}

type myError struct {
	number  uint16
	state   string
	message string
}

// A myAnswer is the server's answer to a query.
type myAnswer struct {
	results []myResult
	refused *myError // at parsing
	blocks  bool     // until the client closes
	drops   bool     // closes the connection instead of answering
}

// A myServer speaks MySQL's protocol, as far as its answers need it.
type myServer struct {
	listener
	log *transcript
	ids atomic.Int64
}

func newMyServer(log *transcript) *myServer {
	s := &myServer{log: log}
	s.listener.serve = s.converse
	return s
}

// A mySession is the session of one connection.
type mySession struct {
	io.ReadWriter
	seq   byte
	out   []byte // packets to be written
	stmts []string
}

func (s *myServer) converse(end net.Conn) {
	m := &mySession{ReadWriter: end}
	stream := fmt.Sprint("connection ", s.ids.Add(1))
	m.packet(handshake())
	if m.flush() != nil {
		return
	}
	hello, err := m.read()
	if err != nil {
		return
	}
	s.log.hear(stream, "hello %q", hello)
	for m.ok(0, 0, 0); m.flush() == nil; {
		command, err := m.read()
		if err != nil {
			return // the client has closed
		}
		s.log.hear(stream, "command %d %q", command[0], command[1:])
		if !m.answer(command[0], command[1:]) {
			return
		}
	}
}

func handshake() []byte {
	const capabilities = 1<<0 | 1<<1 | 1<<2 | 1<<9 | 1<<13 | 1<<15 | 1<<16 | 1<<17 | 1<<19 | 1<<20 | 1<<21
	b := append([]byte{10}, "8.4.0\x00"...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = append(b, "salt8888\x00"...)
	b = binary.LittleEndian.AppendUint16(b, capabilities&0xffff)
	b = append(b, 255)
	b = binary.LittleEndian.AppendUint16(b, statusAutocommit)
	b = binary.LittleEndian.AppendUint16(b, capabilities>>16)
	b = append(b, 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, "salt121212\x01\x02\x00"...)
	return append(b, "mysql_native_password\x00"...)
}

func (m *mySession) read() ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(m, header[:]); err != nil {
		return nil, err
	}
	m.seq = header[3] + 1
	body := make([]byte, int(header[0])|int(header[1])<<8|int(header[2])<<16)
	_, err := io.ReadFull(m, body)
	return body, err
}

// packet queues a packet.
func (m *mySession) packet(body []byte) {
	n := len(body)
	m.out = append(m.out, byte(n), byte(n>>8), byte(n>>16), m.seq)
	m.out = append(m.out, body...)
	m.seq++
}

func (m *mySession) flush() error {
	if len(m.out) == 0 {
		return nil
	}
	_, err := m.Write(m.out)
	m.out = nil
	return err
}

func (m *mySession) ok(affected, insertID byte, status uint16) {
	b := []byte{0, affected, insertID}
	b = binary.LittleEndian.AppendUint16(b, statusAutocommit|status)
	m.packet(append(b, 0, 0))
}

func (m *mySession) eof(status uint16) {
	b := binary.LittleEndian.AppendUint16([]byte{0xfe, 0, 0}, statusAutocommit|status)
	m.packet(b)
}

func (m *mySession) fail(err *myError) {
	b := binary.LittleEndian.AppendUint16([]byte{0xff}, err.number)
	m.packet(append(append(b, "#"+err.state...), err.message...))
}

// answer answers a command, and reports whether to continue.
func (m *mySession) answer(command byte, body []byte) bool {
	switch command {
	case comPing:
		m.ok(0, 0, 0)
	case comQuery:
		return m.execute(myAnswerTo(string(body)), appendText)
	case comStmtPrepare:
		m.prepare(string(body))
	case comStmtExecute:
		return m.execute(myAnswerTo(m.stmts[binary.LittleEndian.Uint32(body)-1]), appendBinary)
	case comLongData, comStmtClose:
	default: // comQuit
		return false
	}
	return true
}

func (m *mySession) prepare(text string) {
	a := myAnswerTo(text)
	if a.refused != nil {
		m.fail(a.refused)
		return
	}
	m.stmts = append(m.stmts, text)
	var columns []myColumn
	if len(a.results) > 0 {
		columns = a.results[0].columns
	}
	params := slices.Repeat([]myColumn{{name: "?", kind: typeVarString}}, strings.Count(text, "?"))
	b := binary.LittleEndian.AppendUint32([]byte{0}, uint32(len(m.stmts)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(columns)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(params)))
	m.packet(append(b, 0, 0, 0))
	for _, c := range [][]myColumn{params, columns} {
		if len(c) > 0 {
			m.columns(c)
		}
	}
}

func (m *mySession) columns(columns []myColumn) {
	for _, c := range columns {
		var b []byte
		for _, s := range []string{"def", "shop", "orders", "orders", c.name, c.name} {
			b = append(append(b, byte(len(s))), s...)
		}
		b = append(b, 12, c.charset, 0)
		b = binary.LittleEndian.AppendUint32(b, c.length)
		b = binary.LittleEndian.AppendUint16(append(b, c.kind), c.flags)
		m.packet(append(b, c.decimals, 0, 0))
	}
	m.eof(0)
}

// execute answers with all results, rows in the given encoding.
func (m *mySession) execute(a myAnswer, appendRow func([]byte, []myColumn, []any) []byte) bool {
	switch {
	case a.refused != nil:
		m.fail(a.refused)
		return true
	case a.drops:
		return false
	case a.blocks:
		m.Read(make([]byte, 1))
		return false
	}
	for i, res := range a.results {
		status := uint16(0)
		if i+1 < len(a.results) {
			status = statusMoreResults
		}
		switch {
		case len(res.columns) > 0:
			m.packet([]byte{byte(len(res.columns))})
			m.columns(res.columns)
			for _, row := range res.rows {
				m.packet(appendRow(nil, res.columns, row))
			}
			if res.err == nil {
				m.eof(status)
			}
		case res.err == nil:
			m.ok(res.affected, res.insertID, status)
		}
		if res.err != nil {
			m.fail(res.err)
			break
		}
	}
	return true
}

const myDateTime = "2006-01-02 15:04:05.000000"

// appendText encodes a row as text, for COM_QUERY.
func appendText(b []byte, columns []myColumn, row []any) []byte {
	for i, v := range row {
		if v == nil {
			b = append(b, 0xfb)
			continue
		}
		text := fmt.Sprint(v)
		if at, ok := v.(time.Time); ok {
			text = at.Format(myDateTime)
			if columns[i].kind == typeDate {
				text = at.Format(time.DateOnly)
			}
		}
		b = append(append(b, byte(len(text))), text...)
	}
	return b
}

// appendBinary encodes a row for COM_STMT_EXECUTE.
func appendBinary(b []byte, columns []myColumn, row []any) []byte {
	nulls := make([]byte, (len(row)+9)/8)
	var values []byte
	for i, v := range row {
		if v == nil {
			nulls[(i+2)/8] |= 1 << ((i + 2) % 8)
			continue
		}
		switch v := v.(type) {
		case int8:
			values = append(values, byte(v))
		case int32:
			values = binary.LittleEndian.AppendUint32(values, uint32(v))
		case int64:
			values = binary.LittleEndian.AppendUint64(values, uint64(v))
		case uint64:
			values = binary.LittleEndian.AppendUint64(values, v)
		case float32:
			values = binary.LittleEndian.AppendUint32(values, math.Float32bits(v))
		case float64:
			values = binary.LittleEndian.AppendUint64(values, math.Float64bits(v))
		case time.Time:
			date := binary.LittleEndian.AppendUint16(nil, uint16(v.Year()))
			date = append(date, byte(v.Month()), byte(v.Day()))
			if columns[i].kind != typeDate {
				date = append(date, byte(v.Hour()), byte(v.Minute()), byte(v.Second()))
				date = binary.LittleEndian.AppendUint32(date, uint32(v.Nanosecond()/1000))
			}
			values = append(append(values, byte(len(date))), date...)
		case string:
			values = append(append(values, byte(len(v))), v...)
		}
	}
	return append(append(append(b, 0), nulls...), values...)
}
