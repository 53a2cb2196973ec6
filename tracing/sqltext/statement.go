package sqltext

// A Verb tells what a statement does.
type Verb uint8

const (
	Empty     Verb = iota // no statement: only white space, comments and semicolons
	Unknown               // not a statement of the dialect: the engine refuses it
	With                  // WITH, if the verb after it is not known; see [Statement.Verb]
	Select                // SELECT, VALUES, or the TABLE of PostgreSQL and MySQL
	Insert                // INSERT, REPLACE, or the UPSERT of CockroachDB
	Update                // UPDATE
	Delete                // DELETE
	Create                // CREATE
	Alter                 // ALTER
	Drop                  // DROP
	Pragma                // PRAGMA
	Attach                // ATTACH
	Detach                // DETACH
	Begin                 // BEGIN or START TRANSACTION
	Commit                // COMMIT or END
	Rollback              // ROLLBACK or ABORT, of the transaction or to a savepoint
	Savepoint             // SAVEPOINT
	Release               // RELEASE
	Vacuum                // VACUUM
	Analyze               // ANALYZE
	Reindex               // REINDEX
	Merge                 // MERGE, of PostgreSQL
	Other                 // any other statement of PostgreSQL or MySQL
)

// Rows reports whether the statement only reads or writes rows of tables. To PostgreSQL and
// MySQL, a function that it calls may do anything.
func (v Verb) Rows() bool { return v >= With && v <= Delete || v == Merge }

