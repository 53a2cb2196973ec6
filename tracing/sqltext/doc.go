// Package sqltext reads SQL: it cuts a text into tokens and into statements, exactly where
// the engine would, and says what a statement does.
//
// It is the one reader of SQL in this module. Four users must agree about a text, because
// where two of them disagree, one hides from the other what the engine executes:
//
//   - package tracing summarizes texts and removes literals from them;
//   - package pool decides which connection a text is for;
//   - package driver decides whether a text is one statement that it can keep;
//   - package driver looks for the name of the busy timeout.
//
// The package imports only strings. It never prepares a text and never asks the engine:
// what a name means there is not known.
//
// # Tokens
//
// A [Dialect] is the language; its method Lexer reads a text token by token:
//
//	l := sqltext.SQLite.Lexer(text)
//	for t := l.Next(); t.Kind != sqltext.EOF; t = l.Next() {
//		fmt.Println(t.Kind, t.Text(text))
//	}
//
// A [Cursor] leaves out white space and comments, and knows the keyword at hand, the token
// before it and the token after it. Nothing here allocates: tokens, lexers, cursors and
// statements are values.
//
// For SQLite, tokens are those of sqlite3GetToken (src/tokenize.c of SQLite 3.54):
//
//   - A text ends at its first NUL byte.
//   - White space starts with a space, tab, newline, form feed or carriage return, but not
//     with a vertical tab, which only continues it. A byte order mark is white space wherever
//     a token may start.
//   - A comment needs no end. A "/*" at the very end of the text is two operators.
//   - A name contains letters, digits, "_", "$" and all bytes from 0x80 on.
//   - In quotes, a doubled quote stands for one. In [brackets] nothing does. A backslash is
//     like any other character.
//   - A parameter is ?, ?12, :a, @a, #a or $a. It may contain "::", and end with parentheses
//     that contain anything but white space: $a(') is one parameter.
//   - A number may contain "_" and may be hexadecimal. A name right behind a number makes both
//     illegal. So is x'...' with anything but an even number of hexadecimal digits.
//
// One setting of SQLite is not followed: a connection can be told to refuse comments
// (SQLITE_DBCONFIG_ENABLE_COMMENTS).
//
// # Statements
//
// [Statements] cuts a text where sqlite3_prepare would: [Statement].Tail is the tail that it
// would return. This holds for every statement that SQLite prepares. Where SQLite refuses a
// statement, it reads no further, and what is said of the rest does not matter to it.
//
//	statements := sqltext.SQLite.Statements(text)
//	for st, ok := statements.Next(); ok; st, ok = statements.Next() {
//		fmt.Println(st.Verb, text[st.Start:st.End])
//	}
//
// A semicolon ends a statement, except in the body of a trigger and in the parentheses behind
// CREATE VIRTUAL TABLE. Here this differs from sqlite3_complete, which does not know the latter.
//
// [Verb] is what a statement does. For WITH, it is that of the statement behind the common
// table expressions. EXPLAIN is a flag beside it. [Dialect.Head] finds the verb without reading
// the whole statement.
//
// # Names
//
// [Unquote] takes off quotes, [EqualFold] and [Fold] compare names as SQLite does, and
// [KeywordOf] says whether a word is a keyword, and whether it can still be a name. [Roles]
// follows a query and tells the names of tables from all other names.
//
// Whether a name in double quotes is a string, which SQLite allows where a connection is set
// to it, is not known here.
//
// # Other dialects
//
// The zero Dialect is SQLite. PostgreSQL and MySQL differ in every rule above (dollar quotes,
// nested comments, backslashes, # comments), and a text that is read by the wrong rules leaks
// its literals: so there is no fallback, and a text of another engine must not be given to
// SQLite's dialect. Of their texts, only one thing is found out: [Binds] says whether there is
// a place for an argument.
package sqltext
