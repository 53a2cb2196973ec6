package sqltext

// A Token is a part of the SQL: the bytes from Start up to, but not including, End. It is a
// value without pointers, so that reading SQL allocates nothing.
type Token struct {
	Kind       Kind
	Start, End int
}

// Text returns the token as written. text is the SQL that the token was read from.
func (t Token) Text(text string) string { return text[t.Start:t.End] }

// A Kind is the kind of a token. Tokens that a parser checks individually, such as the
// semicolon, have kinds of their own.
type Kind uint8

const (
	// EOF ends the SQL. It is empty. It stands where the SQL ends for the engine: at the first
	// NUL byte, if there is one. MySQL reads on, but nothing behind it may be shown.
	EOF Kind = iota

	// Space is white space between tokens, or a byte order mark.
	Space

	// Comment is "-- ..." up to the end of the line, or "/* ... */". To SQLite, an unterminated
	// "/*" is a comment up to the end of the SQL. For MySQL, "# ..." is a comment, too.
	Comment

	// Word is a keyword or an unquoted name. [KeywordOf] tells them apart.
	Word

	// Quoted is a name in quotes: "x", `x` or [x]; for PostgreSQL "x" or U&"x"; for MySQL `x`.
	Quoted

	// String is a literal in single quotes. SQLite also accepts it as a name where only a
	// name can stand. For PostgreSQL, it is also E'x', N'x', U&'x' or $$x$$, and for MySQL
	// "x", N'x' or _utf8mb4'x'.
	String

	// Blob is x'53'. For PostgreSQL and MySQL, it is also b'01'.
	Blob

	// Number is a literal without a sign: 1, 1.5, .5, 1., 1e-3, 0xFF, 1_000 or 0b1.
	Number

	// Parameter is ?, ?1, :a, @a, $a, #a or $a::b(c); for PostgreSQL $1; for MySQL ?.
	Parameter

	Semicolon // ;
	LeftParen // (
	RightParen
	Comma
	Dot

	// Operator is any other punctuation, such as <, || or ->>. For PostgreSQL and MySQL, only
	// := and :: have more than one character.
	Operator

	// Illegal is a token that the engine's tokenizer refuses, up to where it would continue:
	// an unterminated quote, a malformed number or blob, or a character that starts no token.
	// For PostgreSQL and MySQL, it is also one whose end depends on the server's mode.
	Illegal
)

// Significant reports whether the parser sees a token of this kind. It does not see white
// space and comments.
func (k Kind) Significant() bool { return k != Space && k != Comment }
