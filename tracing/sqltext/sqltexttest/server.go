package sqltexttest

// A Text is SQL of a server, with what is known of it. It names the objects of a schema:
// [PostgreSQLSchema] or [MySQLSchema].
type Text struct {
	SQL      string
	Prepares bool   // the server prepares it as one statement
	Summary  string // its db.query.summary
	Shown    string // its db.query.text; "" means as written
}

// Sanitized returns the db.query.text of t.
func (t Text) Sanitized() string {
	if t.Shown == "" {
		return t.SQL
	}
	return t.Shown
}

// PostgreSQLSchema makes the objects that [PostgreSQL] names, in an empty database.
var PostgreSQLSchema = []string{
	"CREATE SCHEMA s",
	"CREATE TABLE t (a int PRIMARY KEY, b text, c jsonb, d timestamptz, e int[])",
	"CREATE TABLE u (a int, b text)",
	`CREATE TABLE "T" (a int)`,
	"CREATE TABLE s.w (a int, b text)",
	"CREATE VIEW vw AS SELECT a FROM t",
	"CREATE PROCEDURE p(x text, y int) LANGUAGE sql AS ''",
}

// MySQLSchema makes the objects that [MySQL] names, in an empty database. It makes another
// database, app2.
var MySQLSchema = []string{
	"CREATE DATABASE app2",
	"CREATE TABLE t (a int PRIMARY KEY, b varchar(50), c json, d datetime, FULLTEXT (b))",
	"CREATE TABLE u (a int, b varchar(50))",
	"CREATE TABLE app2.w (a int, b varchar(50))",
	"CREATE TABLE 2fa_codes (1st int)",
	"CREATE SEQUENCE sq",
	"CREATE PROCEDURE p(x text, y int) SELECT 1",
	"CREATE PROCEDURE app2.q(x int) SELECT 1",
}
