package sqltext

// A Verb tells what a statement does.
type Verb uint8

const (
	Empty     Verb = iota // no statement: only white space, comments and semicolons
	Unknown               // not a statement of the dialect: the engine refuses it
	With                  // WITH, if the verb after it is not known; see [Statement.Verb]
	Select                // SELECT or VALUES
	Insert                // INSERT or REPLACE
	Update                // UPDATE
	Delete                // DELETE
	Create                // CREATE
	Alter                 // ALTER
	Drop                  // DROP
	Pragma                // PRAGMA
	Attach                // ATTACH
	Detach                // DETACH
	Begin                 // BEGIN
	Commit                // COMMIT or END
	Rollback              // ROLLBACK, of the transaction or to a savepoint
	Savepoint             // SAVEPOINT
	Release               // RELEASE
	Vacuum                // VACUUM
	Analyze               // ANALYZE
	Reindex               // REINDEX
)

// Rows reports whether the statement only reads or writes rows of tables.
func (v Verb) Rows() bool { return v >= With && v <= Delete }

// A Head describes the first words of a statement.
type Head struct {
	// Verb tells what the statement does, or would do without EXPLAIN.
	Verb Verb

	// Explain says that EXPLAIN or EXPLAIN QUERY PLAN stands before the verb. SQLite then
	// executes nothing, with one exception: when it prepares an EXPLAIN of a PRAGMA, it
	// executes the PRAGMA.
	Explain bool

	// Start is the offset of the first token. VerbStart is the offset of the verb. Body is
	// the offset after the verb.
	Start, VerbStart, Body int
}

// A Statement describes one statement.
type Statement struct {
	Head // its Verb is With only if no verb that may follow WITH does

	// With says that the statement starts with WITH.
	With bool

	// End is the offset where the statement ends: at its semicolon, or at the end of the SQL.
	End int

	// Tail is the offset after the semicolon. SQLite's prepare stops reading there, if it
	// prepares the statement at all.
	Tail int
}

// Statements splits SQL into statements where SQLite's prepare would. It continues after each
// statement as sqlite3_exec does. It allocates nothing.
//
// A semicolon ends a statement, with two exceptions. One is the body of a trigger, which ends
// with an END after a semicolon. The other is the parentheses after CREATE VIRTUAL TABLE,
// where every token is part of the module's arguments.
//
// Directly after a semicolon, sqlite3_exec skips a vertical tab, although no statement may
// start with one: to sqlite3_exec, "SELECT 1;\vSELECT 2" is two statements. SQLite's prepare
// refuses that tail.
type Statements struct{ lex Lexer }

// Next returns the next statement. It returns false if there is none: after the last
// statement there are only white space, comments and semicolons.
func (s *Statements) Next() (Statement, bool) {
	st := Statement{Head: s.lex.head()}
	if st.Verb == Empty {
		return Statement{}, false
	}
	st.With = st.Verb == With
	var trigger, virtual bool // the kind of object that is created
	if st.Verb == Create {
		trigger, virtual = s.lex.created()
	}
	var (
		before Kind
		body   bool // in the body of a trigger
		depth  int  // number of open parentheses
	)
	for {
		t := s.lex.NextSignificant()
		switch t.Kind {
		case EOF:
			st.End, st.Tail = t.Start, t.End
			return st, true
		case Semicolon:
			if !body && !(virtual && depth > 0) {
				st.End, st.Tail = t.Start, t.End
				s.lex.pos = run(s.lex.text, t.End, isSpace)
				return st, true
			}
		case LeftParen:
			depth++
		case RightParen:
			depth = max(0, depth-1)
		case Word:
			switch {
			case trigger:
				switch KeywordOf(s.lex.text, t).Word {
				case "BEGIN":
					body = true
				case "END":
					// The END of a CASE does not follow a semicolon.
					if body && before == Semicolon {
						body, trigger = false, false
					}
				}
			case st.Verb == With && depth == 0 && before == RightParen:
				// The token before the verb ends a common table expression.
				if v := verbOf(KeywordOf(s.lex.text, t)); v >= Select && v <= Delete {
					st.Verb = v
				}
			}
		}
		before = t.Kind
	}
}

// head reads up to the verb of the next statement. It stops before a semicolon in place of
// the verb.
func (l *Lexer) head() Head {
	t := l.NextSignificant()
	for t.Kind == Semicolon {
		t = l.NextSignificant()
	}
	h := Head{Verb: Empty, Start: t.Start, VerbStart: t.Start, Body: t.End}
	if t.Kind == EOF {
		return h
	}
	key := KeywordOf(l.text, t)
	if key.Word == "EXPLAIN" {
		h.Explain = true
		if key = l.skip("QUERY"); key.Word == "QUERY" {
			l.skip("PLAN")
		}
		ahead := *l
		t = ahead.NextSignificant()
		key = KeywordOf(l.text, t)
		if t.Kind != EOF && t.Kind != Semicolon {
			*l, h.VerbStart, h.Body = ahead, t.Start, t.End
		} else {
			h.VerbStart, h.Body = t.Start, t.Start // there is no verb
		}
	}
	h.Verb = verbOf(key)
	return h
}

// skip skips the next significant token if it is the keyword word. It returns the keyword of
// that token in any case.
func (l *Lexer) skip(word string) Keyword {
	ahead := *l
	key := KeywordOf(l.text, ahead.NextSignificant())
	if key.Word == word {
		*l = ahead
	}
	return key
}

// created looks ahead after CREATE. It reports whether the statement creates a trigger or a
// virtual table.
func (l Lexer) created() (trigger, virtual bool) {
	word := KeywordOf(l.text, l.NextSignificant()).Word
	if word == "TEMP" || word == "TEMPORARY" {
		word = KeywordOf(l.text, l.NextSignificant()).Word
	}
	return word == "TRIGGER", word == "VIRTUAL"
}

func verbOf(key Keyword) Verb {
	switch key.Word {
	case "SELECT", "VALUES":
		return Select
	case "WITH":
		return With
	case "INSERT", "REPLACE":
		return Insert
	case "UPDATE":
		return Update
	case "DELETE":
		return Delete
	case "CREATE":
		return Create
	case "ALTER":
		return Alter
	case "DROP":
		return Drop
	case "PRAGMA":
		return Pragma
	case "ATTACH":
		return Attach
	case "DETACH":
		return Detach
	case "BEGIN":
		return Begin
	case "COMMIT", "END":
		return Commit
	case "ROLLBACK":
		return Rollback
	case "SAVEPOINT":
		return Savepoint
	case "RELEASE":
		return Release
	case "VACUUM":
		return Vacuum
	case "ANALYZE":
		return Analyze
	case "REINDEX":
		return Reindex
	}
	return Unknown
}
