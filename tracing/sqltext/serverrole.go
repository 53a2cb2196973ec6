package sqltext

// modifies reports whether the token stands between a keyword that a table follows and that
// table, as in FROM ONLY t.
func (f *frame) modifies(c *Cursor) bool {
	switch c.Key.Word {
	case "ONLY", "LATERAL":
		return true
	case "ROWS": // FROM ROWS FROM (f())
		_, next := c.Peek()
		return f.want == Source && next.Word == "FROM"
	case "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE":
		return f.want == Target && f.verb != Delete
	case "TEMP", "TEMPORARY", "UNLOGGED", "LOCAL", "GLOBAL", "TABLE": // SELECT INTO TEMP TABLE t
		return f.want == Target && f.verb == Select && c.nameFollows()
	}
	return false
}

// nameFollows reports whether the next token can be a name.
func (c *Cursor) nameFollows() bool {
	next := *c
	next.Advance()
	return next.ObjectName()
}

// beginsTable reports whether the current token is the TABLE of TABLE t, which stands for
// SELECT * FROM t.
func (c *Cursor) beginsTable() bool { return c.Key.Word == "TABLE" && c.nameFollows() }

// serverClause is clause for PostgreSQL and MySQL.
func (f *frame) serverClause(c *Cursor, depth int) Role {
	switch {
	case c.Before.Kind == Dot, f.begun && c.BeforeKey.Word == "AS":
		return OtherRole // t.from, or a label: 1 AS from
	case c.BeforeKey.Word == "FOR":
		return OtherRole // FOR UPDATE, or USE INDEX FOR JOIN (i)
	}
	mysql := c.dialect == MySQL
	switch c.Key.Word {
	case "SELECT":
		return f.begin(Select)
	case "VALUES":
		if f.verb == Empty || c.afterSetOperator() {
			return f.begin(Select)
		}
		f.list = false
	case "TABLE":
		if (f.verb == Empty || f.verb == Insert || c.afterSetOperator()) && c.nameFollows() {
			role := f.begin(Select)
			f.want = Source
			return role
		}
	case "INSERT", "UPSERT":
		return f.insert(mysql)
	case "REPLACE":
		if mysql && depth == 0 { // within parentheses it is the function
			return f.insert(mysql)
		}
	case "UPDATE":
		role := f.change(Update)
		if role == Operation {
			f.from, f.want = mysql, Target
		}
		return role
	case "DELETE":
		return f.change(Delete)
	case "MERGE":
		return f.change(Merge)
	case "WITH":
		if f.begun && f.verb != Insert {
			break
		}
		f.list, f.from, f.want = true, false, Common
		return CommonList
	case "INTO":
		switch {
		case f.verb == Insert || f.verb == Merge || f.verb == Select && !mysql:
			f.want = Target
		case f.verb == Select: // INTO OUTFILE, or variables
			f.from = false
		}
	case "FROM":
		f.readsFrom(c)
	case "USING":
		next, _ := c.Peek()
		switch {
		case f.verb == Merge:
			f.want = Source
		case f.verb == Delete && (!f.from || mysql && next.Kind != LeftParen):
			f.from, f.want = true, Source
		}
	case "JOIN", "STRAIGHT_JOIN":
		if f.from {
			f.want = Source
		}
	case "WINDOW":
		if f.from && c.beginsWindow() {
			f.from = false
		}
	case "FOR":
		switch _, next := c.Peek(); next.Word {
		case "UPDATE", "SHARE", "NO", "KEY":
			f.from = false
		}
	case "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FETCH", "SET", "DUPLICATE", "CONFLICT", "RETURNING", "UNION", "EXCEPT", "INTERSECT":
		f.from = false
	}
	return OtherRole
}

// afterSetOperator reports whether the token before is UNION or the like, or ends it.
func (c *Cursor) afterSetOperator() bool {
	switch c.BeforeKey.Word {
	case "UNION", "EXCEPT", "INTERSECT", "ALL", "DISTINCT":
		return true
	}
	return false
}

// insert starts an INSERT. INTO is optional in MySQL.
func (f *frame) insert(mysql bool) Role {
	role := f.change(Insert)
	if role == Operation && mysql {
		f.want = Target
	}
	return role
}

// readsFrom reads FROM.
func (f *frame) readsFrom(c *Cursor) {
	switch {
	case c.BeforeKey.Word == "DISTINCT": // IS DISTINCT FROM
	case f.verb == Select || f.verb == Update:
		f.from, f.want = true, Source
	case f.verb == Delete && c.dialect == MySQL:
		// DELETE a FROM t AS a JOIN u: the names before FROM are those of the tables after it.
		f.from, f.want = true, Source
		switch c.BeforeKey.Word {
		case "DELETE", "LOW_PRIORITY", "QUICK", "IGNORE":
			f.want = Target
		}
	case f.verb == Delete:
		f.want = Target
	}
}
