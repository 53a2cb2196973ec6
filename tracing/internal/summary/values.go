package summary

import "github.com/sqlitemw/sqlitemw/tracing/sqltext"

// values tracks where a statement expects a value: after a comparison, in VALUES, in SET and
// in LIMIT. A name in double quotes that stands there is probably meant as a string. SQLite
// reads it as one if there is no such column and the connection accepts double-quoted
// strings. https://sqlite.org/quirks.html#dblquote
//
// The zero values is for the start of a statement.
type values struct {
	// Each field has one bit for each level of parentheses.
	value   uint64 // a value is expected
	list    uint64 // everything in these parentheses is a value
	between uint64 // the AND of a BETWEEN has not been read yet
	set     uint64 // in SET, where a column's name stands before "="

	depth int // the number of open parentheses
}

// maxValueDepth is the number of levels that the bits can hold. Deeper levels expect a value
// everywhere.
const maxValueDepth = 64

// expected reports whether a value is expected at the token that was added last.
func (v *values) expected() bool { return v.depth >= maxValueDepth || v.value&v.level() != 0 }

// assigned reports whether a name before "=" is a column of SET.
func (v *values) assigned() bool {
	return v.depth < maxValueDepth && v.set&v.level() != 0 && !v.expected()
}

func (v *values) level() uint64 { return 1 << (v.depth % maxValueDepth) }

// add adds the token at the cursor.
func (v *values) add(c *sqltext.Cursor) {
	switch c.Token.Kind {
	case sqltext.Semicolon:
		*v = values{} // the next statement, of the query or of a trigger
	case sqltext.LeftParen:
		expected := v.expected()
		v.depth++
		if v.depth < maxValueDepth {
			v.reset()
			if expected {
				v.list |= v.level()
				v.value |= v.level()
			}
		}
	case sqltext.RightParen:
		v.depth = max(0, v.depth-1)
	case sqltext.Comma:
		v.end()
	case sqltext.Operator:
		switch c.Written() {
		case "=", "==", "!=", "<>", "<", "<=", ">", ">=", "->", "->>":
			v.value |= v.level()
		}
	case sqltext.Word:
		v.word(c)
	}
}

func (v *values) word(c *sqltext.Cursor) {
	switch c.Key.Word {
	case "IS", "LIKE", "GLOB", "REGEXP", "MATCH", "ESCAPE", "IN", "LIMIT", "OFFSET":
		v.value |= v.level()
	case "BETWEEN":
		v.value |= v.level()
		v.between |= v.level()
	case "AND":
		if v.between&v.level() != 0 {
			v.between &^= v.level()
			return
		}
		v.end()
	case "OR", "AS":
		v.end()
	case "VALUES":
		v.reset()
		v.list |= v.level()
		v.value |= v.level()
	case "SET":
		v.reset()
		v.set |= v.level()
	case "FROM":
		if c.BeforeKey.Word != "DISTINCT" { // IS DISTINCT FROM
			v.reset()
		}
	case "SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "INTO", "JOIN", "ON", "USING", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER",
		"RETURNING", "UNION", "EXCEPT", "INTERSECT":
		v.reset()
	}
}

// end ends an expression. Others may follow in the same place.
func (v *values) end() {
	v.between &^= v.level()
	v.value = v.value&^v.level() | v.list&v.level()
}

// reset starts a clause.
func (v *values) reset() {
	v.list &^= v.level()
	v.value &^= v.level()
	v.between &^= v.level()
	v.set &^= v.level()
}
