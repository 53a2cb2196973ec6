package sqltext

// A Verb is what a statement does.
type Verb uint8

const (
	Empty     Verb = iota // there is no statement: only white space, comments and semicolons
	Unknown               // not a statement of the dialect: the engine refuses it
	With                  // WITH, and what follows is not known; see [Statement.Verb]
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

// Rows reports whether the statement reads or writes rows of tables, and does nothing else.
func (v Verb) Rows() bool { return v >= With && v <= Delete }

// A Head is the first words of a statement.
type Head struct {
	// Verb is what the statement does, or would do if it were not explained.
	Verb Verb

	// Explain says that EXPLAIN or EXPLAIN QUERY PLAN stands before the verb. SQLite then
	// executes nothing, with one exception: it has executed a PRAGMA once it has prepared
	// an EXPLAIN of it.
	Explain bool

	// Start is the offset of the first token. VerbStart and Body are the offsets of the verb
	// and of what stands behind it.
	Start, VerbStart, Body int
}

// A Statement is one statement of a text.
type Statement struct {
	Head // its Verb is With only if nothing that may follow WITH does follow

	// With says that the statement begins with WITH.
	With bool

	// End is the offset where the statement ends: at its semicolon, or else at the end of
	// the text.
	End int

	// Tail is the offset behind the semicolon. It is where SQLite's prepare stops reading,
	// if it prepares the statement at all.
	Tail int
}

// Statements cuts a text into statements, where SQLite's prepare would, and goes on from one
// to the next as sqlite3_exec does. It allocates nothing.
//
// A semicolon ends a statement, with two exceptions. One is in the body of a trigger, which
// ends with an END behind a semicolon. The other is in the parentheses behind CREATE VIRTUAL
// TABLE, where SQLite takes every token for a part of the module's arguments.
//
// Right behind a semicolon, sqlite3_exec skips a vertical tab, which no statement may start
// with: "SELECT 1;\vSELECT 2" is two statements to it. SQLite refuses to prepare the tail as it is.
type Statements struct{ lex Lexer }

// Next returns the next statement. It reports false if there is none: behind the last
// statement there are only white space, comments and semicolons.
func (s *Statements) Next() (Statement, bool) {
	st := Statement{Head: s.lex.head()}
	if st.Verb == Empty {
		return Statement{}, false
	}
	st.With = st.Verb == With
	var trigger, virtual bool // what is being created
	if st.Verb == Create {
		trigger, virtual = s.lex.created()
	}
	var (
		before Kind
		body   bool // within the body of a trigger
		depth  int  // of parentheses
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
					// The END of a CASE does not stand behind a semicolon.
					if body && before == Semicolon {
						body, trigger = false, false
					}
				}
			case st.Verb == With && depth == 0 && before == RightParen:
				// Only the end of a common table expression stands before the verb.
				if v := verbOf(KeywordOf(s.lex.text, t)); v >= Select && v <= Delete {
					st.Verb = v
				}
			}
		}
		before = t.Kind
	}
}

// head reads up to the verb of the next statement. It stops before a semicolon that
// stands in the verb's place.
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
			h.VerbStart, h.Body = t.Start, t.Start // there is none
		}
	}
	h.Verb = verbOf(key)
	return h
}

// skip reads the next significant token if it is the keyword word, and returns what keyword
// it is.
func (l *Lexer) skip(word string) Keyword {
	ahead := *l
	key := KeywordOf(l.text, ahead.NextSignificant())
	if key.Word == word {
		*l = ahead
	}
	return key
}

// created looks ahead, behind CREATE, and reports whether a trigger or a virtual table is
// being created.
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
