// Package sqltext reads SQL. It splits SQL into tokens and statements, exactly where the
// engine would, and tells what a statement does.
//
// It knows three dialects: SQLite's exactly, and those of PostgreSQL and MySQL for what spans show
// of their queries.
//
// All SQL in this module is read by this package. Its four uses must agree about a query. If
// they did not, one would miss what the engine executes:
//
//   - package tracing summarizes queries and removes literals from them;
//   - package pool decides which connection runs a query;
//   - package driver decides whether a query is a single statement that it can cache;
//   - package driver looks for the name of the busy timeout.
//
// The package imports only strings. It never prepares a query and never asks the engine, so
// it does not know what a name refers to.
//
// # Tokens
//
// A [Dialect] is a dialect of SQL. Its method Lexer returns the tokens one by one:
//
//	l := sqltext.SQLite.Lexer(text)
//	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
//		fmt.Println(t.Kind, t.Text(text))
//	}
//
// A [Cursor] skips white space and comments. It knows the current keyword, the token before
// it and the token after it. Nothing here allocates: tokens, lexers, cursors and statements
// are values.
//
// For SQLite, tokens are those of sqlite3GetToken (src/tokenize.c of SQLite 3.54):
//
//   - The SQL ends at its first NUL byte.
//   - White space starts with a space, tab, newline, form feed or carriage return. A vertical
//     tab does not start white space, but continues it. A byte order mark is white space
//     wherever a token may start.
//   - A comment needs no end. A "/*" at the very end is two operators.
//   - A name contains letters, digits, "_", "$" and all bytes from 0x80 on.
//   - In quotes, a doubled quote is one quote. In [brackets] there is no such rule. A
//     backslash is like any other character.
//   - A parameter is ?, ?12, :a, @a, #a or $a. It may contain "::". It may end with
//     parentheses that contain anything but white space: $a(') is one parameter.
//   - A number may contain "_" and may be hexadecimal. A name directly after a number makes
//     both illegal. So is x'...' with anything but an even number of hexadecimal digits.
//
// One setting of SQLite is ignored: a connection can refuse comments
// (SQLITE_DBCONFIG_ENABLE_COMMENTS).
//
// # Statements
//
// [Statements] splits SQL where sqlite3_prepare would: [Statement].Tail is the tail that
// sqlite3_prepare returns. This holds for every statement that SQLite prepares. If SQLite
// refuses a statement, it stops reading, so the result for the rest does not matter.
//
//	statements := sqltext.SQLite.Statements(text)
//	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
//		fmt.Println(st.Verb, text[st.Start:st.End])
//	}
//
// A semicolon ends a statement, except in the body of a trigger and in the parentheses after
// CREATE VIRTUAL TABLE. sqlite3_complete differs here, because it does not know the second
// exception.
//
// [Verb] tells what a statement does. For WITH, it is the verb after the common table
// expressions. EXPLAIN is a separate flag. [Dialect.Head] finds the verb without reading the
// whole statement.
//
// # Names
//
// [Unquote] removes quotes. [EqualFold] and [Fold] compare names as SQLite does. [KeywordOf]
// tells whether a word is a keyword of SQLite, and whether that can still be a name;
// [Dialect.KeywordOf] does so for any dialect. [Roles] follows a statement and tells the names of
// tables from all other names.
//
// SQLite takes a name in double quotes as a string if the connection is configured to. This
// package does not know that setting.
//
// # PostgreSQL and MySQL
//
// The zero Dialect is SQLite. [DialectOf] returns the dialect of an engine. There is no fallback:
// read by the wrong rules, a query leaks its literals.
//
// A server reads some tokens as its mode says, which a query does not show. This package must
// never take a part of a literal as something else. So where two readings are possible, it either
// returns the token that hides more, or an [Illegal] token up to the end of the SQL:
//
//   - A string is illegal if its end depends on whether a backslash escapes the quote after it.
//     For PostgreSQL, that is so in a string without E if standard_conforming_strings is off.
//     For MySQL, NO_BACKSLASH_ESCAPES decides.
//   - To MySQL, double quotes enclose a name if ANSI_QUOTES is set. Here they always enclose a
//     string.
//   - MySQL executes /*! comments */, or only newer or older versions do. Here they are comments,
//     and illegal if the two readings could end at different places.
//   - To MySQL 9, $$ quotes the body of a program. To older versions it is part of a name. Here
//     it is illegal at the start of a token.
//   - To PostgreSQL, a carriage return ends a line comment, and to CockroachDB it does not. Here it
//     is illegal in the middle of a line.
//   - Where versions differ about numbers, names and white space, the tokens are those of the
//     newest version, or illegal: SELECT 1a.
//
// An unterminated quote or comment is illegal up to the end of the SQL. Operators of several
// characters are several tokens.
//
// A statement ends at a semicolon. It does not in the body of a function of PostgreSQL that starts
// with BEGIN ATOMIC, and in the parentheses of CREATE RULE. The body of a stored program of MySQL
// is taken to be the rest of the SQL.
//
// Package sqltexttest has a corpus of texts of both. A test in conformance/engines compares it,
// the keywords, and random literals in every mode with the servers.
//
// This package makes no promise of compatibility yet.
package sqltext