// A Head describes the first words of a statement.
type Head struct {
	// Verb tells what the statement does, or would do without EXPLAIN.
	Verb Verb

	// Explain says that EXPLAIN or EXPLAIN QUERY PLAN stands before the verb. SQLite then
	// executes nothing, with one exception: when it prepares an EXPLAIN of a PRAGMA, it
	// executes the PRAGMA. PostgreSQL and MySQL execute the statement of an EXPLAIN ANALYZE.
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
	var (
		trigger, virtual bool // the kind of object that is created
		body             bool // in the body of a trigger or a program
	)
	if st.Verb == Create {
		trigger, virtual, body = s.lex.created()
	}
	var (
		before Kind
		depth  int // number of open parentheses
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
				switch s.lex.keyword(t).Word {
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
				if v := s.lex.verbOf(s.lex.keyword(t)); v > With && v.Rows() {
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
	for t.Kind == Semicolon || t.Kind == LeftParen && l.dialect != SQLite {
		t = l.NextSignificant()
	}
	h := Head{Verb: Empty, Start: t.Start, VerbStart: t.Start, Body: t.End}
	if t.Kind == EOF {
		return h
	}
	key := l.keyword(t)
	if key.Word == "EXPLAIN" || l.dialect == MySQL && (key.Word == "DESCRIBE" || key.Word == "DESC") {
		h.Explain = true
		l.skipExplained()
		ahead := *l
		t = ahead.NextSignificant()
		key = l.keyword(t)
		if t.Kind != EOF && t.Kind != Semicolon {
			*l, h.VerbStart, h.Body = ahead, t.Start, t.End
		} else {
			h.VerbStart, h.Body = t.Start, t.Start // there is no verb
		}
	}
	h.Verb = l.verbOf(key)
	return h
}

func (l *Lexer) keyword(t Token) Keyword { return l.dialect.KeywordOf(l.text, t) }

// skipExplained skips what may stand between EXPLAIN and the verb.
func (l *Lexer) skipExplained() {
	switch l.dialect {
	case PostgreSQL:
		l.skip("ANALYZE")
		l.skip("VERBOSE")
		for ahead := *l; ahead.NextSignificant().Kind == LeftParen; ahead = *l {
			inner := ahead
			if v := l.verbOf(l.keyword(inner.NextSignificant())); v > Unknown && v != Analyze {
				*l = ahead // the parentheses around the statement
				continue
			}
			for t := ahead.NextSignificant(); t.Kind != RightParen && t.Kind != EOF; {
				t = ahead.NextSignificant()
			}
			*l = ahead // the options
		}
	case MySQL:
		for _, word := range []string{"ANALYZE", "EXTENDED", "PARTITIONS"} {
			l.skip(word)
		}
		if l.skip("FORMAT").Word == "FORMAT" {
			l.NextSignificant() // =
			l.NextSignificant() // JSON
		}
	default:
		if l.skip("QUERY").Word == "QUERY" {
			l.skip("PLAN")
		}
	}
}

// skip skips the next significant token if it is the keyword word. It returns the keyword of
// that token in any case.
func (l *Lexer) skip(word string) Keyword {
	ahead := *l
	key := l.keyword(ahead.NextSignificant())
	if key.Word == word {
		*l = ahead
	}
	return key
}

// created looks ahead after CREATE. It reports whether semicolons do not end the statement: in
// the body of a trigger, which ends with END; in parentheses; or anywhere.
func (l Lexer) created() (trigger, virtual, rest bool) {
	word := l.keyword(l.NextSignificant()).Word
	switch l.dialect {
	case SQLite:
		if word == "TEMP" || word == "TEMPORARY" {
			word = l.keyword(l.NextSignificant()).Word
		}
		return word == "TRIGGER", word == "VIRTUAL", false
	case PostgreSQL:
		if word == "OR" { // REPLACE
			l.NextSignificant()
			word = l.keyword(l.NextSignificant()).Word
		}
		return word == "FUNCTION" || word == "PROCEDURE", word == "RULE", false
	}
	for range 32 { // OR REPLACE DEFINER = CURRENT_ROLE() SQL SECURITY INVOKER
		switch word {
		case "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE":
			return false, false, true
		case "TABLE", "INDEX", "VIEW", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE", "SERVER":
			return false, false, false
		}
		word = l.keyword(l.NextSignificant()).Word
	}
	return false, false, false
}

// verbOf returns the verb that a keyword is at the start of a statement.
func (l *Lexer) verbOf(key Keyword) Verb {
	switch {
	case l.dialect == SQLite:
		return verbOf(key)
	case l.dialect == PostgreSQL && postgresOther(key.Word), l.dialect == MySQL && mysqlOther(key.Word):
		return Other
	}
	switch key.Word {
	case "PRAGMA", "ATTACH", "DETACH":
		return Unknown
	case "REPLACE", "END":
		if (key.Word == "END") != (l.dialect == PostgreSQL) {
			return Unknown
		}
	case "TABLE":
		return Select
	case "UPSERT":
		return Insert
	case "MERGE":
		if l.dialect == PostgreSQL {
			return Merge
		}
	case "START":
		if ahead := *l; l.keyword(ahead.NextSignificant()).Word != "TRANSACTION" {
			return Other
		}
		return Begin
	case "ABORT":
		return Rollback
	}
	return verbOf(key)
}

// postgresOther reports whether a statement of PostgreSQL that starts with word has the verb
// [Other]. https://www.postgresql.org/docs/current/sql-commands.html
func postgresOther(word string) bool {
	switch word {
	case "CALL", "CHECKPOINT", "CLOSE", "CLUSTER", "COMMENT", "COPY", "DEALLOCATE", "DECLARE", "DISCARD", "DO", "EXECUTE", "FETCH", "GRANT",
		"IMPORT", "LISTEN", "LOAD", "LOCK", "MOVE", "NOTIFY", "PREPARE", "REASSIGN", "REFRESH", "RESET", "REVOKE", "SECURITY", "SET", "SHOW",
		"TRUNCATE", "UNLISTEN":
		return true
	}
	return false
}

// mysqlOther reports whether a statement of MySQL or MariaDB that starts with word has the
// verb [Other]. https://dev.mysql.com/doc/refman/9.4/en/sql-statements.html
func mysqlOther(word string) bool {
	switch word {
	case "BACKUP", "BINLOG", "CACHE", "CALL", "CHANGE", "CHECK", "CHECKSUM", "DEALLOCATE", "DO", "EXECUTE", "FLUSH", "GET", "GRANT", "HANDLER", "HELP",
		"IMPORT", "INSTALL", "KILL", "LOAD", "LOCK", "OPTIMIZE", "PREPARE", "PURGE", "RENAME", "REPAIR", "RESET", "RESIGNAL", "RESTART", "REVOKE",
		"SET", "SHOW", "SHUTDOWN", "SIGNAL", "STOP", "TRUNCATE", "UNINSTALL", "UNLOCK", "USE", "XA":
		return true
	}
	return false
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
