package pool

import (
	"strings"
	"sync"
	"sync/atomic"
)

// A route is which lane a text belongs to.
type route uint32

const (
	toWriter route = iota // writes, changes the connection, or asks what only the writer knows
	toReader              // reads
	toAsk                 // SQLite knows, once it has prepared the text
)

// What a text may leave behind on its connection.
type marks uint32

const (
	markPragma  marks = 1 << iota // a pragma is set
	markAttach                    // another file is attached, or detached
	markTemp                      // there may be temporary objects
	markRaw                       // the program has had SQLite's connection itself
	markJournal                   // the journal mode may be another
	markMeaning                   // a pragma is set that changes what queries give
	markUndo                      // something of these may be there no more
	markSchema                    // the schema may be another, which all connections see

	// What queries must be where they can see it.
	markVisible = markAttach | markTemp | markRaw | markMeaning

	// What the connection bears, and others do not.
	markBorne = markVisible | markPragma
)

// A text is what is known of a text of SQL. It is the same for all connections.
type text struct {
	query string
	route atomic.Uint32
	marks marks

	// To prepare it changes nothing, and can be done by any connection.
	preparable bool

	// It begins a transaction.
	begins bool
}

func (t *text) where() route { return route(t.route.Load()) }

// texts keeps what is known of texts. Its zero value is ready to use, by any
// number of goroutines.
type texts struct {
	mu   sync.RWMutex
	kept map[string]*text
}

const (
	maxTexts   = 1024
	maxTextLen = 16 << 10 // bytes; a longer one is likely to hold data, and not to come again
)

