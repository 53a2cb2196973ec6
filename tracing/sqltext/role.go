package sqltext

// A Role is the role of a token in a statement that reads or writes rows.
type Role uint8

const (
	// OtherRole is any role that is not listed below. Every column, alias and function has
	// it.
	OtherRole Role = iota

	// Operation is a word that starts a query or a change of rows: SELECT, VALUES, INSERT,
	// REPLACE, UPDATE or DELETE; for PostgreSQL and MySQL, also TABLE, MERGE and UPSERT.
	Operation

	// CommonList is a WITH that starts a list of common table expressions.
	CommonList

	// Common is the name of a common table expression in that list.
	Common

	// Source is the name of a table, a view or a table-valued function that is read.
	Source

	// Member is the name of such a table directly after IN. A string there is more likely a
	// literal without its parentheses. Only SQLite has it.
	Member

	// Target is the name of the table that is written. If several can be written, the others
	// have the role Source: UPDATE a JOIN b SET.
	Target
)

// Table reports whether the engine looks up a name with this role among tables.
func (r Role) Table() bool { return r >= Source }

// MaxDepth is the number of nested parentheses that [Roles] follows. It bounds the memory
// that a query can use. By default, SQLite itself stops at 100 levels of its parser's stack,
// or at 1000 of an expression. People write less than ten.
const MaxDepth = 64

// Roles tells the role of each token in a statement that reads or writes rows, with everything
// nested in it. The zero Roles is for the start of a statement of any dialect.
//
// It does not check the statement. For a statement that the engine would refuse, the roles
// may be wrong.
type Roles struct {
	stack  [MaxDepth]frame
	depth  int // index of the current frame
	beyond int // number of open parentheses without a frame
	last   Role
}

// A frame is the state within a pair of parentheses, or of the statement itself.
type frame struct {
	verb  Verb     // Select, Insert, Update, Delete or Merge, once it has been read
	begun bool     // a token has been read
	from  bool     // in FROM, where a table follows a comma
	list  bool     // in the list that WITH starts, where a name follows a comma
	want  Role     // the role of the next token, if it is a name
	or    orClause // for INSERT OR and UPDATE OR
}

type orClause uint8

const (
	orNone orClause = iota
	orMay           // OR may follow
	orWord          // a word follows, such as IGNORE
)

// Depth returns the number of parentheses that are open around the next token, up to
// MaxDepth-1.
func (r *Roles) Depth() int { return r.depth }

// Beyond reports whether more than MaxDepth-1 parentheses are open. Names in there all have
// OtherRole.
func (r *Roles) Beyond() bool { return r.beyond > 0 }

// Of returns the role of the current token. Call it for each significant token of the
// statement in turn. Tokens of a table's name after its first dot may be left out.
func (r *Roles) Of(c *Cursor) Role {
	f, last := &r.stack[r.depth], r.last
	r.last = OtherRole
	switch {
	case c.Token.Kind == LeftParen:
		r.push(f)
	case c.Token.Kind == RightParen:
		r.pop()
	case r.beyond > 0:
	case c.Token.Kind == Comma:
		if f.list {
			f.want = Common
		} else if f.from {
			f.want = Source
		}
	case c.Token.Kind == Dot && last != OtherRole:
		f.want = last // the name before the dot was the schema's
	case f.or != orNone:
		if f.followsOr(c) {
			return OtherRole
		}
		return r.word(f, c)
	default:
		return r.word(f, c)
	}
	return OtherRole
}

// followsOr reports whether the token is part of OR IGNORE or a similar clause.
func (f *frame) followsOr(c *Cursor) bool {
	switch {
	case f.or == orMay && c.Key.Word == "OR":
		f.or = orWord
		return true
	case f.or == orWord && c.Token.Kind == Word:
		f.or = orNone
		return true
	}
	f.or = orNone
	return false
}

// word returns the role of a token other than a parenthesis, a comma or a dot.
func (r *Roles) word(f *frame, c *Cursor) Role {
	if c.dialect != SQLite && f.want >= Source {
		if f.modifies(c) {
			return OtherRole
		}
		if !f.begun && c.beginsTable() {
			f.want = OtherRole
		}
	}
	if f.want != OtherRole && c.ObjectName() && (f.begun || c.Key.Word != "WITH") {
		if f.want == Common && c.BeforeKey.Word == "WITH" && c.Key.Word == "RECURSIVE" {
			if t, key := c.Peek(); t.Kind != EOF && t.Kind != Semicolon && key.Word != "AS" {
				return OtherRole
			}
		}
		r.last = f.want
		f.want, f.begun = OtherRole, true
		return r.last
	}
	f.want = OtherRole
	var role Role
	if c.dialect == SQLite {
		role = f.clause(c, r.depth)
	} else {
		role = f.serverClause(c, r.depth)
	}
	f.begun = true
	return role
}

func (r *Roles) push(f *frame) {
	inner := frame{}
	if f.want == Source || f.want == Target && f.from {
		inner.from, inner.want = true, Source // a join in parentheses
	}
	f.want, f.begun = OtherRole, true
	if r.beyond > 0 || r.depth == MaxDepth-1 {
		r.beyond++
		return
	}
	r.depth++
	r.stack[r.depth] = inner
}

func (r *Roles) pop() {
	if r.beyond > 0 {
		r.beyond--
	} else if r.depth > 0 {
		r.depth--
	}
}

// clause returns the role of a token where no name is expected, and sets what is expected
// next.
func (f *frame) clause(c *Cursor, depth int) Role {
	switch c.Key.Word {
	case "SELECT":
		return f.begin(Select)
	case "VALUES":
		if f.verb != Insert {
			return f.begin(Select)
		}
		f.list = false
	case "INSERT":
		return f.change(Insert)
	case "REPLACE":
		if depth == 0 { // within parentheses it is the function
			return f.change(Insert)
		}
	case "UPDATE":
		role := f.change(Update)
		if role == Operation {
			f.want = Target
		}
		return role
	case "DELETE":
		return f.change(Delete)
	case "WITH":
		if f.begun && f.verb != Insert {
			break
		}
		f.list, f.from, f.want = true, false, Common
		return CommonList
	case "INTO":
		if f.verb == Insert {
			f.want = Target
		}
	case "FROM":
		switch {
		case c.BeforeKey.Word == "DISTINCT": // IS DISTINCT FROM
		case f.verb == Select || f.verb == Update:
			f.from, f.want = true, Source
		case f.verb == Delete:
			f.want = Target
		}
	case "JOIN":
		if f.from {
			f.want = Source
		}
	case "IN":
		f.want = Member
	case "WINDOW":
		if f.from && c.beginsWindow() {
			f.from = false
		}
	case "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "SET", "RETURNING", "UNION", "EXCEPT", "INTERSECT":
		f.from = false
	}
	return OtherRole
}

// begin starts a query or a change of rows.
func (f *frame) begin(verb Verb) Role {
	f.verb, f.from, f.list = verb, false, false
	return Operation
}

// change starts a change of rows, unless the word is an action, as in ON CONFLICT DO UPDATE.
func (f *frame) change(verb Verb) Role {
	if f.verb != Empty || f.begun && !f.list {
		return OtherRole
	}
	f.or = orNone
	if verb == Insert || verb == Update {
		f.or = orMay
	}
	return f.begin(verb)
}
