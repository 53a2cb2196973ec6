package engines_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext"
	"github.com/sqlitemw/sqlitemw/tracing/sqltext/sqltexttest"
)

// testDialects compares package sqltext, and what spans show of queries, with a real server. db is a
// database of PostgreSQL 15 or MariaDB 10.11 with the rights to create databases, and system its
// db.system.name. What it creates, it removes. The tests with real servers call it.
func testDialects(t *testing.T, db *sql.DB, system string) {
	d, ok := sqltext.DialectOf(system)
	if !ok {
		t.Fatalf("the SQL of %q is not known", system)
	}
	s := dialectServer{dialect: d, system: system, conn: dialectConn(t, db)}
	t.Run("keywords", s.testKeywords)
	t.Run("corpus", s.testCorpus)
	t.Run("literals", s.testLiterals)
}

// A dialectServer is one connection to a server, with the schema of the dialect's corpus.
type dialectServer struct {
	dialect sqltext.Dialect
	system  string
	conn    *sql.Conn
}

// dialectConn returns a connection that is not used again.
func dialectConn(t *testing.T, db *sql.DB) *sql.Conn {
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
			t.Error(err)
		}
	})
	return conn
}

// exec executes a statement that must succeed.
func (s dialectServer) exec(t *testing.T, query string) {
	t.Helper()
	if _, err := s.conn.ExecContext(context.WithoutCancel(t.Context()), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// prepares reports whether the server prepares a query.
func (s dialectServer) prepares(t *testing.T, query string) bool {
	t.Helper()
	st, err := s.conn.PrepareContext(t.Context(), query)
	if err != nil {
		if errors.Is(err, driver.ErrBadConn) {
			t.Fatalf("%q: %v", query, err)
		}
		return false
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	return true
}

// testKeywords compares the keywords that cannot be the name of a table.
func (s dialectServer) testKeywords(t *testing.T) {
	query := "SELECT upper(word), catcode IN ('R', 'T') FROM pg_get_keywords()"
	if s.dialect == sqltext.MySQL {
		query = "SELECT upper(word), 0 FROM information_schema.keywords WHERE word REGEXP '^[A-Za-z]'"
	}
	rows, err := s.conn.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	words := make(map[string]bool)
	for rows.Next() {
		var word string
		var reserved bool
		if err := rows.Scan(&word, &reserved); err != nil {
			t.Fatal(err)
		}
		words[word] = reserved
	}
	if err := rows.Err(); err != nil || len(words) < 400 {
		t.Fatalf("%d keywords, %v", len(words), err)
	}
	for word, reserved := range words {
		if s.dialect == sqltext.MySQL { // which says only by an error of syntax what is reserved
			_, err := s.conn.ExecContext(t.Context(), "SELECT 1 FROM "+word)
			reserved = strings.Contains(fmt.Sprint(err), "1064")
		}
		l := s.dialect.Lexer(word)
		key := s.dialect.KeywordOf(word, l.Next())
		if reserved != key.Reserved || s.dialect == sqltext.PostgreSQL && key.Word == "" {
			t.Errorf("%s is %+v, and to the server it is reserved: %t", word, key, reserved)
		}
	}
}

// testCorpus prepares each text of the corpus, as it is and with its literals put back into what
// a span shows of it.
func (s dialectServer) testCorpus(t *testing.T) {
	texts := sqltexttest.PostgreSQL
	if s.dialect == sqltext.MySQL {
		texts = sqltexttest.MySQL
		defer s.exec(t, "DROP DATABASE dialects")
		defer s.exec(t, "DROP DATABASE IF EXISTS app2")
		s.exec(t, "CREATE DATABASE dialects")
		s.exec(t, "USE dialects")
		for _, query := range sqltexttest.MySQLSchema {
			s.exec(t, query)
		}
	} else {
		defer s.exec(t, "DROP SCHEMA IF EXISTS dialects, s CASCADE")
		s.exec(t, "CREATE SCHEMA dialects")
		s.exec(t, "SET search_path TO dialects")
		for _, query := range sqltexttest.PostgreSQLSchema {
			s.exec(t, query)
		}
	}
	restored := 0
	for _, text := range texts {
		if got := s.prepares(t, text.SQL); got != text.Prepares {
			t.Errorf("%q: the server prepares it: %t", text.SQL, got)
		}
		summary, shown := shownOf(t, s.system, text.SQL)
		if summary != text.Summary || shown != text.Sanitized() {
			t.Errorf("%q\nhas the summary %q and the text %q\nwant        %q and          %q", text.SQL, summary, shown, text.Summary, text.Sanitized())
		}
		if !text.Prepares {
			continue
		}
		again, ok := restore(s.dialect, text.SQL, shown)
		if !ok {
			continue // more than literals is hidden
		}
		restored++
		if !s.prepares(t, again) {
			t.Errorf("%q is shown as %q. The server prepares the first. It does not prepare the second with its literals: %q", text.SQL, shown, again)
		}
	}
	if least := len(texts) * 3 / 4; restored < least {
		t.Errorf("the literals of %d texts could be put back, want %d", restored, least)
	}
}

// shownOf returns what a span shows of a query.
func shownOf(t *testing.T, system, query string) (summary, text string) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	tracer, err := tracing.New(tracing.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	if err != nil {
		t.Fatal(err)
	}
	db := instrument.NewDatabase(tracer, tracing.Source{System: system})
	defer db.Close()
	dial := db.Dial(t.Context())
	if _, err := dial.Done(1).ConnExecContext(t.Context(), idleExecer{}, query, nil); err != nil {
		t.Fatal(err)
	}
	for _, span := range spans.Ended() {
		return attr(span, "db.query.summary"), attr(span, "db.query.text")
	}
	t.Fatalf("%q has no span", query)
	return "", ""
}

// An idleExecer executes nothing.
type idleExecer struct{}

func (idleExecer) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}

// restore puts the literals of a query back where what is shown of it has a "?". It returns
// false if their numbers differ, or if the end of the query is not shown.
func restore(d sqltext.Dialect, query, shown string) (string, bool) {
	var values []string
	last := false // the last token is a literal
	l := d.Lexer(query)
	for tok := l.NextSignificant(); tok.Kind != sqltext.EOF; tok = l.NextSignificant() {
		text := tok.Text(query)
		last = tok.Kind == sqltext.String || tok.Kind == sqltext.Blob || tok.Kind == sqltext.Number || text == "?"
		if last {
			values = append(values, text)
		}
	}
	if !last && strings.HasSuffix(strings.TrimSpace(shown), "?") {
		return "", false
	}
	var b strings.Builder
	l = d.Lexer(shown)
	for tok := l.Next(); tok.Kind != sqltext.EOF; tok = l.Next() {
		text := tok.Text(shown)
		if text == "?" {
			if len(values) == 0 {
				return "", false
			}
			text, values = values[0], values[1:]
		}
		b.WriteString(text)
	}
	return b.String(), len(values) == 0
}

// testLiterals makes queries of literals in quotes, with a marker in one of them. It asks the
// server in each of its modes. Outside of quotes, the marker would be a column of a table that
// does not exist. So if the server accepts the query, the marker is part of a literal, a comment
// or an alias, and a span must not show it, but as an alias.
func (s dialectServer) testLiterals(t *testing.T) {
	modes := []string{"SET standard_conforming_strings = on", "SET standard_conforming_strings = off"}
	opens := []string{"'", "E'", "e'", "$$", "$a$", "U&'", "N'", "''", "'a' ", "/* ", "-- ", "\"", "'a'\n'", "E'a'\n'", "1$$", "1'"}
	closes := []string{"'", "'", "'", "$$", "$a$", "*/", "\n", "\"", "''", "\\'"}
	content := []string{"'", "''", "\\", "\\'", "\\\\", "\"", "$$", "$a$", "$b$", "/*", "*/", "--", "\n", " ", ",", "a", ";", "||", "E'", "\r", "\\' , '", "\\' || '"}
	if s.dialect == sqltext.MySQL {
		modes = []string{"SET sql_mode = ''", "SET sql_mode = 'ANSI_QUOTES'", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"}
		opens = []string{"'", "\"", "N'", "_utf8mb4'", "_latin1\"", "''", "'a' ", "\"a\" '", "/* ", "/*! '", "/*!99999 '", "/*M! '", "/*+ ", "-- ", "# ", "--'", "1'", "x'"}
		closes = []string{"'", "'", "\"", "\"", "*/", "' */", "\n", "''", "\\'", "\\\""}
		content = []string{"'", "''", "\\", "\\'", "\\\\", "\"", "\"\"", "\\\"", "/*", "*/", "/*!", "-- ", "#", "\n", " ", ",", "a", "||", "--", "\\' , '", "\\\" , \"", "\" , '"}
	}
	// An alias is shown. PostgreSQL gives its name to the column, and no other column has the
	// marker in its name. MySQL names a column after its expression, but its aliases in double
	// quotes are hidden, and there are no backquotes here.
	const marker = "zq.zq"
	accepted := make(map[string]int)
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list []string) string { return list[rnd.IntN(len(list))] }
	for range 8000 {
		var items []string
		for range 1 + rnd.IntN(3) {
			i := rnd.IntN(len(opens))
			item := opens[i]
			for range rnd.IntN(4) {
				item += pick(content)
			}
			items = append(items, item)
		}
		items[rnd.IntN(len(items))] += marker
		var b strings.Builder
		for i, item := range items {
			if i > 0 {
				b.WriteString(pick([]string{", ", ",", " , ", "||"}))
			}
			b.WriteString(item)
			for range rnd.IntN(3) {
				b.WriteString(pick(content))
			}
			b.WriteString(pick(closes))
		}
		query := "SELECT " + b.String()
		_, shown := shownOf(t, s.system, query)
		for _, mode := range modes {
			s.exec(t, mode)
			columns, ok := s.columns(t, query)
			if !ok {
				continue
			}
			accepted[mode]++
			alias := s.dialect == sqltext.PostgreSQL && slices.ContainsFunc(columns, func(c string) bool { return strings.Contains(c, "zq") })
			if strings.Contains(shown, "zq") && !alias {
				t.Errorf("with %s, the server reads a literal in\n%q\nthat is shown:\n%q", mode, query, shown)
			}
		}
	}
	for _, mode := range modes {
		if accepted[mode] < 20 {
			t.Errorf("with %s, the server accepts %d queries, want at least 20", mode, accepted[mode])
		}
	}
	t.Log(accepted)
}

// columns executes a query and returns the names of its columns. It returns false if the server
// refuses it.
func (s dialectServer) columns(t *testing.T, query string) ([]string, bool) {
	rows, err := s.conn.QueryContext(t.Context(), query)
	if err != nil {
		return nil, false
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, false
	}
	for rows.Next() {
	}
	return columns, rows.Err() == nil
}