func (ts *texts) of(query string) *text {
	ts.mu.RLock()
	t := ts.kept[query]
	ts.mu.RUnlock()
	if t != nil {
		return t
	}
	t = classify(query)
	if len(query) > maxTextLen {
		return t
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.kept == nil {
		ts.kept = make(map[string]*text)
	}
	for old := range ts.kept {
		if len(ts.kept) < maxTexts {
			break
		}
		delete(ts.kept, old) // any: map order is random
	}
	ts.kept[query] = t
	return t
}

// classify reads a text without preparing it: to prepare a PRAGMA is to execute
// it. Only what can be nothing but a query of one statement is ever for a reader;
// and a reader refuses to write, so that what is misread here fails and does
// not go astray.
func classify(query string) *text {
	t := &text{query: query}
	s := scanner{rest: query}
	verb := s.next()
	for verb == ";" {
		verb = s.next()
	}
	if verb == "explain" {
		if verb = s.next(); verb == "query" {
			s.next() // plan
			verb = s.next()
		}
	}
	switch verb {
	case "select", "values":
		if t.preparable = t.rest(&s); t.preparable {
			t.route.Store(uint32(toReader))
		}
	case "with":
		if t.preparable = t.rest(&s); t.preparable {
			t.route.Store(uint32(toAsk))
		}
	case "insert", "replace", "update", "delete":
		t.preparable = t.rest(&s)
	case "begin", "commit", "end", "rollback", "savepoint", "release", "":
		t.begins = verb == "begin" || verb == "savepoint"
		t.rest(&s) // another statement may stand behind it
	default:
		t.statement(verb, &s)
		t.rest(&s)
	}
	return t
}

// statement notes what a statement that is no query and writes no rows leaves
// behind.
func (t *text) statement(verb string, s *scanner) {
	switch verb {
	case "attach":
		t.marks |= markAttach
	case "detach":
		t.marks |= markAttach | markUndo
	case "drop":
		t.marks |= markSchema | markUndo
	case "alter", "vacuum", "reindex", "analyze":
		t.marks |= markSchema
	case "create":
		t.marks |= markSchema
		word := s.next()
		if word == "temp" || word == "temporary" {
			t.marks |= markTemp
			return
		}
		for word != "" && word != ";" && word != "(" {
			was := word
			if word = s.next(); word == "." && was == "temp" {
				t.marks |= markTemp
			}
		}
		s.again = word
	case "pragma":
		t.pragma(s)
	case "explain": // to explain a PRAGMA is to execute it
		if verb = s.next(); verb == "query" {
			s.next() // plan
			verb = s.next()
		}
		t.statement(verb, s)
	}
}

// pragma notes what a PRAGMA changes of its connection: one with a value, unless
// the value is what it asks about, or the file's.
func (t *text) pragma(s *scanner) {
	name := s.next()
	sign := s.next()
	if sign == "." {
		name, sign = s.next(), s.next()
	}
	if sign != "=" && sign != "(" {
		s.again = sign // it may end the statement
		return
	}
	switch name {
	case "journal_mode":
		t.marks |= markJournal
	case "case_sensitive_like", "count_changes", "empty_result_callbacks", "full_column_names",
		"reverse_unordered_selects", "short_column_names":
		t.marks |= markPragma | markMeaning
	case "table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list",
		"foreign_key_list", "foreign_key_check", "integrity_check", "quick_check",
		"wal_checkpoint", "optimize", "incremental_vacuum",
		"application_id", "user_version", "schema_version", "auto_vacuum", "page_size", "encoding":
	default:
		t.marks |= markPragma
	}
}

// rest reads on to the end and reports whether a reader can tell what is asked:
// the text is one statement, and names nothing of the writer's.
func (t *text) rest(s *scanner) bool {
	plain := true
	for word := s.next(); word != ""; word = s.next() {
		switch {
		case word == ";":
			verb := s.next()
			for verb == ";" {
				verb = s.next()
			}
			if verb == "" {
				return plain
			}
			plain = false
			t.statement(verb, s)
		case word == "last_insert_rowid", word == "changes", word == "total_changes",
			word == "temp", word == "sqlite_temp_schema", word == "sqlite_temp_master",
			strings.HasPrefix(word, "pragma_"):
			plain = false
		}
	}
	return plain
}

// A scanner reads the words and signs of a text: names in lower case and without
// their quotes, signs one by one, each literal as "?". "" is the end.
// https://sqlite.org/lang_keywords.html says what is quoted how.
type scanner struct {
	rest  string
	again string // what next returns next, if it is not ""
}

func (s *scanner) next() string {
	if word := s.again; word != "" {
		s.again = ""
		return word
	}
	s.skip()
	if s.rest == "" || s.rest[0] == 0 { // SQLite ends there, too
		s.rest = ""
		return ""
	}
	c := s.rest[0]
	switch {
	case c == '\'':
		return s.literal(s.quoted('\''))
	case c == '"' || c == '`':
		return named(s.quoted(c))
	case c == '[':
		end := strings.IndexByte(s.rest, ']')
		if end < 0 {
			end = len(s.rest) - 1
		}
		name := s.rest[1:max(1, end)]
		s.rest = s.rest[end+1:]
		return named(name)
	case c >= '0' && c <= '9':
		s.take(isName)
		return "?"
	case isName(c):
		return lower(s.take(isName))
	}
	s.rest = s.rest[1:]
	return string(c)
}

// literal is a text in single quotes, which SQLite also takes for a name where it
// expects a schema's or a table's. Those that matter are nobody's data, or, like
// temp, are names if a dot follows.
func (s *scanner) literal(text string) string {
	if len(text) < len("temp") || len(text) > 64 {
		return "?"
	}
	switch name := strings.ToLower(text); {
	case strings.HasPrefix(name, "pragma_"), strings.HasPrefix(name, "sqlite_temp_"):
		return name
	case name == "temp":
		if after := *s; after.next() == "." {
			return name
		}
	}
	return "?"
}

// named is a quoted name, which may be empty, as the end is.
func named(name string) string {
	if name == "" {
		return "?"
	}
	return strings.ToLower(name)
}

// skip leaves out white space, comments and a byte order mark.
func (s *scanner) skip() {
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			s.rest = s.rest[1:]
		case strings.HasPrefix(s.rest, "\uFEFF"):
			s.rest = s.rest[len("\uFEFF"):]
		case strings.HasPrefix(s.rest, "--"):
			_, s.rest, _ = strings.Cut(s.rest, "\n")
		case strings.HasPrefix(s.rest, "/*"):
			_, s.rest, _ = strings.Cut(s.rest[2:], "*/")
		default:
			return
		}
	}
}

// quoted reads what stands between quotes, in which a doubled quote is one.
func (s *scanner) quoted(quote byte) string {
	i := 1
	for i < len(s.rest) {
		if s.rest[i] == quote {
			if i+1 < len(s.rest) && s.rest[i+1] == quote {
				i += 2
				continue
			}
			break
		}
		i++
	}
	word := s.rest[1:min(i, len(s.rest))]
	s.rest = s.rest[min(i+1, len(s.rest)):]
	return word
}

func (s *scanner) take(is func(byte) bool) string {
	n := 1
	for n < len(s.rest) && is(s.rest[n]) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return word
}

func isName(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// lower is strings.ToLower, but does not copy what is lower case already.
func lower(word string) string {
	for i := range len(word) {
		if c := word[i]; c >= 'A' && c <= 'Z' {
			return strings.ToLower(word)
		}
	}
	return word
}
