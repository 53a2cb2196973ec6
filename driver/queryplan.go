package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
)

// Plan returns the query plan of the call's statements, as EXPLAIN QUERY PLAN reports it, with
// two spaces before each line for every level below the first. Parameters are not bound, so
// SQLite may have chosen another plan for the call itself. https://sqlite.org/eqp.html
//
// Only the function of [Watch] may call Plan, and only before it returns. Plan uses the
// connection of the call, so it also knows temporary tables, uncommitted schemas and private
// in-memory databases. It executes nothing. A text of several statements has the plans of all
// that have one. If Plan cannot explain a statement, it returns an error. SELECT, VALUES, WITH,
// INSERT, REPLACE, UPDATE and DELETE have a plan; for a text that has none of them, Plan returns
// nil.
//
// One effect shows: after the plan of a statement that writes, SQLite's function changes()
// returns 0.
func (c Call) Plan() ([]string, error) {
	w := c.watch
	switch {
	case w == nil || !w.during:
		return nil, errors.New("sqlitemw: plan: the call is over: call Plan in the function of Watch")
	case c.Err == ErrPanicked || w.session.panicked || w.session.closed:
		return nil, fmt.Errorf("sqlitemw: plan: %w", ErrPanicked)
	}
	lines, err := w.session.explainPlan(c.Text)
	if err != nil {
		return lines, fmt.Errorf("sqlitemw: plan: %w", err)
	}
	return lines, nil
}

// explainPlan returns the plans of the statements of a query.
func (s *session) explainPlan(query string) (lines []string, err error) {
	raw := s.baseConn.Raw()
	old := raw.SetInterrupt(context.Background()) // that of the call may have ended
	defer raw.SetInterrupt(old)
	if a := s.authorizer; a != nil { // preparing the statement itself has set them
		was := *a
		defer func() { *a = was }()
	}
	statements := sqltext.SQLite.Statements(query)
	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
		if !st.Verb.Rows() || st.Explain { // SQLite executes some PRAGMAs when it prepares them
			continue
		}
		text := query[st.Start:st.End]
		if err := s.guardAuthorizer(text); err != nil {
			return lines, err
		}
		if lines, err = appendPlan(lines, raw, text); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// appendPlan appends the plan of a statement to lines.

func appendPlan(lines []string, raw *sqlite3.Conn, text string) ([]string, error) {
	st, _, err := raw.Prepare("EXPLAIN QUERY PLAN " + text)
	if err != nil || st == nil {
		return lines, err
	}
	defer st.Close()
	levels := make(map[int]int) // of each node's ID
	for st.Step() {
		level := 0
		if parent, ok := levels[st.ColumnInt(1)]; ok {
			level = parent + 1
		}
		levels[st.ColumnInt(0)] = level
		lines = append(lines, strings.Repeat("  ", level)+shownStep(st.ColumnText(3)))
	}
	return lines, st.Err()
}

// shownStep returns a step of a plan without what a virtual table says of itself, which may be a
// value of the query.
func shownStep(step string) string {
	const index = "VIRTUAL TABLE INDEX "
	if i := strings.Index(step, index); i >= 0 {
		if end := strings.IndexByte(step[i:], ':'); end >= 0 {
			return step[:i+end]
		}
	}
	return step
}
