package engines_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// A pgAnswer is the server's answer to a query.
type pgAnswer struct {
	params []uint32 // OIDs
	fields []pgproto3.FieldDescription
	rows   [][]any
	tag    string

	refused bool                    // err comes at parsing, otherwise after the rows
	err     *pgproto3.ErrorResponse // sent instead of the tag
	notice  *pgproto3.NoticeResponse
	blocks  bool // until the query is canceled
	drops   bool // closes the connection instead of answering
}

// A pgServer speaks PostgreSQL's protocol, as far as its answers need it.
type pgServer struct {
	listener
	log *transcript

	mu       sync.Mutex
	sessions []*pgSession
}

func newPGServer(log *transcript) *pgServer {
	s := &pgServer{log: log}
	s.listener.serve = s.converse
	return s
}

// A pgSession is the session of one connection.
type pgSession struct {
	*pgproto3.Backend
	server    *pgServer
	id        int
	cancelled chan struct{}
	status    byte
	stmts     map[string]string // queries by statement name
	bound     pgproto3.Bind
	failed    bool // messages are ignored until Sync
}

var errDropped = errors.New("the connection is dropped")

func (s *pgServer) converse(end net.Conn) {
	backend := pgproto3.NewBackend(end, end)
	hello, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	switch hello := hello.(type) {
	case *pgproto3.CancelRequest:
		s.log.hear(fmt.Sprint("cancel ", hello.ProcessID), "secret %q", hello.SecretKey)
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case s.sessions[hello.ProcessID-1].cancelled <- struct{}{}:
		default:
		}
	case *pgproto3.StartupMessage:
		p := s.newSession(backend)
		p.received("startup", fmt.Sprint(hello.ProtocolVersion, hello.Parameters))
		if err := p.converse(); err != nil {
			p.received("trouble", err.Error())
		}
	}
}

func (s *pgServer) newSession(backend *pgproto3.Backend) *pgSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &pgSession{Backend: backend, server: s, id: len(s.sessions) + 1, cancelled: make(chan struct{}, 1), status: 'I', stmts: make(map[string]string)}
	s.sessions = append(s.sessions, p)
	return p
}

func (p *pgSession) received(what, detail string) {
	p.server.log.hear(fmt.Sprint("connection ", p.id), "%s %s", what, detail)
}

func (p *pgSession) converse() error {
	p.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"server_version": "17.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"} {
		p.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	p.Send(&pgproto3.BackendKeyData{ProcessID: uint32(p.id), SecretKey: []byte{1, 2, 3, byte(p.id)}})
	p.Send(&pgproto3.ReadyForQuery{TxStatus: p.status})
	for {
		if err := p.Flush(); err != nil {
			return nil //nolint:nilerr // the client has closed
		}
		msg, err := p.Receive()
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
			return nil
		} else if err != nil {
			return err
		}
		bytes, err := msg.Encode(nil)
		if err != nil {
			return err
		}
		p.received(fmt.Sprintf("%T", msg), fmt.Sprintf("%q", bytes))
		if err := p.answer(msg); err == errDropped {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// answer queues the answer to a message. It flushes only at the end of an exchange, because the
// client writes until then.
func (p *pgSession) answer(msg pgproto3.FrontendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.Sync:
		p.failed = false
		p.Send(&pgproto3.ReadyForQuery{TxStatus: p.status})
		return nil
	case *pgproto3.Terminate:
		return errDropped
	case *pgproto3.Query:
		return p.simple(msg.String)
	}
	if p.failed {
		return nil
	}
	switch msg := msg.(type) {
	case *pgproto3.Parse:
		if a := pgAnswerTo(msg.Query); a.refused {
			p.fail(a.err)
			return nil
		}
		p.stmts[msg.Name] = msg.Query
		p.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Describe:
		name := msg.Name
		if msg.ObjectType == 'P' {
			name = p.bound.PreparedStatement
		}
		a := pgAnswerTo(p.stmts[name])
		if msg.ObjectType == 'S' {
			p.Send(&pgproto3.ParameterDescription{ParameterOIDs: a.params})
			p.describe(a, nil)
		} else {
			p.describe(a, p.bound.ResultFormatCodes)
		}
	case *pgproto3.Bind:
		p.bound = pgproto3.Bind{PreparedStatement: msg.PreparedStatement, ResultFormatCodes: slices.Clone(msg.ResultFormatCodes)}
		p.Send(&pgproto3.BindComplete{})
	case *pgproto3.Execute:
		return p.execute(pgAnswerTo(p.stmts[p.bound.PreparedStatement]), p.bound.ResultFormatCodes)
	case *pgproto3.Close:
		delete(p.stmts, msg.Name)
		p.Send(&pgproto3.CloseComplete{})
	default:
		return fmt.Errorf("this server does not support %T", msg)
	}
	return nil
}

// simple answers a query of one or more statements.
func (p *pgSession) simple(text string) error {
	for query := range strings.SplitSeq(text, ";") {
		a := pgAnswerTo(strings.TrimSpace(query))
		if a.refused {
			p.fail(a.err)
			break
		}
		if len(a.fields) > 0 {
			p.describe(a, nil)
		}
		if err := p.execute(a, nil); err != nil {
			return err
		}
		if p.failed {
			break
		}
	}
	p.failed = false
	p.Send(&pgproto3.ReadyForQuery{TxStatus: p.status})
	return nil
}

func (p *pgSession) describe(a pgAnswer, formats []int16) {
	if len(a.fields) == 0 {
		p.Send(&pgproto3.NoData{})
		return
	}
	fields := slices.Clone(a.fields)
	for i := range fields {
		fields[i].Format = formatOf(formats, i)
	}
	p.Send(&pgproto3.RowDescription{Fields: fields})
}

func formatOf(formats []int16, i int) int16 {
	switch len(formats) {
	case 0:
		return pgtype.TextFormatCode
	case 1:
		return formats[0]
	}
	return formats[i]
}

func (p *pgSession) execute(a pgAnswer, formats []int16) error {
	types := pgtype.NewMap()
	if a.drops {
		return errDropped
	}
	if a.notice != nil {
		p.Send(a.notice)
	}
	for _, row := range a.rows {
		values := make([][]byte, len(row))
		for i, v := range row {
			if v == nil {
				continue
			}
			var err error
			if values[i], err = types.Encode(a.fields[i].DataTypeOID, formatOf(formats, i), v, []byte{}); err != nil {
				return err
			}
		}
		p.Send(&pgproto3.DataRow{Values: values})
	}
	if a.blocks {
		if err := p.Flush(); err != nil {
			return errDropped
		}
		<-p.cancelled
	}
	switch {
	case a.err != nil:
		p.fail(a.err)
	case a.tag == "":
		p.Send(&pgproto3.EmptyQueryResponse{})
	case p.status == 'E' && a.tag == "COMMIT":
		p.status = 'I'
		p.Send(&pgproto3.CommandComplete{CommandTag: []byte("ROLLBACK")})
	default:
		switch a.tag {
		case "BEGIN":
			p.status = 'T'
		case "COMMIT", "ROLLBACK":
			p.status = 'I'
		}
		p.Send(&pgproto3.CommandComplete{CommandTag: []byte(a.tag)})
	}
	return nil
}

func (p *pgSession) fail(err *pgproto3.ErrorResponse) {
	p.failed = true
	if p.status == 'T' {
		p.status = 'E'
	}
	p.Send(err)
}
